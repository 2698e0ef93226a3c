#include "pipeline/report/timeline.h"

#include <algorithm>

namespace volley::pipeline {

void Timeline::Add(absl::Time at, size_t kind) {
  if (begin_ == absl::InfiniteFuture()) begin_ = absl::FromUnixSeconds(absl::ToUnixSeconds(at));
  const absl::Duration since = std::max(absl::ZeroDuration(), at - begin_);
  while (since >= slice_ * static_cast<int64_t>(kSlices)) Halve();
  const auto index = static_cast<size_t>(since / slice_);
  if (index >= slices_.size()) slices_.resize(index + 1);
  ++slices_[index].counts[kind];
}

void Timeline::Halve() {
  slice_ *= 2;
  const size_t n = (slices_.size() + 1) / 2;
  for (size_t i = 0; i < n; ++i) {
    Slice joined = slices_[2 * i];
    for (size_t k = 0; k < kKinds && 2 * i + 1 < slices_.size(); ++k) {
      joined.counts[k] += slices_[2 * i + 1].counts[k];
    }
    slices_[i] = joined;
  }
  slices_.resize(n);
}

}  // namespace volley::pipeline
