#include "pipeline/shard/route_feeder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pipeline/throttle/provider_limits.h"

namespace volley::pipeline {
namespace {

constexpr uint32_t kSortAtOnce = 16384;  // jobs, before the shards are fed again
constexpr uint32_t kCreditAll = 131072;  // jobs of all routes together with the shards, about
constexpr uint32_t kCreditMin = 8, kCreditMax = 1024;  // of one route with one shard
// Of one route, before it is another's turn: what a connection takes before it is renewed, or a
// session would sit idle in the middle.
constexpr size_t kPushAtOnce = 128;

std::string_view DomainOf(std::string_view address) {
  return address.substr(address.rfind('@') + 1);
}

RouteRules WithSource(RouteRules rules) {
  if (rules.sources.empty()) rules.sources.emplace_back();
  return rules;
}

}  // namespace

struct RouteFeeder::RouteLane {
  std::shared_ptr<const Route> route;
  const Source* source = nullptr;
  uint32_t adapted = 0;  // its number there
  Queue queue;
  std::vector<uint32_t> with_shard;  // jobs that no session has taken yet
  size_t turn = 0;                   // the shard that is next
  bool listed = false;
  uint32_t failures = 0;  // in a row
  io::MonoTime rests_until;
  std::string why;  // what its servers said when they were last not reached
  engine::smtp::ReplyCode code;
};

RouteFeeder::RouteFeeder(const RecipientFile* list, const Ledger* ledger, Feeder* feeder,
                         RouteFinder* router, LimitTable* limits, Settler* settler,
                         RouteRules rules)
    : list_(list),
      ledger_(ledger),
      feeder_(feeder),
      router_(router),
      limits_(limits),
      settler_(settler),
      rules_(WithSource(std::move(rules))),
      next_(ledger->size(), kNone),
      offsets_(ledger->size(), 0) {}

RouteFeeder::~RouteFeeder() = default;

void RouteFeeder::SetShards(std::vector<Shard*> shards) { shards_ = std::move(shards); }

absl::StatusOr<bool> RouteFeeder::Step(UnixSeconds now) {
  TakeNews();
  TakeAnswers();
  EndRests();
  auto sorted = Sort(now);
  if (!sorted.ok()) return sorted;
  const bool pushed = Push();
  if (!status_.ok()) return status_;
  return *sorted || pushed;
}

// --- Sorting ---

absl::StatusOr<bool> RouteFeeder::Sort(UnixSeconds now) {
  for (uint32_t sorted = 0; sorted < kSortAtOnce;) {
    const auto jobs = feeder_->Peek(now);
    if (!jobs.ok()) return jobs.status();
    if (jobs->empty()) return sorted > 0;
    for (const Job& job : *jobs) {
      if (absl::Status s = Place(job); !s.ok()) return s;
    }
    sorted += static_cast<uint32_t>(jobs->size());
    feeder_->Pop(jobs->size());
  }
  return true;
}

absl::Status RouteFeeder::Place(const Job& job) {
  if (const auto next = list_->ReadAt(job.offset, &record_); !next.ok()) return next.status();
  offsets_[job.index] = job.offset;
  const std::string_view domain = DomainOf(record_.address);
  const RouteAnswer answer = router_->Find(domain, rules_.clock());
  Queue one;
  Append(&one, job.index);
  ++waiting_;
  if (answer.state == RouteAnswer::State::kAsking) {
    Join(&asking_[std::string(domain)], one);
  } else {
    Apply(answer, one);
  }
  return status_;
}

void RouteFeeder::TakeAnswers() {
  router_->TakeAnswers([this](std::string_view domain) {
    const auto waiting = asking_.find(absl::string_view(domain.data(), domain.size()));
    if (waiting == asking_.end()) return;
    const RouteAnswer answer = router_->Find(domain, rules_.clock());
    if (answer.state == RouteAnswer::State::kAsking) return;
    const Queue queue = waiting->second;
    asking_.erase(waiting);
    Apply(answer, queue);
  });
}

void RouteFeeder::Apply(const RouteAnswer& answer, const Queue& queue) {
  Queue rest = queue;
  if (answer.state == RouteAnswer::State::kKnown) {
    return ToRoute(answer.route, &rest);
  }
  const bool never = answer.state == RouteAnswer::State::kNoMail;
  SettleAll(&rest, {.outcome = never ? Outcome::kBounced : Outcome::kDeferred,
                    .lane = kNone,
                    .command = engine::smtp::CommandKind::kGreeting,
                    .reply = {answer.code, answer.enhanced, answer.text}});
}

void RouteFeeder::ToRoute(const std::shared_ptr<const Route>& route, Queue* queue) {
  const auto sources = static_cast<uint32_t>(rules_.sources.size());
  while (queue->count > 0) {
    const auto lane = LaneOf(route, queue->head % sources);
    if (!lane.ok()) return status_.Update(lane.status());
    if (sources == 1) {
      Join(&lanes_[*lane]->queue, *queue);
      queue->count = 0;
    } else {
      Append(&lanes_[*lane]->queue, TakeFirst(queue));
    }
    List(*lane);
  }
}

absl::StatusOr<uint32_t> RouteFeeder::LaneOf(const std::shared_ptr<const Route>& route,
                                             uint32_t source) {
  const auto [found, is_new] =
      lane_of_.try_emplace({route->id, source}, static_cast<uint32_t>(lanes_.size()));
  if (!is_new) return found->second;
  if (lanes_.size() > Job::kLaneMax) {
    return absl::ResourceExhaustedError("more than 16 million routes in one campaign");
  }
  const Source& from = rules_.sources[source];
  const auto adapted = MakeLimits(*route, from);
  if (!adapted.ok()) return adapted.status();
  auto lane = std::make_unique<RouteLane>();
  lane->route = route;
  lane->source = &from;
  lane->adapted = *adapted;
  lane->with_shard.resize(shards_.size());
  lane->turn = lanes_.size();
  const std::lock_guard lock(lanes_mutex_);
  lanes_.push_back(std::move(lane));
  return found->second;
}

// Everybody else is not one provider: what is said of him holds for each route.
std::string RouteFeeder::LimitName(const Route& route) const {
  return route.provider == rules_.fallback ? route.name : route.provider->name;
}

absl::StatusOr<uint32_t> RouteFeeder::MakeLimits(const Route& route, const Source& source) {
  LimitSpec spec = LimitSpecOf(*route.provider);
  if (!spec.connections) spec.connections = rules_.connections;
  if (rules_.adapter != nullptr && !spec.rate) spec.rate = kUnpaced;
  const LimitKey key{.source = source.name(), .provider = LimitName(route)};
  const auto limit = limits_->FindOrAdd(key, spec, {rules_.clock(), absl::Now()});
  if (!limit.ok()) return limit.status();
  if (rules_.adapter == nullptr) return 0;
  return rules_.adapter->Add(key.source.empty() ? key.provider : key.source + " -> " + key.provider,
                             *limit, route.provider);
}

LaneOptions RouteFeeder::PlanFor(uint32_t id) {
  std::shared_ptr<const Route> route;
  const Source* source;
  {
    const std::lock_guard lock(lanes_mutex_);
    route = lanes_[id]->route;
    source = lanes_[id]->source;
  }
  LaneOptions lane;
  lane.relay = rules_.direct;
  lane.relay.name = route->name;
  lane.relay.addresses = ReachableFrom(source->address, route->addresses);
  lane.relay.endpoints = lane.relay.addresses->Get(rules_.clock())->endpoints;
  lane.source = source->address;
  if (!source->helo.empty()) lane.relay.helo = source->helo;
  if (!route->hosts.empty()) {
    lane.relay.url.host = route->hosts[0].name;
    lane.relay.tls_options.server_name = route->hosts[0].name;
  }
  if (route->provider->tls.value == engine::policy::TlsNeed::kRequired) {
    lane.relay.tls = engine::smtp::TlsPolicy::kRequired;
  }
  lane.id = id;
  lane.provider = route->provider->name;
  lane.policy = route->provider;
  if (const auto& retry = route->provider->retry.value; retry && !rules_.own_retry) {
    lane.retry = {retry->first, retry->longest, retry->give_up_after};
  }
  lane.connections_max = rules_.connections;
  lane.messages_per_connection = rules_.messages_per_connection;
  lane.limits = limits_;
  lane.limit_key = {
      .campaign = rules_.campaign, .source = source->name(), .provider = LimitName(*route)};
  return lane;
}

// --- Feeding ---

void RouteFeeder::List(uint32_t id) {
  RouteLane& lane = *lanes_[id];
  if (lane.listed || lane.queue.count == 0 || lane.rests_until != io::MonoTime()) return;
  lane.listed = true;
  listed_.push_back(id);
}

uint32_t RouteFeeder::Credit() const {
  const auto lanes = static_cast<uint32_t>(std::max<size_t>(1, lanes_.size()));
  return std::clamp(kCreditAll / lanes, kCreditMin, kCreditMax);
}

// Every listed route gets its turn once.
bool RouteFeeder::Push() {
  bool more = false;
  for (size_t n = listed_.size(); n > 0; --n) {
    const uint32_t id = listed_.front();
    listed_.pop_front();
    lanes_[id]->listed = false;
    bool ring_full = false;
    const bool pushed = PushLane(id, &ring_full);
    // Who has all he may have is listed again by news of what was taken of it; news of anybody come
    // when a ring has room again.
    if (pushed || ring_full) List(id);
    more = more || pushed;
  }
  return more;
}

bool RouteFeeder::PushLane(uint32_t id, bool* ring_full) {
  RouteLane& lane = *lanes_[id];
  if (lane.rests_until != io::MonoTime()) return false;
  for (size_t tried = 0; tried < shards_.size(); ++tried) {
    const size_t shard = lane.turn++ % shards_.size();
    if (lane.queue.count > 0 && PushTo(&lane, id, shard, ring_full) > 0) return true;
  }
  return false;
}

size_t RouteFeeder::PushTo(RouteLane* lane, uint32_t id, size_t shard, bool* ring_full) {
  uint32_t& with = lane->with_shard[shard];
  const uint32_t credit = Credit();
  if (with >= credit || shards_[shard]->state() == Shard::State::kDone) return 0;
  const size_t want = std::min<size_t>({kPushAtOnce, credit - with, lane->queue.count});
  std::array<Job, kPushAtOnce> jobs;
  const Queue before = lane->queue;
  for (size_t i = 0; i < want; ++i) jobs[i] = JobOf(TakeFirst(&lane->queue), id);
  const size_t pushed = shards_[shard]->Push({jobs.data(), want});
  if (pushed < want) {  // the rest stays first in its queue
    *ring_full = true;
    lane->queue = before;
    for (size_t i = 0; i < pushed; ++i) TakeFirst(&lane->queue);
  }
  with += static_cast<uint32_t>(pushed);
  waiting_ -= pushed;
  handed_out_ += pushed;
  return pushed;
}

void RouteFeeder::TakeNews() {
  RouteNews news;
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    while (shards_[shard]->TakeRouteNews(&news)) {
      RouteLane& lane = *lanes_[news.lane];
      lane.with_shard[shard] -= std::min<uint32_t>(news.taken, lane.with_shard[shard]);
      if (news.lost) Rest(news.lane);
      List(news.lane);
    }
  }
}

