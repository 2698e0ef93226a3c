// What the property tests hold grants against, computed apart from the code under test: from the
// words of the limit ("at most N in D") and in exact integers.
#ifndef VOLLEY_TESTS_PIPELINE_THROTTLE_WINDOW_CHECK_H_
#define VOLLEY_TESTS_PIPELINE_THROTTLE_WINDOW_CHECK_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/time/time.h"

namespace volley::testing {

// The most that any closed window of `length` nanoseconds holds. Sorts.
inline size_t MostInAnyWindow(std::vector<int64_t>& grants, int64_t length) {
  std::sort(grants.begin(), grants.end());
  size_t most = 0;
  for (size_t first = 0, last = 0; last < grants.size(); ++last) {
    while (grants[last] - grants[first] > length) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

// Whether every closed window of every length T holds at most 1 + floor((T + L) / I), for
// I = (D + L + 1 ns) / N. With m grants from i to j that is (j - i) I <= t[j] - t[i] + L, so
// x[k] = k I - t[k] may nowhere be more than L above its least value before.
inline bool HoldsInEveryWindow(std::vector<int64_t>& grants, uint64_t n, int64_t d, int64_t l) {
  std::sort(grants.begin(), grants.end());
  const absl::int128 i_times_n = absl::int128(d) + l + 1;
  absl::int128 least = absl::Int128Max();
  for (size_t k = 0; k < grants.size(); ++k) {
    const absl::int128 x = i_times_n * k - absl::int128(grants[k]) * n;
    least = std::min(least, x);
    if (x - least > absl::int128(l) * n) return false;
  }
  return true;
}

}  // namespace volley::testing

#endif  // VOLLEY_TESTS_PIPELINE_THROTTLE_WINDOW_CHECK_H_
