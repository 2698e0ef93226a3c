// DelayLine: holds things back for a constant time. Because the time is constant, what comes first
// is due first: a ring buffer, one timer, no heap and no allocation per entry once warm. One
// thread, the reactor's. The reactor outlives the line.
#ifndef VOLLEY_PIPELINE_SINK_DELAY_LINE_H_
#define VOLLEY_PIPELINE_SINK_DELAY_LINE_H_

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "io/base/time.h"
#include "io/reactor/reactor.h"

namespace volley::pipeline {

template <typename Entry>
class DelayLine : private io::Timer {
 public:
  // `release` may call Add().
  DelayLine(io::Reactor* reactor, absl::Duration delay, std::function<void(const Entry&)> release)
      : reactor_(*reactor), delay_(delay), release_(std::move(release)), ring_(kInitialSlots) {}

  absl::Duration delay() const { return delay_; }
  size_t size() const { return size_; }

  void Add(const Entry& entry) {
    if (size_ == ring_.size()) Grow();
    const io::MonoTime due = reactor_.Now() + delay_;
    ring_[(head_ + size_++) % ring_.size()] = {due, entry};
    if (!is_set()) reactor_.SetTimer(this, due);
  }

 private:
  static constexpr size_t kInitialSlots = 64;
  struct Slot {
    io::MonoTime due;
    Entry entry;
  };

  void OnTimer() override {
    const io::MonoTime now = reactor_.Now();
    while (size_ > 0 && ring_[head_].due <= now) {
      const Entry entry = ring_[head_].entry;
      head_ = (head_ + 1) % ring_.size();
      --size_;
      release_(entry);
    }
    if (size_ > 0) reactor_.SetTimer(this, ring_[head_].due);
  }

  void Grow() {
    std::vector<Slot> grown(ring_.size() * 2);
    for (size_t i = 0; i < size_; ++i) grown[i] = ring_[(head_ + i) % ring_.size()];
    ring_.swap(grown);
    head_ = 0;
  }

  io::Reactor& reactor_;
  const absl::Duration delay_;
  const std::function<void(const Entry&)> release_;
  std::vector<Slot> ring_;
  size_t head_ = 0;
  size_t size_ = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SINK_DELAY_LINE_H_
