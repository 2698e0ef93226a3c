// The bytes of a quota's state: header, slots, their checks. Apart from Quota, which counts.
//
//   word 0      "volleyQT", written last, so that a state half made is seen
//   word 1      version (low half), number of slots
//   word 2, 3   window, bucket length, in nanoseconds
//   word 4..6   0
//   word 7      CRC-32 of words 0..6 (low half)
//   word 8..    slots: bucket number since 1970 (28 bits), count (28), check (8); 0: never used
//
// In the machine's byte order, which is little-endian wherever we run.
//
// Threading: one thread, before anybody counts.
#ifndef VOLLEY_PIPELINE_THROTTLE_QUOTA_STATE_H_
#define VOLLEY_PIPELINE_THROTTLE_QUOTA_STATE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "pipeline/throttle/quota.h"

namespace volley::pipeline {

struct QuotaSlot {
  uint64_t bucket = 0;
  uint64_t count = 0;
};

inline constexpr uint64_t kQuotaBucketMax = (uint64_t{1} << 28) - 1;

// Eight bits of a multiplicative hash, so that a word that is none of ours is seen.
inline uint64_t QuotaSlotCheck(uint64_t value, size_t slot) {
  return (value + slot + 1) * 0x9e3779b97f4a7c15 >> 56;
}
// `slot`: the index in the ring. Counts over the field's size are all of it: full.
inline uint64_t PackQuotaSlot(const QuotaSlot& s, size_t slot) {
  const uint64_t count = s.count < kQuotaCountMax ? s.count : kQuotaCountMax;
  const uint64_t value = s.bucket << 28 | count;
  return value << 8 | QuotaSlotCheck(value, slot);
}
// Without looking at the check.
inline QuotaSlot UnpackQuotaSlot(uint64_t word) { return {word >> 36, word >> 8 & kQuotaCountMax}; }

inline int64_t QuotaBucketNanos(absl::Duration window) {
  const int64_t nanos = absl::ToInt64Nanoseconds(window);
  return (nanos + int64_t{Quota::kBuckets} - 1) / int64_t{Quota::kBuckets};
}

// Makes `state` one of `window` as of `unix_nanos`: formats a new one, checks an old one, moves its
// counts to other buckets where the window has changed, and out of the future.
absl::Status PrepareQuotaState(Quota::State state, absl::Duration window, int64_t unix_nanos,
                               std::string* note);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_QUOTA_STATE_H_
