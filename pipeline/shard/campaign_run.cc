#include "pipeline/shard/campaign_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "pipeline/shard/lanes_status.h"

namespace volley::pipeline {
namespace {

constexpr uint64_t kDropEveryBytes = 8 << 20;   // list pages are given back this far apart
constexpr uint64_t kDropBehindBytes = 8 << 20;  // and this far behind the feeder
constexpr size_t kTopReasons = 5;

}  // namespace

CampaignRun::CampaignRun(const CampaignToRun& of, uint8_t flow, SharedRun* shared)
    : campaign_(of.campaign),
      options_(of.options),
      flow_(flow),
      shared_(shared),
      breaker_(of.options.breaker_share),
      delivered_by_(std::max<size_t>(1, shared->relays.size())) {}

void CampaignRun::Notice(const std::string& text) const {
  if (options_.on_notice) options_.on_notice(text);
}

// --- The beginning ---

absl::Status CampaignRun::Open() {
  absl::Status status = ClaimReplaced();
  if (status.ok()) status = OpenLedger();
  // Also when no relay can be used: what was in flight is uncertain from now on.
  if (status.ok() && campaign_->committed()) status = recorder_->Open(Now());
  return status;
}

bool CampaignRun::is_over() const {
  return before_[static_cast<size_t>(SlotState::kPending)] == 0 && !feeder_->next_retry();
}

// A restart throws an earlier campaign away, but none that another process is sending just now.
absl::Status CampaignRun::ClaimReplaced() {
  if (campaign_->committed()) return absl::OkStatus();
  auto replaced = Ledger::Claim(campaign_->final_dir() + "/ledger.bin");
  if (absl::IsNotFound(replaced.status())) return absl::OkStatus();
  if (replaced.ok()) replaced_ = *std::move(replaced);
  return replaced.status();
}

absl::Status CampaignRun::OpenLedger() {
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
  recorder_.emplace(campaign_, ledger_.get(), options_.uncertain, options_.bounce_dir,
                    options_.events);
  return absl::OkStatus();
}

absl::Status CampaignRun::Commit() {
  if (campaign_->committed()) return absl::OkStatus();
  if (absl::Status s = campaign_->Commit(); !s.ok()) return s;
  return recorder_->Open(Now());
}

absl::Status CampaignRun::OpenControl(WakeEvent* wake) {
  checkpoint_.emplace(ledger_.get());
  auto control = ControlSocket::Open(campaign_->dir(), [wake] { wake->Signal(); });
  if (control.ok()) control_ = *std::move(control);
  return control.status();
}

void CampaignRun::MakeRoutes() {
  routes_ = std::make_unique<RouteFeeder>(flow_, &campaign_->recipients(), ledger_.get(), &*feeder_,
                                          shared_->table, shared_->settler);
}

// --- Feeding ---

absl::Status CampaignRun::Push() {
  if (stopped_) return absl::OkStatus();
  const auto now = static_cast<UnixSeconds>(absl::ToUnixSeconds(Now()));
  const auto& shards = shared_->shards;
  for (size_t passed = 0; passed < shards.size();) {
    Shard* shard = shards[turn_++ % shards.size()];
    if (shard->lost() || shard->state() == Shard::State::kDone) {
      ++passed;
      continue;
    }
    const auto jobs = feeder_->Peek(now);
    if (!jobs.ok()) return jobs.status();
    if (jobs->empty()) break;
    const size_t taken = PushTo(shard, *jobs);
    feeder_->Pop(taken);
    pushed_ += taken;
    passed = taken == 0 ? passed + 1 : 0;
  }
  return absl::OkStatus();
}

// The feeder knows of one campaign only.
size_t CampaignRun::PushTo(Shard* shard, std::span<const Job> jobs) const {
  if (flow_ == 0) return shard->Push(jobs);
  std::array<Job, Feeder::kBatch> mine;
  std::copy(jobs.begin(), jobs.end(), mine.begin());
  for (size_t i = 0; i < jobs.size(); ++i) mine[i].flow = flow_;
  return shard->Push({mine.data(), jobs.size()});
}

bool CampaignRun::fed() const {
  if (stopped_) return true;
  return feeder_->next_due() != UnixSeconds{0} && (routes_ == nullptr || routes_->waiting() == 0);
}

bool CampaignRun::nothing_left() const {
  if (stopped_) return true;
  return !feeder_->next_due() && handed_out() == notes_ &&
         (routes_ == nullptr || routes_->waiting() == 0);
}

void CampaignRun::Stop() {
  stopped_ = true;
  if (routes_ != nullptr) routes_->Stop();
}

std::string_view CampaignRun::WayOf(uint32_t lane) const {
  if (shared_->table != nullptr) return shared_->table->NameOf(lane);
  return shared_->relays[lane];
}

void CampaignRun::Take(const OutcomeNote& note) {
  ++notes_;
  if (note.due != 0) feeder_->OnDue(note.index, note.due);
  recorder_->Record(note, WayOf(note.lane));
  if (note.outcome == Outcome::kDelivered) {
    breaker_.OnDelivered();
    ++delivered_by_[note.lane < shared_->relays.size() ? note.lane : 0];
  } else if (note.outcome == Outcome::kBounced || note.outcome == Outcome::kDeferred) {
    breaker_.OnRefused(static_cast<engine::bounce::Category>(note.category), note.text_view());
  }
}

// --- While it runs ---

void CampaignRun::Follow() {
  if (!stopped_ && (breaker_.broken() || TooManyRenderFailures())) Stop();
  FollowSchedule();
  if (auto request = control_->Take()) control_->Reply(Obey(*request));
}

void CampaignRun::FollowSchedule() {
  schedule_now_ = options_.schedule.At(absl::Now());
  if (schedule_now_.state != Schedule::State::kOver || stopped_) return;
  schedule_over_ = true;
  Stop();
}

bool CampaignRun::held() const {
  return stopped_ || paused_ || schedule_now_.state == Schedule::State::kClosed;
}

bool CampaignRun::TooManyRenderFailures() const {
  if (options_.render_failures_max == 0) return false;
  return Progress().count(Outcome::kUnrenderable) > options_.render_failures_max;
}

// What is in flight is finished; connections that have nothing to do are closed soon.
void CampaignRun::SetPaused(bool paused) {
  if (paused == paused_) return;
  paused_ = paused;
  Notice(paused ? "paused" : "going on");
}

std::string CampaignRun::Obey(std::string_view request) {
  if (request == kAskLanes) return LanesNow();
  if (request.starts_with(kAskUndo)) {
    const std::string_view name = request.substr(kAskUndo.size());
    Adapter* adapter = shared_->adapter;
    const size_t undone = adapter == nullptr ? 0 : adapter->Undo(name, io::MonotonicNow());
    limits_changed_ = true;
    return fmt::format(R"({{"undone":{}}})", undone);
  }
  if (request == kAskPause || request == kAskResume) {
    SetPaused(request == kAskPause);
  } else if (request == kAskCancel) {
    cancelled_ = true;
    Stop();
  } else if (request != kAskStatus) {
    return R"({"error":"status, pause, resume, cancel, lanes and undo are what can be asked"})";
  }
  return ToJson(StatusNow());
}

std::string CampaignRun::LanesNow() const {
  if (routes_ == nullptr) return LanesJson(StatusNow(), {}, {});
  Adapter* adapter = shared_->adapter;
  return LanesJson(
      StatusNow(), routes_->Status(),
      adapter != nullptr ? adapter->Status(io::MonotonicNow()) : std::vector<AdaptStatus>());
}

CampaignStatus CampaignRun::StatusNow() const {
  const RunProgress progress = Progress();
  CampaignStatus status;
  status.campaign = campaign_->id();
  const bool waiting = progress.next_try != absl::InfiniteFuture();
  status.state = stopped_ ? "stopping" : paused_ ? "paused" : waiting ? "waiting" : "sending";
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

void CampaignRun::Housekeep(bool now_and_then) {
  const uint64_t offset = feeder_->list_offset();
  if (!feeder_->first_pass_over() && offset > dropped_to_ + kDropEveryBytes + kDropBehindBytes) {
    dropped_to_ = offset - kDropBehindBytes;
    campaign_->recipients().DropBefore(dropped_to_);
  }
  if (!now_and_then) return;
  // Nobody who looks on waits for a buffer to be full.
  recorder_->Flush().IgnoreError();  // disk_status() has what comes of it
  if (const absl::Status warning = recorder_->TakeWarning(); !warning.ok()) {
    Notice(fmt::format("events are kept as they are: {}", std::string(warning.message())));
  }
  ReloadDkimKeys();
  if (options_.on_progress) options_.on_progress(Progress());
}

// A disk that takes no more: nothing that goes out from now on could be written down.
absl::Status CampaignRun::disk_status() const {
  absl::Status status = checkpoint_->status();
  status.Update(recorder_->status());
  return status;
}

// A key that is bad now is said once; the old ones go on signing.
void CampaignRun::ReloadDkimKeys() {
  DkimKeys* keys = campaign_->recipe().dkim.get();
  if (keys == nullptr) return;
  const absl::Status status = keys->Reload();
  if (!status.ok() && status != dkim_status_) {
    Notice(fmt::format("signing goes on with the old keys: {}", std::string(status.message())));
  }
  dkim_status_ = status;
}

RunProgress CampaignRun::Progress() const {
  RunProgress p;
  p.recipients = campaign_->recipients().count();
  for (size_t i = 0; i < kOutcomes; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    auto count = static_cast<int64_t>(before_[static_cast<size_t>(StateOf(outcome))]);
    for (const Shard* shard : shared_->shards) count += shard->settler().count(outcome, flow_);
    if (shared_->settler != nullptr) count += shared_->settler->count(outcome, flow_);
    // Shards are not read at the same moment.
    p.counts[i] = static_cast<uint64_t>(std::max<int64_t>(0, count));
  }
  for (const Shard* shard : shared_->shards) {
    p.sessions_open += shard->sessions_open();
    if (p.held_by.empty()) p.held_by = shard->held_by();
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
  if (routes_ == nullptr || routes_->waiting() == 0) return p;
  const io::MonoTime over = shared_->table->NextRestOver(*routes_);
  const absl::Time then =
      over.is_infinite() ? absl::InfiniteFuture() : absl::Now() + (over - io::MonotonicNow());
  p.next_try = std::min(p.next_try, then);
  return p;
}

// --- The end ---

absl::Status CampaignRun::Close(absl::Status status) {
  closed_ = true;
  if (cancelled_) CancelRest(ledger_.get());
  if (status.ok() && recorder_->opened()) status = recorder_->ListUnsettled();
  status.Update(recorder_->Flush());
  if (status.ok()) status = ledger_->Sync();
  return status;
}

RunResult CampaignRun::Result() {
  RunResult result;
  result.final = Progress();
  if (cancelled_ && closed_) {
    // Read anew: those who never had a turn are no shard's.
    const Ledger::Counts counts = ledger_->Count();
    for (size_t i = 0; i < kOutcomes; ++i) {
      result.final.counts[i] = counts[static_cast<size_t>(StateOf(static_cast<Outcome>(i)))];
    }
  }
  result.cancelled = cancelled_;
  result.schedule_over = schedule_over_;
  result.too_many_render_failures = TooManyRenderFailures();
  result.breaker = breaker_.why();
  for (const Outcome outcome : {Outcome::kDelivered, Outcome::kBounced, Outcome::kUnrenderable,
                                Outcome::kSuppressed, Outcome::kCancelled}) {
    result.resumed_after += before_[static_cast<size_t>(StateOf(outcome))];
  }
  result.delivered_before = before_[static_cast<size_t>(SlotState::kDelivered)];
  result.found_uncertain = ledger_->found_in_flight().size();
  result.sent_again = ledger_->CountWasUncertain() - result.final.count(Outcome::kUncertain);
  const UndeliveredFile& undelivered = recorder_->undelivered();
  result.reasons = undelivered.TopReasons(kTopReasons);
  if (!undelivered.empty()) result.undelivered_path = undelivered.path();
  result.suppressed_by_bounces = recorder_->suppressed();
  return result;
}

void CancelRest(Ledger* ledger) {
  for (uint32_t i = 0; i < ledger->size(); ++i) {
    LedgerSlot slot = ledger->Get(i);
    if (slot.state != SlotState::kPending && slot.state != SlotState::kDeferred) continue;
    slot.state = SlotState::kCancelled;
    slot.due = 0;
    ledger->Put(i, slot);
  }
}

}  // namespace volley::pipeline
