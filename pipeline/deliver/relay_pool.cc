#include "pipeline/deliver/relay_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/base/check.h"
#include "pipeline/deliver/limits.h"

namespace volley::pipeline {

// One lane, its share, and what it says.
class RelayPool::Member final : public JobSource, public LaneEvents {
 public:
  Member(RelayPool* pool, uint32_t weight) : pool_(pool), weight_(weight) {}

  // JobSource
  bool TakeJob(uint32_t flow, Job* job) override { return pool_->TakeJobFor(this, flow, job); }
  void GiveBack(const Job& job) override {
    --pool_->in_flight_;
    pool_->given_back_[job.flow].push_back(job);
    pool_->flows_given_back_ |= FlowBit(job.flow);
    ++pool_->given_back_count_;
    if (pool_->members_.size() > 1 || pool_->lost_ > 0) pool_->Wake();
  }
  void OnSettled(Outcome) override {
    // The last one: the other lanes need not wait for a job it might give back.
    if (--pool_->in_flight_ == 0 && pool_->members_.size() > 1) pool_->Wake();
  }
  FlowSet flows_waiting() const override {
    if (!pool_->MayTake(*this)) return 0;
    return (pool_->flows_given_back_ & ~pool_->feed_->held()) | pool_->feed_->flows_waiting();
  }
  size_t jobs_waiting() const override {
    if (flows_waiting() == 0) return 0;
    return pool_->given_back_count_ + pool_->feed_->jobs_waiting();
  }
  bool exhausted() const override {
    return pool_->given_back_count_ == 0 && pool_->feed_->exhausted();
  }
  bool all_settled() const override { return exhausted() && pool_->in_flight_ == 0; }

  // LaneEvents
  void OnLaneReady() override { pool_->OnMemberReady(); }
  void OnLaneFailed(std::string why) override { pool_->OnMemberLost(this, why); }
  void OnLaneGaveUp(std::string why) override { pool_->OnMemberLost(this, why); }
  void OnLaneUsable(bool usable) override {
    if (usable) pool_->Rejoin(this);
    usable_ = usable;
    if (pool_->members_.size() > 1) pool_->Wake();
  }
  void OnSessionsOpen(uint32_t open) override {
    open_ = open;
    pool_->CountSessions();
  }
  void OnLaneNotice(std::string notice) override { pool_->events_->OnNotice(std::move(notice)); }
  bool others_wait() const override { return pool_->events_->others_wait(); }
  void OnLaneParked(const ThrottleAnswer* answer) override { pool_->events_->OnParked(answer); }
  void OnLaneDone() override { pool_->OnMemberDone(); }

  // How far it is in its share: the one with the least is next.
  double share() const { return taken_ / weight_; }

