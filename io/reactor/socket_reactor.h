// SocketReactor: what the io_uring and the epoll backend share, which is all but moving the bytes:
// stream and listener slots, the state of a stream, timers, wake-ups, the loop's order, closing.
//
// A turn: wait for completions -> stream events -> timers -> events queued by calls (OnSent of a
// direct send, OnClosed of a stream with nothing in flight) -> wake handler.
//
// A stream's life: kConnecting -> kOpen -> kClosing -> slot freed, OnClosed. From kOpen a failed
// send goes to kDraining first: what the peer had said is still read, up to the end (RFC 2920 §3.1:
// a server may refuse and close while we still write; its words must not be lost to our EPIPE).
// kClosing waits until the kernel has given back every operation, then closes the descriptor:
// close(2) does not cancel operations, and memory given to Send() may not go before they are over.
//
// Threading: as Reactor.
#ifndef VOLLEY_IO_REACTOR_SOCKET_REACTOR_H_
#define VOLLEY_IO_REACTOR_SOCKET_REACTOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "io/reactor/reactor.h"
#include "io/reactor/send_pieces.h"
#include "io/reactor/slot_table.h"
#include "io/reactor/socket.h"
#include "io/reactor/timer_wheel.h"

namespace volley::io {

class SocketReactor : public Reactor {
 public:
  ~SocketReactor() override;

  MonoTime Now() const final;
  StreamId Connect(const Endpoint& peer, const ConnectOptions& options,
                   StreamHandler* handler) final;
  void SetHandler(StreamId id, StreamHandler* handler) final;
  void Send(StreamId id, std::span<const iovec> pieces) final;
  void ShutdownWrite(StreamId id) final;
  void Close(StreamId id) final;
  bool IsOpen(StreamId id) const final;
  Endpoint LocalEndpoint(StreamId id) const final;
  absl::StatusOr<ListenerId> Listen(const Endpoint& local, ListenHandler* handler) final;
  Endpoint ListenEndpoint(ListenerId id) const final;
  void CloseListener(ListenerId id) final;
  void SetTimer(Timer* timer, MonoTime deadline) final;
  void CancelTimer(Timer* timer) final;
  void SetWakeHandler(std::function<void()> handler) final;
  void Wake() final;
  void Run() final;
  void RunOnce(absl::Duration max_wait) final;
  void Stop() final;
  size_t open_streams() const final;

 protected:
  enum class Phase : uint8_t { kConnecting, kOpen, kDraining, kClosing };

  struct Stream;
  struct Listener;

  // The connect time-out of one stream.
  class ConnectTimer final : public Timer {
   public:
    SocketReactor* reactor = nullptr;
    Stream* stream = nullptr;

   private:
    void OnTimer() override;
  };

  class RetryTimer final : public Timer {
   public:
    SocketReactor* reactor = nullptr;
    Listener* listener = nullptr;

   private:
    void OnTimer() override;
  };

  struct Stream {
    StreamHandler* handler = nullptr;  // nullptr: nobody is told (refused by OnAccept, destruction)
    uint32_t slot = 0;
    uint32_t generation = 0;
    int fd = -1;
    Phase phase = Phase::kConnecting;
    bool receiving = false;          // started, and its end not yet seen
    bool sending = false;            // a Send() whose OnSent has not been called
    bool half_close_wanted = false;  // ShutdownWrite() came while connecting or sending
    bool write_closed = false;
    CloseReason reason = CloseReason::kClosedByUs;
    uint16_t operations = 0;  // of this stream in the kernel; io_uring only
    uint32_t interest = 0;    // what epoll watches; epoll only
    int error = 0;
    SendPieces send;
    // Not touched between connecting and closing.
    Endpoint peer;
    ConnectTimer timer;
  };

