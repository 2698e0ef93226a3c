#include "io/reactor/socket_reactor.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/base/check.h"
#include "io/reactor/limits.h"

namespace volley::io {

void SocketReactor::ConnectTimer::OnTimer() {
  reactor->Fail(*stream, CloseReason::kConnectTimeout, ETIMEDOUT);
}

void SocketReactor::RetryTimer::OnTimer() { reactor->StartAccept(*listener); }

SocketReactor::SocketReactor(Blocking blocking)
    : blocking_(blocking), now_(MonotonicNow()), wheel_(now_) {
  const int nonblock = blocking == Blocking::kNo ? EFD_NONBLOCK : 0;
  wake_fd_ = eventfd(0, EFD_CLOEXEC | nonblock);
}

SocketReactor::~SocketReactor() {
  VOLLEY_CHECK(streams_.size() == 0 && listeners_.size() == 0);  // the backend called ShutDown()
  if (wake_fd_ >= 0) close(wake_fd_);
}

// Outside of a turn there is no loop time: a program may have worked for minutes before Run().
MonoTime SocketReactor::Now() const { return in_turn_ ? now_ : MonotonicNow(); }

// --- streams: calls ------------------------------------------------------------------------------

StreamId SocketReactor::Connect(const Endpoint& peer, const ConnectOptions& options,
                                StreamHandler* handler) {
  Stream& stream = streams_.Allocate();
  stream.handler = handler;
  stream.peer = peer;
  const OpenedSocket opened = OpenStreamSocket(peer, options.local, blocking_);
  stream.fd = opened.fd;
  if (opened.fd < 0) {
    Fail(stream, opened.reason, opened.error);
  } else {
    stream.timer.reactor = this;
    stream.timer.stream = &stream;
    wheel_.Set(&stream.timer, Now() + options.timeout);
    StartConnect(stream);
  }
  return {stream.slot, stream.generation};
}

void SocketReactor::SetHandler(StreamId id, StreamHandler* handler) {
  if (Stream* stream = Find(id)) stream->handler = handler;
}

void SocketReactor::Send(StreamId id, std::span<const iovec> pieces) {
  Stream* stream = Find(id);
  if (stream == nullptr) return;
  if (stream->phase == Phase::kClosing && stream->sending) return;
  VOLLEY_CHECK(!stream->sending);
  VOLLEY_CHECK(stream->phase != Phase::kConnecting);
  VOLLEY_CHECK(!stream->write_closed && !stream->half_close_wanted);
  stream->sending = true;
  stream->send.Begin(pieces, send_blocks_);  // also of a lost stream: it counts as unsent
  if (stream->phase == Phase::kOpen) [[likely]]
    StartSend(*stream);
}

void SocketReactor::ShutdownWrite(StreamId id) {
  Stream* stream = Find(id);
  if (stream == nullptr || stream->write_closed) return;
  if (stream->phase == Phase::kConnecting || stream->sending) {
    stream->half_close_wanted = true;
  } else if (stream->phase == Phase::kOpen) {
    HalfClose(*stream);
  }
}

void SocketReactor::HalfClose(Stream& stream) {
  stream.half_close_wanted = false;
  stream.write_closed = true;
  // Fails only where the connection is gone already, which receiving will tell.
  (void)shutdown(stream.fd, SHUT_WR);
}

void SocketReactor::Close(StreamId id) {
  Stream* stream = Find(id);
  if (stream == nullptr || stream->phase == Phase::kClosing) return;
  stream->reason = CloseReason::kClosedByUs;
  stream->error = 0;
  BeginClose(*stream);
}

bool SocketReactor::IsOpen(StreamId id) const {
  const Stream* stream = Find(id);
  return stream != nullptr && stream->phase != Phase::kClosing;
}

Endpoint SocketReactor::LocalEndpoint(StreamId id) const {
  const Stream* stream = Find(id);
  if (stream == nullptr || stream->fd < 0) return Endpoint();
  return LocalEndpointOf(stream->fd);
}

size_t SocketReactor::open_streams() const { return streams_.size(); }

// --- streams: what the backend reports -----------------------------------------------------------

void SocketReactor::Connected(Stream& stream, int error) {
  if (stream.phase != Phase::kConnecting) return;
  if (error != 0) return Fail(stream, CloseReason::kConnectFailed, error);
  wheel_.Cancel(&stream.timer);
  stream.phase = Phase::kOpen;
  if (stream.half_close_wanted) HalfClose(stream);
  stream.handler->OnConnected();
  if (stream.phase == Phase::kOpen) StartReceive(stream);
}

void SocketReactor::Received(Stream& stream, std::span<const char> bytes) {
  if (stream.phase == Phase::kClosing) return;
  stream.handler->OnData(bytes);
}

void SocketReactor::ReceiveEnded(Stream& stream, int error) {
  stream.receiving = false;
  if (error == 0 && stream.sending && WasReset(stream.fd)) error = ECONNRESET;
  if (stream.phase == Phase::kDraining) {
    Fail(stream, CloseReason::kLost, stream.error);
  } else if (stream.phase == Phase::kOpen && error != 0) {
    Fail(stream, CloseReason::kLost, error);
  } else if (stream.phase == Phase::kOpen) {
    stream.handler->OnPeerClosed();
  }
}

void SocketReactor::SendTaken(Stream& stream, size_t bytes) {
  stream.send.Advance(bytes, send_blocks_);
  if (stream.send.remaining() != 0) {
    if (stream.phase == Phase::kOpen) StartSend(stream);
    return;
  }
  stream.sending = false;
  if (stream.phase != Phase::kOpen) return;
  if (stream.half_close_wanted) HalfClose(stream);
  stream.handler->OnSent();
}

void SocketReactor::SendFailed(Stream& stream, int error) {
  if (stream.phase != Phase::kOpen) return;
  if (!stream.receiving) return Fail(stream, CloseReason::kLost, error);
  stream.phase = Phase::kDraining;
  stream.error = error;
  // What has arrived stays readable and is followed by an end, also where the failure was ours and
  // the peer would have gone on: draining is over after the bytes that are there now.
  (void)shutdown(stream.fd, SHUT_RD);
}

// --- streams: the end ----------------------------------------------------------------------------

void SocketReactor::Fail(Stream& stream, CloseReason reason, int error) {
  if (stream.phase == Phase::kClosing) return;
  stream.reason = reason;
  stream.error = error;
  BeginClose(stream);
}

void SocketReactor::BeginClose(Stream& stream) {
  stream.phase = Phase::kClosing;
  wheel_.Cancel(&stream.timer);
  if (stream.fd >= 0) CancelOperations(stream);
  if (stream.operations == 0) QueueLocal(LocalEvent::kStreamFinish, stream);
}

void SocketReactor::FinishIfIdle(Stream& stream) {
  if (stream.phase == Phase::kClosing && stream.operations == 0) Finish(stream);
}

void SocketReactor::Finish(Stream& stream) {
  if (stream.fd >= 0) close(stream.fd);
  CloseInfo info;
  info.status = CloseStatus(stream.reason, stream.error, stream.peer);
  info.sys_errno = stream.error;
  info.unsent_bytes = stream.send.remaining();
  stream.send.Release(send_blocks_);
  StreamHandler* handler = stream.handler;
  streams_.Free(stream);  // the id is stale from here: a handler may connect anew at once
  if (handler != nullptr) handler->OnClosed(info);
}

// --- listeners -----------------------------------------------------------------------------------

absl::StatusOr<ListenerId> SocketReactor::Listen(const Endpoint& local, ListenHandler* handler) {
  const absl::StatusOr<int> fd = OpenListenSocket(local, blocking_);
  if (!fd.ok()) return fd.status();
  Listener& listener = listeners_.Allocate();
  listener.handler = handler;
  listener.fd = *fd;
  listener.local = LocalEndpointOf(*fd);
  listener.timer.reactor = this;
  listener.timer.listener = &listener;
  StartAccept(listener);
  return ListenerId{listener.slot, listener.generation};
}

Endpoint SocketReactor::ListenEndpoint(ListenerId id) const {
  const Listener* listener = listeners_.Find(id.slot, id.generation);
  return listener == nullptr ? Endpoint() : listener->local;
}

void SocketReactor::CloseListener(ListenerId id) {
  Listener* listener = listeners_.Find(id.slot, id.generation);
  if (listener != nullptr && !listener->closing) BeginClose(*listener);
}

void SocketReactor::BeginClose(Listener& listener) {
  listener.closing = true;
  wheel_.Cancel(&listener.timer);
  CancelAccept(listener);
  if (listener.operations == 0) QueueLocal(LocalEvent::kListenerFinish, listener);
}

void SocketReactor::FinishIfIdle(Listener& listener) {
  if (listener.closing && listener.operations == 0) Finish(listener);
}

void SocketReactor::Finish(Listener& listener) {
  close(listener.fd);
  if (listener.local.family() == AF_UNIX) unlink(listener.local.ip().c_str());
  ListenHandler* handler = listener.handler;
  listeners_.Free(listener);
  if (handler != nullptr) handler->OnAcceptPaused(absl::OkStatus(), /*retrying=*/false);
}

void SocketReactor::Accepted(Listener& listener, int fd) {
  if (listener.closing) {
    close(fd);
    return;
  }
  listener.paused = false;
  Stream& stream = streams_.Allocate();
  stream.fd = fd;
  stream.phase = Phase::kOpen;
  stream.peer = PeerEndpointOf(fd);
  const StreamId id{stream.slot, stream.generation};
  stream.handler = listener.handler->OnAccept(id, stream.peer);
  if (stream.handler == nullptr) return Close(id);
  if (stream.phase == Phase::kOpen) StartReceive(stream);
}

void SocketReactor::AcceptFailed(Listener& listener, int error) {
  if (listener.closing) return;
  switch (error) {
    // Errors of one connection that was lost before it was accepted; accept(2) says to go on.
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return StartAccept(listener);
    default:
      return PauseAccept(listener, error);
  }
}

void SocketReactor::PauseAccept(Listener& listener, int error) {
  wheel_.Set(&listener.timer, Now() + kAcceptRetryDelay);
  if (listener.paused) return;  // told once, until something was accepted again
  listener.paused = true;
  listener.handler->OnAcceptPaused(AcceptStatus(error), /*retrying=*/true);
}

// --- timers, wake-ups, the loop ------------------------------------------------------------------

void SocketReactor::SetTimer(Timer* timer, MonoTime deadline) { wheel_.Set(timer, deadline); }
void SocketReactor::CancelTimer(Timer* timer) { wheel_.Cancel(timer); }

void SocketReactor::SetWakeHandler(std::function<void()> handler) {
  wake_handler_ = std::move(handler);
}

void SocketReactor::Wake() {
  // Release: what the caller wrote before Wake() is seen by the handler. Acquire: keeps the write
  // below after the exchange.
  if (wake_pending_.exchange(true, std::memory_order_acq_rel)) return;
  const int saved_errno = errno;  // async-signal-safe
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof(one));
  errno = saved_errno;
}

