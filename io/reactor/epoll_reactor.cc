#include "io/reactor/epoll_reactor.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "io/base/check.h"
#include "io/reactor/limits.h"

namespace volley::io {
namespace {

// epoll_data: the slot with a tag in its top bit, and the generation.
constexpr uint64_t kListenerTag = uint64_t{1} << 31;
constexpr uint64_t kWakeTag = ~uint64_t{0};
constexpr uint32_t kSlotMask = 0x7fffffff;

uint64_t EventData(uint32_t slot, uint32_t generation) { return uint64_t{generation} << 32 | slot; }

int SendPiecesNow(int fd, SendPieces& send, ssize_t* taken) {
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  do {
    if (send.is_single()) {
      const iovec piece = send.single();
      *taken = ::send(fd, piece.iov_base, piece.iov_len, kFlags);
    } else {
      *taken = ::sendmsg(fd, send.header(), kFlags);
    }
  } while (*taken < 0 && errno == EINTR);
  if (*taken >= 0) return 0;
  *taken = 0;
  return errno == EWOULDBLOCK ? 0 : errno;
}

int PendingError(int fd) {
  int error = 0;
  socklen_t bytes = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0) return errno;
  return error;
}

}  // namespace

EpollReactor::EpollReactor()
    : SocketReactor(Blocking::kNo),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      receive_buffer_(std::make_unique_for_overwrite<char[]>(kEpollReceiveBytes)) {}

absl::StatusOr<std::unique_ptr<EpollReactor>> EpollReactor::Create() {
  std::unique_ptr<EpollReactor> reactor(new EpollReactor());
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeTag;
  if (reactor->epoll_fd_ < 0 || reactor->wake_fd() < 0 ||
      epoll_ctl(reactor->epoll_fd_, EPOLL_CTL_ADD, reactor->wake_fd(), &event) < 0) {
    return absl::ResourceExhaustedError(DescriptorAdvice(errno));
  }
  return reactor;
}

EpollReactor::~EpollReactor() {
  ShutDown();
  if (epoll_fd_ >= 0) close(epoll_fd_);
}

bool EpollReactor::Watch(Stream& stream, uint32_t interest) {
  if (interest == stream.interest) return true;
  const int operation = stream.interest == 0 ? EPOLL_CTL_ADD
                        : interest == 0      ? EPOLL_CTL_DEL
                                             : EPOLL_CTL_MOD;
  epoll_event event{};
  event.events = interest;
  event.data.u64 = EventData(stream.slot, stream.generation);
  if (epoll_ctl(epoll_fd_, operation, stream.fd, &event) < 0) return false;
  stream.interest = interest;
  return true;
}

// --- what streams ask for ------------------------------------------------------------------------

void EpollReactor::StartConnect(Stream& stream) {
  const int result = connect(stream.fd, stream.peer.address(), stream.peer.address_bytes());
  stream.error = result < 0 ? errno : 0;
  if (stream.error == EINPROGRESS) {
    stream.error = Watch(stream, EPOLLOUT) ? EINPROGRESS : errno;
  }
  if (stream.error != EINPROGRESS) QueueLocal(LocalEvent::kConnectDone, stream);
}

void EpollReactor::StartReceive(Stream& stream) {
  // Drops EPOLLOUT of connecting in the same call, unless OnConnected sent more than fits.
  const bool blocked = stream.sending && stream.send.remaining() != 0;
  stream.receiving = Watch(stream, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
  if (stream.receiving) return;
  stream.error = errno;
  QueueLocal(LocalEvent::kSendFailed, stream);  // without receiving nothing is left to drain
}

void EpollReactor::StartSend(Stream& stream) {
  ssize_t taken = 0;
  stream.error = SendPiecesNow(stream.fd, stream.send, &taken);
  if (stream.error == 0) stream.send.Advance(static_cast<uint64_t>(taken), send_blocks());
  if (stream.error == 0 && stream.send.remaining() == 0) {
    return QueueLocal(LocalEvent::kSent, stream);
  }
  if (stream.error == 0) stream.error = Watch(stream, stream.interest | EPOLLOUT) ? 0 : errno;
  if (stream.error != 0) QueueLocal(LocalEvent::kSendFailed, stream);
}

void EpollReactor::CancelOperations(Stream& stream) { (void)Watch(stream, 0); }

void EpollReactor::StartAccept(Listener& listener) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = EventData(listener.slot, listener.generation) | kListenerTag;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, listener.fd, &event) == 0 || errno == EEXIST) return;
  SetTimer(&listener.timer, Now() + kAcceptRetryDelay);  // no kernel memory: try again
}

void EpollReactor::CancelAccept(Listener& listener) {
  (void)epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, listener.fd, nullptr);
}

