#include "io/reactor/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fmt/format.h"
#include "io/reactor/limits.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

namespace volley::io {
namespace {

int NewSocket(int family, Blocking blocking) {
  const int nonblock = blocking == Blocking::kNo ? SOCK_NONBLOCK : 0;
  return socket(family, SOCK_STREAM | SOCK_CLOEXEC | nonblock, 0);
}

void SetFlag(int fd, int level, int option) {
  const int on = 1;
  // Best effort: a kernel without the option still gives a working socket.
  (void)setsockopt(fd, level, option, &on, sizeof(on));
}

bool IsTcp(const Endpoint& endpoint) { return endpoint.family() != AF_UNIX; }

// Nobody listens at this path any more: its file is only in the way.
bool IsLeftOver(const Endpoint& local) {
  const int fd = NewSocket(AF_UNIX, Blocking::kNo);
  if (fd < 0) return false;
  const int result = connect(fd, local.address(), local.address_bytes());
  const bool refused = result < 0 && errno == ECONNREFUSED;
  close(fd);
  return refused;
}

int BindAndListen(int fd, const Endpoint& local) {
  int result = bind(fd, local.address(), local.address_bytes());
  if (result < 0 && errno == EADDRINUSE && local.family() == AF_UNIX && IsLeftOver(local)) {
    unlink(local.ip().c_str());
    result = bind(fd, local.address(), local.address_bytes());
  }
  if (result == 0) result = listen(fd, kListenBacklog);
  return result < 0 ? errno : 0;
}

std::string Words(int error) { return std::strerror(error); }

}  // namespace

OpenedSocket OpenStreamSocket(const Endpoint& peer, const Endpoint& local, Blocking blocking) {
  if (peer.empty()) return {-1, CloseReason::kConnectFailed, EDESTADDRREQ};
  OpenedSocket opened;
  opened.fd = NewSocket(peer.family(), blocking);
  if (opened.fd < 0) {
    const int error = errno;
    return {-1, IsExhaustion(error) ? CloseReason::kNoDescriptor : CloseReason::kConnectFailed,
            error};
  }
  if (IsTcp(peer)) SetFlag(opened.fd, IPPROTO_TCP, TCP_NODELAY);
  if (local.empty()) return opened;
  // Choose the port at connect time: then it need only be unique per destination, and one source
  // address carries more than the 28,000 connections of the ephemeral range.
  if (IsTcp(peer)) SetFlag(opened.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
  if (bind(opened.fd, local.address(), local.address_bytes()) == 0) return opened;
  const int error = errno;
  close(opened.fd);
  return {-1, CloseReason::kBadLocalAddress, error};
}

absl::StatusOr<int> OpenListenSocket(const Endpoint& local, Blocking blocking) {
  if (local.empty()) return absl::InvalidArgumentError("cannot listen: no address given");
  const int fd = NewSocket(local.family(), blocking);
  if (fd < 0 && IsExhaustion(errno)) return AcceptStatus(errno);
  if (fd < 0) {
    return absl::UnavailableError(
        fmt::format("cannot listen on {}: {}", local.ToString(), Words(errno)));
  }
  if (IsTcp(local)) {
    SetFlag(fd, SOL_SOCKET, SO_REUSEADDR);  // restart while old connections are in TIME_WAIT
    SetFlag(fd, IPPROTO_TCP, TCP_NODELAY);  // accepted sockets inherit it
  }
  const int error = BindAndListen(fd, local);
  if (error == 0) return fd;
  close(fd);
  const std::string message =
      fmt::format("cannot listen on {}: {}", local.ToString(), Words(error));
  if (error == EADDRINUSE) return absl::AlreadyExistsError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::InvalidArgumentError(message);
}

Endpoint LocalEndpointOf(int fd) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (getsockname(fd, address, &bytes) < 0) return Endpoint();
  return Endpoint::FromSockaddr(address, bytes);
}

Endpoint PeerEndpointOf(int fd) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (getpeername(fd, address, &bytes) < 0) return Endpoint();
  return Endpoint::FromSockaddr(address, bytes);
}

bool WasReset(int fd) {
  tcp_info info{};
  socklen_t bytes = sizeof(info);
  // After a FIN it would be CLOSE_WAIT.
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 && info.tcpi_state == TCP_CLOSE;
}

bool IsExhaustion(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

std::string DescriptorAdvice(int error) {
  if (error == ENFILE) {
    return "the system's open files are used up: raise the fs.file-max sysctl";
  }
  if (error != EMFILE) return fmt::format("no memory for another socket: {}", Words(error));
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return fmt::format(
      "too many open files: this process may have {} (hard limit {}); raise it with `ulimit -n`, "
      "or LimitNOFILE= in the systemd unit",
      limit.rlim_cur, limit.rlim_max);
}

absl::Status AcceptStatus(int error) {
  if (IsExhaustion(error)) {
    return absl::ResourceExhaustedError(fmt::format("accept: {}", DescriptorAdvice(error)));
  }
  return absl::UnavailableError(fmt::format("accept: {}", Words(error)));
}

absl::Status CloseStatus(CloseReason reason, int error, const Endpoint& peer) {
  const std::string name = peer.ToString();
  switch (reason) {
    case CloseReason::kClosedByUs:
      return absl::OkStatus();
    case CloseReason::kConnectTimeout:
      return absl::DeadlineExceededError(fmt::format("connect to {}: timed out", name));
    case CloseReason::kNoDescriptor:
      return absl::ResourceExhaustedError(
          fmt::format("connect to {}: {}", name, DescriptorAdvice(error)));
    case CloseReason::kBadLocalAddress:
      return absl::InvalidArgumentError(
          fmt::format("connect to {}: cannot use the local address: {}", name, Words(error)));
    case CloseReason::kConnectFailed:
      if (error == EADDRNOTAVAIL) {
        return absl::ResourceExhaustedError(fmt::format(
            "connect to {}: no local port is free for it; widen net.ipv4.ip_local_port_range or "
            "use more source addresses",
            name));
      }
      return absl::UnavailableError(fmt::format("connect to {}: {}", name, Words(error)));
    case CloseReason::kLost:
      break;
  }
  return absl::UnavailableError(fmt::format("connection to {} lost: {}", name, Words(error)));
}

}  // namespace volley::io