  RelayPool* const pool_;
  const uint32_t weight_;
  std::unique_ptr<Lane> lane_;
  double taken_ = 0;  // jobs, since it last joined
  uint32_t open_ = 0;
  bool usable_ = false, started_ = false, joined_ = false, lost_ = false;
};

RelayPool::RelayPool(io::Reactor* reactor, Press* press, JobFeed* feed, Settler* settler,
                     RelayPoolEvents* events, std::vector<LaneOptions> lanes, OnLost on_lost)
    : reactor_(reactor), feed_(feed), settler_(settler), events_(events), on_lost_(on_lost) {
  VOLLEY_CHECK(!lanes.empty());
  given_back_.resize(lanes[0].flows.size());
  for (LaneOptions& options : lanes) {
    ready_ = ready_ || options.proven;
    members_.push_back(std::make_unique<Member>(this, options.relay.weight));
    Member* member = members_.back().get();
    member->lane_ =
        std::make_unique<Lane>(reactor, press, member, settler, member, std::move(options));
  }
}

RelayPool::~RelayPool() { reactor_->CancelTimer(this); }

const Lane& RelayPool::lane(size_t i) const { return *members_[i]->lane_; }

void RelayPool::Start() {
  awaited_until_ = reactor_->Now() + kShareStart;
  for (const auto& member : members_) {
    if (member->weight_ > 0) StartLane(member.get());
  }
  if (ready_ && members_.size() > 1) Wake();
}

void RelayPool::StartLane(Member* member) {
  if (std::exchange(member->started_, true)) return;
  member->lane_->Start();
}

// Once it is known whether they are needed at once; also where they are not, so that a standby that
// is of no use is told now and not in need.
void RelayPool::StartStandby() {
  for (const auto& member : members_) StartLane(member.get());
}

void RelayPool::OnJobs() {
  if (lost_ == members_.size()) SettleRest();
  for (const auto& member : members_) member->lane_->OnJobs();
}

void RelayPool::OnRoom() {
  for (const auto& member : members_) member->lane_->OnRoom();
}

void RelayPool::Drain() {
  draining_ = true;
  for (const auto& member : members_) member->lane_->Drain();
}

void RelayPool::Wake() {
  if (wake_set_) return;
  wake_set_ = true;
  reactor_->SetTimer(this, reactor_->Now());
}

void RelayPool::OnTimer() {
  wake_set_ = starved_ = false;
  if (!draining_ && (ready_ || WeightedAreLost())) StartStandby();
  OnJobs();
  if (!wake_set_ && reactor_->Now() < awaited_until_) reactor_->SetTimer(this, awaited_until_);
}

// --- Shares ---

bool RelayPool::AnyWeightedUsable() const {
  return std::any_of(members_.begin(), members_.end(),
                     [](const auto& m) { return m->weight_ > 0 && m->usable_; });
}

bool RelayPool::WeightedAreLost() const {
  return std::all_of(members_.begin(), members_.end(),
                     [](const auto& m) { return m->weight_ == 0 || m->lost_; });
}

bool RelayPool::MayTake(const Member& member) {
  if (members_.size() == 1) return true;
  const bool may = member.weight_ == 0 ? !AnyWeightedUsable() : IsInShare(member);
  starved_ = starved_ || !may;
  return may;
}

bool RelayPool::IsInShare(const Member& member) const {
  double least = member.share();
  const bool starting = reactor_->Now() < awaited_until_;
  for (const auto& other : members_) {
    const bool counts = other->usable_ || (starting && !other->joined_ && !other->lost_);
    if (other->weight_ > 0 && counts) least = std::min(least, other->share());
  }
  return (member.share() - least) * member.weight_ < kShareSlack;
}

// Coming (back) it starts near where the others are: the claim on what it missed is bounded, or the
// others would stand still until it has caught up.
void RelayPool::Rejoin(Member* member) {
  member->joined_ = true;
  if (member->weight_ == 0) return;
  double most = 0;
  for (const auto& other : members_) {
    if (other->weight_ > 0 && other->usable_) most = std::max(most, other->share());
  }
  member->taken_ = std::max(member->taken_, most * member->weight_ - kShareClaim);
}

bool RelayPool::TakeGivenBack(uint32_t flow, Job* job) {
  std::deque<Job>& jobs = given_back_[flow];
  if (jobs.empty()) return false;
  *job = jobs.front();
  jobs.pop_front();
  if (jobs.empty()) flows_given_back_ &= ~FlowBit(flow);
  --given_back_count_;
  return true;
}

bool RelayPool::TakeJobFor(Member* member, uint32_t flow, Job* job) {
  if ((feed_->held() & FlowBit(flow)) != 0 || !MayTake(*member)) return false;
  if (!TakeGivenBack(flow, job) && !feed_->TakeJob(flow, job)) return false;
  ++in_flight_;
  member->taken_ += 1;
  if (starved_) Wake();  // others may have waited for this one to come level
  return true;
}

// --- Members come and go ---

void RelayPool::OnMemberReady() {
  if (std::exchange(ready_, true)) return;
  events_->OnPoolReady();
  if (members_.size() > 1) Wake();
}

void RelayPool::OnMemberLost(Member* member, const std::string& why) {
  ++lost_;
  member->lost_ = true;
  const std::string& name = member->lane_->relay().name;
  if (!lost_reasons_.empty()) lost_reasons_ += "; ";
  lost_reasons_ += members_.size() == 1 ? why : fmt::format("{}: {}", name, why);
  if (lost_ < members_.size()) {
    events_->OnNotice(fmt::format("{}: {}; going on with the other relays", name, why));
  } else if (ready_) {
    events_->OnNotice(fmt::format(
        "{}: {}; giving up. The same command goes on with the rest at another time", name, why));
    events_->OnPoolLost();
  } else {
    events_->OnPoolFailed(lost_reasons_);
  }
  Wake();
}

// No relay is left.
void RelayPool::SettleRest() {
  if (draining_ || (!ready_ && on_lost_ == OnLost::kPutOff)) return;
  Job job;
  for (uint32_t flow = 0; flow < given_back_.size(); ++flow) {
    while (TakeGivenBack(flow, &job) || feed_->TakeJob(flow, &job)) {
      if (on_lost_ == OnLost::kPutOff) {
        settler_->PutOff(job, 0, lost_reasons_);
      } else {
        members_[0]->lane_->DeferUnreachable(job, lost_reasons_);
      }
    }
  }
  if (done_ == members_.size() && feed_->exhausted() && in_flight_ == 0) Finish();
}

void RelayPool::OnMemberDone() {
  if (++done_ < members_.size()) return;
  // Lost lanes are done before the feed has ended: the rest is still to be settled.
  const bool settles = ready_ || on_lost_ == OnLost::kDefer;
  if (settles && !draining_ && !(feed_->exhausted() && given_back_count_ == 0)) return Wake();
  Finish();
}

void RelayPool::Finish() {
  reactor_->CancelTimer(this);
  if (!std::exchange(finished_, true)) events_->OnPoolDone();
}

void RelayPool::CountSessions() {
  uint32_t open = 0;
  for (const auto& member : members_) open += member->open_;
  events_->OnSessionsOpen(open);
}

}  // namespace volley::pipeline
