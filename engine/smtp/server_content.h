// ContentScanner: reads message content off the wire, strictly, in big spans.
//
// DATA (dots = true): finds the end of the mail data, which is CRLF "." CRLF and nothing else (RFC
// 5321
//   §4.1.1.4), and takes one dot off every line that begins with one (§4.5.2).
// BDAT (dots = false): the octets are the content (RFC 3030 §2); the caller counts them.
// Both: a CR or LF that is not part of a CRLF (§2.3.8), a NUL and a line over the limit
// (§4.5.3.1.6)
//   are faults. A fault changes nothing about where the content ends, so the session stays in sync:
//   a peer that reads "\n.\n" as an end and one that does not can never disagree about us.
//
// Works on masks of 64 bytes at a time (SSE2 where there is it), with the state of the last byte
// carried in between, so that cuts of the stream at any place give the same result.
// One scanner serves all messages of a session. No allocation. One thread.
#ifndef VOLLEY_ENGINE_SMTP_SERVER_CONTENT_H_
#define VOLLEY_ENGINE_SMTP_SERVER_CONTENT_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace volley::engine::smtp {

// Bits, because one message may have several; what is reported does not depend on how the stream
// was cut.
struct ContentFaults {
  bool bare_cr = false, bare_lf = false, nul = false, line_too_long = false;
  bool any() const { return bare_cr || bare_lf || nul || line_too_long; }
};

class ContentScanner {
 public:
  struct Piece {
    std::span<const char> content;  // part of the input; may be empty
    size_t consumed = 0;            // at least 1
    bool ended = false;             // the terminator was consumed
  };

  // A new message. `line_max` counts the CRLF and not a removed dot; 0: no limit.
  void Begin(bool dots, uint32_t line_max);
  // Takes the next piece off the front of `bytes`. REQUIRES: bytes is not empty, not ended.
  Piece Next(std::span<const char> bytes);
  // BDAT: no more comes. A CR that waits for its LF, or a long last line, becomes a fault.
  void Finish();

  const ContentFaults& faults() const { return faults_; }

 private:
  enum class State : uint8_t {
    kText,
    kDot,    // CRLF "." seen; the dot is not content
    kDotCr,  // CRLF "." CR seen
  };
  Piece AfterDot(char c);
  size_t Scan(const char* data, size_t size);

  State state_ = State::kText;
  bool dots_ = false;
  bool after_cr_ = false;    // the last byte was a CR
  bool line_start_ = false;  // the last two bytes were CRLF, or nothing has come yet
  int64_t line_max_ = 0;
  uint64_t line_bytes_ = 0;  // octets so far of the line we are in
  ContentFaults faults_;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_SERVER_CONTENT_H_
