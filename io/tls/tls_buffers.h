// TlsBuffers: the memory that TLS streams of one thread share, so that an idle one holds none.
// TlsOutput: the ciphertext of one stream on its way to the kernel.
//
// Threading: one thread's, that of its context.
#ifndef VOLLEY_IO_TLS_TLS_BUFFERS_H_
#define VOLLEY_IO_TLS_TLS_BUFFERS_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "io/reactor/send_pieces.h"
#include "io/tls/limits.h"

namespace volley::io {

struct TlsChunk {
  TlsChunk* next;
  uint32_t used;
  char bytes[kTlsChunkBytes];
};

class TlsBuffers {
 public:
  TlsBuffers() = default;
  ~TlsBuffers();  // REQUIRES: no chunk is out, no stream left
  TlsBuffers(const TlsBuffers&) = delete;
  TlsBuffers& operator=(const TlsBuffers&) = delete;

  TlsChunk* Take();
  void Give(TlsChunk* chunk);

  // Decrypted bytes lie here while a handler looks at them: one handler runs at a time.
  std::span<char> plaintext_in() { return plaintext_in_; }
  // Small pieces of a Send are put together here; empty again when the call returns.
  std::span<char, kTlsRecordBytesMax> plaintext_out() { return plaintext_out_; }
  SendBlockPool& send_blocks() { return send_blocks_; }

  size_t chunks_out() const { return out_; }
  void StreamBorn() { ++streams_; }
  void StreamGone() { --streams_; }

 private:
  TlsChunk* free_ = nullptr;
  size_t free_count_ = 0;
  size_t out_ = 0;
  size_t streams_ = 0;
  SendBlockPool send_blocks_;
  std::array<char, kTlsRecordBytesMax> plaintext_in_;
  std::array<char, kTlsRecordBytesMax> plaintext_out_;
};

// A queue of bytes in chunks that never move. What was given to the kernel stays until Sent();
// bytes may be appended behind it meanwhile. Offsets count from the stream's first byte.
class TlsOutput {
 public:
  static constexpr size_t kPiecesMax = kTlsOutputBytesMax / kTlsChunkBytes + 2;

  explicit TlsOutput(TlsBuffers* buffers) : buffers_(buffers) {}
  ~TlsOutput() { Clear(); }
  TlsOutput(const TlsOutput&) = delete;
  TlsOutput& operator=(const TlsOutput&) = delete;

  // False: that would be more than kTlsOutputBytesMax; nothing was taken.
  [[nodiscard]] bool Append(const char* bytes, size_t count);
  size_t waiting() const { return static_cast<size_t>(appended_ - given_); }
  size_t queued() const {
    return static_cast<size_t>(appended_ - sent_);
  }  // with what is in flight
  bool in_flight() const { return given_ != sent_; }
  uint64_t appended() const { return appended_; }  // offset of the next byte
  uint64_t given() const { return given_; }        // offset behind the last byte in flight

  // All that waits, as pieces for one Send. REQUIRES: waiting() != 0, !in_flight().
  std::span<const iovec> Give(std::span<iovec, kPiecesMax> pieces);
  // What was given has been taken: its memory is free.
  void Sent();
  // REQUIRES: the kernel reads none of it any more.
  void Clear();

 private:
  void DropFirst();

  TlsBuffers* const buffers_;
  TlsChunk* first_ = nullptr;
  TlsChunk* last_ = nullptr;
  uint32_t first_begin_ = 0;  // bytes of the first chunk that are gone
  uint64_t appended_ = 0;
  uint64_t given_ = 0;
  uint64_t sent_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_TLS_BUFFERS_H_
