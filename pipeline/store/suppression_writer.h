// SuppressionWriter: puts entries into the table, in whatever transaction its caller has open. What
// SuppressionList, the import and the bounce history have in common.
//
// One entry for each address and list. When there is one already, the reason that needs the
// person's word to be undone wins over one that does not; among equals the older entry stays.
// So putting the same entries in again changes nothing.
//
// Threading: its store's. Lifetime: the store outlives it.
#ifndef VOLLEY_PIPELINE_STORE_SUPPRESSION_WRITER_H_
#define VOLLEY_PIPELINE_STORE_SUPPRESSION_WRITER_H_

#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/store/store.h"

namespace volley::pipeline {

// Reasons with a meaning of their own; all others are for people. A bounce's reason is the name of
// its category ("recipient_unknown").
inline constexpr std::string_view kReasonUnsubscribe = "unsubscribe";
inline constexpr std::string_view kReasonComplaint = "complaint";
inline constexpr std::string_view kReasonManual = "manual";
inline constexpr std::string_view kReasonImported = "imported";

// The person said no: mailing them again needs their consent, not a better address.
inline bool NeedsConsent(std::string_view reason) {
  return reason == kReasonUnsubscribe || reason == kReasonComplaint;
}

struct SuppressionView {
  std::string_view address;  // canonical, in lower case
  std::string_view list, reason, source, campaign;
  int64_t created_ms = 0;  // since 1970
};

enum class PutResult : uint8_t { kAdded, kReplaced, kKept };

class SuppressionWriter {
 public:
  static absl::StatusOr<SuppressionWriter> Create(Store* store);

  absl::StatusOr<PutResult> Put(const SuppressionView& entry);
  // What Put would do.
  absl::StatusOr<PutResult> Compare(const SuppressionView& entry);

 private:
  SuppressionWriter(Store* store, Statement insert, Statement select, Statement update)
      : store_(store),
        insert_(std::move(insert)),
        select_(std::move(select)),
        update_(std::move(update)) {}

  Store* store_;
  Statement insert_, select_, update_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_SUPPRESSION_WRITER_H_