void SocketReactor::RunWakeHandler() {
  wake_seen_ = false;
  // Before the handler: a Wake() from here on writes again. Acquire pairs with Wake()'s release.
  wake_pending_.exchange(false, std::memory_order_acq_rel);
  if (wake_handler_) wake_handler_();
}

absl::Duration SocketReactor::WaitBound(absl::Duration max_wait) const {
  if (!local_events_.empty()) return absl::ZeroDuration();
  const MonoTime next = wheel_.NextExpiry();
  if (next.is_infinite()) return max_wait;
  // Not now_: the handlers of the last turn took time.
  return std::clamp(next - MonotonicNow(), absl::ZeroDuration(),
                    std::max(max_wait, absl::ZeroDuration()));
}

void SocketReactor::RunOnce(absl::Duration max_wait) {
  VOLLEY_CHECK(!in_turn_);
  in_turn_ = true;
  Poll(WaitBound(max_wait));
  wheel_.Advance(now_);
  RunLocalEvents();
  if (wake_seen_) RunWakeHandler();
  in_turn_ = false;
}

void SocketReactor::Run() {
  while (!stopped_) RunOnce(absl::InfiniteDuration());
  stopped_ = false;
}

void SocketReactor::Stop() { stopped_ = true; }

void SocketReactor::QueueLocal(LocalEvent event, const Stream& stream) {
  local_events_.push_back({event, stream.slot, stream.generation});
}

