// Runner: sends campaigns, or goes on with those that were broken off: starts the shards, feeds
// them with who is to be tried, writes events, tells progress, and stops them in order. It ends
// when nobody is left to be tried: a recipient that was deferred is waited for.
//
// Campaigns that are sent together share lanes, sessions and limits. Each has its ledger, events,
// schedule and breaker, and is paused or cancelled by itself (campaign_run.h); transactional ones
// go first, and others share by weight (fair_turn.h).
//
// Ledgers are written by the shards and synced every few seconds. When one cannot be synced, or
// events cannot be written, the shards stop at once and what they have settled is kept.
//
// The calling thread is the coordinator: feeder and settle writer in one, woken by the shards when
// a ring runs low. The first shard goes ahead: only when a relay is ready for it do the others
// start, so wrong credentials are tried once. Nothing is sent, and nothing is left behind, when no
// relay can be used.
#ifndef VOLLEY_PIPELINE_SHARD_RUNNER_H_
#define VOLLEY_PIPELINE_SHARD_RUNNER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/policy/provider_pack.h"
#include "io/reactor/reactor.h"
#include "pipeline/adapt/breaker.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/campaign/schedule.h"
#include "pipeline/deliver/lane.h"
#include "pipeline/route/direct.h"
#include "pipeline/route/mx_router.h"
#include "pipeline/route/relay.h"
#include "pipeline/settle/event_log.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/retry.h"
#include "pipeline/settle/settler.h"
#include "pipeline/settle/undelivered.h"
#include "pipeline/store/suppression.h"
#include "pipeline/throttle/limit_table.h"

namespace volley::pipeline {

struct RunProgress {
  uint64_t recipients = 0;                   // of the campaign
  std::array<uint64_t, kOutcomes> counts{};  // by Outcome
  uint32_t sessions_open = 0;
  absl::Duration elapsed;
  // Nobody can be tried before this: all that are left were deferred. Infinite future: not so.
  absl::Time next_try = absl::InfiniteFuture();
  bool paused = false;
  std::string held_by;  // the limit that some of it waits for just now: "relay ses: rate 14/s"
  uint64_t count(Outcome o) const { return counts[static_cast<size_t>(o)]; }
  uint64_t settled() const;  // deferred ones too
};

// Mail goes straight to the servers of each recipient's domain.
struct DirectOptions {
  Relay how;                    // TLS and EHLO name (ConfigureDirect)
  std::vector<Source> sources;  // empty: the kernel chooses
  bool own_retry = false;       // RunOptions::retry goes before the providers' schedules
  MxOptions mx;
  io::Resolver* resolver = nullptr;  // outlives the run
};

// What one campaign wants.
struct CampaignOptions {
  std::shared_ptr<const SuppressionSnapshot> suppressed;  // who gets no mail
  uint32_t weight = 1;                                    // of its share in lanes; not 0
  // Copies that cannot be made before the campaign stops; 0: no limit.
  uint64_t render_failures_max = 0;
  const engine::bounce::Classifier* classifier = nullptr;  // null: the built-in rules
  Schedule schedule;                                       // when it may send
  LimitSpec limits;                                        // rate and quota of the whole campaign
  // The state directory whose suppression list gets the addresses that bounce for good; empty: none
  // does.
  std::string bounce_dir;
  EventLogOptions events;
  RetrySchedule retry;
  UncertainPolicy uncertain = UncertainPolicy::kSkip;
  double breaker_share = Breaker::kDefaultShare;        // 0: it goes on whatever is refused
  std::function<void(const RunProgress&)> on_progress;  // every 200 ms
  std::function<void(const std::string&)> on_notice;    // words for people, now and then
};

struct CampaignToRun {
  Campaign* campaign = nullptr;
  CampaignOptions options;
};

// What all campaigns of a run have in common.
struct RunOptions {
  std::vector<Relay> relays;            // resolved; at least one with a weight over 0
  std::optional<DirectOptions> direct;  // instead of relays
  std::shared_ptr<const engine::policy::ProviderPack> providers =
      engine::policy::ProviderPack::BuiltIn();
  std::string quota_dir;              // where quotas are kept over restarts; made if need be
  std::vector<KeyedWarmUp> warm_ups;  // by source and provider, or fewer of them
  bool adapt = true;                  // limits follow what servers say
  uint32_t shards = 1;                // at most `connections` for each relay
  uint32_t connections = 1;
  uint32_t messages_per_connection = 0;
  io::ReactorOptions reactor;
  // How often the user asked to stop (Ctrl-C): 1 finishes what is in flight, 2 returns at once.
  const std::atomic<int>* interrupts = nullptr;
  std::function<void(const std::string&)> on_notice;  // words for people, now and then
};

// One relay's part of a run, or that of all mail that went without one ("mx"), all shards together.
struct RelayResult {
  std::string name;
  uint32_t weight = 1;
  LaneStats stats;
};

struct RunResult {
  RunProgress final;
  bool schedule_over = false;  // its not_after came before the end
  bool cancelled = false;      // by `volley cancel`
  bool nothing_to_do = false;  // earlier runs had settled everybody; no relay was asked
  bool interrupted = false;
  uint64_t delivered_before = 0;          // by earlier runs
  uint64_t resumed_after = 0;             // recipients that earlier runs had settled for good
  uint64_t found_uncertain = 0;           // in flight when an earlier run was broken off
  uint64_t sent_again = 0;                // uncertain ones that were sent once more, in all runs
  uint64_t suppressed_by_bounces = 0;     // addresses that came on the suppression list
  bool too_many_render_failures = false;  // and so it stopped
  std::string breaker;                    // why the breaker stopped it; empty: it did not
  // True when it returned at a second interrupt: threads are still running, so the process must end
  // by _exit.
  bool abandoned = false;
  std::string backend;               // "uring" or "epoll"
  std::vector<RelayResult> relays;   // empty when abandoned
  std::vector<ReasonCount> reasons;  // why not delivered, commonest first
  std::string undelivered_path;      // empty: everybody was delivered
};

// Everybody who is not settled for good, nor uncertain, becomes cancelled.
void CancelRest(Ledger* ledger);

// Commits new campaigns once a relay is ready. One result for each, in their order. REQUIRES: 1 to
// kFlowsMax campaigns, none twice. Errors: Unavailable: no relay can be used, why,
// and what to do; FailedPrecondition: another process is sending it; DataLoss: recipients.bin or
// ledger.bin; ResourceExhausted: the disk is full; as CreateReactor.
absl::StatusOr<std::vector<RunResult>> RunCampaigns(std::vector<CampaignToRun> campaigns,
                                                    const RunOptions& options);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_RUNNER_H_