// --- Servers that cannot be reached ---

void RouteFeeder::Note(const OutcomeNote& note) {
  if (note.lane >= lanes_.size()) return;
  RouteLane& lane = *lanes_[note.lane];
  if (rules_.adapter != nullptr) Adapt(lane, note);
  if (note.index == OutcomeNote::kNobody) return;
  if (note.command == engine::smtp::CommandKind::kGreeting) {
    lane.why = note.text_view();
    lane.code = note.code;
    if (lane.rests_until != io::MonoTime()) DeferWaiting(note.lane);
  } else if (lane.failures > 0 && lane.rests_until == io::MonoTime()) {
    lane.failures = 0;
  }
}

void RouteFeeder::Adapt(const RouteLane& lane, const OutcomeNote& note) {
  if (note.outcome == Outcome::kDelivered) {
    return rules_.adapter->OnDelivered(lane.adapted, rules_.clock());
  }
  if (note.outcome != Outcome::kBounced && note.outcome != Outcome::kDeferred) return;
  const std::string enhanced = EnhancedText(note.enhanced);
  rules_.adapter->OnRefused(lane.adapted,
                            {.reply = {.provider = lane.route->provider->name,
                                       .stage = StageOf(note.command),
                                       .code = note.code.value(),
                                       .enhanced = enhanced,
                                       .text = note.text_view()},
                             .category = static_cast<engine::bounce::Category>(note.category),
                             .began = note.unix_millis - note.millis,
                             .ended = note.unix_millis},
                            rules_.clock());
}

