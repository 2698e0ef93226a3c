// StopSignal: ends what blocks in another thread: a wait for a command, a pipe or a token endpoint.
//
// Threading: any. Stop() cannot be taken back.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_STOP_SIGNAL_H_
#define VOLLEY_PIPELINE_CREDENTIALS_STOP_SIGNAL_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace volley::pipeline {

class StopSignal {
 public:
  // Whoever waits looks at stopped() at least this often, for when there was no descriptor to be
  // had.
  static constexpr absl::Duration kLookInterval = absl::Seconds(1);

  StopSignal() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~StopSignal() {
    if (fd_ >= 0) close(fd_);
  }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  void Stop() {
    stopped_.store(true, std::memory_order_release);
    const uint64_t one = 1;
    if (fd_ >= 0 && write(fd_, &one, sizeof one) < 0) return;  // full: it is readable already
  }
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }
  // Readable once stopped; -1, which poll() passes over, when none could be made.
  int fd() const { return fd_; }

 private:
  const int fd_;
  std::atomic<bool> stopped_{false};
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_STOP_SIGNAL_H_
