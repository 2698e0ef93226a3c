// Where a list's bytes come from: Input (a file, standard input, a test's chunks) and InputWindow,
// the contiguous piece of it that a row reader looks at.
//
// Threading: one thread. Lifetime: the window points to its input.
#ifndef VOLLEY_PIPELINE_SOURCE_INPUT_H_
#define VOLLEY_PIPELINE_SOURCE_INPUT_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace volley::pipeline {

class Input {
 public:
  virtual ~Input() = default;
  // Reads up to out.size() bytes; 0 is the end.
  virtual absl::StatusOr<size_t> Read(std::span<char> out) = 0;
  // 0: not known (a pipe).
  virtual uint64_t total_bytes() const { return 0; }
};

// Opens a file, or standard input for "-". Errors name the path.
absl::StatusOr<std::unique_ptr<Input>> OpenInput(const std::string& path);

// Unread bytes, contiguous, always followed by kPaddingBytes readable ones (simdjson reads past the
// end of what it parses). It grows to what its reader leaves unconsumed; the readers' row bounds
// are what limits it.
class InputWindow {
 public:
  static constexpr size_t kBlockBytes = 256 << 10;
  static constexpr size_t kPaddingBytes = 64;

  explicit InputWindow(Input* input, size_t block_bytes = kBlockBytes)
      : input_(input), block_bytes_(block_bytes) {}

  std::string_view bytes() const { return {buffer_.data() + begin_, end_ - begin_}; }
  // Forgets the first `n` bytes. REQUIRES: n <= bytes().size().
  void Consume(size_t n);
  // Reads one more block. False: there is no more. Invalidates views into bytes().
  absl::StatusOr<bool> Fill();
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  Input* const input_;
  const size_t block_bytes_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool at_end_ = false;
  uint64_t bytes_read_ = 0;
};

// Drops a UTF-8 byte order mark at the window's front. REQUIRES: nothing was consumed yet.
absl::Status SkipByteOrderMark(InputWindow* window);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_INPUT_H_
