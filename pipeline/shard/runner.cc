#include "pipeline/shard/runner.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>

#include "io/base/time.h"
#include "pipeline/shard/shard.h"
#include "pipeline/shard/wake_event.h"
#include "pipeline/source/rejected_csv.h"

namespace volley::pipeline {
namespace {

constexpr absl::Duration kProgressEvery = absl::Milliseconds(200);
constexpr uint64_t kDropEveryBytes = 8 << 20;   // list pages are given back this far apart
constexpr uint64_t kDropBehindBytes = 8 << 20;  // and this far behind the feeder
constexpr size_t kFeedBatch = 64;
constexpr size_t kTopReasons = 5;

class Runner {
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

  std::vector<LaneOptions> LanesFor(uint32_t shard) const;
  void MakeWorkers();
  absl::Status StartWorkers(size_t begin, size_t end);
  void RunWorker(Worker* worker);
  absl::Status WaitUntilReady();
  absl::Status RelayFailure(const std::string& why) const;
  absl::Status Feed();
  bool FeedShard(Shard* shard);
  void StopFeeding();
  void Drain();
  bool TooManyRenderFailures() const;
  void StopWorkers();
  void Housekeeping();
  void ReloadDkimKeys();
  void PassNotices();
  void DrainNotes();
  bool AllDone() const;
  bool Interrupted(int times) const {
    return options_.interrupts != nullptr && options_.interrupts->load() >= times;
  }
  RunProgress Progress() const;
  std::vector<RelayResult> RelayResults() const;
  RunResult Result();

