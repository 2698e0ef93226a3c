#include "io/reactor/uring_setup.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "fmt/format.h"
#include "io/reactor/receive_buffers.h"

namespace volley::io {
namespace {

bool HasEveryOperation(io_uring* ring) {
  const std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> probe(
      io_uring_get_probe_ring(ring), &io_uring_free_probe);
  if (probe == nullptr) return false;
  for (const int operation : kRingOperations) {
    if (!io_uring_opcode_supported(probe.get(), operation)) return false;
  }
  return true;
}

std::string_view StepName(UringStep step) {
  switch (step) {
    case UringStep::kSetup:
      return "io_uring_setup";
    case UringStep::kOperations:
      return "io_uring operations";
    case UringStep::kBufferRing:
      return "io_uring buffer ring";
  }
  return "";
}

std::string_view Reason(const UringFailure& failure) {
  switch (failure.error) {
    case ENOSYS:
      return "this kernel has no io_uring";
    case EPERM:
    case EACCES:
      return "io_uring is forbidden here (container seccomp profile or kernel.io_uring_disabled "
             "sysctl); allow io_uring_setup, io_uring_enter and io_uring_register, or use "
             "--io=epoll";
    case ENOMEM:
      return "not enough lockable memory for the ring; raise `ulimit -l` (LimitMEMLOCK= in the "
             "systemd unit), or use --io=epoll";
    case EMFILE:
    case ENFILE:
      return "too many open files; raise `ulimit -n` (LimitNOFILE= in the systemd unit)";
    case EINVAL:
    case EOPNOTSUPP:
      return "this kernel's io_uring is too old (Linux 6.1 or later is needed)";
    default:
      return "";
  }
}

}  // namespace

int SetUpRing(io_uring* ring, uint32_t submission_entries, uint32_t completion_entries) {
  io_uring_params params{};
  params.flags = kRingSetupFlags;
  params.cq_entries = completion_entries;
  const int result = io_uring_queue_init_params(submission_entries, ring, &params);
  if (result < 0) return -result;
  // NODROP: completions are never lost. EXT_ARG: waiting with a time-out takes no submission.
  if ((params.features & IORING_FEAT_NODROP) && (params.features & IORING_FEAT_EXT_ARG)) return 0;
  io_uring_queue_exit(ring);
  return EINVAL;
}

std::optional<UringFailure> TryUring() {
  io_uring ring{};
  if (const int error = SetUpRing(&ring, 4, 8)) return UringFailure{UringStep::kSetup, error};
  std::optional<UringFailure> failure;
  if (!HasEveryOperation(&ring)) {
    failure = UringFailure{UringStep::kOperations, EOPNOTSUPP};
  } else {
    ReceiveBuffers buffers;
    if (const int error = buffers.Register(&ring, 2, 4096)) {
      failure = UringFailure{UringStep::kBufferRing, error};
    }
  }
  io_uring_queue_exit(&ring);
  return failure;
}

std::string ExplainUringFailure(const UringFailure& failure) {
  const std::string_view reason = Reason(failure);
  return fmt::format("{}: {}", StepName(failure.step),
                     reason.empty() ? std::string_view(std::strerror(failure.error)) : reason);
}

}  // namespace volley::io
