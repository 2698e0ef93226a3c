#include "pipeline/shard/shard.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace volley::pipeline {

namespace {

std::vector<const SettleRules*> RulesOf(const std::vector<ShardFlow>& flows) {
  std::vector<const SettleRules*> rules;
  for (const ShardFlow& flow : flows) rules.push_back(flow.rules);
  return rules;
}

}  // namespace

Shard::Shard(std::vector<ShardFlow> flows, std::vector<LaneOptions> lanes, RoutePlans* plans,
             WakeEvent* coordinator)
    : flows_(std::move(flows)),
      lanes_(std::move(lanes)),
      plans_(plans),
      coordinator_(coordinator),
      settler_(RulesOf(flows_), [coordinator] { coordinator->Signal(); }) {
  for (size_t i = 0; i < flows_.size(); ++i) inboxes_.push_back(std::make_unique<Inbox>());
}

Shard::Shard(std::vector<ShardFlow> flows, std::vector<LaneOptions> lanes, WakeEvent* coordinator)
    : Shard(std::move(flows), std::move(lanes), nullptr, coordinator) {}

Shard::Shard(std::vector<ShardFlow> flows, RoutePlans* plans, WakeEvent* coordinator)
    : Shard(std::move(flows), {}, plans, coordinator) {}

Shard::~Shard() = default;

void Shard::Attach(io::Reactor* reactor) {
  reactor_ = reactor;
  std::vector<FlowMail> mail;
  for (const ShardFlow& flow : flows_) mail.push_back(flow.mail);
  press_ = std::make_unique<Press>(reactor, mail, [this](size_t n) { return PeekJob(n); });
  if (plans_ != nullptr) {
    routes_.reset(new RouteLanes(reactor, press_.get(), &settler_, plans_, this));
  } else {
    pool_.reset(new RelayPool(reactor, press_.get(), this, &settler_, this, lanes_));
  }
  reactor->SetWakeHandler([this] { OnWake(); });
  SetWakeable(reactor);
  if (routes_ != nullptr) {
    SetState(State::kReady);
    return OnWake();
  }
  pool_->Start();
  if (drain_.load(std::memory_order_acquire)) OnWake();  // asked before we could be woken
}

void Shard::Detach() {
  SetWakeable(nullptr);
  for (size_t i = 0; pool_ != nullptr && i < pool_->size(); ++i) {
    lane_stats_.push_back(pool_->lane(i).stats());
  }
  if (routes_ != nullptr) lane_stats_.push_back(routes_->stats());
  routes_.reset();
  pool_.reset();
  press_.reset();
  reactor_ = nullptr;
}

size_t Shard::Push(std::span<const Job> jobs) {
  if (jobs.empty()) return 0;
  Inbox& inbox = *inboxes_[jobs[0].flow];
  inbox.low_told.store(false, std::memory_order_relaxed);
  const size_t n = inbox.ring.PushSome(jobs);
  if (n > 0 && hungry_.exchange(false, std::memory_order_acq_rel)) WakeReactor();
  return n;
}

void Shard::NoMoreJobs() {
  no_more_.store(true, std::memory_order_release);
  WakeReactor();
}

void Shard::RequestDrain() {
  drain_.store(true, std::memory_order_release);
  WakeReactor();
}

void Shard::SetHeld(FlowSet flows) {
  held_.store(flows, std::memory_order_release);
  WakeReactor();
}

void Shard::SetWakeable(io::Reactor* reactor) {
  const std::lock_guard lock(wakeable_mutex_);
  wakeable_ = reactor;
}

void Shard::WakeReactor() {
  const std::lock_guard lock(wakeable_mutex_);
  if (wakeable_ != nullptr) wakeable_->Wake();
}

std::vector<std::string> Shard::TakeNotices() {
  const std::lock_guard lock(notices_mutex_);
  return std::exchange(notices_, {});
}

bool Shard::TakeJob(uint32_t flow, Job* job) {
  Inbox& inbox = *inboxes_[flow];
  if (inbox.next == inbox.end && !Refill(&inbox)) return false;
  *job = inbox.batch[inbox.next++];
  return true;
}

const Job* Shard::PeekJob(size_t n) {
  if (routes_ != nullptr) return nullptr;  // which route is next is not known
  for (const auto& inbox : inboxes_) {
    if (inbox->next == inbox->end) Refill(inbox.get());
    const size_t there = inbox->end - inbox->next;
    if (n < there) return &inbox->batch[inbox->next + n];
    n -= there;
  }
  return nullptr;
}

bool Shard::Refill(Inbox* inbox) {
  inbox->next = 0;
  inbox->end = inbox->ring.PopSome(inbox->batch);
  if (inbox->end == 0) {
    hungry_.exchange(true, std::memory_order_acq_rel);
    inbox->end = inbox->ring.PopSome(inbox->batch);  // a push may have come between
  }
  if (inbox->ring.size_approx() < kRing / 2 && !no_more_.load(std::memory_order_relaxed) &&
      !inbox->low_told.exchange(true, std::memory_order_relaxed)) {
    coordinator_->Signal();
  }
  return inbox->end != 0;
}

