#include "pipeline/throttle/gcra.h"

#include <algorithm>

#include "io/base/check.h"

namespace volley::pipeline {
namespace {

int64_t CeilDivide(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

constexpr int64_t kTicksPerNano = 8;

int64_t TicksOf(absl::Duration span) { return absl::ToInt64Nanoseconds(span) * kTicksPerNano; }

// The header's L, of the configured rate.
int64_t Tolerance(const RateSpec& rate, std::optional<uint32_t> burst) {
  VOLLEY_CHECK(CheckRate(rate).ok());
  if (!burst) return TicksOf(std::min(rate.per / 200, kLateness));
  VOLLEY_CHECK(*burst >= 1 && *burst <= BurstMax(rate));
  const auto paced = static_cast<int64_t>(rate.count - *burst + 1);
  return (*burst - int64_t{1}) * CeilDivide(TicksOf(rate.per) + kTicksPerNano, paced);
}

}  // namespace

Gcra::Gcra(const RateSpec& rate, std::optional<uint32_t> burst)
    : whole_per_(burst ? rate.per : std::min(rate.per, kLateness * 200)),
      tolerance_(Tolerance(rate, burst)),
      rate_(Pack(rate)) {}

uint64_t Gcra::Pack(const RateSpec& rate) const {
  VOLLEY_CHECK(CheckRate(rate).ok());
  const double share = std::min(absl::FDivDuration(rate.per, whole_per_), 1.0);
  const auto fraction = static_cast<uint64_t>(share * static_cast<double>(kWholeTolerance));
  const int64_t span =
      TicksOf(rate.per) + kTicksPerNano + Unpack(fraction << kIntervalBits).tolerance;
  const int64_t interval = CeilDivide(span, static_cast<int64_t>(rate.count));
  VOLLEY_CHECK(interval < int64_t{1} << kIntervalBits);
  return fraction << kIntervalBits | static_cast<uint64_t>(interval);
}

Gcra::Pace Gcra::Unpack(uint64_t word) const {
  const auto interval = static_cast<int64_t>(word & ((uint64_t{1} << kIntervalBits) - 1));
  const uint64_t fraction = word >> kIntervalBits;
  if (fraction == kWholeTolerance) [[likely]]
    return {interval, tolerance_};
  // Divided first: a day's ticks times 14 bits would not fit. The little that is lost is stricter.
  return {interval, tolerance_ / int64_t{kWholeTolerance} * static_cast<int64_t>(fraction)};
}

io::MonoTime Gcra::CeilToTime(int64_t ticks) {
  constexpr int64_t kRoundUp = (int64_t{1} << kTicksShift) - 1;
  return io::MonoTime::FromNanos((ticks + kRoundUp) >> kTicksShift);
}

io::MonoTime Gcra::Take(io::MonoTime now, uint32_t n, Undo* undo) {
  const Pace pace = this->pace();
  const int64_t now_ticks = now.nanos() << kTicksShift;
  if (n > 1 && n - 1 > pace.tolerance / pace.interval) return io::MonoTime::Infinite();
  const int64_t charge = n * pace.interval;
  // Relaxed: the word orders nothing but itself, and its own modification order is the proof's.
  int64_t tat = tat_.load(std::memory_order_relaxed);
  for (;;) {
    const int64_t after = std::max(tat, now_ticks) + charge;
    const int64_t due = after - pace.interval - pace.tolerance;
    if (due > now_ticks) return CeilToTime(due);
    if (tat_.compare_exchange_weak(tat, after, std::memory_order_relaxed)) {
      *undo = {tat, after};
      return now;
    }
  }
}

io::MonoTime Gcra::When(io::MonoTime now, uint32_t n) const {
  const Pace pace = this->pace();
  const int64_t now_ticks = now.nanos() << kTicksShift;
  if (n > 1 && n - 1 > pace.tolerance / pace.interval) return io::MonoTime::Infinite();
  const int64_t tat = std::max(tat_.load(std::memory_order_relaxed), now_ticks);
  const int64_t due = tat + (n - int64_t{1}) * pace.interval - pace.tolerance;
  return due > now_ticks ? CeilToTime(due) : now;
}

bool Gcra::Return(const Undo& undo) {
  int64_t expected = undo.after;
  return tat_.compare_exchange_strong(expected, undo.before, std::memory_order_relaxed);
}

io::MonoTime Gcra::ClaimTurn(io::MonoTime earliest, io::MonoTime mine) {
  if (earliest.is_infinite()) return earliest;
  const int64_t interval = pace().interval;
  const int64_t first = earliest.nanos() << kTicksShift;
  const int64_t users = std::max<int64_t>(users_.load(std::memory_order_relaxed), 1);
  // Nobody is sent further than a day and a half, and nothing overflows. One turn more than the
  // others have, as `earliest` is rounded up to a nanosecond and turns are not.
  const int64_t ahead = std::min(users, (int64_t{1} << kIntervalBits) / interval) * interval;
  const int64_t last = first + ahead;
  if (mine >= earliest && mine <= CeilToTime(last)) return mine;
  int64_t next = next_turn_.load(std::memory_order_relaxed);
  int64_t turn;
  do {
    turn = next < first || next > last ? first : next;
  } while (!next_turn_.compare_exchange_weak(next, turn + interval, std::memory_order_relaxed));
  return CeilToTime(turn);
}

void Gcra::SetRate(const RateSpec& rate) {
  const uint64_t word = Pack(rate);
  const int64_t grows = Unpack(word).tolerance - pace().tolerance;
  // Before the store: in between it is stricter than both.
  if (grows > 0) tat_.fetch_add(grows, std::memory_order_relaxed);
  rate_.store(word, std::memory_order_release);
}

uint64_t Gcra::most_at_once() const {
  const Pace p = pace();
  return static_cast<uint64_t>(p.tolerance / p.interval) + 1;
}

double Gcra::per_second() const {
  return 1e9 * kTicksPerNano / static_cast<double>(pace().interval);
}

absl::Duration Gcra::interval() const { return absl::Nanoseconds(pace().interval) / kTicksPerNano; }

absl::Duration Gcra::tolerance() const {
  return absl::Nanoseconds(pace().tolerance) / kTicksPerNano;
}

}  // namespace volley::pipeline
