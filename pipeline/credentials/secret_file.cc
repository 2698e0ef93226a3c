#include "pipeline/credentials/secret_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "io/base/time.h"
#include "pipeline/credentials/poll_wait.h"
#include "pipeline/credentials/read_once.h"

namespace volley::pipeline {
namespace {

using engine::Secret;

class Descriptor {
 public:
  // O_NONBLOCK: opening a FIFO without a writer would wait for one where nothing can end it.
  explicit Descriptor(const std::string& path)
      : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status CannotRead(std::string_view name, int error) {
  std::string message = fmt::format("{} cannot be read: {}", name, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) {
    return absl::PermissionDeniedError(
        fmt::format("{}; it must belong to the user that volley runs as (uid {})", message,
                    static_cast<unsigned>(geteuid())));
  }
  return absl::InvalidArgumentError(message);
}

// Looks at the file that is open, not at its name: that may be another one a moment later.
absl::Status CheckMode(const std::string& path, std::string_view name, mode_t mode) {
  const char* who = (mode & S_IROTH) != 0               ? "read by everybody"
                    : (mode & (S_IWGRP | S_IWOTH)) != 0 ? "written by others"
                                                        : nullptr;
  if (who == nullptr) return absl::OkStatus();
  return absl::PermissionDeniedError(
      fmt::format("{} can be {} (mode {:04o}): run chmod 600 {}, and change the secret if this "
                  "machine has other users",
                  name, who, mode & 07777u, path));
}

absl::Status CheckKind(std::string_view name, mode_t mode) {
  if (S_ISREG(mode) || S_ISFIFO(mode)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} is {}: it must be a file with the secret in its first line", name,
                  S_ISDIR(mode) ? "a folder" : "not a regular file"));
}

// Waits for a FIFO to have bytes, or its last writer to have gone.
absl::Status WaitForWriter(int fd, std::string_view name, io::MonoTime deadline,
                           const WaitLimits& limits) {
  pollfd polled[2] = {{.fd = fd, .events = POLLIN, .revents = 0}, StopPoll(limits.stop)};
  switch (PollUntil(polled, deadline, limits.stop)) {
    case PollResult::kReady:
      return absl::OkStatus();
    case PollResult::kStopped:
      return absl::CancelledError(fmt::format("{}: reading was ended", name));
    case PollResult::kTimedOut:
      break;
  }
  return absl::DeadlineExceededError(fmt::format("{} is a pipe that nobody wrote to for {}", name,
                                                 absl::FormatDuration(limits.timeout)));
}

absl::StatusOr<Secret> ReadAll(int fd, bool is_fifo, std::string_view name,
                               const WaitLimits& limits) {
  const io::MonoTime deadline = io::MonotonicNow() + limits.timeout;
  Secret bytes = Secret::Sized(kSourceBytesMax + 1);
  size_t have = 0;
  while (have < bytes.size()) {
    if (is_fifo) {
      if (auto status = WaitForWriter(fd, name, deadline, limits); !status.ok()) return status;
    }
    const ssize_t n = read(fd, bytes.bytes() + have, bytes.size() - have);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return CannotRead(name, errno);
    if (n == 0) return Secret::Concat({bytes.reveal().substr(0, have)});
    have += static_cast<size_t>(n);
  }
  return absl::InvalidArgumentError(
      fmt::format("{} has more than {} bytes: is it the right file?", name, kSourceBytesMax));
}

// A pipe without a name, such as a shell's <(command): nobody can write to it again.
std::optional<std::string> AnonymousPipe(int fd, const struct stat& info) {
  struct statfs system {};
  if (!S_ISFIFO(info.st_mode) || fstatfs(fd, &system) != 0) return std::nullopt;
  if (system.f_type != PIPEFS_MAGIC) return std::nullopt;
  return fmt::format("{}:{}", info.st_dev, info.st_ino);
}

}  // namespace

absl::StatusOr<Secret> ReadSecretFile(const std::string& path, std::string_view name, ModeRule rule,
                                      const WaitLimits& limits) {
  const Descriptor file(path);
  if (file.get() < 0) return CannotRead(name, errno);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return CannotRead(name, errno);
  if (absl::Status status = CheckKind(name, info.st_mode); !status.ok()) return status;
  if (rule == ModeRule::kPrivate) {
    if (auto status = CheckMode(path, name, info.st_mode); !status.ok()) return status;
  }
  const std::optional<std::string> pipe = AnonymousPipe(file.get(), info);
  if (!pipe) return ReadAll(file.get(), S_ISFIFO(info.st_mode), name, limits);
  if (std::optional<Secret> before = RecallPipe(*pipe)) return *std::move(before);
  absl::StatusOr<Secret> bytes = ReadAll(file.get(), true, name, limits);
  if (bytes.ok()) RememberPipe(*pipe, *bytes);
  return bytes;
}

FileStamp StampOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = info.st_size,
          .mtime_ns = info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec};
}

bool MayChangeUnseen(const FileStamp& stamp) {
  const int64_t age_ns = absl::GetCurrentTimeNanos() - stamp.mtime_ns;
  return stamp.present() && age_ns > -2'000'000'000 && age_ns < 2'000'000'000;
}

}  // namespace volley::pipeline
