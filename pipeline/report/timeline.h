// Timeline: what happened when, in at most kSlices slices of equal length. It starts with slices of
// a second; when the time is longer than all of them, two become one.
//
// Threading: a value.
#ifndef VOLLEY_PIPELINE_REPORT_TIMELINE_H_
#define VOLLEY_PIPELINE_REPORT_TIMELINE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace volley::pipeline {

class Timeline {
 public:
  static constexpr size_t kSlices = 120, kKinds = 3;
  struct Slice {
    std::array<uint64_t, kKinds> counts{};
  };

  // REQUIRES: kind < kKinds. Before the first one's time: counted in the first slice.
  void Add(absl::Time at, size_t kind);

  absl::Time begin() const { return begin_; }
  absl::Duration slice() const { return slice_; }
  const std::vector<Slice>& slices() const { return slices_; }  // to the last with anything in it

 private:
  void Halve();

  absl::Time begin_ = absl::InfiniteFuture();
  absl::Duration slice_ = absl::Seconds(1);
  std::vector<Slice> slices_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_REPORT_TIMELINE_H_
