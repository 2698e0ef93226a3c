#include "pipeline/shard/runner.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "io/base/time.h"
#include "pipeline/control/control_socket.h"
#include "pipeline/settle/checkpoint.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/shard/campaign_status.h"
#include "pipeline/shard/feeder.h"
#include "pipeline/shard/lanes_status.h"
#include "pipeline/shard/recorder.h"
#include "pipeline/shard/route_feeder.h"
#include "pipeline/shard/shard.h"
#include "pipeline/shard/wake_event.h"
#include "pipeline/throttle/limit_table.h"

namespace volley::pipeline {
namespace {

constexpr absl::Duration kProgressEvery = absl::Milliseconds(200);
constexpr uint64_t kDropEveryBytes = 8 << 20;   // list pages are given back this far apart
constexpr uint64_t kDropBehindBytes = 8 << 20;  // and this far behind the feeder
constexpr size_t kTopReasons = 5;

class Runner final : private RoomListener {
 public:
  Runner(Campaign* campaign, const RunOptions& options) : campaign_(campaign), options_(options) {}
  absl::StatusOr<RunResult> Run();
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

  std::vector<LaneOptions> LanesFor(uint32_t shard);
  void MakeWorkers();
  absl::Status StartWorkers(size_t begin, size_t end);
  void RunWorker(Worker* worker);
  absl::Status WaitUntilReady();
  absl::Status RelayFailure(const std::string& why) const;
  absl::Status ClaimReplaced();
  absl::Status OpenLedger();
  absl::Status MakeLimits();
  absl::Status Commit();
  absl::Status OpenControl();
  absl::Status Feed();
  absl::Status FeedShards();
  absl::Status FeedRoutes();
  absl::Status MakeDirect();
  void OnLimitChange(const LimitChange& change);
  void FollowAdapter();
  void OnRoom() override;
  void OnWanted() override;
  bool direct() const { return options_.direct.has_value(); }
  uint64_t handed_out() const { return pushed_ + (routes_ == nullptr ? 0 : routes_->handed_out()); }
  std::string_view WayOf(uint32_t lane) const;
  bool NothingIsLeft() const;
  void StopFeeding();
  void ServeControl();
  std::string Obey(std::string_view request);
  std::string LanesNow() const;
  void SetPaused(bool paused);
  void FollowSchedule();
  void HoldShards();
  CampaignStatus StatusNow() const;
  absl::Status DiskStatus() const;
  void Drain();
  bool TooManyRenderFailures() const;
  void StopWorkers();
  void Housekeeping();
  void ReloadDkimKeys();
  void PassNotices();
  void DrainNotes();
  void WriteDown(const OutcomeNote& note);
  bool AllDone() const;
  bool Interrupted(int times) const {
    return options_.interrupts != nullptr && options_.interrupts->load() >= times;
  }
  RunProgress Progress() const;
  std::vector<RelayResult> RelayResults() const;
  RunResult Result();
  absl::StatusOr<RunResult> Finish(absl::Status status);

