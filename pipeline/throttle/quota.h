// Quota: at most N permits in any sliding window W of hours or days, over all threads, and over
// restarts.
//
// A permit is counted in the bucket of time it was granted in: a ring of 289 words, each bucket
// 1/288 of the window (5 minutes of 24 h). A bucket counts until its *end* is a whole window past,
// so every permit counts for W up to W + W/288: of a quota that is always used up, 99.65 % can be
// had.
//
// THE PROPERTY. Every closed window [a, a + W] holds at most N of the permits granted and not
// returned. One word, `used`, is what is counted now, and the newest bucket that anybody has begun:
//   take     refused if used + n > N; else used += n in one swap, then the bucket += n
//   expire   first the newest bucket is moved on in the word, then a bucket that is past is
//   emptied,
//            then used -= what was in it
//   return   the bucket -= n, if it has not expired; then used -= n
// So used is never less than what the live buckets hold. And who comes with a `now` of before the
// newest bucket's begin (a shard's cached time) is told to come at that begin, as permits that
// count in his window may have expired already: the swap fails if the bucket was moved on in
// between. Returned permits are simply gone, whoever has taken since: what was decided with them
// counted was decided more strictly.
//
// CLOCKS. While running, time is the monotonic clock, so nothing a wall clock does matters (a
// suspended machine's time does not pass: stricter). The wall clock is asked once, when a quota is
// opened, to place what was counted before:
//   it stands earlier than it did (buckets of the future): they count as granted now. Stricter, for
//   at most one window; `note` says so. it stands later than it should: by as much earlier they
//   expire. That cannot be told from time that has passed; it is the one way to exceed a quota.
//
// STATE. kStateBytes: a header with magic, version, window and CRC-32, and the ring, each word with
// its bucket's number, count and 8 check bits. Every permit is in it before Take returns, so a
// process that is killed forgets none when the state is a mapped file (QuotaFile); permits taken
// and not sent stay counted. Another window than the state's: counts move to the new buckets, to
// the end of their old ones. Damaged, foreign or newer state is refused.
//
// Threading: Take, When, Return, SetLimit from any thread. Lifetime: the state outlives the quota,
// and nobody else writes it. No lock, no allocation after Open. REQUIRES: monotonic times from the
// same boot as the one given to Open, not before it.
#ifndef VOLLEY_PIPELINE_THROTTLE_QUOTA_H_
#define VOLLEY_PIPELINE_THROTTLE_QUOTA_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "io/base/time.h"
#include "pipeline/throttle/limit_spec.h"

namespace volley::pipeline {

// The two clocks read at the same time.
struct ClockReading {
  io::MonoTime mono;
  absl::Time wall;
};

class Quota {
 public:
  static constexpr size_t kBuckets = 288;  // of a window
  static constexpr size_t kSlots = kBuckets + 1;
  static constexpr size_t kHeaderWords = 8;
  static constexpr size_t kStateWords = kHeaderWords + kSlots;
  static constexpr size_t kStateBytes = kStateWords * sizeof(uint64_t);
  using State = std::span<uint64_t, kStateWords>;

  struct Undo {  // filled in by Take if it grants
    uint64_t bucket;
    uint32_t count;
  };

  // `state`: all zero (a new quota) or what an earlier one left. `note`: what a person should know
  // of it, or "". DataLoss: damaged; FailedPrecondition: of a newer version. REQUIRES:
  // CheckQuota(spec) .ok().
  static absl::StatusOr<std::unique_ptr<Quota>> Open(const RateSpec& spec, State state,
                                                     const ClockReading& now, std::string* note);
  // With a state of its own, that is gone with it.
  static std::unique_ptr<Quota> InMemory(const RateSpec& spec, const ClockReading& now);

  // As Gcra::Take: `now`: granted; later: refused, and enough will have expired then; Infinite: n
  // is more than the whole quota.
  io::MonoTime Take(io::MonoTime now, uint32_t n, Undo* undo);
  io::MonoTime When(io::MonoTime now, uint32_t n);
  void Return(const Undo& undo);

  // 0 is possible here: nothing is granted until it is raised (a warm-up that has not begun).
  // Who waits is told of a raise by the owner. REQUIRES: limit <= kQuotaCountMax.
  void SetLimit(uint64_t limit);
  uint64_t limit() const { return limit_.load(std::memory_order_acquire); }
  // What counts at `now`.
  uint64_t Used(io::MonoTime now);
  // The state's bytes as they are now, to be written somewhere and given to Open() later.
  std::array<uint64_t, kStateWords> Snapshot() const;

 private:
  Quota(const RateSpec& spec, State state, std::unique_ptr<uint64_t[]> owned,
        const ClockReading& now);

  uint64_t BucketAt(io::MonoTime now) const;
  io::MonoTime BeginOf(uint64_t bucket) const;
  void Advance(uint64_t bucket);
  void Expire(uint64_t newest);
  uint64_t AddToSlot(uint64_t bucket, uint32_t n);
  io::MonoTime WhenFree(uint64_t newest, uint64_t wanted);
  std::atomic_ref<uint64_t> slot(uint64_t bucket) const {
    return std::atomic_ref(state_[kHeaderWords + bucket % kSlots]);
  }

  const std::unique_ptr<uint64_t[]> owned_;
  const State state_;
  const int64_t bucket_nanos_;
  const int64_t unix_minus_mono_;  // nanoseconds
  std::atomic<uint64_t> limit_;
  std::atomic<uint64_t> used_;     // newest bucket (28 bits), count (36)
  std::atomic<uint64_t> expired_;  // every bucket that is past for this newest one is emptied
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_QUOTA_H_
