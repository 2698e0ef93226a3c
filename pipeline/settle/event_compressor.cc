#include "pipeline/settle/event_compressor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace volley::pipeline {
namespace {

constexpr int kLevel = 3;

absl::Status Failed(std::string_view what, const std::string& path, int error) {
  const std::string text = fmt::format("cannot {} {}: {}", what, path, std::strerror(error));
  return error == ENOSPC || error == EDQUOT || error == EFBIG ? absl::ResourceExhaustedError(text)
                                                              : absl::UnavailableError(text);
}

class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

bool WriteAll(int fd, const char* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = write(fd, data, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    data += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

absl::Status Compress(const std::string& path, const std::string& to) {
  const File in(path, O_RDONLY);
  if (in.fd() < 0) return Failed("open", path, errno);
  const File out(to, O_WRONLY | O_CREAT | O_TRUNC);
  if (out.fd() < 0) return Failed("make", to, errno);
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> zstd(ZSTD_createCCtx(), ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_checksumFlag, 1);
  std::string read_in(ZSTD_CStreamInSize(), '\0'), written(ZSTD_CStreamOutSize(), '\0');
  for (bool last = false; !last;) {
    const ssize_t n = read(in.fd(), read_in.data(), read_in.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("read", path, errno);
    last = n == 0;
    ZSTD_inBuffer from{read_in.data(), static_cast<size_t>(n), 0};
    for (size_t left = 1; last ? left > 0 : from.pos < from.size;) {
      ZSTD_outBuffer into{written.data(), written.size(), 0};
      left = ZSTD_compressStream2(zstd.get(), &into, &from, last ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left)) {
        return absl::UnavailableError(
            fmt::format("cannot compress {}: {}", path, ZSTD_getErrorName(left)));
      }
      if (!WriteAll(out.fd(), written.data(), into.pos)) return Failed("write", to, errno);
    }
  }
  return fsync(out.fd()) == 0 ? absl::OkStatus() : Failed("sync", to, errno);
}

}  // namespace

absl::Status CompressFile(const std::string& path) {
  const std::string whole = path + std::string(kZstdSuffix), part = whole + ".part";
  absl::Status status = Compress(path, part);
  if (status.ok() && rename(part.c_str(), whole.c_str()) != 0) {
    status = Failed("rename", part, errno);
  }
  if (!status.ok()) {
    unlink(part.c_str());
    return status;
  }
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : Failed("remove", path, errno);
}

EventCompressor::~EventCompressor() {
  if (thread_.joinable()) thread_.join();
}

void EventCompressor::Start(std::vector<std::string> paths) {
  if (thread_.joinable()) thread_.join();
  if (paths.empty()) return;
  busy_.store(true, std::memory_order_relaxed);
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this, paths = std::move(paths)] {
    for (const std::string& path : paths) warning_.Update(CompressFile(path));
    busy_.store(false, std::memory_order_release);
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

absl::Status EventCompressor::TakeWarning() { return std::exchange(warning_, absl::OkStatus()); }

}  // namespace volley::pipeline
