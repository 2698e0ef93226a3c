#include "pipeline/shard/shard.h"

#include <utility>

namespace volley::pipeline {

Shard::Shard(const Campaign* campaign, std::shared_ptr<const SuppressionSnapshot> suppressed,
             const SettleRules* rules, std::vector<LaneOptions> lanes, WakeEvent* coordinator)
    : campaign_(campaign),
      lanes_(std::move(lanes)),
      coordinator_(coordinator),
      suppressed_(std::move(suppressed)),
      settler_(rules, [coordinator] { coordinator->Signal(); }) {}

Shard::Shard(const Campaign* campaign, std::shared_ptr<const SuppressionSnapshot> suppressed,
             const SettleRules* rules, RoutePlans* plans, WakeEvent* coordinator)
    : campaign_(campaign),
      plans_(plans),
      coordinator_(coordinator),
      suppressed_(std::move(suppressed)),
      settler_(rules, [coordinator] { coordinator->Signal(); }) {}

Shard::~Shard() = default;

void Shard::Attach(io::Reactor* reactor) {
  reactor_ = reactor;
  press_ = std::make_unique<Press>(reactor, campaign_, suppressed_,
                                   [this](size_t n) { return PeekJob(n); });
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
  low_told_.store(false, std::memory_order_relaxed);
  const size_t n = ring_.PushSome(jobs);
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

void Shard::SetPaused(bool paused) {
  paused_.store(paused, std::memory_order_release);
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

bool Shard::TakeJob(Job* job) {
  if (batch_next_ == batch_end_ && !Refill()) return false;
  *job = batch_[batch_next_++];
  return true;
}

const Job* Shard::PeekJob(size_t n) {
  if (routes_ != nullptr) return nullptr;  // which route is next is not known
  if (batch_next_ == batch_end_) Refill();
  return n < batch_end_ - batch_next_ ? &batch_[batch_next_ + n] : nullptr;
}

bool Shard::Refill() {
  batch_next_ = 0;
  batch_end_ = ring_.PopSome(batch_);
  if (batch_end_ == 0) {
    hungry_.exchange(true, std::memory_order_acq_rel);
    batch_end_ = ring_.PopSome(batch_);  // a push may have come between
  }
  if (ring_.size_approx() < kRing / 2 && !no_more_.load(std::memory_order_relaxed) &&
      !low_told_.exchange(true, std::memory_order_relaxed)) {
    coordinator_->Signal();
  }
  return batch_end_ != 0;
}

size_t Shard::jobs_waiting() const {
  const size_t n = batch_end_ - batch_next_ + ring_.size_approx();
  if (n > 0) return n;
  // Whoever opens no session for want of jobs is to be woken by the next push, too.
  hungry_.exchange(true, std::memory_order_acq_rel);
  return ring_.size_approx();
}

bool Shard::exhausted() const {
  // no_more_ first: what was pushed before it was set is visible after it was seen.
  return no_more_.load(std::memory_order_acquire) && jobs_waiting() == 0;
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
  routes_->SetPaused(paused());
  if (drain_.load(std::memory_order_acquire)) return routes_->Drain();
  do {
    while ((batch_end_ = ring_.PopSome(batch_)) > 0) routes_->Add({batch_.data(), batch_end_});
    hungry_.exchange(true, std::memory_order_acq_rel);
  } while (ring_.size_approx() > 0);
  batch_end_ = 0;
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
