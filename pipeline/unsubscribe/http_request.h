// HttpRequestParser: one HTTP/1.1 request from hostile bytes (RFC 9112), as much of it as an
// unsubscribe endpoint needs: Content-Length and chunked bodies, Expect, no keep-alive.
//
// Why not a library: the endpoint is open to everybody, and Debian 12's cpp-httplib 0.11.4 keeps
// header lines and chunked bodies of any length in memory, and a thread for each slow client. Here
// everything is bounded (RFC 9112 §2.2, RFC 9110 §15.5), and time is the connection's to bound.
//
// What could be read in two ways is refused, so that no proxy in front reads it in another: both
// Content-Length and Transfer-Encoding, either of them twice, white space before a colon, folded
// lines (RFC 9112 §5.1, §5.2, §6.1).
//
// Threading: as any value. Errors: a status code to answer with.
#ifndef VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_REQUEST_H_
#define VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace volley::pipeline {

struct HttpRequest {
  std::string method;
  std::string target;  // as it came: path and query
  std::string content_type;
  std::string forwarded_for;  // the last X-Forwarded-For line; "": none
  std::string body;
};

class HttpRequestParser {
 public:
  static constexpr size_t kHeadBytesMax = 16 * 1024;
  static constexpr size_t kHeaderLinesMax = 100;
  static constexpr size_t kTargetBytesMax = 2 * 1024;
  static constexpr size_t kBodyBytesMax = 8 * 1024;
  // Of a chunked body with its chunk sizes: one byte a chunk is the worst that makes any sense.
  static constexpr size_t kChunkedBytesMax = 64 * 1024;

  enum class State : uint8_t { kMore, kDone, kRefused };

  // Bytes behind the request are ignored. REQUIRES: the state is kMore.
  State Receive(std::string_view bytes);
  State state() const { return state_; }
  int refusal() const { return refusal_; }  // status code; REQUIRES: kRefused
  const HttpRequest& request() const { return request_; }
  // True once, when the client waits for "100 Continue" before it sends the body (RFC 9110
  // §10.1.1).
  bool TakeContinue();
  void Reset();

 private:
  State Refuse(int status);
  bool ReadHead();
  bool ReadRequestLine(std::string_view line);
  bool ReadHeaderLine(std::string_view line);
  bool ReadKnownHeader(std::string_view lower_name, std::string_view value);
  bool ReadContentLength(std::string_view value);
  bool CheckHead();
  State ReadBody();
  State ReadChunks();
  bool ReadChunkLine(std::string_view line);

  State state_ = State::kMore;
  int refusal_ = 0;
  HttpRequest request_;
  std::string buffer_;      // what is not understood yet
  size_t searched_ = 0;     // of the head, for its end
  bool head_done_ = false;  // the rest is about the head
  bool http_1_0_ = false, has_host_ = false, has_length_ = false;
  bool chunked_ = false, expects_continue_ = false;
  size_t content_length_ = 0;

  enum class ChunkState : uint8_t { kSize, kData, kDataEnd, kTrailer };
  ChunkState chunk_state_ = ChunkState::kSize;
  size_t chunk_left_ = 0;
  size_t chunked_bytes_ = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_REQUEST_H_
