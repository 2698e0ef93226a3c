// CampaignRun: one campaign of a run, the coordinator's part of it: its ledger, who is to be tried
// next, what is written down of each try, its schedule, and what other processes ask over the
// socket `control` in its folder (campaign_status.h has the words). The Runner has what campaigns
// share: shards, lanes and limits.
//
// Threading: the coordinator's thread. Lifetime: campaign, options and what Share() names outlive
// it. Errors: as RunCampaigns.
#ifndef VOLLEY_PIPELINE_SHARD_CAMPAIGN_RUN_H_
#define VOLLEY_PIPELINE_SHARD_CAMPAIGN_RUN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "io/base/time.h"
#include "pipeline/adapt/adapter.h"
#include "pipeline/adapt/breaker.h"
#include "pipeline/control/control_socket.h"
#include "pipeline/settle/checkpoint.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/settler.h"
#include "pipeline/shard/campaign_status.h"
#include "pipeline/shard/feeder.h"
#include "pipeline/shard/recorder.h"
#include "pipeline/shard/route_feeder.h"
#include "pipeline/shard/runner.h"
#include "pipeline/shard/shard.h"

namespace volley::pipeline {

// What the campaigns of a run share.
struct SharedRun {
  std::vector<Shard*> shards;
  RouteTable* table = nullptr;  // null: mail goes by relays
  Settler* settler = nullptr;   // with it: of what is settled before it comes to a shard
  Adapter* adapter = nullptr;   // null: limits stay as they are
  std::vector<std::string> relays;
};

class CampaignRun {
 public:
  CampaignRun(const CampaignToRun& of, uint8_t flow, SharedRun* shared);

  // Everything on disk that there is already. Afterwards is_over() says whether nobody is left to
  // be tried.
  absl::Status Open();
  bool is_over() const;
  absl::Status Commit();  // what is written from now on is for its final place
  absl::Status OpenControl(WakeEvent* wake);
  void MakeRoutes();  // REQUIRES: a table, before its first Step

  // --- while it runs ---
  absl::Status Push();  // with relays: gives each shard in turn what is to be tried
  bool fed() const;     // all that can be tried now is with the shards
  bool nothing_left() const;
  void Take(const OutcomeNote& note);
  void RecordChange(const LimitChange& change) { recorder_->RecordChange(change, Now()); }
  // Looks at its schedule, its breaker, who asks over the socket; every so often also at its keys.
  void Follow();
  void Housekeep(bool now_and_then);
  absl::Status disk_status() const;
  bool held() const;  // no more of it is sent for now
  void Stop();        // what is in flight is finished, the rest stays
  bool stopped() const { return stopped_; }
  bool TakeLimitsChanged() { return std::exchange(limits_changed_, false); }

  // --- the end ---
  absl::Status Close(absl::Status status);  // with that of the run; after the last note
  absl::Status Flush() { return recorder_->Flush(); }
  RunResult Result();
  RunProgress Progress() const;

  Campaign* campaign() const { return campaign_; }
  const CampaignOptions& options() const { return options_; }
  const SettleRules& rules() const { return rules_; }
  uint64_t delivered_by(uint32_t relay) const { return delivered_by_[relay]; }

 private:
  absl::Status ClaimReplaced();
  absl::Status OpenLedger();
  absl::Time Now() const { return rules_.wall_clock(); }
  uint64_t handed_out() const { return pushed_ + (routes_ == nullptr ? 0 : routes_->handed_out()); }
  std::string_view WayOf(uint32_t lane) const;
  size_t PushTo(Shard* shard, std::span<const Job> jobs) const;
  void FollowSchedule();
  bool TooManyRenderFailures() const;
  std::string Obey(std::string_view request);
  std::string LanesNow() const;
  void SetPaused(bool paused);
  CampaignStatus StatusNow() const;
  void ReloadDkimKeys();
  void Notice(const std::string& text) const;

  Campaign* const campaign_;
  const CampaignOptions& options_;
  const uint8_t flow_;
  SharedRun* const shared_;
  SettleRules rules_;
  std::unique_ptr<Ledger> replaced_;  // of the campaign that goes; null: there is none
  std::unique_ptr<Ledger> ledger_;
  Ledger::Counts before_{};  // what earlier runs left
  std::optional<Feeder> feeder_;
  std::unique_ptr<RouteFeeder> routes_;
  std::optional<Checkpoint> checkpoint_;
  std::optional<Recorder> recorder_;
  Breaker breaker_;
  std::unique_ptr<ControlSocket> control_;
  std::vector<uint64_t> delivered_by_;  // by relay; without relays one for all
  uint64_t pushed_ = 0, notes_ = 0;     // the difference is with the shards
  uint64_t dropped_to_ = 0;
  size_t turn_ = 0;  // the shard that is fed next
  bool paused_ = false, stopped_ = false, cancelled_ = false, schedule_over_ = false;
  bool closed_ = false;
  bool limits_changed_ = false;  // by who asked over the socket
  Schedule::Now schedule_now_;
  const io::MonoTime start_ = io::MonotonicNow();
  absl::Status dkim_status_;  // of the last look at the keys
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_CAMPAIGN_RUN_H_