// With what its servers said, or did not say, to those who were tried.
void RouteFeeder::DeferWaiting(uint32_t id) {
  RouteLane& lane = *lanes_[id];
  const std::string why = lane.why;
  SettleAll(&lane.queue, {.lane = id,
                          .command = engine::smtp::CommandKind::kGreeting,
                          .reply = {lane.code, {}, why},
                          .provider = lane.route->provider->name});
}

void RouteFeeder::Rest(uint32_t id) {
  RouteLane* lane = lanes_[id].get();
  if (!lane->why.empty()) DeferWaiting(id);
  const uint32_t doublings = std::min<uint32_t>(lane->failures++, 10);
  const absl::Duration rest = std::min(rules_.rest_longest, rules_.rest_first * (1 << doublings));
  if (lane->rests_until == io::MonoTime()) resting_.push_back(id);
  lane->rests_until = rules_.clock() + rest;
}

void RouteFeeder::EndRests() {
  if (resting_.empty()) return;
  const io::MonoTime now = rules_.clock();
  std::erase_if(resting_, [this, now](uint32_t id) {
    if (lanes_[id]->rests_until > now) return false;
    lanes_[id]->rests_until = io::MonoTime();
    List(id);
    return true;
  });
}

io::MonoTime RouteFeeder::next_rest_over() const {
  io::MonoTime next = io::MonoTime::Infinite();
  for (const uint32_t id : resting_) {
    if (lanes_[id]->queue.count > 0) next = std::min(next, lanes_[id]->rests_until);
  }
  return next;
}

