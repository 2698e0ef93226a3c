#include "pipeline/shard/runner.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>

#include "io/base/check.h"
#include "io/base/time.h"
#include "pipeline/shard/campaign_run.h"
#include "pipeline/shard/route_table.h"
#include "pipeline/shard/shard.h"
#include "pipeline/shard/wake_event.h"
#include "pipeline/throttle/limit_table.h"

namespace volley::pipeline {
namespace {

constexpr absl::Duration kProgressEvery = absl::Milliseconds(200);
constexpr absl::Duration kSyncQuotasEvery = absl::Seconds(30);

class Runner final : private RoomListener {
 public:
  Runner(std::vector<CampaignToRun> campaigns, const RunOptions& options)
      : campaigns_(std::move(campaigns)), options_(options) {}
  absl::StatusOr<std::vector<RunResult>> Run();
  bool abandoned() const { return abandoned_; }

 private:
  struct Worker {
    std::unique_ptr<Shard> shard;
    std::thread thread;
    // Set before `started`, read after it.
    absl::Status status;
    std::string backend, fallback_reason;
    std::atomic<bool> started{false};
    uint32_t index = 0;
  };

  absl::Status OpenCampaigns();
  std::vector<LaneFlow> Flows() const;
  std::vector<LaneOptions> LanesFor(uint32_t shard);
  absl::Status MakeLimits();
  void MakeDirect();
  void MakeWorkers();
  absl::Status StartWorkers(size_t begin, size_t end);
  void RunWorker(Worker* worker);
  absl::Status WaitUntilReady();
  absl::Status RelayFailure(const std::string& why) const;
  absl::Status Send();
  absl::Status Feed();
  absl::Status FeedShards();
  bool NothingIsLeft() const;
  void StopFeeding();
  void HoldShards();
  void Drain();
  void StopWorkers();
  void Housekeeping();
  absl::Status DiskStatus() const;
  void OnLimitChange(const LimitChange& change);
  void FollowLimits(io::MonoTime now);
  void OnRoom() override;
  void OnWanted() override;
  void Notice(const std::string& text) const;
  void PassNotices();
  void DrainNotes();
  bool AllDone() const;
  bool direct() const { return options_.direct.has_value(); }
  bool Interrupted(int times) const {
    return options_.interrupts != nullptr && options_.interrupts->load() >= times;
  }
  std::vector<RelayResult> RelayResults(const CampaignRun& run) const;
  absl::StatusOr<std::vector<RunResult>> Finish(absl::Status status);

