#include "pipeline/report/histogram.h"

#include <algorithm>
#include <cmath>

namespace volley::pipeline {

// Bucket 0 is 0 ms, bucket 1 is 1 ms, from there on four to the doubling.
size_t Histogram::BucketOf(uint32_t millis) {
  if (millis == 0) return 0;
  return std::min(kBuckets - 1,
                  1 + static_cast<size_t>(4 * std::log2(static_cast<double>(millis))));
}

double Histogram::LowerBound(size_t bucket) {
  return bucket == 0 ? 0 : std::exp2(static_cast<double>(bucket - 1) / 4);
}

void Histogram::Add(uint32_t millis) {
  ++buckets_[BucketOf(millis)];
  ++count_;
  max_ = std::max(max_, millis);
}

uint32_t Histogram::Quantile(double q) const {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<uint64_t>(std::ceil(q * static_cast<double>(count_)));
  uint64_t seen = 0;
  size_t bucket = 0;
  while (bucket + 1 < kBuckets && (seen += buckets_[bucket]) < std::max<uint64_t>(wanted, 1)) {
    ++bucket;
  }
  const double middle = (LowerBound(bucket) + LowerBound(bucket + 1)) / 2;
  return std::min(max_, static_cast<uint32_t>(bucket <= 1 ? LowerBound(bucket) : middle));
}

}  // namespace volley::pipeline
