// Recorder: what is written down of each try, beside the ledger: events, undelivered.csv,
// rejected.csv, and bounces that suppress an address in campaigns to come.
//
// Only what is final counts as a bounce or a delivery; which categories suppress, and after how
// many, is kSuppressAfter in the .cc (docs/bounces.md).
//
// Threading: one thread (the coordinator). Lifetime: campaign and ledger outlive it. Errors: the
// first error of a file stays in status(); a suppression list that cannot be written is one too, as
// somebody who is gone would be mailed again.
#ifndef VOLLEY_PIPELINE_SHARD_RECORDER_H_
#define VOLLEY_PIPELINE_SHARD_RECORDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "pipeline/adapt/adapter.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/settle/event_log.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/settler.h"
#include "pipeline/settle/undelivered.h"
#include "pipeline/source/rejected_csv.h"
#include "pipeline/store/bounce_history.h"

namespace volley::pipeline {

class Recorder {
 public:
  // `state_dir`: where the suppression list is; empty: bounces suppress nobody.
  Recorder(const Campaign* campaign, const Ledger* ledger, UncertainPolicy uncertain,
           std::string state_dir, const EventLogOptions& events)
      : campaign_(campaign),
        ledger_(ledger),
        uncertain_(uncertain),
        state_dir_(std::move(state_dir)),
        events_options_(events) {}
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Opens the files in the campaign's folder and says of what was in flight that it is uncertain.
  absl::Status Open(absl::Time now);
  bool opened() const { return events_ != nullptr; }

  // `way`: the name of the relay or route of the note's lane.
  void Record(const OutcomeNote& note, std::string_view way);
  // A limit that was changed because of what a server said.
  void RecordChange(const LimitChange& change, absl::Time now);
  // Those that would be tried again but for the end of the run, with the last reply.
  absl::Status ListUnsettled();

  absl::Status Flush();
  absl::Status status() const;
  absl::Status TakeWarning() { return events_->TakeWarning(); }  // as EventLog's
  const UndeliveredFile& undelivered() const { return undelivered_; }
  uint64_t suppressed() const { return suppressed_; }  // addresses that came on the list

 private:
  static constexpr size_t kBouncesMax = 1000;  // kept back for one write
  struct Bounce {
    std::string address;
    std::string_view category;  // a name that lives for ever; empty: delivered
    absl::Time at;
  };
  bool IsTriedAgain(SlotState state) const;
  void CountBounce(const OutcomeNote& note, std::string_view address, std::string_view category);
  void WriteBounces();

  const Campaign* const campaign_;
  const Ledger* const ledger_;
  const UncertainPolicy uncertain_;
  const std::string state_dir_;
  const EventLogOptions events_options_;
  std::unique_ptr<EventLog> events_;
  UndeliveredFile undelivered_{""};
  RejectedRows rejected_;
  std::unique_ptr<BounceHistory> history_;  // null: bounces suppress nobody
  std::vector<Bounce> bounces_;
  absl::Status bounces_status_;
  uint64_t suppressed_ = 0;
  RecipientRecord record_;  // reused
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_RECORDER_H_
