#include "io/reactor/sim_reactor.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fmt/format.h"
#include "io/base/check.h"
#include "io/reactor/limits.h"
#include "io/reactor/sim_reactor_impl.h"

namespace volley::io {
namespace {

// Not zero, so that code which takes MonoTime{} for "never" is not lucky.
constexpr MonoTime kSimStart = MonoTime::FromNanos(1'000'000'000'000);

}  // namespace

std::unique_ptr<SimReactor> SimReactor::Create(const SimOptions& options) {
  return std::make_unique<SimReactorImpl>(options);
}

SimReactorImpl::SimReactorImpl(const SimOptions& options)
    : options_(options), random_(options.seed), now_(kSimStart), wheel_(kSimStart) {
  stats_.trace_hash = SimRandom::Mix(options.seed);
}

void SimReactorImpl::ConnectTimer::OnTimer() {
  reactor->Fail(*stream, CloseReason::kConnectTimeout, ETIMEDOUT);
}

void SimReactorImpl::RetryTimer::OnTimer() { reactor->AcceptBacklog(*listener); }

// --- streams -------------------------------------------------------------------------------------

StreamId SimReactorImpl::Connect(const Endpoint& peer, const ConnectOptions& options,
                                 StreamHandler* handler) {
  const bool used_up = streams_.size() >= options_.max_streams;
  Stream& stream = streams_.Allocate();
  stream.handler = handler;
  stream.remote = peer;
  stream.local =
      options.local.empty() ? *Endpoint::FromIp("127.0.0.1", next_port_++) : options.local;
  stream.inbound_until = now_;
  if (used_up) {
    Fail(stream, CloseReason::kNoDescriptor, EMFILE);
    return stream.id();
  }
  stream.timer.reactor = this;
  stream.timer.stream = &stream;
  wheel_.Set(&stream.timer, now_ + options.timeout);
  if (random_.Chance(options_.refuse)) {
    ++stats_.refusals;
    Schedule(SimEvent::Kind::kConnectResult, stream.id(), now_ + 2 * Latency(), ECONNREFUSED);
  } else {
    Schedule(SimEvent::Kind::kSyn, stream.id(), now_ + Latency());
  }
  return stream.id();
}

void SimReactorImpl::SetHandler(StreamId id, StreamHandler* handler) {
  if (Stream* stream = Find(id)) stream->handler = handler;
}

void SimReactorImpl::Send(StreamId id, std::span<const iovec> pieces) {
  Stream* stream = Find(id);
  if (stream == nullptr) return;
  if (stream->phase == Phase::kClosing && stream->sending) return;
  VOLLEY_CHECK(!stream->sending);
  VOLLEY_CHECK(stream->phase != Phase::kConnecting);
  VOLLEY_CHECK(!stream->write_closed && !stream->half_close_wanted);
  stream->sending = true;
  stream->send.Begin(pieces, send_blocks_);
  stream->fault_due = true;
  if (stream->phase == Phase::kOpen) Take(*stream);
}

void SimReactorImpl::ShutdownWrite(StreamId id) {
  Stream* stream = Find(id);
  if (stream == nullptr || stream->write_closed) return;
  if (stream->phase == Phase::kConnecting || stream->sending) {
    stream->half_close_wanted = true;
  } else if (stream->phase == Phase::kOpen) {
    HalfClose(*stream);
  }
}

void SimReactorImpl::HalfClose(Stream& stream) {
  stream.half_close_wanted = false;
  stream.write_closed = true;
  ScheduleInOrder(SimEvent::Kind::kFin, stream.peer);
}

void SimReactorImpl::Close(StreamId id) {
  Stream* stream = Find(id);
  if (stream == nullptr || stream->phase == Phase::kClosing) return;
  if (stream->phase == Phase::kOpen && !stream->write_closed) HalfClose(*stream);
  Fail(*stream, CloseReason::kClosedByUs, 0);
}

void SimReactorImpl::Reset(StreamId id) {
  Stream* stream = Find(id);
  if (stream == nullptr || stream->phase == Phase::kClosing) return;
  ScheduleInOrder(SimEvent::Kind::kReset, stream->peer, ECONNRESET);
  Fail(*stream, CloseReason::kClosedByUs, 0);
}

bool SimReactorImpl::IsOpen(StreamId id) const {
  const Stream* stream = Find(id);
  return stream != nullptr && stream->phase != Phase::kClosing;
}

Endpoint SimReactorImpl::LocalEndpoint(StreamId id) const {
  const Stream* stream = Find(id);
  return stream == nullptr ? Endpoint() : stream->local;
}

void SimReactorImpl::Fail(Stream& stream, CloseReason reason, int error) {
  if (stream.phase == Phase::kClosing) return;
  stream.reason = reason;
  stream.error = error;
  BeginClose(stream);
}

void SimReactorImpl::BeginClose(Stream& stream) {
  // Given up between the listener's accept and its answer: the other end must not wait for ever.
  if (stream.phase == Phase::kConnecting && stream.peer.valid()) {
    ScheduleInOrder(SimEvent::Kind::kReset, stream.peer, ECONNRESET);
  }
  stream.phase = Phase::kClosing;
  wheel_.Cancel(&stream.timer);
  Schedule(SimEvent::Kind::kFinish, stream.id(), now_);
}

void SimReactorImpl::Finish(Stream& stream) {
  CloseInfo info;
  info.status = CloseStatus(stream.reason, stream.error, stream.remote);
  info.sys_errno = stream.error;
  info.unsent_bytes = stream.send.remaining();
  stream.send.Release(send_blocks_);
  StreamHandler* handler = stream.handler;
  const StreamId id = stream.id();
  streams_.Free(stream);
  if (handler == nullptr) return;
  Trace("closed", id, static_cast<uint64_t>(info.sys_errno) << 48 ^ info.unsent_bytes);
  handler->OnClosed(info);
}

// --- listeners -----------------------------------------------------------------------------------

absl::StatusOr<ListenerId> SimReactorImpl::Listen(const Endpoint& local, ListenHandler* handler) {
  if (local.empty()) return absl::InvalidArgumentError("cannot listen: no address given");
  Endpoint bound = local;
  if (local.family() != AF_UNIX && local.port() == 0) bound.set_port(next_port_++);
  if (FindListener(bound) != nullptr) {
    return absl::AlreadyExistsError(
        fmt::format("cannot listen on {}: Address already in use", bound.ToString()));
  }
  Listener& listener = listeners_.Allocate();
  listener.handler = handler;
  listener.local = bound;
  listener.timer.reactor = this;
  listener.timer.listener = &listener;
  return ListenerId{listener.slot, listener.generation};
}

Endpoint SimReactorImpl::ListenEndpoint(ListenerId id) const {
  const Listener* listener = listeners_.Find(id.slot, id.generation);
  return listener == nullptr ? Endpoint() : listener->local;
}

void SimReactorImpl::CloseListener(ListenerId id) {
  Listener* listener = listeners_.Find(id.slot, id.generation);
  if (listener == nullptr || listener->closing) return;
  listener->closing = true;
  wheel_.Cancel(&listener->timer);
  for (const StreamId client : listener->backlog) {
    Schedule(SimEvent::Kind::kConnectResult, client, now_ + Latency(), ECONNREFUSED);
  }
  Schedule(SimEvent::Kind::kListenerFinish, {id.slot, id.generation}, now_);
}

void SimReactorImpl::FinishListener(StreamId id) {
  Listener* listener = listeners_.Find(id.slot, id.generation);
  if (listener == nullptr) return;
  ListenHandler* handler = listener->handler;
  listeners_.Free(*listener);
  Trace("listener closed", id, 0);
  handler->OnAcceptPaused(absl::OkStatus(), /*retrying=*/false);
}

// --- the loop ------------------------------------------------------------------------------------

void SimReactorImpl::SetWakeHandler(std::function<void()> handler) {
  wake_handler_ = std::move(handler);
}

// Release: what the caller wrote before is seen by the handler.
void SimReactorImpl::Wake() { wake_pending_.store(true, std::memory_order_release); }

bool SimReactorImpl::IsIdle() const {
  return NextTime().is_infinite() && !wake_pending_.load(std::memory_order_relaxed);
}

MonoTime SimReactorImpl::NextTime() const {
  return std::min(queue_.NextTime(), wheel_.NextExpiry());
}

void SimReactorImpl::RunOnce(absl::Duration max_wait) {
  VOLLEY_CHECK(!in_turn_);
  in_turn_ = true;
  if (!wake_pending_.load(std::memory_order_relaxed)) {
    const MonoTime until = std::min(NextTime(), now_ + std::max(max_wait, absl::ZeroDuration()));
    if (!until.is_infinite()) now_ = std::max(now_, until);
  }
  // What these events cause at this very moment waits for the next turn, as on a real loop.
  const uint64_t first_of_next_turn = queue_.next_order();
  while (!queue_.empty() && queue_.front().time <= now_ &&
         queue_.front().order < first_of_next_turn) {
    Handle(queue_.Pop());
  }
  if (const size_t fired = wheel_.Advance(now_)) {
    stats_.events += fired - 1;
    Trace("timers", {}, fired);
  }
  // Acquire: pairs with Wake().
  if (wake_pending_.exchange(false, std::memory_order_acquire)) {
    Trace("wake", {}, 0);
    if (wake_handler_) wake_handler_();
  }
  in_turn_ = false;
}

void SimReactorImpl::Run() {
  while (!stopped_ && !IsIdle()) RunOnce(absl::InfiniteDuration());
  stopped_ = false;
}

void SimReactorImpl::RunUntilIdle(absl::Duration limit) {
  const MonoTime end = now_ + limit;
  while (!stopped_ && !IsIdle() && now_ < end) RunOnce(end - now_);
  stopped_ = false;
}

void SimReactorImpl::Trace(std::string_view what, StreamId id, uint64_t detail) {
  ++stats_.events;
  uint64_t hash = stats_.trace_hash;
  for (const char c : what) hash = SimRandom::Mix(hash ^ static_cast<unsigned char>(c));
  hash = SimRandom::Mix(hash ^ static_cast<uint64_t>(now_.nanos()));
  hash = SimRandom::Mix(hash ^ (uint64_t{id.slot} << 32 | id.generation));
  stats_.trace_hash = SimRandom::Mix(hash ^ detail);
}

}  // namespace volley::io
