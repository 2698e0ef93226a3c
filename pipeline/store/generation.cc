#include "pipeline/store/generation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>

#include "absl/status/status.h"

namespace volley::pipeline {
namespace {

constexpr std::string_view kMagic = "volleyGN";
constexpr size_t kBytes = 16;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status CannotUse(const std::string& path, int error) {
  return absl::PermissionDeniedError(fmt::format("cannot use {}: {}", path, std::strerror(error)));
}

std::string PathIn(const std::string& state_dir) { return state_dir + "/suppression.generation"; }

// Under the lock: two processes may make the file at the same time.
absl::Status WriteOrCheck(int fd, const std::string& path) {
  struct stat info {};
  if (flock(fd, LOCK_EX) != 0 || fstat(fd, &info) != 0) return CannotUse(path, errno);
  char head[kBytes] = {};
  if (info.st_size == 0) {
    std::memcpy(head, kMagic.data(), kMagic.size());
    if (pwrite(fd, head, kBytes, 0) != static_cast<ssize_t>(kBytes)) return CannotUse(path, errno);
    return absl::OkStatus();
  }
  if (info.st_size != static_cast<off_t>(kBytes) ||
      pread(fd, head, kBytes, 0) != static_cast<ssize_t>(kBytes) ||
      std::string_view(head, kMagic.size()) != kMagic) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not volley's: remove it, it will be made anew", path));
  }
  return absl::OkStatus();
}

}  // namespace

bool Generation::HasMoved(const std::string& state_dir) {
  const Descriptor file(open(PathIn(state_dir).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  char head[kBytes] = {};
  if (file.get() < 0 || pread(file.get(), head, kBytes, 0) != static_cast<ssize_t>(kBytes)) {
    return false;
  }
  uint64_t counter;
  std::memcpy(&counter, head + kMagic.size(), sizeof counter);
  return std::string_view(head, kMagic.size()) == kMagic && counter != 0;
}

absl::StatusOr<std::shared_ptr<Generation>> Generation::Open(const std::string& state_dir) {
  const std::string path = PathIn(state_dir);
  const Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600));
  if (file.get() < 0) return CannotUse(path, errno);
  const absl::Status checked = WriteOrCheck(file.get(), path);
  flock(file.get(), LOCK_UN);  // a mapping would keep the open file, and its lock, after close()
  if (!checked.ok()) return checked;
  void* mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return CannotUse(path, errno);
  // The counter is in memory that other processes write: its object begins its life here for each.
  auto* counter = reinterpret_cast<std::atomic<uint64_t>*>(static_cast<char*>(mapped) + 8);
  return std::shared_ptr<Generation>(new Generation(mapped, counter));
}

Generation::~Generation() { munmap(mapped_, kBytes); }

}  // namespace volley::pipeline