  const std::vector<CampaignToRun> campaigns_;
  const RunOptions& options_;
  WakeEvent wake_;
  std::optional<LimitTable> limits_;  // outlives the shards' lanes
  SharedRun shared_;
  std::vector<std::unique_ptr<CampaignRun>> runs_;  // by flow
  std::vector<std::unique_ptr<Worker>> workers_;
  // Of mail that goes without relays.
  std::unique_ptr<RouteFinder> router_;
  std::optional<RouteTable> table_;
  std::optional<Settler> settler_;  // of what is settled before it comes to a shard
  std::optional<Adapter> adapter_;
  bool more_to_feed_ = false;    // at once
  bool limits_changed_ = false;  // shards that wait are to look again
  bool feeding_done_ = false, draining_ = false, abandoned_ = false;
  FlowSet held_ = 0;
  io::MonoTime last_look_, next_sync_;
  absl::Time plans_change_ = absl::InfinitePast();
};

void Runner::Notice(const std::string& text) const {
  if (options_.on_notice) options_.on_notice(text);
}

std::vector<LaneFlow> Runner::Flows() const {
  std::vector<LaneFlow> flows;
  for (const CampaignToRun& of : campaigns_) {
    const bool urgent = of.campaign->kind() == CampaignKind::kTransactional;
    flows.push_back({of.campaign->id(), {of.options.weight, urgent}});
  }
  return flows;
}

// The run's connections, divided among the shards and then by weight; a relay that stands by
// may have them all.
std::vector<LaneOptions> Runner::LanesFor(uint32_t shard) {
  const uint32_t n = static_cast<uint32_t>(workers_.size());
  const uint32_t mine = options_.connections / n + (shard < options_.connections % n ? 1 : 0);
  uint32_t weights = 0;
  for (const Relay& relay : options_.relays) weights += relay.weight;
  std::vector<LaneOptions> lanes;
  for (const Relay& relay : options_.relays) {
    LaneOptions lane;
    lane.relay = relay;
    lane.connections_max =
        relay.weight == 0
            ? mine
            : std::max<uint32_t>(1, static_cast<uint32_t>(uint64_t{mine} * relay.weight / weights));
    lane.messages_per_connection = options_.messages_per_connection;
    lane.proven = shard > 0;
    lane.id = static_cast<uint16_t>(lanes.size());
    lane.limits = &*limits_;
    lane.limit_key = {.relay = relay.name};
    lane.flows = Flows();
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

void Runner::MakeWorkers() {
  const auto ways = static_cast<uint32_t>(direct() ? 1 : options_.relays.size());
  const uint32_t most = std::max<uint32_t>(1, options_.connections / ways);
  const uint32_t n = std::clamp<uint32_t>(options_.shards, 1, most);
  for (uint32_t i = 0; i < n; ++i) workers_.push_back(std::make_unique<Worker>());
  std::vector<ShardFlow> flows;
  for (const auto& run : runs_) {
    flows.push_back({{run->campaign(), run->options().suppressed}, &run->rules()});
  }
  for (uint32_t i = 0; i < n; ++i) {
    workers_[i]->index = i;
    workers_[i]->shard = direct() ? std::make_unique<Shard>(flows, &*table_, &wake_)
                                  : std::make_unique<Shard>(flows, LanesFor(i), &wake_);
    shared_.shards.push_back(workers_[i]->shard.get());
  }
  if (direct()) table_->SetShards(shared_.shards);
}

void Runner::MakeDirect() {
  const DirectOptions& how = *options_.direct;
  router_ = std::make_unique<MxRouter>(how.resolver, options_.providers, how.mx,
                                       [this] { wake_.Signal(); });
  std::vector<const SettleRules*> settle;
  for (const auto& run : runs_) settle.push_back(&run->rules());
  settler_.emplace(std::move(settle), [this] { DrainNotes(); });
  RouteRules rules;
  rules.direct = how.how;
  rules.sources = how.sources;
  rules.own_retry = how.own_retry;
  rules.flows = Flows();
  rules.connections = options_.connections;
  rules.messages_per_connection = options_.messages_per_connection;
  rules.rest_first = campaigns_[0].options.retry.first;
  rules.rest_longest = campaigns_[0].options.retry.longest;
  rules.fallback = &options_.providers->fallback();
  rules.warm_ups = options_.warm_ups;
  if (options_.adapt) {
    adapter_.emplace([this](const LimitChange& change) { OnLimitChange(change); });
    rules.adapter = shared_.adapter = &*adapter_;
  }
  table_.emplace(router_.get(), &*limits_, std::move(rules));
  shared_.table = &*table_;
  shared_.settler = &*settler_;
  for (const auto& run : runs_) run->MakeRoutes();
}

void Runner::OnLimitChange(const LimitChange& change) {
  for (const auto& run : runs_) run->RecordChange(change);
  limits_changed_ = true;
  const std::string step = change.from.empty() ? change.to : change.from + " to " + change.to;
  Notice(fmt::format("{}: {} {} ({})", change.lane, change.what, step, change.cause));
}

// From any shard's thread.
void Runner::OnRoom() {
  for (const auto& worker : workers_) worker->shard->OnRoom(false);
}

void Runner::OnWanted() {
  for (const auto& worker : workers_) worker->shard->OnWanted();
}

absl::Status Runner::StartWorkers(size_t begin, size_t end) {
  // Signals are the main thread's: shards would only be interrupted by them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  for (size_t i = begin; i < end; ++i) {
    Worker* worker = workers_[i].get();
    worker->thread = std::thread([this, worker] { RunWorker(worker); });
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  for (size_t i = begin; i < end; ++i) {
    Worker& worker = *workers_[i];
    while (!worker.started.load(std::memory_order_acquire)) wake_.Wait(kProgressEvery);
    if (!worker.status.ok()) return worker.status;
  }
  return absl::OkStatus();
}

void Runner::RunWorker(Worker* worker) {
  pthread_setname_np(pthread_self(), fmt::format("shard {}", worker->index).c_str());
  auto created = io::CreateReactor(options_.reactor);
  worker->status = created.status();
  if (created.ok()) {
    worker->backend = std::string(created->reactor->name());
    worker->fallback_reason = created->fallback_reason;
  }
  worker->started.store(true, std::memory_order_release);
  wake_.Signal();
  if (!created.ok()) return;
  worker->shard->Attach(created->reactor.get());
  created->reactor->Run();
  worker->shard->Detach();
}

absl::Status Runner::WaitUntilReady() {
  const Worker& first = *workers_[0];
  if (!first.fallback_reason.empty()) Notice(first.fallback_reason);
  while (first.shard->state() == Shard::State::kStarting) {
    if (Interrupted(1)) return absl::CancelledError("stopped before the first message");
    wake_.Wait(kProgressEvery);
    PassNotices();
  }
  if (first.shard->state() == Shard::State::kFailed) return RelayFailure(first.shard->failure());
  return absl::OkStatus();
}

absl::Status Runner::RelayFailure(const std::string& why) const {
  std::string names;
  for (const Relay& relay : options_.relays) {
    std::string addresses;
    for (const io::Endpoint& e : relay.endpoints) {
      addresses += (addresses.empty() ? "" : ", ") + e.ToString();
    }
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", relay.name, addresses);
  }
  return absl::UnavailableError(
      fmt::format("relay {}: {}\nNothing was sent; volley check says what can be done", names,
                  why.ends_with('.') ? why : why + "."));
}

absl::Status Runner::MakeLimits() {
  std::error_code ec;
  std::filesystem::create_directories(options_.quota_dir, ec);
  limits_.emplace(LimitTable::Options{.quota_dir = options_.quota_dir, .listener = this});
  const ClockReading now{io::MonotonicNow(), absl::Now()};
  absl::Status status;
  const auto add = [&](const LimitKey& key, const LimitSpec& spec) {
    const bool any = spec.rate || spec.quota || spec.connections;
    if (any) status.Update(limits_->FindOrAdd(key, spec, now).status());
  };
  // All routes together: a place that one gives up is another's.
  if (direct()) add({}, {.connections = options_.connections});
  for (const CampaignToRun& of : campaigns_) {
    add({.campaign = of.campaign->id()},
        {.rate = of.options.limits.rate, .quota = of.options.limits.quota});
  }
  for (const Relay& relay : options_.relays) {
    add({.relay = relay.name}, {.rate = relay.rate, .quota = relay.quota});
  }
  const bool sources = direct() && !options_.direct->sources.empty();
  for (const KeyedWarmUp& warm_up : options_.warm_ups) {
    if (direct() && IsOfOneLane(warm_up.key, sources)) continue;  // RouteTable makes it
    status.Update(limits_->FindOrAdd(warm_up.key, {}, now, warm_up.plan).status());
  }
  for (const std::string& note : limits_->TakeNotes()) Notice(note);
  return status;
}

// --- Feeding ---

absl::Status Runner::FeedShards() {
  if (direct()) {
    const auto more = table_->Step(static_cast<UnixSeconds>(absl::ToUnixSeconds(absl::Now())));
    if (!more.ok()) return more.status();
    more_to_feed_ = *more;
  } else {
    for (const auto& run : runs_) {
      if (absl::Status s = run->Push(); !s.ok()) return s;
    }
  }
  // When nothing is left to be fed, the end of each try is news.
  const bool fed = std::all_of(runs_.begin(), runs_.end(), [](const auto& r) { return r->fed(); });
  for (const auto& worker : workers_) worker->shard->settler().set_eager(fed);
  return absl::OkStatus();
}

bool Runner::NothingIsLeft() const {
  const bool all_lost =
      std::all_of(workers_.begin(), workers_.end(), [](const auto& w) { return w->shard->lost(); });
  return all_lost ||
         std::all_of(runs_.begin(), runs_.end(), [](const auto& r) { return r->nothing_left(); });
}

// Of one that was stopped some may be with the shards still: they are left where they are.
void Runner::StopFeeding() {
  if (std::any_of(runs_.begin(), runs_.end(), [](const auto& r) { return r->stopped(); })) {
    return Drain();
  }
  feeding_done_ = true;
  for (const auto& worker : workers_) worker->shard->NoMoreJobs();
}

// Takes no more jobs; what is in flight is finished.
void Runner::Drain() {
  draining_ = feeding_done_ = true;
  for (const auto& run : runs_) run->Stop();
  for (const auto& worker : workers_) worker->shard->RequestDrain();
}

void Runner::HoldShards() {
  FlowSet held = 0;
  for (uint32_t flow = 0; flow < runs_.size(); ++flow) {
    if (runs_[flow]->held()) held |= FlowBit(flow);
  }
  if (std::exchange(held_, held) == held) return;
  for (const auto& worker : workers_) worker->shard->SetHeld(held);
}

absl::Status Runner::DiskStatus() const {
  absl::Status status;
  for (const auto& run : runs_) status.Update(run->disk_status());
  return status;
}

absl::Status Runner::Feed() {
  absl::Status status;
  while (!AllDone()) {
    if (Interrupted(2)) {
      abandoned_ = true;
      break;
    }
    if (!draining_ && Interrupted(1)) Drain();
    for (const auto& run : runs_) {
      run->Follow();
      limits_changed_ = run->TakeLimitsChanged() || limits_changed_;
    }
    HoldShards();
    if (!feeding_done_ && status.ok()) {
      status.Update(FeedShards());
      if (NothingIsLeft()) StopFeeding();
    }
    Housekeeping();
    status.Update(DiskStatus());
    if (!status.ok() && !draining_) Drain();
    if (!AllDone() && !std::exchange(more_to_feed_, false)) wake_.Wait(kProgressEvery);
  }
  return status;
}

void Runner::Housekeeping() {
  DrainNotes();
  const io::MonoTime now = io::MonotonicNow();
  const bool now_and_then = now - last_look_ >= kProgressEvery;
  if (now_and_then) {
    last_look_ = now;
    PassNotices();
    FollowLimits(now);
  }
  for (const auto& run : runs_) run->Housekeep(now_and_then);
}

void Runner::FollowLimits(io::MonoTime now) {
  if (absl::Now() >= plans_change_) plans_change_ = limits_->FollowPlans(absl::Now());
  if (now >= next_sync_) {
    next_sync_ = now + kSyncQuotasEvery;
    limits_->Sync()
        .IgnoreError();  // what is lost with the machine's power was counted, at most twice
  }
  if (adapter_) adapter_->Tick(now);
  if (!std::exchange(limits_changed_, false)) return;
  for (const auto& worker : workers_) worker->shard->OnRoom(true);
}

void Runner::PassNotices() {
  for (const auto& worker : workers_) {
    for (const std::string& notice : worker->shard->TakeNotices()) Notice(notice);
  }
}

void Runner::DrainNotes() {
  OutcomeNote note;
  for (const auto& worker : workers_) {
    while (worker->shard->settler().TakeNote(&note)) {
      if (direct()) table_->Note(note);
      if (note.index != OutcomeNote::kNobody) runs_[note.flow]->Take(note);
    }
  }
  while (settler_ && settler_->TakeNote(&note)) runs_[note.flow]->Take(note);
}

bool Runner::AllDone() const {
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const auto& w) { return w->shard->state() == Shard::State::kDone; });
}

void Runner::StopWorkers() {
  for (const auto& worker : workers_) worker->shard->RequestDrain();
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

std::vector<RelayResult> Runner::RelayResults(const CampaignRun& run) const {
  std::vector<RelayResult> results;
  for (size_t i = 0; i < (direct() ? 1 : options_.relays.size()); ++i) {
    RelayResult result;
    result.name = direct() ? "mx" : options_.relays[i].name;
    if (!direct()) result.weight = options_.relays[i].weight;
    for (const auto& worker : workers_) {
      const LaneStats& lane = worker->shard->lane_stats()[i];
      result.stats.sessions += lane.sessions;
      result.stats.handshakes += lane.handshakes;
      result.stats.resumed += lane.resumed;
      if (lane.tls) result.stats.tls = lane.tls;
      if (lane.auth) result.stats.auth = lane.auth;
    }
    result.stats.delivered = run.delivered_by(static_cast<uint32_t>(i));
    results.push_back(std::move(result));
  }
  return results;
}

absl::Status Runner::OpenCampaigns() {
  for (const Relay& relay : options_.relays) shared_.relays.push_back(relay.name);
  for (const CampaignToRun& of : campaigns_) {
    runs_.push_back(
        std::make_unique<CampaignRun>(of, static_cast<uint8_t>(runs_.size()), &shared_));
    if (absl::Status s = runs_.back()->Open(); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status Runner::Send() {
  absl::Status status = MakeLimits();
  if (!status.ok()) return status;
  if (direct()) MakeDirect();
  MakeWorkers();
  status = StartWorkers(0, 1);
  if (status.ok()) status = WaitUntilReady();
  if (status.ok()) status = StartWorkers(1, workers_.size());
  for (const auto& run : runs_) {
    if (status.ok()) status = run->Commit();
    if (status.ok()) status = run->OpenControl(&wake_);
  }
  return status;
}

absl::StatusOr<std::vector<RunResult>> Runner::Run() {
  last_look_ = next_sync_ = io::MonotonicNow();
  absl::Status status = OpenCampaigns();
  if (!status.ok()) return status;
  const bool nothing_to_do =
      std::all_of(runs_.begin(), runs_.end(), [](const auto& r) { return r->is_over(); });
  if (nothing_to_do) {
    for (const auto& run : runs_) status.Update(run->Commit());
    if (!status.ok()) return status;
    return Finish(status);
  }
  status = Send();
  if (!status.ok()) {
    StopWorkers();
    return status;
  }
  status = Feed();
  if (!abandoned_) StopWorkers();
  DrainNotes();
  return Finish(status);
}

absl::StatusOr<std::vector<RunResult>> Runner::Finish(absl::Status status) {
  PassNotices();
  std::vector<RunResult> results;
  for (const auto& run : runs_) {
    // Abandoned, threads still run and the caller must end the process: that goes before any error.
    const absl::Status closed = abandoned_ ? run->Flush() : run->Close(status);
    if (!abandoned_) status.Update(closed);
    RunResult result = run->Result();
    result.interrupted = Interrupted(1);
    result.abandoned = abandoned_;
    result.nothing_to_do = workers_.empty();
    if (!workers_.empty()) result.backend = workers_[0]->backend;
    if (!abandoned_ && !workers_.empty()) result.relays = RelayResults(*run);
    results.push_back(std::move(result));
  }
  if (abandoned_) return results;
  if (limits_) status.Update(limits_->Sync());
  if (!status.ok()) return status;
  return results;
}

}  // namespace

uint64_t RunProgress::settled() const {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

absl::StatusOr<std::vector<RunResult>> RunCampaigns(std::vector<CampaignToRun> campaigns,
                                                    const RunOptions& options) {
  VOLLEY_CHECK(!campaigns.empty() && campaigns.size() <= kFlowsMax);
  auto runner = std::make_unique<Runner>(std::move(campaigns), options);
  auto results = runner->Run();
  // Abandoned shards still use it; the process ends by _exit.
  if (runner->abandoned()) static_cast<void>(runner.release());
  return results;
}

}  // namespace volley::pipeline
