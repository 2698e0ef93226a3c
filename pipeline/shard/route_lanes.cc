#include "pipeline/shard/route_lanes.h"

#include <algorithm>
#include <utility>

#include "io/base/check.h"

namespace volley::pipeline {
namespace {

constexpr absl::Duration kSayAgain = absl::Milliseconds(1);

}  // namespace

class RouteLanes::Route final : public JobFeed, public RelayPoolEvents {
 public:
  Route(RouteLanes* lanes, uint32_t lane) : lanes_(lanes), lane_(lane) {
    std::vector<LaneOptions> options{lanes->plans_->PlanFor(lane)};
    flows_.resize(options[0].flows.size());
    pool_.reset(new RelayPool(lanes->reactor_, lanes->press_, this, lanes->settler_, this,
                              std::move(options), OnLost::kDefer));
  }

  void Add(const Job& job) {
    flows_[job.flow].queue.push_back(job);
    waiting_ |= FlowBit(job.flow);
    ++count_;
  }

  void OnJobs() {
    if (!std::exchange(started_, true)) pool_->Start();
    pool_->OnJobs();
  }

  // --- JobFeed ---
  bool TakeJob(uint32_t number, Job* job) override {
    Flow& flow = flows_[number];
    if (flow.queue.empty()) return false;
    *job = flow.queue.front();
    flow.queue.pop_front();
    --count_;
    if (flow.queue.empty()) waiting_ &= ~FlowBit(number);
    if (++flow.taken >= flow.queue.size()) Tell(number);
    if (lost_ && count_ == 0) lanes_->Look(this);
    return true;
  }
  FlowSet flows_waiting() const override { return waiting_ & ~lanes_->held_; }
  size_t jobs_waiting() const override { return flows_waiting() == 0 ? 0 : count_; }
  FlowSet held() const override { return lanes_->held_; }
  bool exhausted() const override { return lanes_->no_more_ && count_ == 0; }

  // --- RelayPoolEvents ---
  void OnPoolReady() override {}
  void OnPoolFailed(std::string) override { Lose(); }
  void OnPoolLost() override { Lose(); }
  void OnSessionsOpen(uint32_t open) override {
    lanes_->open_ += open - open_;
    open_ = open;
    lanes_->events_->OnSessionsOpen(lanes_->open_);
    if (open == 0) lanes_->Look(this);
  }
  void OnNotice(std::string notice) override { lanes_->events_->OnNotice(std::move(notice)); }
  bool others_wait() const override { return !lanes_->waiting_.empty(); }
  void OnParked(const ThrottleAnswer* answer) override {
    if (answer != nullptr && answer->kind == LimitKind::kConnections) {
      lanes_->waiting_.push_back(lane_);
    }
    lanes_->events_->OnParked(answer);
  }
  void OnPoolDone() override { lanes_->Look(this); }

  void Lose() {
    lost_ = untold_lost_ = true;
    Tell(0);
    lanes_->Look(this);
  }

  void Tell(uint32_t number) {
    Flow& flow = flows_[number];
    if (flow.taken == 0 && !untold_lost_) return;
    const RouteNews news{.lane = lane_, .flow = number, .taken = flow.taken, .lost = untold_lost_};
    if (!lanes_->events_->OnRouteNews(news)) return lanes_->Look(this);
    flow.taken = 0;
    untold_lost_ = false;
  }
  // `all`: also what is not much yet.
  void TellAll(bool all) {
    for (uint32_t i = 0; i < flows_.size(); ++i) {
      if (all || flows_[i].has_untold() || untold_lost_) Tell(i);
    }
  }
  bool has_untold() const {
    return untold_lost_ || std::any_of(flows_.begin(), flows_.end(),
                                       [](const Flow& flow) { return flow.has_untold(); });
  }

  // What is left of it would be made anew by the next job.
  bool MayGo() const {
    const bool told =
        std::all_of(flows_.begin(), flows_.end(), [](const Flow& flow) { return flow.taken == 0; });
    return open_ == 0 && count_ == 0 && pool_->idle() && !untold_lost_ && told;
  }

  struct Flow {
    std::deque<Job> queue;
    uint32_t taken = 0;
    bool has_untold() const { return taken > 0 && taken >= queue.size(); }
  };

