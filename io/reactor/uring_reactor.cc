#include "io/reactor/uring_reactor.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "io/base/check.h"

namespace volley::io {
namespace {

// user_data: slot in the upper half, then 24 bits of generation, then the kind. A slot is not freed
// while it has an operation in the kernel, so the generation only has to catch our own mistakes.
constexpr uint32_t kGenerationMask = 0xffffff;

constexpr uint64_t UserData(uint32_t slot, uint32_t generation, uint16_t kind) {
  return uint64_t{slot} << 32 | uint64_t{generation & kGenerationMask} << 8 | kind;
}
constexpr uint32_t SlotOf(uint64_t user_data) { return static_cast<uint32_t>(user_data >> 32); }
constexpr uint32_t GenerationOf(uint64_t user_data) {
  return static_cast<uint32_t>(user_data >> 8) & kGenerationMask;
}
constexpr uint16_t KindOf(uint64_t user_data) { return user_data & 0xff; }

// MSG_WAITALL: the kernel itself goes on after a short send, we get one completion.
constexpr int kSendFlags = MSG_NOSIGNAL | MSG_WAITALL;

// What io_uring_enter may answer in ordinary life; anything else is a misuse of the ring.
bool IsOrdinary(int result) {
  return result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
         result == -EBUSY;
}

uint32_t Choose(uint32_t asked, uint32_t standard, uint32_t most) {
  return std::clamp<uint32_t>(asked == 0 ? standard : asked, 1, most);
}

}  // namespace

UringReactor::UringReactor() : SocketReactor(Blocking::kYes) {}

std::variant<std::unique_ptr<UringReactor>, UringFailure> UringReactor::Create(
    const ReactorOptions& options) {
  std::unique_ptr<UringReactor> reactor(new UringReactor());
  if (const std::optional<UringFailure> failure = reactor->Init(options)) return *failure;
  return reactor;
}

std::optional<UringFailure> UringReactor::Init(const ReactorOptions& options) {
  if (wake_fd() < 0) return UringFailure{UringStep::kSetup, EMFILE};
  if (const int error = SetUpRing(&ring_, kSubmissionQueueEntries, kCompletionQueueEntries)) {
    return UringFailure{UringStep::kSetup, error};
  }
  ring_ready_ = true;
  const uint32_t count =
      std::bit_ceil(Choose(options.receive_buffers, kReceiveBuffers, kReceiveBuffersMax));
  const uint32_t bytes =
      Choose(options.receive_buffer_bytes, kReceiveBufferBytes, kReceiveBufferBytesMax);
  if (const int error = buffers_.Register(&ring_, count, bytes)) {
    return UringFailure{UringStep::kBufferRing, error};
  }
  // Saves the kernel looking the ring's descriptor up at each enter; works without it.
  (void)io_uring_register_ring_fd(&ring_);
  ArmWake();
  return std::nullopt;
}

UringReactor::~UringReactor() {
  shutting_down_ = true;
  if (!ring_ready_) return;
  ShutDown();
  if (wake_armed_) Cancel(UserData(0, 0, kWake));
  while (wake_armed_) Poll(absl::Milliseconds(10));
  buffers_.Unregister();
  io_uring_queue_exit(&ring_);
}

// --- submissions ---------------------------------------------------------------------------------

io_uring_sqe* UringReactor::NextSubmission() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  // Full: hand over what there is and go on; each try makes room unless the kernel has no memory.
  for (int tries = 0; sqe == nullptr && tries < 1000; ++tries) {
    VOLLEY_CHECK(IsOrdinary(io_uring_submit(&ring_)));
    sqe = io_uring_get_sqe(&ring_);
  }
  VOLLEY_CHECK(sqe != nullptr);
  return sqe;
}

template <typename Record>
io_uring_sqe* UringReactor::Submission(Record& record, Kind kind) {
  VOLLEY_CHECK((record.operations & kind) == 0);
  record.operations |= kind;
  return NextSubmission();
}

void UringReactor::StartConnect(Stream& stream) {
  io_uring_sqe* sqe = Submission(stream, kConnect);
  io_uring_prep_connect(sqe, stream.fd, stream.peer.address(), stream.peer.address_bytes());
  io_uring_sqe_set_data64(sqe, UserData(stream.slot, stream.generation, kConnect));
}

