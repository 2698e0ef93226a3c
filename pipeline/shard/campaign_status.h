// CampaignStatus: where a campaign stands, as the process that sends it says over its control
// socket, or as its ledger says when nobody does.
//
// Threading: values. Errors: a line that is no status is InvalidArgument.
#ifndef VOLLEY_PIPELINE_SHARD_CAMPAIGN_STATUS_H_
#define VOLLEY_PIPELINE_SHARD_CAMPAIGN_STATUS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

struct CampaignStatus {
  std::string campaign;
  // "sending", "waiting" (all that are left were deferred), "paused", "stopping"; of one that no
  // process sends: "stopped" or "complete".
  std::string state;
  int64_t pid = 0;
  uint64_t recipients = 0;
  std::array<uint64_t, kOutcomes> counts{};
  uint64_t left = 0;  // not settled yet
  uint32_t sessions = 0;
  double elapsed_s = 0;  // of this run
  std::string held_by;   // the limit it waits for just now, in words
  // Nobody is tried before this; infinite future: not so.
  absl::Time next_try = absl::InfiniteFuture();

  uint64_t count(Outcome outcome) const { return counts[static_cast<size_t>(outcome)]; }
};

// One line of JSON.
std::string ToJson(const CampaignStatus& status);
absl::StatusOr<CampaignStatus> ParseCampaignStatus(std::string_view json);

// Of a campaign that nobody sends. Slots in flight count as uncertain.
CampaignStatus StatusOf(std::string_view campaign, const Ledger& ledger);

// What the words over the control socket are. A word that is none of these gets {"error": ...}.
inline constexpr std::string_view kAskStatus = "status";
inline constexpr std::string_view kAskPause = "pause";
inline constexpr std::string_view kAskResume = "resume";
inline constexpr std::string_view kAskCancel = "cancel";
inline constexpr std::string_view kAskLanes = "lanes";  // the answer is lanes_status.h's
// With a lane, a provider or "all" behind it: limits that were adapted are as configured again.
inline constexpr std::string_view kAskUndo = "undo ";

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_CAMPAIGN_STATUS_H_
