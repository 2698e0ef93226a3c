// Reactor: how bytes and time move. One interface, three backends: io_uring, epoll and a simulator.
//
// Threading: a reactor belongs to the thread that calls Run(); every call below is made from that
//   thread (before Run() from the thread that made it is also fine if it is the same thread), but
//   for Wake(), which any thread may call.
// Callbacks: only ever from inside Run()/RunOnce(), never from inside a call into the reactor. A
//   callback may call anything on the reactor, on any stream, also Close() of its own stream.
// Streams are slots of the reactor, named by StreamId (slot and generation). A stale id is no harm:
//   every call with one does nothing. Nothing is allocated per operation; memory grows only with
//   the highest number of streams that were open at one time.
// Order for one stream: OnConnected (only for Connect), any of OnData, OnSent, OnPeerClosed, then
//   exactly one OnClosed. By then the id is stale, open_streams() no longer counts it and no memory
//   given to Send is in use. A stream whose two directions have ended stays until Close().
// Destruction: never from inside a callback. The destructor calls no handler: streams and listeners
//   that are still open are ended silently, and when it returns no memory given to Send is in use.
//   Timers that are still set are cancelled. For io_uring: in the thread that made the reactor.
#ifndef VOLLEY_IO_REACTOR_REACTOR_H_
#define VOLLEY_IO_REACTOR_REACTOR_H_

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "io/base/time.h"
#include "io/net/endpoint.h"

namespace volley::io {

struct StreamId {
  uint32_t slot = UINT32_MAX;
  uint32_t generation = 0;
  bool valid() const { return slot != UINT32_MAX; }
  bool operator==(const StreamId&) const = default;
};

struct ListenerId {
  uint32_t slot = UINT32_MAX;
  uint32_t generation = 0;
  bool valid() const { return slot != UINT32_MAX; }
};

// Why and how a stream ended.
struct CloseInfo {
  // OK: we called Close(). DeadlineExceeded: the connect timeout. Unavailable: refused, reset,
  // unreachable; ResourceExhausted: no file descriptor or no local port (the message says how to
  // raise the limit); InvalidArgument: ConnectOptions::local cannot be used.
  absl::Status status;
  int sys_errno = 0;  // the kernel's reason where there is one, else 0
  // Bytes given to Send() that the kernel did not take. 0 means that all of them may have reached
  // the peer; N > 0 means that the last N certainly did not.
  uint64_t unsent_bytes = 0;
};

// LIFETIME: outlives the stream, that is, until OnClosed has returned.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void OnConnected() {}
  // `bytes` is the reactor's and valid during the call only.
  virtual void OnData(std::span<const char> bytes) = 0;
  // The kernel has taken all of the last Send(); its memory is free again.
  virtual void OnSent() = 0;
  // The peer will send no more. We may still send. (Also seen as a normal end of a conversation.)
  virtual void OnPeerClosed() = 0;
  virtual void OnClosed(const CloseInfo& info) = 0;
};

class ListenHandler {
 public:
  virtual ~ListenHandler() = default;
  // A new connection. Return its handler, or nullptr to close it at once (no callback follows).
  virtual StreamHandler* OnAccept(StreamId id, const Endpoint& peer) = 0;
  // Accepting has stopped for now or for good: descriptors are used up (it is tried again by
  // itself every 100 ms, `retrying` is true; told once until something was accepted again), or the
  // listener was closed (OK, final: the last call, also for the handler's lifetime).
  virtual void OnAcceptPaused(const absl::Status& status, bool retrying) = 0;
};

struct ConnectOptions {
  Endpoint local;                              // empty: the kernel chooses
  absl::Duration timeout = absl::Seconds(30);  // connect only
};

// An intrusive timer, a member of the object it belongs to. Setting it again moves it; moving it
// later is O(1) without touching the wheel. One callback, OnTimer(), from inside Run().
class TimerWheel;
class Timer {
 public:
  Timer() = default;
  virtual ~Timer();  // cancels itself
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  bool is_set() const { return !deadline_.is_infinite(); }
  MonoTime deadline() const { return deadline_; }

 protected:
  virtual void OnTimer() = 0;

