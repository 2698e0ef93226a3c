#include "pipeline/control/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace volley::pipeline {
namespace {

constexpr const char* kName = "control";

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// A socket's path has room for 107 bytes only; the folder's own may be longer.
sockaddr_un AddressIn(int folder) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", folder, kName);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

void SetTimeouts(int fd) {
  const timeval limit = absl::ToTimeval(ControlSocket::kTimeout);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

// A line without its end; nullopt: none came, or too much of one.
std::optional<std::string> ReadLine(int fd) {
  std::string line;
  char buffer[4096];
  while (line.size() < ControlSocket::kLineBytesMax) {
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    line.append(buffer, static_cast<size_t>(n));
    if (line.back() == '\n') {
      line.pop_back();
      return line;
    }
  }
  return std::nullopt;
}

bool SendLine(int fd, std::string_view line) {
  const std::string bytes = fmt::format("{}\n", line);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

ControlSocket::ControlSocket(std::string path, int listener, int stop, std::function<void()> wake)
    : path_(std::move(path)), listener_(listener), stop_(stop), wake_(std::move(wake)) {
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

absl::StatusOr<std::unique_ptr<ControlSocket>> ControlSocket::Open(const std::string& folder,
                                                                   std::function<void()> wake) {
  const auto error = [&folder](std::string_view what) {
    return absl::InternalError(
        fmt::format("cannot {} the control socket in {}: {}", what, folder, std::strerror(errno)));
  };
  const Fd dir(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  Fd stop(eventfd(0, EFD_CLOEXEC));
  if (dir.get() < 0 || listener.get() < 0 || stop.get() < 0) return error("make");
  const std::string path = fmt::format("{}/{}", folder, kName);
  unlink(path.c_str());
  const sockaddr_un address = AddressIn(dir.get());
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0600) != 0 || listen(listener.get(), 8) != 0) {
    return error("listen at");
  }
  return std::unique_ptr<ControlSocket>(
      new ControlSocket(path, listener.release(), stop.release(), std::move(wake)));
}

ControlSocket::~ControlSocket() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  replied_.notify_all();
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(stop_, &one, sizeof one);
  thread_.join();
  unlink(path_.c_str());
  close(listener_);
  close(stop_);
}

void ControlSocket::Run() {
  while (true) {
    pollfd polled[] = {{listener_, POLLIN, 0}, {stop_, POLLIN, 0}};
    if (poll(polled, 2, -1) < 0 && errno != EINTR) return;
    if (polled[1].revents != 0) return;
    if (polled[0].revents == 0) continue;
    const Fd connection(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.get() >= 0) Serve(connection.get());
  }
}

void ControlSocket::Serve(int connection) {
  SetTimeouts(connection);
  auto request = ReadLine(connection);
  if (!request) return;
  if (const auto reply = Answer(*std::move(request))) SendLine(connection, *reply);
}

// Hands the request to the coordinator and waits for what it says.
std::optional<std::string> ControlSocket::Answer(std::string request) {
  std::unique_lock lock(mutex_);
  request_ = std::move(request);
  reply_.reset();
  wake_();
  replied_.wait_for(lock, absl::ToChronoNanoseconds(kTimeout),
                    [this] { return stopping_ || reply_; });
  request_.reset();
  return std::exchange(reply_, std::nullopt);
}

std::optional<std::string> ControlSocket::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(request_, std::nullopt);
}

void ControlSocket::Reply(std::string line) {
  {
    const std::lock_guard lock(mutex_);
    reply_ = std::move(line);
  }
  replied_.notify_all();
}

absl::StatusOr<std::string> AskControlSocket(const std::string& folder, std::string_view line) {
  const Fd dir(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Fd connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (dir.get() < 0) return absl::NotFoundError(fmt::format("there is no {}", folder));
  const sockaddr_un address = AddressIn(dir.get());
  if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EACCES) {
      return absl::PermissionDeniedError(
          fmt::format("{}/{}: it is another user's campaign", folder, kName));
    }
    return absl::NotFoundError("no process is sending it");
  }
  SetTimeouts(connection.get());
  if (SendLine(connection.get(), line)) {
    if (auto reply = ReadLine(connection.get())) return *std::move(reply);
  }
  return absl::DeadlineExceededError("the process that sends it does not answer");
}

}  // namespace volley::pipeline
