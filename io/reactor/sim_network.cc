// The simulator's wire: connects, bytes on their way, and what goes wrong with them.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/reactor/limits.h"
#include "io/reactor/sim_reactor_impl.h"

namespace volley::io {
namespace {

using Kind = SimEvent::Kind;

uint64_t HashOf(std::string_view bytes) {
  uint64_t hash = bytes.size();
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;  // FNV
  return hash;
}

}  // namespace

// --- time and order ------------------------------------------------------------------------------

absl::Duration SimReactorImpl::Latency() {
  return absl::Nanoseconds(static_cast<int64_t>(
      random_.Between(static_cast<uint64_t>(absl::ToInt64Nanoseconds(options_.latency_min)),
                      static_cast<uint64_t>(absl::ToInt64Nanoseconds(options_.latency_max)))));
}

void SimReactorImpl::Schedule(Kind kind, StreamId stream, MonoTime time, int error) {
  SimEvent event{};
  event.kind = kind;
  event.stream = stream;
  event.time = time;
  event.error = error;
  queue_.Push(std::move(event));
}

// When something sent now reaches `stream`: never before what was sent to it earlier.
MonoTime SimReactorImpl::ArrivalAt(StreamId id, absl::Duration extra) {
  MonoTime arrival = now_ + (Latency() + extra);
  if (Stream* stream = Find(id)) {
    arrival = std::max(arrival, stream->inbound_until);
    stream->inbound_until = arrival;
  }
  return arrival;
}

void SimReactorImpl::ScheduleInOrder(Kind kind, StreamId stream, int error) {
  Schedule(kind, stream, ArrivalAt(stream, absl::ZeroDuration()), error);
}

void SimReactorImpl::Handle(SimEvent event) {
  if (event.kind == Kind::kSyn) return OnSyn(event.stream);
  if (event.kind == Kind::kData) return OnData(event);
  if (event.kind == Kind::kListenerFinish) return FinishListener(event.stream);
  Stream* stream = Find(event.stream);
  if (stream == nullptr) return;
  if (event.kind == Kind::kFinish) return Finish(*stream);
  if (stream->phase == Phase::kClosing) return;
  switch (event.kind) {
    case Kind::kConnectResult:
      return OnConnectResult(*stream, event.error);
    case Kind::kFin:
      return OnFin(*stream);
    case Kind::kReset:
      return Fail(*stream, CloseReason::kLost, event.error);
    case Kind::kTakeMore:
      return Take(*stream);
    case Kind::kSent:
      return OnSent(*stream);
    default:
      return;
  }
}

// --- connecting ----------------------------------------------------------------------------------

void SimReactorImpl::OnSyn(StreamId client) {
  Stream* stream = Find(client);
  if (stream == nullptr || stream->phase != Phase::kConnecting) return;
  if (Listener* listener = FindListener(stream->remote)) return Accept(*listener, *stream);
  Schedule(Kind::kConnectResult, client, now_ + Latency(), ECONNREFUSED);
}

SimReactorImpl::Listener* SimReactorImpl::FindListener(const Endpoint& endpoint) {
  for (uint32_t slot = 0; slot < listeners_.capacity(); ++slot) {
    Listener* listener = listeners_.Peek(slot);
    if (listener == nullptr || listener->closing) continue;
    if (listener->local == endpoint) return listener;
    const std::string ip = listener->local.ip();
    const bool any = ip == "0.0.0.0" || ip == "::";
    if (any && endpoint.family() != AF_UNIX && listener->local.port() == endpoint.port()) {
      return listener;
    }
  }
  return nullptr;
}

void SimReactorImpl::Accept(Listener& listener, Stream& client) {
  if (streams_.size() >= options_.max_streams) {
    listener.backlog.push_back(client.id());
    return PauseAccept(listener);
  }
  listener.paused = false;
  Stream& server = streams_.Allocate();
  server.phase = Phase::kOpen;
  server.peer = client.id();
  server.local = client.remote;
  server.remote = client.local;
  server.inbound_until = now_;
  client.peer = server.id();
  // Before OnAccept: what the server sends from there arrives after the client is connected.
  ScheduleInOrder(Kind::kConnectResult, client.id());
  Trace("accept", server.id(), 0);
  server.handler = listener.handler->OnAccept(server.id(), server.remote);
  if (server.handler == nullptr) Close(server.id());
}

void SimReactorImpl::AcceptBacklog(Listener& listener) {
  std::vector<StreamId> waiting;
  waiting.swap(listener.backlog);
  for (const StreamId id : waiting) {
    Stream* client = Find(id);
    if (client == nullptr || client->phase != Phase::kConnecting) continue;
    if (listener.closing) {
      Schedule(Kind::kConnectResult, id, now_ + Latency(), ECONNREFUSED);
    } else {
      Accept(listener, *client);
    }
  }
}

void SimReactorImpl::PauseAccept(Listener& listener) {
  if (!listener.timer.is_set()) wheel_.Set(&listener.timer, now_ + kAcceptRetryDelay);
  if (listener.paused) return;
  listener.paused = true;
  Trace("accept paused", {}, listener.slot);
  listener.handler->OnAcceptPaused(AcceptStatus(EMFILE), /*retrying=*/true);
}

void SimReactorImpl::OnConnectResult(Stream& stream, int error) {
  if (stream.phase != Phase::kConnecting) return;
  if (error != 0) return Fail(stream, CloseReason::kConnectFailed, error);
  wheel_.Cancel(&stream.timer);
  stream.phase = Phase::kOpen;
  if (stream.half_close_wanted) HalfClose(stream);
  Trace("connected", stream.id(), 0);
  stream.handler->OnConnected();
}

// --- arriving ------------------------------------------------------------------------------------

void SimReactorImpl::OnData(SimEvent& event) {
  if (Stream* sender = Find(event.sender)) {
    sender->in_flight_bytes -= event.bytes.size();
    if (sender->sending && sender->phase == Phase::kOpen) Take(*sender);
  }
  Stream* stream = Find(event.stream);
  if (stream == nullptr || stream->phase != Phase::kOpen) {
    return ScheduleInOrder(Kind::kReset, event.sender, ECONNRESET);  // nobody here: RFC 9293 §3.5.2
  }
  Trace("data", stream->id(), HashOf(event.bytes));
  stream->handler->OnData(event.bytes);
}

void SimReactorImpl::OnFin(Stream& stream) {
  if (stream.peer_closed) return;
  stream.peer_closed = true;
  Trace("peer closed", stream.id(), 0);
  stream.handler->OnPeerClosed();
}

void SimReactorImpl::OnSent(Stream& stream) {
  stream.sending = false;
  if (stream.half_close_wanted) HalfClose(stream);
  Trace("sent", stream.id(), 0);
  stream.handler->OnSent();
}

// --- leaving -------------------------------------------------------------------------------------

void SimReactorImpl::Take(Stream& stream) {
  const size_t room = kSimSocketBufferBytes - stream.in_flight_bytes;
  size_t bytes = std::min<uint64_t>(room, stream.send.remaining());
  if (bytes == 0) return;  // goes on when something has arrived, or OnSent is under way
  if (stream.fault_due && bytes > 1 && random_.Chance(options_.short_send)) {
    ++stats_.short_sends;
    bytes = random_.Between(1, bytes - 1);
    Schedule(Kind::kTakeMore, stream.id(), now_ + Latency());
  }
  Transmit(stream, TakeBytes(stream, bytes));
  if (stream.send.remaining() == 0) Schedule(Kind::kSent, stream.id(), now_);
}

std::string SimReactorImpl::TakeBytes(Stream& stream, size_t bytes) {
  std::string taken;
  taken.reserve(bytes);
  for (const iovec& piece : stream.send.pieces()) {
    const size_t part = std::min(piece.iov_len, bytes - taken.size());
    taken.append(static_cast<const char*>(piece.iov_base), part);
  }
  stream.send.Advance(bytes, send_blocks_);
  return taken;
}

void SimReactorImpl::Transmit(Stream& stream, std::string bytes) {
  absl::Duration extra;
  bool split = false;
  bool reset_after = false;
  if (std::exchange(stream.fault_due, false)) {
    if (random_.Chance(options_.stall)) {
      ++stats_.stalls;
      extra = options_.stall_duration;
    }
    if (random_.Chance(options_.reset)) {
      ++stats_.resets;
      bytes.clear();
      reset_after = true;
    } else if (random_.Chance(options_.truncate)) {
      ++stats_.truncations;
      bytes.resize(random_.Between(0, bytes.size() - 1));
      reset_after = true;
    }
    split = bytes.size() > 1 && random_.Chance(options_.split);
  }
  if (split) ++stats_.splits;
  Deliver(stream, bytes, extra, split);
  if (!reset_after) return;
  ScheduleInOrder(Kind::kReset, stream.peer, ECONNRESET);
  ScheduleInOrder(Kind::kReset, stream.id(), ECONNRESET);
}

void SimReactorImpl::Deliver(Stream& stream, std::string_view bytes, absl::Duration extra,
                             bool split) {
  stream.in_flight_bytes += bytes.size();
  int cuts = split ? static_cast<int>(random_.Between(1, kSimSplitPiecesMax - 1)) : 0;
  while (!bytes.empty()) {
    size_t part = std::min(bytes.size(), kSimDeliveryBytes);
    if (cuts > 0 && bytes.size() > 1) {
      part = std::min(part, static_cast<size_t>(random_.Between(1, bytes.size() - 1)));
      --cuts;
    }
    SimEvent event{};
    event.kind = Kind::kData;
    event.stream = stream.peer;
    event.sender = stream.id();
    event.bytes = std::string(bytes.substr(0, part));
    event.time = ArrivalAt(stream.peer, extra);
    queue_.Push(std::move(event));
    bytes.remove_prefix(part);
  }
}

}  // namespace volley::io