// --- the turn ------------------------------------------------------------------------------------

int EpollReactor::Wait(std::span<epoll_event> events, absl::Duration max_wait) {
  const int most = static_cast<int>(events.size());
  const bool forever = max_wait == absl::InfiniteDuration();
  if (has_pwait2_) {
    const timespec wait = absl::ToTimespec(forever ? absl::ZeroDuration() : max_wait);
    const int ready =
        epoll_pwait2(epoll_fd_, events.data(), most, forever ? nullptr : &wait, nullptr);
    if (ready >= 0 || errno != ENOSYS) return ready;
    has_pwait2_ = false;  // before Linux 5.11
  }
  constexpr absl::Duration kStep = absl::Milliseconds(1);
  const int64_t wait_ms = absl::ToInt64Milliseconds(absl::Ceil(max_wait, kStep));
  const int timeout_ms = forever ? -1 : static_cast<int>(std::min<int64_t>(wait_ms, INT_MAX));
  return epoll_wait(epoll_fd_, events.data(), most, timeout_ms);
}

void EpollReactor::Poll(absl::Duration max_wait) {
  std::array<epoll_event, kEpollBatch> events;
  const int ready = Wait(events, max_wait);
  VOLLEY_CHECK(ready >= 0 || errno == EINTR);
  Tick();
  for (int i = 0; i < ready; ++i) {
    const uint64_t data = events[i].data.u64;
    const uint32_t slot = static_cast<uint32_t>(data) & kSlotMask;
    const uint32_t generation = static_cast<uint32_t>(data >> 32);
    if (data == kWakeTag) {
      OnWakeEvent();
    } else if (data & kListenerTag) {
      Listener* listener = listeners().Find(slot, generation);
      if (listener != nullptr) OnListenerEvent(*listener);
    } else if (Stream* stream = streams().Find(slot, generation)) {
      OnStreamEvent(*stream, events[i].events);
    }
  }
}

void EpollReactor::OnWakeEvent() {
  uint64_t count = 0;
  (void)!read(wake_fd(), &count, sizeof(count));
  WakeSeen();
}

void EpollReactor::OnListenerEvent(Listener& listener) {
  for (int i = 0; i < kEpollAcceptsPerTurn && !listener.closing; ++i) {
    const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Accepted(listener, fd);
      continue;
    }
    const int error = errno;
    if (error == EAGAIN) return;
    // Level-triggered: a listener that cannot accept would report itself for ever.
    CancelAccept(listener);
    return AcceptFailed(listener, error);
  }
}

void EpollReactor::OnStreamEvent(Stream& stream, uint32_t events) {
  if (stream.phase == Phase::kClosing) return;
  if (stream.phase == Phase::kConnecting) return OnConnectEvent(stream);
  // Reading first: what the peer said comes before what its reset does to our send.
  constexpr uint32_t kEnd = EPOLLERR | EPOLLHUP;
  if (stream.receiving && (events & (EPOLLIN | kEnd))) ReadSome(stream);
  const bool blocked = stream.phase == Phase::kOpen && (stream.interest & EPOLLOUT);
  if (blocked && (events & (EPOLLOUT | kEnd))) WriteSome(stream);
}

void EpollReactor::OnConnectEvent(Stream& stream) { Connected(stream, PendingError(stream.fd)); }

void EpollReactor::ReadSome(Stream& stream) {
  for (int i = 0; i < kEpollReadsPerTurn; ++i) {
    const ssize_t bytes = recv(stream.fd, receive_buffer_.get(), kEpollReceiveBytes, 0);
    if (bytes > 0) {
      Received(stream, {receive_buffer_.get(), static_cast<size_t>(bytes)});
      // A short read has emptied the socket: the next one would only say so.
      if (stream.phase == Phase::kClosing || bytes < static_cast<ssize_t>(kEpollReceiveBytes)) {
        return;
      }
      continue;
    }
    const int error = bytes == 0 ? 0 : errno;
    if (error == EAGAIN || error == EINTR) return;
    (void)Watch(stream, stream.interest & ~EPOLLIN);
    return ReceiveEnded(stream, error);
  }
}

void EpollReactor::WriteSome(Stream& stream) {
  ssize_t taken = 0;
  const int error = SendPiecesNow(stream.fd, stream.send, &taken);
  stream.send.Advance(static_cast<uint64_t>(taken), send_blocks());
  if (error == 0 && stream.send.remaining() != 0) return;
  (void)Watch(stream, stream.interest & ~EPOLLOUT);
  if (error != 0) return SendFailed(stream, error);
  SendTaken(stream, 0);
}

}  // namespace volley::io
