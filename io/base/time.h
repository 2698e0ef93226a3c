// MonoTime: a point on the monotonic clock, in nanoseconds. Deadlines are MonoTime, spans are
// absl::Duration. Nothing reads the clock on its own: the reactor is asked (Reactor::Now()), so the
// simulator can run the same code on a virtual clock.
#ifndef VOLLEY_IO_BASE_TIME_H_
#define VOLLEY_IO_BASE_TIME_H_

#include <compare>
#include <cstdint>

#include "absl/time/time.h"

namespace volley::io {

class MonoTime {
 public:
  constexpr MonoTime() = default;
  static constexpr MonoTime FromNanos(int64_t ns) { return MonoTime(ns); }
  static constexpr MonoTime Infinite() { return MonoTime(INT64_MAX); }

  constexpr int64_t nanos() const { return ns_; }
  constexpr bool is_infinite() const { return ns_ == INT64_MAX; }
  constexpr auto operator<=>(const MonoTime&) const = default;

  // Saturates: an infinite duration gives an infinite time.
  friend MonoTime operator+(MonoTime t, absl::Duration d) {
    if (d >= absl::Nanoseconds(INT64_MAX - t.ns_)) return Infinite();
    return MonoTime(t.ns_ + absl::ToInt64Nanoseconds(d));
  }
  friend absl::Duration operator-(MonoTime a, MonoTime b) {
    if (a.is_infinite()) return absl::InfiniteDuration();
    return absl::Nanoseconds(a.ns_ - b.ns_);
  }

 private:
  constexpr explicit MonoTime(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

// The kernel's CLOCK_MONOTONIC, for reactors and for measuring.
MonoTime MonotonicNow();

}  // namespace volley::io

#endif  // VOLLEY_IO_BASE_TIME_H_