// --- Queues ---

void RouteFeeder::Append(Queue* queue, uint32_t index) {
  next_[index] = kNone;
  (queue->count++ == 0 ? queue->head : next_[queue->tail]) = index;
  queue->tail = index;
}

void RouteFeeder::Join(Queue* queue, const Queue& more) {
  if (more.count == 0) return;
  (queue->count == 0 ? queue->head : next_[queue->tail]) = more.head;
  queue->tail = more.tail;
  queue->count += more.count;
}

uint32_t RouteFeeder::TakeFirst(Queue* queue) {
  const uint32_t index = queue->head;
  queue->head = next_[index];
  --queue->count;
  return index;
}

Job RouteFeeder::JobOf(uint32_t index, uint32_t lane) const {
  return {.offset = offsets_[index], .lane = lane, .index = index, .was = ledger_->StateAt(index)};
}

void RouteFeeder::SettleAll(Queue* queue, const TryEnd& end) {
  while (queue->count > 0) {
    settler_->Settle(JobOf(TakeFirst(queue), 0), end);
    --waiting_;
    ++handed_out_;
  }
}

// --- For people ---

std::string_view RouteFeeder::NameOf(uint32_t lane) const {
  return lane < lanes_.size() ? std::string_view(lanes_[lane]->route->name) : "";
}

std::vector<RouteStatus> RouteFeeder::Status() const {
  std::vector<RouteStatus> all;
  for (const auto& lane : lanes_) {
    RouteStatus status;
    status.name = lane->route->name;
    status.provider = lane->route->provider->name;
    status.waiting = lane->queue.count;
    for (const uint32_t with : lane->with_shard) status.with_shards += with;
    status.down = lane->rests_until != io::MonoTime();
    if (status.down) status.why = lane->why;
    status.adapted = lane->adapted;
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace volley::pipeline