 private:
  friend class TimerWheel;
  MonoTime deadline_ = MonoTime::Infinite();  // when it is due; infinite: not set
  MonoTime filed_ = MonoTime::Infinite();     // the deadline the wheel has it under: <= deadline_
  TimerWheel* wheel_ = nullptr;
  Timer* next_ = nullptr;
  Timer** previous_link_ = nullptr;  // what points at us; nullptr: not in the wheel
};

class Reactor {
 public:
  // Most iovecs one Send takes.
  static constexpr size_t kMaxSendPieces = 64;

  virtual ~Reactor() = default;

  virtual std::string_view name() const = 0;  // "uring", "epoll" or "sim"
  // The loop's time, refreshed once per turn; outside of a turn the clock's.
  virtual MonoTime Now() const = 0;

  // Starts a connection. Errors (no descriptor, bad local address) also come as OnClosed.
  // TCP_NODELAY is set. Receiving starts by itself when connected.
  virtual StreamId Connect(const Endpoint& peer, const ConnectOptions& options,
                           StreamHandler* handler) = 0;
  // Changes who hears a stream's events from the next one on (STARTTLS, protocol switch).
  virtual void SetHandler(StreamId id, StreamHandler* handler) = 0;
  // Sends all pieces in order, then calls OnSent() once. One Send at a time for a stream.
  // REQUIRES: connected, no Send in flight on it, no ShutdownWrite before; 1 to kMaxSendPieces
  //   pieces, none empty.
  // LIFETIME: the bytes stay valid and unchanged until OnSent or OnClosed. The iovec array itself
  //   may go at once.
  // A failed send does not end the stream at once: what the peer had already said is delivered by
  // OnData first (RFC 2920: a server may refuse and close while we still write), then OnClosed.
  virtual void Send(StreamId id, std::span<const iovec> pieces) = 0;
  // Half-close: our end of the conversation is over, the peer's bytes still come. A Send in flight
  // is finished first.
  virtual void ShutdownWrite(StreamId id) = 0;
  // Ends a stream: no OnData, OnSent or OnPeerClosed after this; OnClosed comes when every
  // operation has been reaped. Bytes not yet taken by the kernel are dropped.
  virtual void Close(StreamId id) = 0;
  virtual bool IsOpen(StreamId id) const = 0;  // connecting or connected, neither failed nor closed
  virtual Endpoint LocalEndpoint(StreamId id) const = 0;

  virtual absl::StatusOr<ListenerId> Listen(const Endpoint& local, ListenHandler* handler) = 0;
  virtual Endpoint ListenEndpoint(ListenerId id) const = 0;  // with the port the kernel picked
  virtual void CloseListener(ListenerId id) = 0;

  virtual void SetTimer(Timer* timer, MonoTime deadline) = 0;
  virtual void CancelTimer(Timer* timer) = 0;

  // Called in the loop after any number of Wake() calls, at least once for the last of them.
  virtual void SetWakeHandler(std::function<void()> handler) = 0;
  virtual void Wake() = 0;  // any thread; async-signal-safe

  // Run until Stop(). RunOnce: one turn, waiting no longer than `max_wait`. Not from a callback.
  virtual void Run() = 0;
  virtual void RunOnce(absl::Duration max_wait) = 0;
  virtual void Stop() = 0;  // from a callback, or before Run

  virtual size_t open_streams() const = 0;
};

enum class BackendChoice { kAuto, kUring, kEpoll };

struct ReactorOptions {
  BackendChoice backend = BackendChoice::kAuto;
  uint32_t receive_buffers = 0;       // provided buffers in the ring; 0: the default in limits.h
  uint32_t receive_buffer_bytes = 0;  // 0: the default in limits.h
};

struct CreatedReactor {
  std::unique_ptr<Reactor> reactor;
  // Not empty when `kAuto` fell back to epoll: one line that says why (seccomp, kernel too old,
  // ...).
  std::string fallback_reason;
};

// Makes the best backend there is. kUring where io_uring cannot be had is an error that says why
// and what to do (`--io=epoll`, or allow io_uring_setup in the container's seccomp profile). Call
// it in the thread that will run the reactor (SINGLE_ISSUER).
absl::StatusOr<CreatedReactor> CreateReactor(const ReactorOptions& options);

// nullopt: io_uring can be used here; otherwise why not.
std::optional<std::string> WhyNoUring();

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_REACTOR_H_
