// WakeEvent: any thread signals, one thread waits with a time limit. An eventfd.
#ifndef VOLLEY_PIPELINE_SHARD_WAKE_EVENT_H_
#define VOLLEY_PIPELINE_SHARD_WAKE_EVENT_H_

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "absl/time/time.h"
#include "io/base/check.h"

namespace volley::pipeline {

class WakeEvent {
 public:
  WakeEvent() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { VOLLEY_CHECK(fd_ >= 0); }
  ~WakeEvent() { close(fd_); }
  WakeEvent(const WakeEvent&) = delete;
  WakeEvent& operator=(const WakeEvent&) = delete;

  void Signal() {
    const uint64_t one = 1;
    // EAGAIN means that the counter is full, that is, signalled.
    [[maybe_unused]] const ssize_t n = write(fd_, &one, sizeof one);
  }
  // Returns when signalled, at the time limit, or when a signal handler ran.
  void Wait(absl::Duration limit) {
    pollfd p{fd_, POLLIN, 0};
    poll(&p, 1, static_cast<int>(absl::ToInt64Milliseconds(limit)));
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(fd_, &count, sizeof count);
  }

 private:
  const int fd_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_WAKE_EVENT_H_
