// poll() with a deadline and a StopSignal.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_POLL_WAIT_H_
#define VOLLEY_PIPELINE_CREDENTIALS_POLL_WAIT_H_

#include <poll.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "absl/time/time.h"
#include "io/base/time.h"
#include "pipeline/credentials/stop_signal.h"

namespace volley::pipeline {

enum class PollResult : uint8_t { kReady, kStopped, kTimedOut };

// The entry that wakes a poll when `stop` (may be null) is stopped.
inline pollfd StopPoll(const StopSignal* stop) {
  return {.fd = stop == nullptr ? -1 : stop->fd(), .events = POLLIN, .revents = 0};
}

// Until a descriptor has something. `wake_at_most`: kReady also after that long, for what no
// descriptor tells of.
inline PollResult PollUntil(std::span<pollfd> polled, io::MonoTime deadline, const StopSignal* stop,
                            absl::Duration wake_at_most = absl::InfiniteDuration()) {
  const io::MonoTime wake = io::MonotonicNow() + wake_at_most;
  for (;;) {
    if (stop != nullptr && stop->stopped()) return PollResult::kStopped;
    const io::MonoTime now = io::MonotonicNow();
    if (now >= deadline) return PollResult::kTimedOut;
    if (now >= wake) return PollResult::kReady;
    const absl::Duration rest = std::min({deadline - now, wake - now, StopSignal::kLookInterval});
    // One more millisecond: poll() cuts, and would come back early again and again.
    const int ready =
        poll(polled.data(), polled.size(), static_cast<int>(absl::ToInt64Milliseconds(rest)) + 1);
    if (ready > 0 && (stop == nullptr || !stop->stopped())) return PollResult::kReady;
  }
}

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_POLL_WAIT_H_