FlowSet Shard::FlowsWithJobs() const {
  FlowSet flows = 0;
  for (uint32_t i = 0; i < inboxes_.size(); ++i) {
    if (!inboxes_[i]->empty()) flows |= FlowBit(i);
  }
  return flows & ~held();
}

FlowSet Shard::flows_waiting() const {
  const FlowSet flows = FlowsWithJobs();
  if (flows != 0) return flows;
  // Whoever opens no session for want of jobs is to be woken by the next push, too.
  hungry_.exchange(true, std::memory_order_acq_rel);
  return FlowsWithJobs();
}

size_t Shard::jobs_waiting() const {
  size_t jobs = 0;
  for (FlowSet flows = flows_waiting(); flows != 0; flows &= flows - 1) {
    jobs += inboxes_[static_cast<size_t>(std::countr_zero(flows))]->size();
  }
  return jobs;
}

bool Shard::exhausted() const {
  // no_more_ first: what was pushed before it was set is visible after it was seen.
  return no_more_.load(std::memory_order_acquire) &&
         std::all_of(inboxes_.begin(), inboxes_.end(), [](const auto& i) { return i->empty(); });
}

void Shard::OnRoom(bool all) {
  room_.fetch_or(all ? kRoomForAll : kRoom, std::memory_order_acq_rel);
  WakeReactor();
}

void Shard::OnWanted() {
  room_.fetch_or(kWanted, std::memory_order_acq_rel);
  WakeReactor();
}

bool Shard::OnRouteNews(const RouteNews& news) {
  if (!news_.Push(news)) return false;
  if (!news_told_.exchange(true, std::memory_order_acq_rel)) coordinator_->Signal();
  return true;
}

bool Shard::TakeRouteNews(RouteNews* news) {
  if (news_.Pop(news)) return true;
  news_told_.exchange(false, std::memory_order_acq_rel);
  return news_.Pop(news);  // what came between would tell nobody
}

// Whatever has come goes to its route's queue: one that cannot send must not stand before others.
void Shard::OnRouteWake() {
  const bool no_more = no_more_.load(std::memory_order_acquire);
  routes_->SetHeld(held());
  if (drain_.load(std::memory_order_acquire)) return routes_->Drain();
  for (const auto& inbox : inboxes_) {
    do {
      while ((inbox->end = inbox->ring.PopSome(inbox->batch)) > 0) {
        routes_->Add({inbox->batch.data(), inbox->end});
      }
      hungry_.exchange(true, std::memory_order_acq_rel);
    } while (inbox->ring.size_approx() > 0);
  }
  if (const uint8_t room = room_.exchange(0, std::memory_order_acq_rel)) {
    if (room & kWanted) routes_->GiveUpIdle();
    if (room & (kRoom | kRoomForAll)) routes_->OnRoom((room & kRoomForAll) != 0);
  }
  if (no_more) routes_->NoMoreJobs();
}

void Shard::OnWake() {
  if (routes_ != nullptr) return OnRouteWake();
  if (pool_ == nullptr) return;
  if (drain_.load(std::memory_order_acquire)) return pool_->Drain();
  if (room_.exchange(0, std::memory_order_acq_rel) != 0) pool_->OnRoom();
  pool_->OnJobs();
}

void Shard::SetState(State state) {
  state_.store(state, std::memory_order_release);
  coordinator_->Signal();
}

void Shard::OnPoolReady() { SetState(State::kReady); }

void Shard::OnPoolFailed(std::string why) {
  failure_ = std::move(why);
  SetState(State::kFailed);
}

void Shard::OnPoolLost() {
  lost_.store(true, std::memory_order_release);
  coordinator_->Signal();
}

void Shard::OnParked(const ThrottleAnswer* answer) {
  if (answer != nullptr) parked_kind_.store(answer->kind, std::memory_order_relaxed);
  parked_by_.store(answer == nullptr ? nullptr : answer->limit, std::memory_order_release);
}

std::string Shard::held_by() const {
  const Limit* limit = parked_by_.load(std::memory_order_acquire);
  const LimitKind kind = parked_kind_.load(std::memory_order_relaxed);
  return limit == nullptr ? "" : ThrottleAnswer{.limit = limit, .kind = kind}.Why();
}

void Shard::OnSessionsOpen(uint32_t open) { sessions_open_.store(open, std::memory_order_relaxed); }

void Shard::OnNotice(std::string notice) {
  const std::lock_guard lock(notices_mutex_);
  notices_.push_back(std::move(notice));
}

void Shard::OnPoolDone() {
  if (state() != State::kFailed) SetState(State::kDone);
  reactor_->Stop();
}

}  // namespace volley::pipeline