  Campaign* const campaign_;
  const RunOptions& options_;
  WakeEvent wake_;
  std::vector<std::unique_ptr<Worker>> workers_;
  UndeliveredFile undelivered_{""};
  RejectedRows rejected_;
  RecipientRecord record_;
  uint64_t next_index_ = 0, next_offset_ = 0, dropped_to_ = 0;
  bool feeding_done_ = false, draining_ = false, abandoned_ = false;
  io::MonoTime start_, last_progress_;
  absl::Status feed_status_;
  absl::Status dkim_status_;  // of the last look at the keys
};

// The campaign's connections, divided among the shards and then by weight; a relay that stands by
// may have them all.
std::vector<LaneOptions> Runner::LanesFor(uint32_t shard) const {
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
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

void Runner::MakeWorkers() {
  const uint32_t most =
      std::max<uint32_t>(1, options_.connections / static_cast<uint32_t>(options_.relays.size()));
  const uint32_t n = std::clamp<uint32_t>(options_.shards, 1, most);
  for (uint32_t i = 0; i < n; ++i) workers_.push_back(std::make_unique<Worker>());
  for (uint32_t i = 0; i < n; ++i) {
    workers_[i]->index = i;
    workers_[i]->shard =
        std::make_unique<Shard>(campaign_, options_.suppressed, LanesFor(i), &wake_);
  }
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

// Fills a shard's ring; false when the list has ended or is damaged.
bool Runner::FeedShard(Shard* shard) {
  const RecipientFile& list = campaign_->recipients();
  std::array<Job, kFeedBatch> jobs;
  while (next_index_ < list.count()) {
    const uint64_t first = next_offset_;
    uint64_t offset = first;
    size_t n = 0;
    const uint64_t left = list.count() - next_index_;
    for (; n < std::min<uint64_t>(kFeedBatch, left); ++n) {
      auto next = list.SkipAt(offset);
      if (!next.ok()) {
        feed_status_ = next.status();
        return false;
      }
      jobs[n] = Job{.offset = offset};
      offset = *next;
    }
    const size_t taken = shard->Push({jobs.data(), n});
    next_index_ += taken;
    next_offset_ = taken == n ? offset : jobs[taken].offset;
    if (taken < n) return true;
  }
  return false;
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
  uint64_t failures = 0;
  for (const auto& worker : workers_) {
    failures += worker->shard->settler().count(Outcome::kUnrenderable);
  }
  return failures > options_.render_failures_max;
}

absl::Status Runner::Feed() {
  next_offset_ = campaign_->recipients().first_offset();
  while (!AllDone()) {
    if (Interrupted(2)) {
      abandoned_ = true;
      return absl::OkStatus();
    }
    if (!draining_ && (Interrupted(1) || TooManyRenderFailures())) Drain();
    if (!feeding_done_) {
      bool more = true;
      for (const auto& worker : workers_) more = more && FeedShard(worker->shard.get());
      if (!more) StopFeeding();
    }
    Housekeeping();
    if (!AllDone()) wake_.Wait(kProgressEvery);
  }
  return feed_status_;
}

void Runner::Housekeeping() {
  DrainNotes();
  if (next_offset_ > dropped_to_ + kDropEveryBytes + kDropBehindBytes) {
    dropped_to_ = next_offset_ - kDropBehindBytes;
    campaign_->recipients().DropBefore(dropped_to_);
  }
  const io::MonoTime now = io::MonotonicNow();
  if (now - last_progress_ < kProgressEvery) return;
  last_progress_ = now;
  ReloadDkimKeys();
  PassNotices();
  if (options_.on_progress) options_.on_progress(Progress());
}

// A key that is bad now is said once; the old ones go on signing.
void Runner::ReloadDkimKeys() {
  DkimKeys* keys = campaign_->recipe().dkim.get();
  if (keys == nullptr) return;
  const absl::Status status = keys->Reload();
  if (!status.ok() && status != dkim_status_ && options_.on_notice) {
    options_.on_notice(fmt::format("signing goes on with the old keys: {}",
                                   std::string(status.message())));
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
      const bool found = campaign_->recipients().ReadAt(note.offset, &record_).ok();
      const std::string_view address = found ? record_.address : "(unreadable record)";
      undelivered_.Add(address, note);
      if (note.outcome == Outcome::kUnrenderable) {
        rejected_.Add(found ? record_.source_line : 0, address, note.text_view());
      }
    }
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
  for (const auto& worker : workers_) {
    for (size_t i = 0; i < kOutcomes; ++i) {
      p.counts[i] += worker->shard->settler().count(static_cast<Outcome>(i));
    }
    p.sessions_open += worker->shard->sessions_open();
  }
  p.elapsed = io::MonotonicNow() - start_;
  return p;
}

std::vector<RelayResult> Runner::RelayResults() const {
  std::vector<RelayResult> results;
  for (size_t i = 0; i < options_.relays.size(); ++i) {
    RelayResult result{options_.relays[i].name, options_.relays[i].weight, {}};
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
  DrainNotes();
  RunResult result;
  result.final = Progress();
  result.interrupted = Interrupted(1);
  result.too_many_render_failures = TooManyRenderFailures();
  result.abandoned = abandoned_;
  result.backend = workers_[0]->backend;
  if (!abandoned_) result.relays = RelayResults();
  PassNotices();
  result.reasons = undelivered_.TopReasons(kTopReasons);
  if (!undelivered_.empty()) result.undelivered_path = undelivered_.path();
  return result;
}

absl::StatusOr<RunResult> Runner::Run() {
  start_ = last_progress_ = io::MonotonicNow();
  MakeWorkers();
  absl::Status status = StartWorkers(0, 1);
  if (status.ok()) status = WaitUntilReady();
  if (status.ok()) status = StartWorkers(1, workers_.size());
  if (status.ok()) status = campaign_->Commit();
  if (!status.ok()) {
    StopWorkers();
    return status;
  }
  undelivered_.set_path(campaign_->dir() + "/undelivered.csv");
  rejected_.set_path(campaign_->dir() + "/rejected.csv");
  status = Feed();
  if (!abandoned_) StopWorkers();
  RunResult result = Result();
  absl::Status flushed = undelivered_.Flush();
  flushed.Update(rejected_.Flush());
  // Abandoned, threads still run and the caller must end the process: that goes before any error.
  if (abandoned_) return result;
  if (status.ok()) status = flushed;
  if (!status.ok()) return status;
  return result;
}

}  // namespace

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
