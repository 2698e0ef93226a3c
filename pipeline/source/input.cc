#include "pipeline/source/input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io/base/check.h"

namespace volley::pipeline {
namespace {

class FileInput final : public Input {
 public:
  FileInput(int fd, std::string name, uint64_t total_bytes)
      : fd_(fd), name_(std::move(name)), total_bytes_(total_bytes) {}
  ~FileInput() override {
    if (fd_ != STDIN_FILENO) close(fd_);
  }
  FileInput(const FileInput&) = delete;
  FileInput& operator=(const FileInput&) = delete;

  // Fills `out` to the end where it can: a pipe hands over 64 KiB or less at a time.
  absl::StatusOr<size_t> Read(std::span<char> out) override {
    size_t got = 0;
    while (got < out.size()) {
      const ssize_t n = read(fd_, out.data() + got, out.size() - got);
      if (n == 0) break;
      if (n > 0) {
        got += static_cast<size_t>(n);
      } else if (errno != EINTR) {
        return absl::UnavailableError(
            fmt::format("{}: cannot be read: {}", name_, std::strerror(errno)));
      }
    }
    return got;
  }
  uint64_t total_bytes() const override { return total_bytes_; }

 private:
  const int fd_;
  const std::string name_;
  const uint64_t total_bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Input>> OpenInput(const std::string& path) {
  const bool is_stdin = path == "-";
  const std::string name = is_stdin ? "standard input" : path;
  const int fd = is_stdin ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int error = errno;
    const std::string message = fmt::format("{}: {}", path, std::strerror(error));
    if (error == ENOENT) return absl::NotFoundError(message);
    // Out of descriptors is the machine's; all else (permission, a loop of links) is the path's.
    return error == EMFILE || error == ENFILE ? absl::ResourceExhaustedError(message)
                                              : absl::InvalidArgumentError(message);
  }
  struct stat st {};
  const bool known = fstat(fd, &st) == 0;
  // From here on the descriptor has an owner.
  const uint64_t total = known && S_ISREG(st.st_mode) ? static_cast<uint64_t>(st.st_size) : 0;
  std::unique_ptr<Input> input = std::make_unique<FileInput>(fd, name, total);
  if (known && S_ISDIR(st.st_mode)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: is a folder; name the recipient list in it", name));
  }
  if (total != 0) posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  return input;
}

void InputWindow::Consume(size_t n) {
  VOLLEY_CHECK(n <= end_ - begin_);
  begin_ += n;
}

absl::StatusOr<bool> InputWindow::Fill() {
  if (at_end_) return false;
  if (begin_ != 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + block_bytes_ + kPaddingBytes) {
    buffer_.resize(std::max(2 * end_, end_ + block_bytes_) + kPaddingBytes);
  }
  auto got = input_->Read({buffer_.data() + end_, block_bytes_});
  if (!got.ok()) return got.status();
  end_ += *got;
  // Not what an earlier block left there: simdjson's answer must not hang on it.
  std::memset(buffer_.data() + end_, 0, kPaddingBytes);
  bytes_read_ += *got;
  at_end_ = *got == 0;
  return !at_end_;
}

absl::Status SkipByteOrderMark(InputWindow* window) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  while (window->bytes().size() < kMark.size()) {
    auto more = window->Fill();
    if (!more.ok()) return more.status();
    if (!*more) break;
  }
  if (window->bytes().substr(0, kMark.size()) == kMark) window->Consume(kMark.size());
  return absl::OkStatus();
}

}  // namespace volley::pipeline
