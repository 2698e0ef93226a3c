#include "pipeline/throttle/quota_file.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>

namespace volley::pipeline {
namespace {

absl::Status Failed(const std::string& path, std::string_view doing, int error) {
  const std::string text =
      fmt::format("{}: {}: {}", path, doing, std::generic_category().message(error));
  const bool full = error == ENOSPC || error == EDQUOT;
  return full ? absl::ResourceExhaustedError(text) : absl::InternalError(text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<QuotaFile>> QuotaFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Failed(path, "cannot be opened", errno);
  std::unique_ptr<QuotaFile> file(new QuotaFile(path, fd));
  if (absl::Status status = file->Prepare(); !status.ok()) return status;
  return file;
}

absl::Status QuotaFile::Prepare() {
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Failed(path_, "cannot be locked", errno);
    return absl::FailedPreconditionError(
        fmt::format("{}: another volley process counts this quota; two would exceed it", path_));
  }
  struct stat info;
  if (fstat(fd_, &info) != 0) return Failed(path_, "cannot be read", errno);
  if (!S_ISREG(info.st_mode) ||
      (info.st_size != 0 && info.st_size != static_cast<off_t>(Quota::kStateBytes))) {
    return absl::DataLossError(fmt::format(
        "{}: is not a quota's counts ({} bytes, not {}); if you delete it, counting begins at 0",
        path_, info.st_size, Quota::kStateBytes));
  }
  // Also of one that has its length: it may have holes.
  if (const int error = posix_fallocate(fd_, 0, Quota::kStateBytes); error != 0) {
    return Failed(path_, "no space for it", error);
  }
  void* at = mmap(nullptr, Quota::kStateBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (at == MAP_FAILED) return Failed(path_, "cannot be mapped", errno);
  words_ = static_cast<uint64_t*>(at);
  return absl::OkStatus();
}

QuotaFile::~QuotaFile() {
  if (words_ != nullptr) munmap(words_, Quota::kStateBytes);
  close(fd_);  // and so the lock
}

absl::Status QuotaFile::Sync() {
  if (msync(words_, Quota::kStateBytes, MS_SYNC) != 0) {
    return Failed(path_, "cannot be synced", errno);
  }
  return absl::OkStatus();
}

}  // namespace volley::pipeline
