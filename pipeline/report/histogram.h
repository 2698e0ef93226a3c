// Histogram: durations in milliseconds, four buckets to the doubling: a quantile is within 19 % of
// the truth, the maximum exact.
//
// Threading: a value.
#ifndef VOLLEY_PIPELINE_REPORT_HISTOGRAM_H_
#define VOLLEY_PIPELINE_REPORT_HISTOGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace volley::pipeline {

class Histogram {
 public:
  void Add(uint32_t millis);
  uint64_t count() const { return count_; }
  uint32_t max() const { return max_; }
  // The middle of the bucket where the q-th part ends, at most max(). 0 <= q <= 1; 0 when empty.
  uint32_t Quantile(double q) const;

 private:
  static constexpr size_t kBuckets = 128;
  static size_t BucketOf(uint32_t millis);
  static double LowerBound(size_t bucket);

  std::array<uint32_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint32_t max_ = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_REPORT_HISTOGRAM_H_