void SocketReactor::QueueLocal(LocalEvent event, const Listener& listener) {
  local_events_.push_back({event, listener.slot, listener.generation});
}

// Events queued by these handlers wait for the next turn (which then does not sleep), so that a
// pair of handlers that answer each other cannot keep the loop from the kernel.
void SocketReactor::RunLocalEvents() {
  if (local_events_.empty()) return;
  local_running_.swap(local_events_);
  for (const Queued& queued : local_running_) RunLocalEvent(queued);
  local_running_.clear();
}

void SocketReactor::RunLocalEvent(const Queued& queued) {
  if (queued.event == LocalEvent::kListenerFinish) {
    if (Listener* listener = listeners_.Find(queued.slot, queued.generation)) {
      FinishIfIdle(*listener);
    }
    return;
  }
  Stream* stream = streams_.Find(queued.slot, queued.generation);
  if (stream == nullptr) return;
  switch (queued.event) {
    case LocalEvent::kSent:
      return SendTaken(*stream, 0);
    case LocalEvent::kSendFailed:
      return SendFailed(*stream, stream->error);
    case LocalEvent::kConnectDone:
      return Connected(*stream, stream->error);
    case LocalEvent::kStreamFinish:
      return FinishIfIdle(*stream);
    case LocalEvent::kListenerFinish:
      return;
  }
}

void SocketReactor::ShutDown() {
  for (uint32_t slot = 0; slot < streams_.capacity(); ++slot) {
    Stream* stream = streams_.Peek(slot);
    if (stream == nullptr) continue;
    stream->handler = nullptr;
    if (stream->phase != Phase::kClosing) BeginClose(*stream);
  }
  for (uint32_t slot = 0; slot < listeners_.capacity(); ++slot) {
    Listener* listener = listeners_.Peek(slot);
    if (listener == nullptr) continue;
    listener->handler = nullptr;
    if (!listener->closing) BeginClose(*listener);
  }
  const MonoTime give_up = MonotonicNow() + kDestructionDrainMax;
  while (streams_.size() + listeners_.size() != 0) {
    VOLLEY_CHECK(MonotonicNow() < give_up);
    Poll(local_events_.empty() ? absl::Milliseconds(10) : absl::ZeroDuration());
    RunLocalEvents();
  }
}

}  // namespace volley::io
