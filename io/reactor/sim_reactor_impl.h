// SimReactorImpl: the class behind SimReactor (sim_reactor.h). sim_reactor.cc has the calls and the
// loop, sim_network.cc what happens on the wire, its faults included.
//
// The wire: bytes a Send gives are taken by the pretended kernel as far as its socket buffer has
// room, travel for a random latency, and arrive in order; arrival makes room again. Everything sent
// towards a stream (bytes, FIN, reset) arrives in the order it was sent. A connect is answered once
// the listener has accepted it. Bytes that reach a stream that is gone are answered by a reset.
//
// Threading: one thread, but for Wake().
#ifndef VOLLEY_IO_REACTOR_SIM_REACTOR_IMPL_H_
#define VOLLEY_IO_REACTOR_SIM_REACTOR_IMPL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/reactor/send_pieces.h"
#include "io/reactor/sim_events.h"
#include "io/reactor/sim_reactor.h"
#include "io/reactor/slot_table.h"
#include "io/reactor/socket.h"
#include "io/reactor/timer_wheel.h"

namespace volley::io {

class SimReactorImpl final : public SimReactor {
 public:
  explicit SimReactorImpl(const SimOptions& options);

  std::string_view name() const override { return "sim"; }
  MonoTime Now() const override { return now_; }
  StreamId Connect(const Endpoint& peer, const ConnectOptions& options,
                   StreamHandler* handler) override;
  void SetHandler(StreamId id, StreamHandler* handler) override;
  void Send(StreamId id, std::span<const iovec> pieces) override;
  void ShutdownWrite(StreamId id) override;
  void Close(StreamId id) override;
  void Reset(StreamId id) override;
  bool IsOpen(StreamId id) const override;
  Endpoint LocalEndpoint(StreamId id) const override;
  absl::StatusOr<ListenerId> Listen(const Endpoint& local, ListenHandler* handler) override;
  Endpoint ListenEndpoint(ListenerId id) const override;
  void CloseListener(ListenerId id) override;
  void SetTimer(Timer* timer, MonoTime deadline) override { wheel_.Set(timer, deadline); }
  void CancelTimer(Timer* timer) override { wheel_.Cancel(timer); }
  void SetWakeHandler(std::function<void()> handler) override;
  void Wake() override;
  void Run() override;
  void RunOnce(absl::Duration max_wait) override;
  void Stop() override { stopped_ = true; }
  size_t open_streams() const override { return streams_.size(); }
  void RunUntilIdle(absl::Duration limit) override;
  SimStats stats() const override { return stats_; }

 private:
  enum class Phase : uint8_t { kConnecting, kOpen, kClosing };

  struct Stream;
  struct Listener;

  class ConnectTimer final : public Timer {
   public:
    SimReactorImpl* reactor = nullptr;
    Stream* stream = nullptr;

   private:
    void OnTimer() override;
  };
  class RetryTimer final : public Timer {
   public:
    SimReactorImpl* reactor = nullptr;
    Listener* listener = nullptr;

   private:
    void OnTimer() override;
  };

  struct Stream {
    StreamHandler* handler = nullptr;
    uint32_t slot = 0;
    uint32_t generation = 0;
    StreamId peer;  // the other end; may be stale
    Phase phase = Phase::kConnecting;
    bool sending = false;
    bool half_close_wanted = false;
    bool write_closed = false;
    bool peer_closed = false;
    bool fault_due = false;  // the dice for this Send have not been thrown yet
    CloseReason reason = CloseReason::kClosedByUs;
    int error = 0;
    size_t in_flight_bytes = 0;  // taken from Send, not yet arrived
    MonoTime inbound_until;      // when the last thing sent towards this stream arrives
    SendPieces send;
    Endpoint local;
    Endpoint remote;
    ConnectTimer timer;

    StreamId id() const { return {slot, generation}; }
  };

  struct Listener {
    ListenHandler* handler = nullptr;
    uint32_t slot = 0;
    uint32_t generation = 0;
    bool closing = false;
    bool paused = false;
    Endpoint local;
    std::vector<StreamId> backlog;  // connects that wait for a free stream
    RetryTimer timer;
  };

  // The calls and the loop.
  Stream* Find(StreamId id) { return streams_.Find(id.slot, id.generation); }
  const Stream* Find(StreamId id) const { return streams_.Find(id.slot, id.generation); }
  void HalfClose(Stream& stream);
  void Fail(Stream& stream, CloseReason reason, int error);
  void BeginClose(Stream& stream);
  void Finish(Stream& stream);
  void FinishListener(StreamId id);
  bool IsIdle() const;
  MonoTime NextTime() const;
  void Trace(std::string_view what, StreamId id, uint64_t detail);

  // The wire.
  absl::Duration Latency();
  void Schedule(SimEvent::Kind kind, StreamId stream, MonoTime time, int error = 0);
  MonoTime ArrivalAt(StreamId stream, absl::Duration extra);
  void ScheduleInOrder(SimEvent::Kind kind, StreamId stream, int error = 0);
  void Handle(SimEvent event);
  void OnSyn(StreamId client);
  Listener* FindListener(const Endpoint& endpoint);
  void Accept(Listener& listener, Stream& client);
  void AcceptBacklog(Listener& listener);
  void PauseAccept(Listener& listener);
  void OnConnectResult(Stream& stream, int error);
  void OnData(SimEvent& event);
  void OnFin(Stream& stream);
  void OnSent(Stream& stream);
  void Take(Stream& stream);
  std::string TakeBytes(Stream& stream, size_t bytes);
  void Transmit(Stream& stream, std::string bytes);
  void Deliver(Stream& stream, std::string_view bytes, absl::Duration extra, bool split);

  const SimOptions options_;
  SimRandom random_;
  SimStats stats_;
  MonoTime now_;
  SimEventQueue queue_;
  bool in_turn_ = false;
  bool stopped_ = false;
  uint16_t next_port_ = 32768;
  SlotTable<Stream> streams_;
  SlotTable<Listener> listeners_;
  SendBlockPool send_blocks_;
  std::atomic<bool> wake_pending_{false};
  std::function<void()> wake_handler_;
  TimerWheel wheel_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_SIM_REACTOR_IMPL_H_
