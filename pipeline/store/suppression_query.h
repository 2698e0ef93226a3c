// SuppressionQuery: what people ask of the suppression list: why somebody is on it, the whole of
// it, how many, what was taken off. Reads only, and never makes a database.
//
// Threading: one thread. Errors: as Store; NotFound: there is no database.
#ifndef VOLLEY_PIPELINE_STORE_SUPPRESSION_QUERY_H_
#define VOLLEY_PIPELINE_STORE_SUPPRESSION_QUERY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "pipeline/store/store.h"
#include "pipeline/store/suppression.h"

namespace volley::pipeline {

// No value: any. A list of "" is that of all lists.
struct SuppressionFilter {
  std::optional<std::string> list;
  std::string reason, source;               // empty: any
  absl::Time since = absl::InfinitePast();  // by created_at
};

struct RemovedSuppression {
  Suppression entry;
  std::string removed_by, why;
  absl::Time removed_at;
};

// Bounces of a category that were counted and did not suppress (bounce_history.h).
struct CountedBounces {
  std::string category;
  uint64_t count = 0;
  absl::Time last;
};

struct SuppressionTotal {
  std::string list, reason;
  uint64_t count = 0;
  absl::Time newest;
};

class SuppressionQuery {
 public:
  static absl::StatusOr<SuppressionQuery> Open(const std::string& state_dir);

  // All entries of an address, that of all lists first. InvalidArgument: not an address.
  absl::StatusOr<std::vector<Suppression>> Lookup(std::string_view address);
  absl::StatusOr<std::vector<RemovedSuppression>> Removals(std::string_view address);
  absl::StatusOr<std::vector<CountedBounces>> Bounces(std::string_view address);
  // Every entry in the order in which they came. Reads a piece at a time, so that however slow
  // `take` is, no read transaction stands in the way of the database's checkpoints; what is added
  // meanwhile is seen. An error of `take` ends it.
  absl::Status Each(const SuppressionFilter& filter,
                    const std::function<absl::Status(const Suppression&)>& take);
  // The last `limit` that came, the newest first.
  absl::StatusOr<std::vector<Suppression>> Newest(const SuppressionFilter& filter, uint64_t limit);
  // By list and reason, most first.
  absl::StatusOr<std::vector<SuppressionTotal>> Totals();
  absl::StatusOr<uint64_t> RemovedCount();

 private:
  explicit SuppressionQuery(std::unique_ptr<Store> store) : store_(std::move(store)) {}
  absl::StatusOr<std::vector<Suppression>> Read(const std::string& sql,
                                                const SuppressionFilter& filter, int64_t after,
                                                uint64_t limit);

  std::unique_ptr<Store> store_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_SUPPRESSION_QUERY_H_
