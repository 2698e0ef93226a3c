// UringReactor: the io_uring backend. One ring, created in the thread that runs it.
//
// A turn makes exactly one io_uring_enter: it submits what the last turn's handlers asked for,
// waits, and lets the kernel work off what has arrived (DEFER_TASKRUN does so only there).
// Completions are copied out as one bounded batch, then handlers run, then receive buffers go back.
//
// A stream has at most one operation of a kind in the kernel: a multishot receive (armed again
// whenever a completion lacks F_MORE), one send, one connect. user_data is slot, generation, kind.
#ifndef VOLLEY_IO_REACTOR_URING_REACTOR_H_
#define VOLLEY_IO_REACTOR_URING_REACTOR_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

#include "io/reactor/limits.h"
#include "io/reactor/receive_buffers.h"
#include "io/reactor/socket_reactor.h"
#include "io/reactor/uring_setup.h"

namespace volley::io {

class UringReactor final : public SocketReactor {
 public:
  // LIFETIME: made, run and destroyed in one thread.
  static std::variant<std::unique_ptr<UringReactor>, UringFailure> Create(
      const ReactorOptions& options);
  ~UringReactor() override;

  std::string_view name() const override { return "uring"; }

 private:
  // Also the bits of Stream::operations and Listener::operations.
  enum Kind : uint16_t {
    kReceive = 1 << 0,
    kSend = 1 << 1,
    kConnect = 1 << 2,
    kAccept = 1 << 3,
    kWake = 1 << 4,
    kCancel = 1 << 5,
  };

  struct Completion {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
  };

  UringReactor();
  std::optional<UringFailure> Init(const ReactorOptions& options);

  void StartConnect(Stream& stream) override;
  void StartReceive(Stream& stream) override;
  void StartSend(Stream& stream) override;
  void CancelOperations(Stream& stream) override;
  void StartAccept(Listener& listener) override;
  void CancelAccept(Listener& listener) override;
  void Poll(absl::Duration max_wait) override;

  template <typename Record>
  io_uring_sqe* Submission(Record& record, Kind kind);
  io_uring_sqe* NextSubmission();
  void Cancel(uint64_t user_data);
  void ArmWake();

  void Enter(absl::Duration max_wait);
  uint32_t TakeCompletions();
  void Dispatch(const Completion& completion);
  Stream& StreamOf(const Completion& completion);
  void OnReceive(Stream& stream, const Completion& completion);
  void OnSend(Stream& stream, const Completion& completion);
  void OnConnect(Stream& stream, const Completion& completion);
  void OnAccept(Listener& listener, const Completion& completion);
  void OnWake();

  io_uring ring_{};
  bool ring_ready_ = false;
  bool completions_left_ = false;  // the last batch was full: do not wait for more
  bool wake_armed_ = false;
  bool shutting_down_ = false;
  uint64_t wake_value_ = 0;  // the kernel writes the eventfd's counter here
  ReceiveBuffers buffers_;
  std::array<Completion, kCompletionBatch> batch_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_URING_REACTOR_H_
