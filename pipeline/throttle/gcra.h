// Gcra: a rate over all threads in one atomic word (the generic cell rate algorithm; ATM Forum
// TM 4.0 §4.4.2, there for cells).
//
// The word is the theoretical arrival time, TAT: when the next permit would be due if permits came
// evenly, `interval` I apart. A permit is granted at `now` if TAT <= now + tolerance L, and sets
// TAT = max(TAT, now) + I. Compare-and-swap; no lock, nothing else is kept.
//
// THE PROPERTY. Of the permits granted (and not returned), every closed span of time [a, a + T], of
// any length T, holds at most
//
//     1 + floor((T + L) / I)
//
// Why: in the order of the swaps, the first of m permits within the span leaves TAT >= a + I, each
// further one adds I, and the last was granted with TAT <= a + T + L; so (m - 1) I <= T + L.
// Nothing in this needs the threads' `now`s to come in order, so a shard may pass its loop's cached
// time.
//
// I is chosen so that for a rate of N per D the property reads "at most N in D", without a "+ 1" at
// the edge and with the burst within the N: I = (D + L + 1 ns) / N, rounded up. So "500/min" is
// never 501 in a sliding minute, and never more than k N in k D. L is
//
//     no burst given:   min(D / 200, 5 ms)
//     burst B given:    (B - 1) I, which makes I = (D + 1 ns) / (N - B + 1)
//
// What this costs is pace: after a full burst, N - B + 1 in D (and all of N over a D with a pause
// in it). One word cannot have both; with B = 1 the pace is N, but what a permit is asked for late
// is lost. So the default pays at most 0.5 % and makes up for up to 5 ms of lateness: a timer's
// tick (1 ms) and a busy loop. With a given burst exactly B go at once after a pause, and at most
// B + floor(T / I) <= B + floor(N T / D) in any T.
//
// Rounding: times are in ticks of 1/8 ns and I is rounded up to a tick, once; the word only ever
// adds whole ticks, so nothing accumulates. Up means: 30/min and 7/s hold for ever, as the error is
// one-sided and below 0.13 % at 10 million a second, 10^-9 at 7/s (in 30 years one permit later
// than the exact fraction). Ticks hold 36 years of monotonic time.
//
// RETURNED PERMITS. A permit that was not used is taken back only while the word is still as its
// taking left it; then the word becomes what it was before, and the permit never was. If somebody
// took one since, it stays spent: a permit that becomes free later than its time would let a burst
// through ("take at 0, take at 5, return the first, take at 5"). Values of the word between a
// taking and its return are all larger, so equal means untouched. Costs throughput, never the
// property.
//
// CHANGED RATES. SetRate replaces I and L in one store; L keeps its share of D, and is never larger
// than at first. From when it has returned, spans that begin later hold to the new rate. What was
// charged before stays charged, so spans across the change hold to the looser of both (that with
// the smaller I), and after a raise the next permit may still wait for one old interval. When L
// grows again the word moves on with it, or a lower rate would begin with a burst.
//
// WHO WAITS. A refused taker learns the exact time when it would be granted if nobody else came.
// Told to a thousand lanes, that is a thousand wake-ups for one permit, so whoever waits claims a
// turn: a second word hands out times one interval apart. A turn is a hint and no permit: the
// property does not depend on who comes when. (Permits granted for a future time would be one
// mechanism less, but they have to be redeemed in time or break the property or the throughput, and
// "all limits or none" would hold back slots of limits whose time is not the latest.) At most
// `users` turns are ahead at a time; more can only be turns nobody came for, and they begin anew.
//
// Threading: any thread, all functions. Lifetime: none. REQUIRES: `now` in 0 .. 30 years.
#ifndef VOLLEY_PIPELINE_THROTTLE_GCRA_H_
#define VOLLEY_PIPELINE_THROTTLE_GCRA_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "io/base/spsc_ring.h"
#include "io/base/time.h"
#include "pipeline/throttle/limit_spec.h"

namespace volley::pipeline {

// Tolerance without a burst: how late a taker may come without loss.
inline constexpr absl::Duration kLateness = absl::Milliseconds(5);

class Gcra {
 public:
  // What Return() needs to know of a taking; filled in by Take if it grants.
  struct Undo {
    int64_t before, after;
  };

  // REQUIRES: CheckRate(rate).ok(), burst within 1 .. BurstMax(rate).
  explicit Gcra(const RateSpec& rate, std::optional<uint32_t> burst = std::nullopt);

  // Takes n permits, all or none. Returns `now`: granted; a later time: refused, and n would be
  // granted then if nobody else takes any; Infinite: n is more than may ever go at once.
  io::MonoTime Take(io::MonoTime now, uint32_t n, Undo* undo);
  // The same without taking.
  io::MonoTime When(io::MonoTime now, uint32_t n) const;
  // False: somebody has taken since, the permits stay spent.
  bool Return(const Undo& undo);

  // A waiter's turn, not before `earliest` (what Take said). `mine`: one that he has already and
  // that is still to come; he keeps it if it is no worse than what others have.
  io::MonoTime ClaimTurn(io::MonoTime earliest, io::MonoTime mine = {});
  // Those who may wait, each with one turn at a time.
  void AddUser() { users_.fetch_add(1, std::memory_order_relaxed); }
  void RemoveUser() { users_.fetch_sub(1, std::memory_order_relaxed); }

  // One thread at a time. REQUIRES: CheckRate(rate).ok().
  void SetRate(const RateSpec& rate);

  uint64_t most_at_once() const;  // the largest n that Take can grant
  double per_second() const;      // the pace: 1 / I
  absl::Duration interval() const;
  absl::Duration tolerance() const;

 private:
  static constexpr int kTicksShift = 3;     // 8 ticks a nanosecond
  static constexpr int kIntervalBits = 50;  // 39 hours
  static constexpr uint64_t kWholeTolerance = (uint64_t{1} << (64 - kIntervalBits)) - 1;
  static constexpr int64_t kLongAgo = -(int64_t{1} << 61);

  struct Pace {
    int64_t interval;   // ticks
    int64_t tolerance;  // ticks
  };

  uint64_t Pack(const RateSpec& rate) const;
  Pace Unpack(uint64_t word) const;
  Pace pace() const { return Unpack(rate_.load(std::memory_order_acquire)); }
  static io::MonoTime CeilToTime(int64_t ticks);

  const absl::Duration whole_per_;  // rates per less than this have a share of the tolerance
  const int64_t tolerance_;         // ticks, of the configured rate
  // Interval (50 bits), tolerance as a share of tolerance_ (14 bits). Acquire and release, so that
  // whoever has seen something done after SetRate takes at its rate.
  std::atomic<uint64_t> rate_;
  std::atomic<uint32_t> users_{0};
  // Written at every permit: a line of their own, away from what is only read.
  alignas(io::kCacheLineBytes) std::atomic<int64_t> tat_{kLongAgo};        // ticks
  alignas(io::kCacheLineBytes) std::atomic<int64_t> next_turn_{kLongAgo};  // ticks
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_GCRA_H_
