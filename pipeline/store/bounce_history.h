// BounceHistory: counts bounces that do not suppress at once, and decides when they are enough:
// "after 2 in 30 days", "after 3 campaigns", "after 5". What suppresses, after how many, is a table
// that the caller passes in; categories are names that mean nothing here.
//
// A later delivery clears what was counted of an address, because senders in the field count
// bounces in a row: somebody who emptied the mailbox is reachable again. It clears only bounces
// that came as a reply in the session: a server that takes every message and returns it afterwards
// would otherwise never get over one.
//
// Threading: one thread (the store thread), with a connection of its own. Errors: as Store; a batch
// is written as a whole or not at all, so the same one can be given again.
#ifndef VOLLEY_PIPELINE_STORE_BOUNCE_HISTORY_H_
#define VOLLEY_PIPELINE_STORE_BOUNCE_HISTORY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "pipeline/store/generation.h"
#include "pipeline/store/sip_hash.h"
#include "pipeline/store/store.h"
#include "pipeline/store/suppression_writer.h"

namespace volley::pipeline {

// Suppress when a category has come `count` times within `window`, in as many campaigns where
// `distinct_campaigns`. count 1: at once. A category without a threshold never suppresses.
struct BounceThreshold {
  std::string category;
  uint32_t count = 1;
  absl::Duration window = absl::InfiniteDuration();
  bool distinct_campaigns = false;
};

// LIFETIME: the views are good during the call.
struct BounceEvent {
  enum class Kind : uint8_t {
    kReplied,    // the server refused in the session
    kReturned,   // it was taken, and a bounce message came back
    kDelivered,  // it was taken; `category` is not looked at
  };
  std::string_view address;   // REQUIRES: canonical; case does not matter
  std::string_view category;  // "mailbox_full"
  std::string_view campaign;
  absl::Time at;
  Kind kind = Kind::kReplied;
};

class BounceHistory {
 public:
  static absl::StatusOr<std::unique_ptr<BounceHistory>> Open(
      const std::string& state_dir, std::vector<BounceThreshold> thresholds,
      const StoreOptions& options = {});

  // `reason` is the category; empty: not to be suppressed for that.
  struct Decision {
    size_t event = 0;  // its index in the batch
    std::string reason;
  };
  // Counts a batch. Whom a threshold says to suppress is on the list, for all lists, when this
  // returns (in the same transaction), with `source` as where it came from; running senders know.
  // Events of an address (in one spelling of its case) are taken in their order.
  // The same event (address, category, campaign and time) counts once, however often it is given.
  absl::StatusOr<std::vector<Decision>> RecordBatch(std::span<const BounceEvent> events,
                                                    std::string_view source);
  // One event. None: not to be suppressed for that.
  absl::StatusOr<std::optional<std::string>> Record(const BounceEvent& event,
                                                    std::string_view source);
  // Whether a delivery to this address clears anything, as far as this process knows.
  bool Counts(std::string_view address);
  // Forgets what no threshold can count any more at `now`. Returns how many rows.
  absl::StatusOr<uint64_t> Purge(absl::Time now);

 private:
  BounceHistory(std::unique_ptr<Store> store, std::shared_ptr<Generation> generation)
      : store_(std::move(store)), generation_(std::move(generation)) {}
  absl::Status Prepare();
  absl::Status LoadCounted();
  absl::Status Apply(std::span<const BounceEvent> events, std::string_view source,
                     std::vector<Decision>* decisions);
  absl::StatusOr<bool> ApplyOne(const BounceEvent& event, std::string_view source);
  absl::Status Forget();
  absl::StatusOr<bool> IsEnough(const BounceEvent& event, const BounceThreshold& threshold);
  absl::StatusOr<bool> Count(const BounceEvent& event, const BounceThreshold& threshold);
  absl::Status Suppress(const BounceEvent& event, std::string_view source);

  std::unique_ptr<Store> store_;
  std::shared_ptr<Generation> generation_;
  std::map<std::string, BounceThreshold, std::less<>> thresholds_;  // by category
  std::optional<SuppressionWriter> suppress_;
  std::optional<Statement> insert_, count_, forget_;
  // Hashes of addresses with something that a delivery clears: nearly nobody who gets a message has
  // any, and the others need no look into the database. What another process counts meanwhile is
  // not in it and is cleared by that process, or by the next.
  absl::flat_hash_set<uint64_t> counted_;
  SipKey key_;
  std::string lower_;  // the address of the event at hand
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_BOUNCE_HISTORY_H_