  Campaign* const campaign_;
  const RunOptions& options_;
  WakeEvent wake_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::optional<LimitTable> limits_;  // outlives the shards' lanes
  SettleRules rules_;
  std::unique_ptr<Ledger> replaced_;  // of the campaign that goes; null: there is none
  std::unique_ptr<Ledger> ledger_;
  Ledger::Counts before_{};  // what earlier runs left
  std::optional<Feeder> feeder_;
  // Of mail that goes without relays.
  std::unique_ptr<RouteFinder> router_;
  std::unique_ptr<RouteFeeder> routes_;
  std::optional<Settler> settler_;  // of what is settled before it comes to a shard
  bool more_to_feed_ = false;       // at once
  std::optional<Checkpoint> checkpoint_;
  std::optional<Recorder> recorder_;
  std::optional<Adapter> adapter_;  // of mail that goes without relays
  Breaker breaker_{options_.breaker_share};
  std::unique_ptr<ControlSocket> control_;
  uint64_t pushed_ = 0, notes_ = 0;  // the difference is with the shards
  uint64_t dropped_to_ = 0;
  size_t turn_ = 0;              // the shard that is fed next
  bool limits_changed_ = false;  // shards that wait are to look again
  bool feeding_done_ = false, draining_ = false, abandoned_ = false;
  bool paused_ = false, cancelled_ = false, schedule_over_ = false;
  Schedule::Now schedule_now_;
  io::MonoTime start_, last_progress_;
  absl::Status dkim_status_;  // of the last look at the keys
};

// The campaign's connections, divided among the shards and then by weight; a relay that stands by
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
    lane.limit_key = {.campaign = campaign_->id(), .relay = relay.name};
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

void Runner::MakeWorkers() {
  const auto ways = static_cast<uint32_t>(direct() ? 1 : options_.relays.size());
  const uint32_t most = std::max<uint32_t>(1, options_.connections / ways);
  const uint32_t n = std::clamp<uint32_t>(options_.shards, 1, most);
  for (uint32_t i = 0; i < n; ++i) workers_.push_back(std::make_unique<Worker>());
  for (uint32_t i = 0; i < n; ++i) {
    workers_[i]->index = i;
    workers_[i]->shard = direct() ? std::make_unique<Shard>(campaign_, options_.suppressed, &rules_,
                                                            routes_.get(), &wake_)
                                  : std::make_unique<Shard>(campaign_, options_.suppressed, &rules_,
                                                            LanesFor(i), &wake_);
  }
  if (!direct()) return;
  std::vector<Shard*> shards;
  for (const auto& worker : workers_) shards.push_back(worker->shard.get());
  routes_->SetShards(std::move(shards));
}

absl::Status Runner::MakeDirect() {
  if (!direct()) return absl::OkStatus();
  const DirectOptions& how = *options_.direct;
  router_ = std::make_unique<MxRouter>(how.resolver, options_.providers, how.mx,
                                       [this] { wake_.Signal(); });
  settler_.emplace(&rules_, [this] { DrainNotes(); });
  RouteRules rules;
  rules.direct = how.how;
  rules.sources = how.sources;
  rules.own_retry = how.own_retry;
  rules.campaign = campaign_->id();
  rules.connections = options_.connections;
  rules.messages_per_connection = options_.messages_per_connection;
  rules.rest_first = options_.retry.first;
  rules.rest_longest = options_.retry.longest;
  rules.fallback = &options_.providers->fallback();
  if (options_.adapt) {
    adapter_.emplace([this](const LimitChange& change) { OnLimitChange(change); });
    rules.adapter = &*adapter_;
  }
  routes_ = std::make_unique<RouteFeeder>(&campaign_->recipients(), ledger_.get(), &*feeder_,
                                          router_.get(), &*limits_, &*settler_, std::move(rules));
  // All routes together: a place that one gives up is another's.
  return limits_
      ->FindOrAdd({.campaign = campaign_->id()},
                  {.connections = options_.connections,
                   .rate = options_.limits.rate,
                   .quota = options_.limits.quota},
                  {io::MonotonicNow(), absl::Now()})
      .status();
}

void Runner::OnLimitChange(const LimitChange& change) {
  recorder_->RecordChange(change, rules_.wall_clock());
  limits_changed_ = true;
  if (!options_.on_notice) return;
  const std::string step = change.from.empty() ? change.to : change.from + " to " + change.to;
  options_.on_notice(fmt::format("{}: {} {} ({})", change.lane, change.what, step, change.cause));
}

// From any shard's thread.
void Runner::OnRoom() {
  for (const auto& worker : workers_) worker->shard->OnRoom(false);
}

void Runner::OnWanted() {
  for (const auto& worker : workers_) worker->shard->OnWanted();
}

std::string_view Runner::WayOf(uint32_t lane) const {
  return direct() ? routes_->NameOf(lane) : std::string_view(options_.relays[lane].name);
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
  if (!first.fallback_reason.empty() && options_.on_notice) {
    options_.on_notice(first.fallback_reason);
  }
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

// A restart throws an earlier campaign away, but none that another process is sending just now.
absl::Status Runner::ClaimReplaced() {
  if (campaign_->committed()) return absl::OkStatus();
  auto replaced = Ledger::Claim(campaign_->final_dir() + "/ledger.bin");
  if (absl::IsNotFound(replaced.status())) return absl::OkStatus();
  if (replaced.ok()) replaced_ = *std::move(replaced);
  return replaced.status();
}

absl::Status Runner::OpenLedger() {
  const RecipientFile& list = campaign_->recipients();
  const LedgerIdentity identity{list.count(), list.checksum()};
  const std::string path = campaign_->dir() + "/ledger.bin";
  auto ledger = Ledger::Open(path, identity);
  if (absl::IsNotFound(ledger.status())) {
    if (campaign_->committed()) {
      return absl::DataLossError(fmt::format(
          "{} is missing: nobody can tell who has got this campaign. --restart mails everybody",
          path));
    }
    ledger = Ledger::Create(path, identity);
  }
  if (!ledger.ok()) return ledger.status();
  ledger_ = *std::move(ledger);
  before_ = ledger_->Count();
  rules_.ledger = ledger_.get();
  rules_.classifier =
      options_.classifier != nullptr ? options_.classifier : &engine::bounce::Classifier::BuiltIn();
  rules_.retry = options_.retry;
  rules_.uncertain = options_.uncertain;
  feeder_.emplace(&list, ledger_.get(), options_.uncertain);
  recorder_.emplace(campaign_, ledger_.get(), options_.uncertain, options_.bounce_dir);
  return absl::OkStatus();
}

absl::Status Runner::MakeLimits() {
  std::error_code ec;
  std::filesystem::create_directories(options_.quota_dir, ec);
  limits_.emplace(LimitTable::Options{.quota_dir = options_.quota_dir, .listener = this});
  const ClockReading now{io::MonotonicNow(), absl::Now()};
  const auto add = [&](const LimitKey& key, const LimitSpec& spec) {
    return !spec.rate && !spec.quota ? absl::OkStatus()
                                     : limits_->FindOrAdd(key, spec, now).status();
  };
  absl::Status status = MakeDirect();
  if (!direct()) status = add({.campaign = campaign_->id()}, options_.limits);
  for (const Relay& relay : options_.relays) {
    status.Update(add({.relay = relay.name}, {.rate = relay.rate, .quota = relay.quota}));
  }
  for (const std::string& note : limits_->TakeNotes()) {
    if (options_.on_notice) options_.on_notice(note);
  }
  return status;
}

// What is written from now on is for its final place.
absl::Status Runner::Commit() {
  if (campaign_->committed()) return absl::OkStatus();
  if (absl::Status s = campaign_->Commit(); !s.ok()) return s;
  return recorder_->Open(rules_.wall_clock());
}

absl::Status Runner::OpenControl() {
  checkpoint_.emplace(ledger_.get());
  auto control = ControlSocket::Open(campaign_->dir(), [this] { wake_.Signal(); });
  if (control.ok()) control_ = *std::move(control);
  return control.status();
}

// Gives each shard in turn what is to be tried, until all are full.
absl::Status Runner::FeedRoutes() {
  const auto more =
      routes_->Step(static_cast<UnixSeconds>(absl::ToUnixSeconds(rules_.wall_clock())));
  if (!more.ok()) return more.status();
  more_to_feed_ = *more;
  const bool fed = feeder_->next_due() != UnixSeconds{0} && routes_->waiting() == 0;
  for (const auto& worker : workers_) worker->shard->settler().set_eager(fed);
  return absl::OkStatus();
}

absl::Status Runner::FeedShards() {
  if (direct()) return FeedRoutes();
  const auto now = static_cast<UnixSeconds>(absl::ToUnixSeconds(rules_.wall_clock()));
  for (size_t passed = 0; passed < workers_.size();) {
    Shard* shard = workers_[turn_++ % workers_.size()]->shard.get();
    if (shard->lost() || shard->state() == Shard::State::kDone) {
      ++passed;
      continue;
    }
    const auto jobs = feeder_->Peek(now);
    if (!jobs.ok()) return jobs.status();
    if (jobs->empty()) break;
    const size_t taken = shard->Push(*jobs);
    feeder_->Pop(taken);
    pushed_ += taken;
    passed = taken == 0 ? passed + 1 : 0;
  }
  // When nothing is left to be fed, the end of each try is news.
  const bool fed = feeder_->next_due() != UnixSeconds{0};
  for (const auto& worker : workers_) worker->shard->settler().set_eager(fed);
  return absl::OkStatus();
}

// --- What other processes say ---

void Runner::ServeControl() {
  if (auto request = control_->Take()) control_->Reply(Obey(*request));
}

std::string Runner::Obey(std::string_view request) {
  if (request == kAskLanes) return LanesNow();
  if (request.starts_with(kAskUndo)) {
    const std::string_view name = request.substr(kAskUndo.size());
    const size_t undone = adapter_ ? adapter_->Undo(name, io::MonotonicNow()) : 0;
    FollowAdapter();
    return fmt::format(R"({{"undone":{}}})", undone);
  }
  if (request == kAskPause || request == kAskResume) {
    SetPaused(request == kAskPause);
  } else if (request == kAskCancel) {
    cancelled_ = true;
    if (!draining_) Drain();
  } else if (request != kAskStatus) {
    return R"({"error":"status, pause, resume, cancel, lanes and undo are what can be asked"})";
  }
  return ToJson(StatusNow());
}

std::string Runner::LanesNow() const {
  if (!direct()) return LanesJson(StatusNow(), {}, {});
  return LanesJson(StatusNow(), routes_->Status(),
                   adapter_ ? adapter_->Status(io::MonotonicNow()) : std::vector<AdaptStatus>());
}

// What is in flight is finished; connections that have nothing to do are closed soon.
void Runner::SetPaused(bool paused) {
  if (paused == paused_) return;
  paused_ = paused;
  HoldShards();
  if (options_.on_notice) options_.on_notice(paused ? "paused" : "going on");
}

void Runner::HoldShards() {
  const bool hold = paused_ || schedule_now_.state == Schedule::State::kClosed;
  for (const auto& worker : workers_) worker->shard->SetPaused(hold);
}

void Runner::FollowSchedule() {
  const Schedule::Now before = std::exchange(schedule_now_, options_.schedule.At(absl::Now()));
  if (schedule_now_.state == before.state) return;
  HoldShards();
  if (schedule_now_.state == Schedule::State::kOver && !draining_) {
    schedule_over_ = true;
    Drain();
  }
}

CampaignStatus Runner::StatusNow() const {
  const RunProgress progress = Progress();
  CampaignStatus status;
  status.campaign = campaign_->id();
  const bool waiting = progress.next_try != absl::InfiniteFuture();
  status.state = draining_ ? "stopping" : paused_ ? "paused" : waiting ? "waiting" : "sending";
  status.pid = getpid();
  status.recipients = progress.recipients;
  status.counts = progress.counts;
  status.left = progress.recipients - std::min(progress.recipients, progress.settled());
  status.sessions = progress.sessions_open;
  status.elapsed_s = absl::ToDoubleSeconds(progress.elapsed);
  status.next_try = progress.next_try;
  status.held_by = progress.held_by;
  return status;
}

bool Runner::NothingIsLeft() const {
  const bool all_lost =
      std::all_of(workers_.begin(), workers_.end(), [](const auto& w) { return w->shard->lost(); });
  return all_lost ||
         (!feeder_->next_due() && handed_out() == notes_ && (!direct() || routes_->waiting() == 0));
}

void Runner::StopFeeding() {
  if (feeding_done_) return;
  feeding_done_ = true;
  for (const auto& worker : workers_) worker->shard->NoMoreJobs();
}

// Takes no more jobs; what is in flight is finished.
void Runner::Drain() {
  draining_ = feeding_done_ = true;
  for (const auto& worker : workers_) worker->shard->RequestDrain();
}

bool Runner::TooManyRenderFailures() const {
  if (options_.render_failures_max == 0) return false;
  return Progress().count(Outcome::kUnrenderable) > options_.render_failures_max;
}

// A disk that takes no more: nothing that goes out from now on could be written down.
absl::Status Runner::DiskStatus() const {
  absl::Status status = checkpoint_->status();
  status.Update(recorder_->status());
  return status;
}

absl::Status Runner::Feed() {
  absl::Status status;
  while (!AllDone()) {
    if (Interrupted(2)) {
      abandoned_ = true;
      break;
    }
    if (!draining_ && (Interrupted(1) || TooManyRenderFailures() || breaker_.broken())) {
      Drain();
    }
    FollowSchedule();
    if (!feeding_done_ && status.ok()) {
      status.Update(FeedShards());
      if (NothingIsLeft()) StopFeeding();
    }
    ServeControl();
    Housekeeping();
    status.Update(DiskStatus());
    if (!status.ok() && !draining_) Drain();
    if (!AllDone() && !std::exchange(more_to_feed_, false)) wake_.Wait(kProgressEvery);
  }
  return status;
}

void Runner::Housekeeping() {
  DrainNotes();
  const uint64_t offset = feeder_->list_offset();
  if (!feeder_->first_pass_over() && offset > dropped_to_ + kDropEveryBytes + kDropBehindBytes) {
    dropped_to_ = offset - kDropBehindBytes;
    campaign_->recipients().DropBefore(dropped_to_);
  }
  const io::MonoTime now = io::MonotonicNow();
  if (now - last_progress_ < kProgressEvery) return;
  last_progress_ = now;
  // Nobody who looks on waits for a buffer to be full.
  recorder_->Flush().IgnoreError();  // DiskStatus() has what comes of it
  ReloadDkimKeys();
  PassNotices();
  FollowAdapter();
  if (options_.on_progress) options_.on_progress(Progress());
}

void Runner::FollowAdapter() {
  if (adapter_) adapter_->Tick(io::MonotonicNow());
  if (!std::exchange(limits_changed_, false)) return;
  for (const auto& worker : workers_) worker->shard->OnRoom(true);
}

// A key that is bad now is said once; the old ones go on signing.
void Runner::ReloadDkimKeys() {
  DkimKeys* keys = campaign_->recipe().dkim.get();
  if (keys == nullptr) return;
  const absl::Status status = keys->Reload();
  if (!status.ok() && status != dkim_status_ && options_.on_notice) {
    options_.on_notice(
        fmt::format("signing goes on with the old keys: {}", std::string(status.message())));
  }
  dkim_status_ = status;
}

void Runner::PassNotices() {
  for (const auto& worker : workers_) {
    for (const std::string& notice : worker->shard->TakeNotices()) {
      if (options_.on_notice) options_.on_notice(notice);
    }
  }
}

void Runner::DrainNotes() {
  OutcomeNote note;
  for (const auto& worker : workers_) {
    while (worker->shard->settler().TakeNote(&note)) {
      if (direct()) routes_->Note(note);
      if (note.index != OutcomeNote::kNobody) WriteDown(note);
    }
  }
  while (settler_ && settler_->TakeNote(&note)) WriteDown(note);
}

void Runner::WriteDown(const OutcomeNote& note) {
  ++notes_;
  if (note.due != 0) feeder_->OnDue(note.index, note.due);
  recorder_->Record(note, WayOf(note.lane));
  if (note.outcome == Outcome::kDelivered) {
    breaker_.OnDelivered();
  } else if (note.outcome == Outcome::kBounced || note.outcome == Outcome::kDeferred) {
    breaker_.OnRefused(static_cast<engine::bounce::Category>(note.category), note.text_view());
  }
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

RunProgress Runner::Progress() const {
  RunProgress p;
  p.recipients = campaign_->recipients().count();
  for (size_t i = 0; i < kOutcomes; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    auto count = static_cast<int64_t>(before_[static_cast<size_t>(StateOf(outcome))]);
    for (const auto& worker : workers_) count += worker->shard->settler().count(outcome);
    if (settler_) count += settler_->count(outcome);
    // Shards are not read at the same moment.
    p.counts[i] = static_cast<uint64_t>(std::max<int64_t>(0, count));
  }
  for (const auto& worker : workers_) {
    p.sessions_open += worker->shard->sessions_open();
    if (p.held_by.empty()) p.held_by = worker->shard->held_by();
  }
  p.elapsed = io::MonotonicNow() - start_;
  const auto due = feeder_->next_due();
  p.paused = paused_;
  if (schedule_now_.state == Schedule::State::kClosed) {
    p.next_try = schedule_now_.until;
    p.held_by = "its schedule";
    return p;
  }
  if (handed_out() != notes_) return p;
  if (due && *due != 0) p.next_try = absl::FromUnixSeconds(*due);
  if (!direct() || routes_->waiting() == 0) return p;
  const io::MonoTime over = routes_->next_rest_over();
  const absl::Time then =
      over.is_infinite() ? absl::InfiniteFuture() : absl::Now() + (over - io::MonotonicNow());
  p.next_try = std::min(p.next_try, then);
  return p;
}

std::vector<RelayResult> Runner::RelayResults() const {
  std::vector<RelayResult> results;
  for (size_t i = 0; i < (direct() ? 1 : options_.relays.size()); ++i) {
    RelayResult result;
    result.name = direct() ? "mx" : options_.relays[i].name;
    if (!direct()) result.weight = options_.relays[i].weight;
    for (const auto& worker : workers_) {
      const LaneStats& lane = worker->shard->lane_stats()[i];
      result.stats.delivered += lane.delivered;
      result.stats.sessions += lane.sessions;
      result.stats.handshakes += lane.handshakes;
      result.stats.resumed += lane.resumed;
      if (lane.tls) result.stats.tls = lane.tls;
      if (lane.auth) result.stats.auth = lane.auth;
    }
    results.push_back(std::move(result));
  }
  return results;
}

RunResult Runner::Result() {
  RunResult result;
  result.final = Progress();
  if (cancelled_ && !abandoned_) {
    // Read anew: those who never had a turn are no shard's.
    const Ledger::Counts counts = ledger_->Count();
    for (size_t i = 0; i < kOutcomes; ++i) {
      result.final.counts[i] = counts[static_cast<size_t>(StateOf(static_cast<Outcome>(i)))];
    }
  }
  result.cancelled = cancelled_;
  result.schedule_over = schedule_over_;
  result.interrupted = Interrupted(1);
  result.too_many_render_failures = TooManyRenderFailures();
  result.breaker = breaker_.why();
  result.abandoned = abandoned_;
  result.nothing_to_do = workers_.empty();
  if (!workers_.empty()) result.backend = workers_[0]->backend;
  for (const Outcome outcome : {Outcome::kDelivered, Outcome::kBounced, Outcome::kUnrenderable,
                                Outcome::kSuppressed, Outcome::kCancelled}) {
    result.resumed_after += before_[static_cast<size_t>(StateOf(outcome))];
  }
  result.delivered_before = before_[static_cast<size_t>(SlotState::kDelivered)];
  result.found_uncertain = ledger_->found_in_flight().size();
  result.sent_again = ledger_->CountWasUncertain() - result.final.count(Outcome::kUncertain);
  if (!abandoned_) result.relays = RelayResults();
  PassNotices();
  const UndeliveredFile& undelivered = recorder_->undelivered();
  result.reasons = undelivered.TopReasons(kTopReasons);
  if (!undelivered.empty()) result.undelivered_path = undelivered.path();
  result.suppressed_by_bounces = recorder_->suppressed();
  return result;
}

absl::StatusOr<RunResult> Runner::Run() {
  start_ = last_progress_ = io::MonotonicNow();
  absl::Status status = ClaimReplaced();
  if (status.ok()) status = OpenLedger();
  // Also when no relay can be used: what was in flight is uncertain from now on.
  if (status.ok() && campaign_->committed()) status = recorder_->Open(rules_.wall_clock());
  if (!status.ok()) return status;
  if (before_[static_cast<size_t>(SlotState::kPending)] == 0 && !feeder_->next_retry()) {
    if (!campaign_->committed()) status = Commit();
    if (!status.ok()) return status;
    return Finish(status);
  }
  status = MakeLimits();
  if (!status.ok()) return status;
  MakeWorkers();
  status = StartWorkers(0, 1);
  if (status.ok()) status = WaitUntilReady();
  if (status.ok()) status = StartWorkers(1, workers_.size());
  if (status.ok()) status = Commit();
  if (status.ok()) status = OpenControl();
  if (!status.ok()) {
    StopWorkers();
    return status;
  }
  status = Feed();
  if (!abandoned_) StopWorkers();
  DrainNotes();
  if (cancelled_ && !abandoned_) CancelRest(ledger_.get());
  if (!abandoned_ && status.ok()) status = recorder_->ListUnsettled();
  return Finish(status);
}

absl::StatusOr<RunResult> Runner::Finish(absl::Status status) {
  const absl::Status flushed = recorder_->Flush();
  RunResult result = Result();
  // Abandoned, threads still run and the caller must end the process: that goes before any error.
  if (abandoned_) return result;
  if (status.ok()) status = flushed;
  if (status.ok()) status = ledger_->Sync();
  if (!status.ok()) return status;
  return result;
}

}  // namespace

void CancelRest(Ledger* ledger) {
  for (uint32_t i = 0; i < ledger->size(); ++i) {
    LedgerSlot slot = ledger->Get(i);
    if (slot.state != SlotState::kPending && slot.state != SlotState::kDeferred) continue;
    slot.state = SlotState::kCancelled;
    slot.due = 0;
    ledger->Put(i, slot);
  }
}

uint64_t RunProgress::settled() const {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

absl::StatusOr<RunResult> RunCampaign(Campaign* campaign, const RunOptions& options) {
  auto runner = std::make_unique<Runner>(campaign, options);
  auto result = runner->Run();
  // Abandoned shards still use it; the process ends by _exit.
  if (runner->abandoned()) static_cast<void>(runner.release());
  return result;
}

}  // namespace volley::pipeline
