// LeftToSend: who of a campaign is still to be sent to, counted by domain: all of a list that was
// never sent; of one that was, those the ledger says are not settled, less those suppressed since.
//
// Threading: one thread. Errors: DataLoss: the list is damaged; as SuppressionReader. Memory: a few
// numbers a domain, none a recipient.
#ifndef VOLLEY_PIPELINE_PLAN_LEFT_H_
#define VOLLEY_PIPELINE_PLAN_LEFT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/settler.h"
#include "pipeline/source/recipient_file.h"
#include "pipeline/store/suppression.h"

namespace volley::pipeline {

// The recipients of one domain that are mailed from one source.
struct DomainCount {
  uint64_t now = 0;
  // Deferred, by when they are due, in steps of kDueStep.
  std::map<UnixSeconds, uint64_t> later = {};

  uint64_t total() const;
  void Add(const DomainCount& more);
};
inline constexpr UnixSeconds kDueStep = 10;

struct LeftToSend {
  absl::flat_hash_map<std::string, std::vector<DomainCount>> domains;  // each by source
  uint64_t messages = 0;                                               // of all domains
  uint64_t later = 0;       // of these, deferred and not due yet
  uint64_t settled = 0;     // by earlier runs
  uint64_t suppressed = 0;  // since the list was read
};

struct CountLeftOptions {
  const Ledger* ledger = nullptr;  // null: nobody was tried
  UncertainPolicy uncertain = UncertainPolicy::kSkip;
  SuppressionReader* suppressed = nullptr;  // null: nobody is
  uint32_t sources = 1;
  UnixSeconds now = 0;
  std::function<void(uint64_t done, uint64_t total)> on_progress = {};  // now and then
};
absl::StatusOr<LeftToSend> CountLeft(const RecipientFile& list, const CountLeftOptions& options);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_PLAN_LEFT_H_
