// Sockets for the two kernel backends: opening them with the options volley wants, and saying in
// words what went wrong.
#ifndef VOLLEY_IO_REACTOR_SOCKET_H_
#define VOLLEY_IO_REACTOR_SOCKET_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "io/net/endpoint.h"

namespace volley::io {

// io_uring waits by itself and wants blocking descriptors (it would hand back EAGAIN otherwise).
enum class Blocking { kYes, kNo };

// Why a stream ended, from which CloseInfo::status is made when it is told.
enum class CloseReason : uint8_t {
  kClosedByUs,
  kConnectTimeout,
  kConnectFailed,
  kNoDescriptor,
  kBadLocalAddress,
  kLost,
};

struct OpenedSocket {
  int fd = -1;
  CloseReason reason = CloseReason::kClosedByUs;  // where fd is -1
  int error = 0;
};

// A stream socket for a Connect: TCP_NODELAY, bound to `local` unless that is empty.
OpenedSocket OpenStreamSocket(const Endpoint& peer, const Endpoint& local, Blocking blocking);

// A bound, listening socket. A Unix path left behind by a process that is gone is taken over.
absl::StatusOr<int> OpenListenSocket(const Endpoint& local, Blocking blocking);

Endpoint LocalEndpointOf(int fd);
Endpoint PeerEndpointOf(int fd);

// After a receive has said "end": true if that was no FIN but the end of a connection that was
// reset. The kernel tells a reset once, and where a send was under way the send may have been told.
bool WasReset(int fd);

// EMFILE, ENFILE and what else means that descriptors or memory for sockets are used up.
bool IsExhaustion(int error);

// EADDRNOTAVAIL from connect(2) means that the ephemeral ports are used up.
absl::Status CloseStatus(CloseReason reason, int error, const Endpoint& peer);
absl::Status AcceptStatus(int error);

// "too many open files: ... is N, raise it with `ulimit -n` or LimitNOFILE= ..."
std::string DescriptorAdvice(int error);

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_SOCKET_H_