  struct Listener {
    ListenHandler* handler = nullptr;
    uint32_t slot = 0;
    uint32_t generation = 0;
    int fd = -1;
    bool closing = false;
    bool paused = false;      // told, waiting for the retry
    uint16_t operations = 0;  // io_uring only
    Endpoint local;
    RetryTimer timer;
  };

  enum class LocalEvent : uint8_t {
    kSent,
    kSendFailed,
    kConnectDone,
    kStreamFinish,
    kListenerFinish
  };

  explicit SocketReactor(Blocking blocking);

  // --- what a backend does -----------------------------------------------------------------------
  // None of these calls a handler. Each that cannot start reports through QueueLocal.
  virtual void StartConnect(Stream& stream) = 0;
  virtual void StartReceive(Stream& stream) = 0;
  virtual void StartSend(Stream& stream) = 0;  // stream.send
  virtual void CancelOperations(Stream& stream) = 0;
  virtual void StartAccept(Listener& listener) = 0;
  virtual void CancelAccept(Listener& listener) = 0;
  // Waits up to `max_wait` (infinite: until something happens), calls Tick(), then the functions
  // below for what has happened.
  virtual void Poll(absl::Duration max_wait) = 0;

  // --- what a backend reports, from inside Poll() ------------------------------------------------
  void Connected(Stream& stream, int error);
  void Received(Stream& stream, std::span<const char> bytes);
  void ReceiveEnded(Stream& stream, int error);  // 0: the peer will send no more
  void SendTaken(Stream& stream, size_t bytes);  // starts the rest, or OnSent
  void SendFailed(Stream& stream, int error);
  void Accepted(Listener& listener, int fd);
  void AcceptFailed(Listener& listener, int error);
  void WakeSeen() { wake_seen_ = true; }
  // The last operation of a stream or listener that is closing has been given back.
  void FinishIfIdle(Stream& stream);
  void FinishIfIdle(Listener& listener);

  void Tick() { now_ = MonotonicNow(); }
  void QueueLocal(LocalEvent event, const Stream& stream);
  void QueueLocal(LocalEvent event, const Listener& listener);

  // Gives back every operation, stream and descriptor without calling a handler.
  // REQUIRES: the backend still works, that is, called from its destructor.
  void ShutDown();

  SlotTable<Stream>& streams() { return streams_; }
  SlotTable<Listener>& listeners() { return listeners_; }
  SendBlockPool& send_blocks() { return send_blocks_; }
  int wake_fd() const { return wake_fd_; }

 private:
  struct Queued {
    LocalEvent event;
    uint32_t slot;
    uint32_t generation;
  };

  Stream* Find(StreamId id) { return streams_.Find(id.slot, id.generation); }
  const Stream* Find(StreamId id) const { return streams_.Find(id.slot, id.generation); }
  absl::Duration WaitBound(absl::Duration max_wait) const;
  void RunLocalEvents();
  void RunLocalEvent(const Queued& queued);
  void RunWakeHandler();
  void Fail(Stream& stream, CloseReason reason, int error);
  void BeginClose(Stream& stream);
  void BeginClose(Listener& listener);
  void Finish(Stream& stream);
  void Finish(Listener& listener);
  void HalfClose(Stream& stream);
  void PauseAccept(Listener& listener, int error);

  const Blocking blocking_;
  MonoTime now_;
  bool in_turn_ = false;
  bool stopped_ = false;
  bool wake_seen_ = false;
  SlotTable<Stream> streams_;
  SlotTable<Listener> listeners_;
  SendBlockPool send_blocks_;
  std::vector<Queued> local_events_;
  std::vector<Queued> local_running_;
  int wake_fd_ = -1;
  // True from a Wake() until the loop is about to run the handler: a second Wake() in between costs
  // one atomic exchange and no system call.
  std::atomic<bool> wake_pending_{false};
  std::function<void()> wake_handler_;
  // Last: timers inside streams and listeners go before it does.
  TimerWheel wheel_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_SOCKET_REACTOR_H_
