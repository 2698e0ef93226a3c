// RetrySchedule: when a recipient that was deferred is tried again, and when no more.
//
// The wait grows from `first` by doubling up to `longest`, each time up to a quarter more, by
// chance, so that what was deferred together does not come back together. What the server said
// itself ("try again in 5 minutes") goes before that. After `give_up_after`, counted from the
// recipient's first try, it has expired (RFC 5321 §4.5.4.1 advises 4 to 5 days for mail of people;
// a newsletter is old news before).
//
// Threading: pure functions.
#ifndef VOLLEY_PIPELINE_SETTLE_RETRY_H_
#define VOLLEY_PIPELINE_SETTLE_RETRY_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

struct RetrySchedule {
  absl::Duration first = absl::Minutes(5);
  absl::Duration longest = absl::Hours(4);
  // 0: each recipient is tried once in a run; what is deferred stays so.
  absl::Duration give_up_after = absl::Hours(48);
};

// A server's own wish is kept within these.
inline constexpr absl::Duration kHintMin = absl::Seconds(1);
inline constexpr absl::Duration kHintMax = absl::Hours(12);

struct DeferredTry {
  uint32_t index = 0;     // of the recipient: the seed of chance
  uint8_t attempts = 1;   // that counted, with this one
  UnixSeconds first = 0;  // when it was tried for the first time
  std::optional<absl::Duration> hint;
};

// When to try again; nullopt: it has expired. REQUIRES: give_up_after > 0.
std::optional<UnixSeconds> NextTry(const RetrySchedule& schedule, const DeferredTry& deferred,
                                   UnixSeconds now);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_RETRY_H_
