// Report: what became of a campaign. Who got it stands in the ledger, which is exact; how and why
// in the events, each a try: a recipient that was deferred twice and then delivered is one delivery
// in the totals and three events.
//
// Threading: one thread; blocks on files. Errors: NotFound: no such campaign; DataLoss: its ledger;
// as ReadEvents. Bounds: kDomainsMax domains and kRepliesMax replies of a category are kept apart,
// what is beyond them is counted as "(others)".
#ifndef VOLLEY_PIPELINE_REPORT_REPORT_H_
#define VOLLEY_PIPELINE_REPORT_REPORT_H_

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "pipeline/report/event_reader.h"
#include "pipeline/report/histogram.h"
#include "pipeline/report/timeline.h"
#include "pipeline/settle/ledger.h"

namespace volley::pipeline {

enum class EventKind : uint8_t {
  kDelivered,
  kDeferred,
  kBounced,
  kExpired,
  kUncertain,
  kDropped,
};
inline constexpr size_t kEventKinds = 6;
std::string_view EventKindName(EventKind kind);  // as in events.jsonl

struct ReportGroup {
  std::string name;
  std::array<uint64_t, kEventKinds> events{};
  Histogram millis;  // of tries that were answered

  uint64_t count(EventKind kind) const { return events[static_cast<size_t>(kind)]; }
  uint64_t total() const;
};

struct ReportReply {
  std::string text;  // "550 5.1.1 no such user"; foreign text
  uint64_t count = 0;
};

struct ReportCategory {
  std::string name;
  uint64_t count = 0;                // events
  std::vector<ReportReply> replies;  // commonest first
};

// A limit that was changed because of what a server said.
struct ReportChange {
  absl::Time time;
  std::string lane, what, from, to, cause;  // `cause`: foreign text
};

struct Report {
  static constexpr size_t kChangesMax = 100;
  static constexpr size_t kDomainsMax = 20'000, kRepliesMax = 200, kCategoriesMax = 100;
  static constexpr std::string_view kOthers = "(others)";

  std::string campaign;  // its id
  uint64_t recipients = 0;
  Ledger::Counts states{};  // by SlotState
  EventsRead read;
  absl::Time first = absl::InfiniteFuture(), last = absl::InfinitePast();  // event
  std::vector<ReportGroup> ways;           // relays or routes, most events first
  std::vector<ReportGroup> domains;        // of recipients, most events first
  std::vector<ReportCategory> categories;  // most events first
  uint64_t changes_count = 0;
  std::deque<ReportChange> changes;  // the last ones, oldest first
  Timeline timeline;                 // delivered; deferred; all other ends
  Histogram millis;

  uint64_t state(SlotState s) const { return states[static_cast<size_t>(s)]; }
  // Those domains whose answered tries took longest (95 of 100), of kSlowTries at least.
  std::vector<const ReportGroup*> Slowest(size_t n) const;
  static constexpr uint64_t kSlowTries = 10;
};

// `folder`: of the campaign, "volley-state/campaigns/newsletter".
absl::StatusOr<Report> MakeReport(const std::string& folder);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_REPORT_REPORT_H_