void UringReactor::StartReceive(Stream& stream) {
  stream.receiving = true;
  io_uring_sqe* sqe = Submission(stream, kReceive);
  io_uring_prep_recv_multishot(sqe, stream.fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kReceiveBufferGroup;
  io_uring_sqe_set_data64(sqe, UserData(stream.slot, stream.generation, kReceive));
}

void UringReactor::StartSend(Stream& stream) {
  io_uring_sqe* sqe = Submission(stream, kSend);
  if (stream.send.is_single()) {
    const iovec piece = stream.send.single();
    io_uring_prep_send(sqe, stream.fd, piece.iov_base,
                       std::min(piece.iov_len, kSendOperationBytesMax), kSendFlags);
  } else {
    io_uring_prep_sendmsg(sqe, stream.fd, stream.send.header(), kSendFlags);
  }
  io_uring_sqe_set_data64(sqe, UserData(stream.slot, stream.generation, kSend));
}

void UringReactor::StartAccept(Listener& listener) {
  if (listener.operations != 0) return;
  io_uring_sqe* sqe = Submission(listener, kAccept);
  io_uring_prep_multishot_accept(sqe, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data64(sqe, UserData(listener.slot, listener.generation, kAccept));
}

void UringReactor::ArmWake() {
  io_uring_sqe* sqe = NextSubmission();
  io_uring_prep_read(sqe, wake_fd(), &wake_value_, sizeof(wake_value_), 0);
  io_uring_sqe_set_data64(sqe, UserData(0, 0, kWake));
  wake_armed_ = true;
}

// By user_data, which the kernel finds by hash; by descriptor it would walk every operation.
void UringReactor::Cancel(uint64_t user_data) {
  io_uring_sqe* sqe = NextSubmission();
  io_uring_prep_cancel64(sqe, user_data, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;  // the operation's own completion is what counts
  io_uring_sqe_set_data64(sqe, UserData(0, 0, kCancel));
}

void UringReactor::CancelOperations(Stream& stream) {
  for (const Kind kind : {kReceive, kSend, kConnect}) {
    if (stream.operations & kind) Cancel(UserData(stream.slot, stream.generation, kind));
  }
}

void UringReactor::CancelAccept(Listener& listener) {
  if (listener.operations != 0) Cancel(UserData(listener.slot, listener.generation, kAccept));
}

// --- the turn ------------------------------------------------------------------------------------

void UringReactor::Enter(absl::Duration max_wait) {
  int result = 0;
  if (completions_left_ || max_wait <= absl::ZeroDuration()) {
    result = io_uring_submit_and_get_events(&ring_);
  } else if (max_wait == absl::InfiniteDuration()) {
    result = io_uring_submit_and_wait(&ring_, 1);
  } else {
    const timespec wait = absl::ToTimespec(max_wait);
    __kernel_timespec timeout{wait.tv_sec, wait.tv_nsec};
    io_uring_cqe* first = nullptr;
    result = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
  }
  VOLLEY_CHECK(IsOrdinary(result));
}

uint32_t UringReactor::TakeCompletions() {
  uint32_t taken = 0;
  unsigned head = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    if (taken == kCompletionBatch) break;
    batch_[taken++] = {cqe->user_data, cqe->res, cqe->flags};
  }
  io_uring_cq_advance(&ring_, taken);
  return taken;
}

void UringReactor::Poll(absl::Duration max_wait) {
  Enter(max_wait);
  Tick();
  const uint32_t taken = TakeCompletions();
  completions_left_ = taken == kCompletionBatch;
  for (uint32_t i = 0; i < taken; ++i) Dispatch(batch_[i]);
  buffers_.Publish();
}

SocketReactor::Stream& UringReactor::StreamOf(const Completion& completion) {
  Stream* stream = streams().Peek(SlotOf(completion.user_data));
  VOLLEY_CHECK(stream != nullptr);
  VOLLEY_CHECK((stream->generation & kGenerationMask) == GenerationOf(completion.user_data));
  return *stream;
}

void UringReactor::Dispatch(const Completion& completion) {
  switch (KindOf(completion.user_data)) {
    case kReceive:
      return OnReceive(StreamOf(completion), completion);
    case kSend:
      return OnSend(StreamOf(completion), completion);
    case kConnect:
      return OnConnect(StreamOf(completion), completion);
    case kAccept: {
      Listener* listener = listeners().Peek(SlotOf(completion.user_data));
      VOLLEY_CHECK(listener != nullptr);
      return OnAccept(*listener, completion);
    }
    case kWake:
      return OnWake();
    default:
      return;  // a cancel that found its operation already over
  }
}

void UringReactor::OnReceive(Stream& stream, const Completion& completion) {
  const bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
  if (!more) stream.operations &= ~kReceive;
  const int32_t result = completion.result;
  if (result > 0) Received(stream, buffers_.Filled(completion.flags, result));
  if (completion.flags & IORING_CQE_F_BUFFER) buffers_.Recycle(completion.flags);
  if (more) return;
  // Armed again when the kernel ended a multishot that had more to say, or had no buffer for it:
  // those of this batch are back before the next enter submits this.
  const bool again = result > 0 || result == -ENOBUFS || result == -EAGAIN || result == -EINTR;
  if (stream.phase == Phase::kClosing) return FinishIfIdle(stream);
  if (again) return StartReceive(stream);
  ReceiveEnded(stream, -result);
  FinishIfIdle(stream);
}

void UringReactor::OnSend(Stream& stream, const Completion& completion) {
  stream.operations &= ~kSend;
  const int32_t result = completion.result;
  if (result > 0) {
    SendTaken(stream, static_cast<size_t>(result));
  } else if (stream.phase == Phase::kOpen && (result == -EAGAIN || result == -EINTR)) {
    StartSend(stream);
  } else {
    SendFailed(stream, result == 0 ? EPIPE : -result);
  }
  FinishIfIdle(stream);
}

void UringReactor::OnConnect(Stream& stream, const Completion& completion) {
  stream.operations &= ~kConnect;
  Connected(stream, -completion.result);
  FinishIfIdle(stream);
}

void UringReactor::OnAccept(Listener& listener, const Completion& completion) {
  const bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
  if (!more) listener.operations = 0;
  if (completion.result >= 0) {
    Accepted(listener, completion.result);
    if (!more && !listener.closing) StartAccept(listener);
  } else {
    AcceptFailed(listener, -completion.result);
  }
  FinishIfIdle(listener);
}

void UringReactor::OnWake() {
  wake_armed_ = false;
  if (shutting_down_) return;
  ArmWake();
  WakeSeen();
}

}  // namespace volley::io
