#include "pipeline/settle/append_file.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace volley::pipeline {

absl::Status FileError(std::string_view what, const std::string& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return absl::Status(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
                      fmt::format("{} {}: {}", what, path, std::strerror(error)));
}

uint64_t CutHalfLine(int fd, uint64_t bytes) {
  const auto tail = static_cast<size_t>(std::min(bytes, kHalfLineMax));
  std::string text(tail, '\0');
  if (pread(fd, text.data(), tail, static_cast<off_t>(bytes - tail)) !=
      static_cast<ssize_t>(tail)) {
    return bytes;
  }
  const size_t end = text.rfind('\n');
  const uint64_t whole = bytes - tail + (end == std::string::npos ? 0 : end + 1);
  const bool ours = end != std::string::npos || bytes < kHalfLineMax;
  if (whole == bytes || !ours || ftruncate(fd, static_cast<off_t>(whole)) != 0) return bytes;
  return whole;
}

absl::StatusOr<AppendFile> OpenToAppend(const std::string& path) {
  AppendFile file;
  file.fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  struct stat info {};
  if (file.fd < 0 || fstat(file.fd, &info) != 0) {
    const int error = errno;
    if (file.fd >= 0) close(file.fd);
    return FileError("cannot open", path, error);
  }
  file.bytes = CutHalfLine(file.fd, static_cast<uint64_t>(info.st_size));
  char last = '\n';
  if (file.bytes > 0 && pread(file.fd, &last, 1, static_cast<off_t>(file.bytes) - 1) == 1 &&
      last != '\n' && write(file.fd, "\n", 1) == 1) {
    ++file.bytes;
  }
  return file;
}

}  // namespace volley::pipeline
