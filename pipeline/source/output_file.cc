#include "pipeline/source/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "io/base/check.h"

namespace volley::pipeline {

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& path) {
  std::string temporary = path + ".tmp";
  const int fd = open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) {
    return absl::UnavailableError(
        fmt::format("{}: cannot be made: {}", temporary, std::strerror(errno)));
  }
  return std::unique_ptr<OutputFile>(new OutputFile(fd, path, std::move(temporary)));
}

OutputFile::OutputFile(int fd, std::string path, std::string temporary_path)
    : fd_(fd), path_(std::move(path)), temporary_path_(std::move(temporary_path)) {
  buffer_.reserve(kBufferBytes);
}

OutputFile::~OutputFile() {
  close(fd_);
  if (!committed_) unlink(temporary_path_.c_str());
}

absl::Status OutputFile::Append(std::string_view bytes) {
  while (bytes.size() > kBufferBytes - buffer_.size()) {
    const size_t n = kBufferBytes - buffer_.size();
    buffer_.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    if (absl::Status s = Flush(); !s.ok()) return s;
  }
  buffer_.append(bytes);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> OutputFile::TakeChecksum() {
  if (absl::Status s = Flush(); !s.ok()) return s;
  return std::exchange(checksum_, 0);
}

absl::StatusOr<size_t> OutputFile::ReadBack(uint64_t offset, std::span<char> out) {
  size_t got = 0;
  while (offset + got < written_ && got < out.size()) {
    const size_t wanted = std::min<uint64_t>(out.size() - got, written_ - offset - got);
    const ssize_t n = pread(fd_, out.data() + got, wanted, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error("cannot be read back", n < 0 ? errno : EIO);
    got += static_cast<size_t>(n);
  }
  if (offset + got >= written_ && offset + got < size()) {
    const std::string_view rest = std::string_view(buffer_).substr(offset + got - written_);
    const size_t n = std::min(rest.size(), out.size() - got);
    std::memcpy(out.data() + got, rest.data(), n);
    got += n;
  }
  return got;
}

absl::Status OutputFile::Overwrite(uint64_t offset, std::string_view bytes) {
  if (absl::Status s = Flush(); !s.ok()) return s;
  VOLLEY_CHECK(offset + bytes.size() <= written_);
  return WriteAll(offset, bytes);
}

absl::Status OutputFile::Commit() {
  if (absl::Status s = Flush(); !s.ok()) return s;
  if (fsync(fd_) != 0) return Error("cannot be synced", errno);
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    return Error("cannot get its name", errno);
  }
  committed_ = true;
  return SyncFolder();
}

absl::Status OutputFile::Flush() {
  if (absl::Status s = WriteAll(written_, buffer_); !s.ok()) return s;
  checksum_ = static_cast<uint32_t>(
      crc32_z(checksum_, reinterpret_cast<const unsigned char*>(buffer_.data()), buffer_.size()));
  written_ += buffer_.size();
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status OutputFile::WriteAll(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error("cannot be written", n < 0 ? errno : EIO);
    offset += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::SyncFolder() const {
  const size_t slash = path_.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : path_.substr(0, std::max<size_t>(slash, 1));
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // A folder that may be written but not read cannot be synced; its file is fine.
  if (fd < 0) return absl::OkStatus();
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error == 0 || error == EINVAL ? absl::OkStatus() : Error("cannot be synced", error);
}

absl::Status OutputFile::Error(std::string_view what, int error) const {
  return absl::UnavailableError(fmt::format("{}: {}: {}", path_, what, std::strerror(error)));
}

}  // namespace volley::pipeline
