#include "pipeline/throttle/quota.h"

#include <algorithm>
#include <array>

#include "io/base/check.h"
#include "pipeline/throttle/quota_state.h"

namespace volley::pipeline {
namespace {

constexpr int kUsedBits = 36;
constexpr uint64_t kUsedMask = (uint64_t{1} << kUsedBits) - 1;

}  // namespace

absl::StatusOr<std::unique_ptr<Quota>> Quota::Open(const RateSpec& spec, State state,
                                                   const ClockReading& now, std::string* note) {
  VOLLEY_CHECK(CheckQuota(spec).ok());
  const int64_t unix_nanos = std::max<int64_t>(absl::ToUnixNanos(now.wall), 0);
  absl::Status status = PrepareQuotaState(state, spec.per, unix_nanos, note);
  if (!status.ok()) return status;
  return std::unique_ptr<Quota>(new Quota(spec, state, nullptr, now));
}

std::unique_ptr<Quota> Quota::InMemory(const RateSpec& spec, const ClockReading& now) {
  VOLLEY_CHECK(CheckQuota(spec).ok());
  auto words = std::make_unique<uint64_t[]>(kStateWords);
  const State state(words.get(), kStateWords);
  std::string note;
  const int64_t unix_nanos = std::max<int64_t>(absl::ToUnixNanos(now.wall), 0);
  VOLLEY_CHECK(PrepareQuotaState(state, spec.per, unix_nanos, &note).ok());
  return std::unique_ptr<Quota>(new Quota(spec, state, std::move(words), now));
}

Quota::Quota(const RateSpec& spec, State state, std::unique_ptr<uint64_t[]> owned,
             const ClockReading& now)
    : owned_(std::move(owned)),
      state_(state),
      bucket_nanos_(QuotaBucketNanos(spec.per)),
      unix_minus_mono_(std::max<int64_t>(absl::ToUnixNanos(now.wall), 0) - now.mono.nanos()),
      limit_(spec.count) {
  const uint64_t newest = BucketAt(now.mono);
  uint64_t used = 0;
  for (uint64_t i = 0; i < kSlots; ++i) used += UnpackQuotaSlot(slot(i).load()).count;
  used_ = newest << kUsedBits | used;
  expired_ = 0;
  Advance(newest);
}

uint64_t Quota::BucketAt(io::MonoTime now) const {
  const int64_t unix_nanos = std::max<int64_t>(now.nanos() + unix_minus_mono_, 0);
  return std::min(static_cast<uint64_t>(unix_nanos / bucket_nanos_), kQuotaBucketMax);
}

io::MonoTime Quota::BeginOf(uint64_t bucket) const {
  return io::MonoTime::FromNanos(static_cast<int64_t>(bucket) * bucket_nanos_ - unix_minus_mono_);
}

// The order is the property's: the word first, so that a taker with an older time fails its swap.
void Quota::Advance(uint64_t bucket) {
  if (expired_.load(std::memory_order_acquire) >= bucket) [[likely]]
    return;
  uint64_t word = used_.load(std::memory_order_acquire);
  while (word >> kUsedBits < bucket &&
         !used_.compare_exchange_weak(word, bucket << kUsedBits | (word & kUsedMask),
                                      std::memory_order_acq_rel)) {
  }
  Expire(bucket);
  uint64_t expired = expired_.load(std::memory_order_acquire);
  while (expired < bucket &&
         !expired_.compare_exchange_weak(expired, bucket, std::memory_order_acq_rel)) {
  }
}

// Several threads may be at it: whoever empties a bucket takes its count off, once.
void Quota::Expire(uint64_t newest) {
  if (newest <= kBuckets) return;  // of 1970
  const uint64_t oldest = newest - kBuckets;
  for (uint64_t i = 0; i < kSlots; ++i) {
    std::atomic_ref<uint64_t> ref = slot(i);
    uint64_t word = ref.load(std::memory_order_acquire);
    QuotaSlot s = UnpackQuotaSlot(word);
    while (s.count > 0 && s.bucket < oldest) {
      if (ref.compare_exchange_weak(word, PackQuotaSlot({s.bucket, 0}, i),
                                    std::memory_order_acq_rel)) {
        used_.fetch_sub(s.count, std::memory_order_acq_rel);
        break;
      }
      s = UnpackQuotaSlot(word);
    }
  }
}

// Returns the bucket that it went to: a later one, if this thread slept for a whole window.
uint64_t Quota::AddToSlot(uint64_t bucket, uint32_t n) {
  const size_t index = bucket % kSlots;
  std::atomic_ref<uint64_t> ref = slot(bucket);
  uint64_t word = ref.load(std::memory_order_acquire);
  for (;;) {
    const QuotaSlot old = UnpackQuotaSlot(word);
    QuotaSlot next = old;
    if (word == 0 || old.bucket < bucket) next = {bucket, 0};
    next.count += n;
    if (!ref.compare_exchange_weak(word, PackQuotaSlot(next, index), std::memory_order_acq_rel)) {
      continue;
    }
    // Replaced before it was emptied: by a thread that is in Expire() and has not come to it yet.
    if (next.bucket != old.bucket && old.count > 0) {
      used_.fetch_sub(old.count, std::memory_order_acq_rel);
    }
    return next.bucket;
  }
}

io::MonoTime Quota::Take(io::MonoTime now, uint32_t n, Undo* undo) {
  const uint64_t bucket = BucketAt(now);
  const uint64_t limit = limit_.load(std::memory_order_acquire);
  Advance(bucket);
  uint64_t word = used_.load(std::memory_order_acquire);
  do {
    const uint64_t newest = word >> kUsedBits;
    if (newest > bucket) return BeginOf(newest);
    const uint64_t used = word & kUsedMask;
    if (used + n > limit) return n > limit ? io::MonoTime::Infinite() : WhenFree(newest, n);
  } while (!used_.compare_exchange_weak(word, word + n, std::memory_order_acq_rel));
  *undo = {AddToSlot(bucket, n), n};
  return now;
}

io::MonoTime Quota::When(io::MonoTime now, uint32_t n) {
  const uint64_t bucket = BucketAt(now);
  const uint64_t limit = limit_.load(std::memory_order_acquire);
  Advance(bucket);
  const uint64_t word = used_.load(std::memory_order_acquire);
  if (word >> kUsedBits > bucket) return BeginOf(word >> kUsedBits);
  if ((word & kUsedMask) + n <= limit) return now;
  return n > limit ? io::MonoTime::Infinite() : WhenFree(bucket, n);
}

// The begin of the first bucket at which so much has expired that `wanted` fit.
io::MonoTime Quota::WhenFree(uint64_t newest, uint64_t wanted) {
  const uint64_t limit = limit_.load(std::memory_order_acquire);
  uint64_t left = (used_.load(std::memory_order_acquire) & kUsedMask) + wanted;
  const uint64_t oldest = newest > kBuckets ? newest - kBuckets : 0;
  for (uint64_t bucket = oldest; bucket <= newest; ++bucket) {
    const QuotaSlot s = UnpackQuotaSlot(slot(bucket).load(std::memory_order_acquire));
    if (s.bucket != bucket || s.count == 0) continue;
    left -= std::min(left, s.count);
    if (left <= limit) return BeginOf(bucket + kBuckets + 1);
  }
  // Others are between their word and their bucket, or the limit has just changed.
  return BeginOf(newest + 1);
}

void Quota::Return(const Undo& undo) {
  const size_t index = undo.bucket % kSlots;
  std::atomic_ref<uint64_t> ref = slot(undo.bucket);
  uint64_t word = ref.load(std::memory_order_acquire);
  for (;;) {
    const QuotaSlot s = UnpackQuotaSlot(word);
    if (s.bucket != undo.bucket || s.count < undo.count) return;  // expired
    const uint64_t next = PackQuotaSlot({s.bucket, s.count - undo.count}, index);
    if (ref.compare_exchange_weak(word, next, std::memory_order_acq_rel)) break;
  }
  used_.fetch_sub(undo.count, std::memory_order_acq_rel);
}

void Quota::SetLimit(uint64_t limit) {
  VOLLEY_CHECK(limit <= kQuotaCountMax);
  limit_.store(limit, std::memory_order_release);
}

uint64_t Quota::Used(io::MonoTime now) {
  Advance(BucketAt(now));
  return used_.load(std::memory_order_acquire) & kUsedMask;
}

std::array<uint64_t, Quota::kStateWords> Quota::Snapshot() const {
  std::array<uint64_t, kStateWords> copy;
  for (size_t i = 0; i < kStateWords; ++i) copy[i] = std::atomic_ref(state_[i]).load();
  return copy;
}

}  // namespace volley::pipeline