  RouteLanes* const lanes_;
  const uint32_t lane_;
  std::vector<Flow> flows_;
  FlowSet waiting_ = 0;  // flows that have any
  size_t count_ = 0;     // jobs of all
  std::unique_ptr<RelayPool> pool_;
  uint32_t open_ = 0;
  bool started_ = false, lost_ = false, untold_lost_ = false, listed_ = false, fed_ = false;
};

RouteLanes::RouteLanes(io::Reactor* reactor, Press* press, Settler* settler, RoutePlans* plans,
                       RouteLanesEvents* events)
    : reactor_(reactor), press_(press), settler_(settler), plans_(plans), events_(events) {}

RouteLanes::~RouteLanes() { reactor_->CancelTimer(this); }

void RouteLanes::Add(std::span<const Job> jobs) {
  std::vector<Route*> fed;
  for (const Job& job : jobs) {
    std::unique_ptr<Route>& route = routes_[static_cast<uint32_t>(job.lane)];
    if (route == nullptr) route = std::make_unique<Route>(this, static_cast<uint32_t>(job.lane));
    if (!std::exchange(route->fed_, true)) fed.push_back(route.get());
    route->Add(job);
  }
  for (Route* route : fed) {
    route->fed_ = false;
    route->OnJobs();
  }
}

void RouteLanes::SetHeld(FlowSet flows) {
  const FlowSet before = std::exchange(held_, flows);
  if ((before & ~flows) == 0) return;
  for (const auto& [lane, route] : routes_) route->OnJobs();
}

void RouteLanes::NoMoreJobs() {
  if (std::exchange(no_more_, true)) return;
  for (const auto& [lane, route] : routes_) route->OnJobs();
  FinishIfDone();
}

void RouteLanes::Drain() {
  if (std::exchange(draining_, true)) return;
  for (const auto& [lane, route] : routes_) route->pool_->Drain();
  FinishIfDone();
}

void RouteLanes::OnRoom(bool all) {
  if (all) {
    waiting_.clear();
    for (const auto& [lane, route] : routes_) route->pool_->OnRoom();
    return;
  }
  for (size_t n = waiting_.size(); n > 0; --n) {
    const uint32_t lane = waiting_.front();
    waiting_.pop_front();
    if (const auto route = routes_.find(lane); route != routes_.end()) {
      route->second->pool_->OnRoom();  // lists itself again if there is still none for it
    }
  }
}

void RouteLanes::GiveUpIdle() {
  for (const auto& [lane, route] : routes_) {
    if (route->open_ > 0 && route->count_ == 0) route->pool_->OnJobs();
  }
}

void RouteLanes::Look(Route* route) {
  if (!std::exchange(route->listed_, true)) to_look_at_.push_back(route->lane_);
  if (!std::exchange(timer_set_, true)) reactor_->SetTimer(this, reactor_->Now());
}

void RouteLanes::OnTimer() {
  timer_set_ = false;
  std::vector<uint32_t> lanes;
  lanes.swap(to_look_at_);
  bool again = false;
  for (const uint32_t lane : lanes) {
    const auto found = routes_.find(lane);
    if (found == routes_.end()) continue;
    Route& route = *found->second;
    route.listed_ = false;
    route.TellAll(/*all=*/route.open_ == 0 && route.count_ == 0);
    if (route.MayGo() || (draining_ && route.open_ == 0)) {
      Remove(lane);
    } else if (route.has_untold()) {
      again = true;
    }
  }
  if (again) {
    timer_set_ = true;
    reactor_->SetTimer(this, reactor_->Now() + kSayAgain);
  }
  FinishIfDone();
}

void RouteLanes::Remove(uint32_t lane) {
  const auto route = routes_.find(lane);
  const LaneStats& stats = route->second->pool_->lane(0).stats();
  stats_.delivered += stats.delivered;
  stats_.sessions += stats.sessions;
  stats_.handshakes += stats.handshakes;
  stats_.resumed += stats.resumed;
  if (stats.tls) stats_.tls = stats.tls;
  routes_.erase(route);
  events_->OnParked(nullptr);
}

void RouteLanes::FinishIfDone() {
  if (!routes_.empty() || !(no_more_ || draining_)) return;
  if (!std::exchange(done_, true)) events_->OnRoutesDone();
}

}  // namespace volley::pipeline
