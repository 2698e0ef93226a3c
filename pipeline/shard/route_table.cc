#include "pipeline/shard/route_table.h"

#include <algorithm>

#include "pipeline/shard/route_feeder.h"
#include "pipeline/throttle/provider_limits.h"

namespace volley::pipeline {
namespace {

constexpr uint32_t kCreditAll = 131072;  // jobs of all lanes together with the shards, about
constexpr uint32_t kCreditMin = 8, kCreditMax = 1024;  // of one lane with one shard

RouteRules WithSource(RouteRules rules) {
  if (rules.sources.empty()) rules.sources.emplace_back();
  return rules;
}

}  // namespace

RouteTable::RouteTable(RouteFinder* router, LimitTable* limits, RouteRules rules)
    : router_(router), limits_(limits), rules_(WithSource(std::move(rules))) {}

RouteTable::~RouteTable() = default;

void RouteTable::SetShards(std::vector<Shard*> shards) { shards_ = std::move(shards); }

void RouteTable::AddFeeder(RouteFeeder* feeder) { feeders_.push_back(feeder); }

absl::StatusOr<bool> RouteTable::Step(UnixSeconds now) {
  TakeNews();
  TakeAnswers();
  EndRests();
  bool more = false;
  for (RouteFeeder* feeder : feeders_) {
    const auto stepped = feeder->Step(now);
    if (!stepped.ok()) return stepped;
    more = more || *stepped;
  }
  return more;
}

// --- Lanes ---

absl::StatusOr<uint32_t> RouteTable::LaneOf(const std::shared_ptr<const Route>& route,
                                            uint32_t source) {
  const auto [found, is_new] =
      lane_of_.try_emplace({route->id, source}, static_cast<uint32_t>(lanes_.size()));
  if (!is_new) return found->second;
  if (lanes_.size() > Job::kLaneMax) {
    return absl::ResourceExhaustedError("more than 16 million routes in one run");
  }
  const Source& from = rules_.sources[source];
  const auto adapted = MakeLimits(*route, from);
  if (!adapted.ok()) return adapted.status();
  auto lane = std::make_unique<RouteLane>();
  lane->route = route;
  lane->source = &from;
  lane->adapted = *adapted;
  const std::lock_guard lock(lanes_mutex_);
  lanes_.push_back(std::move(lane));
  return found->second;
}

uint32_t RouteTable::credit() const {
  const auto lanes = static_cast<uint32_t>(std::max<size_t>(1, lanes_.size() * feeders_.size()));
  return std::clamp(kCreditAll / lanes, kCreditMin, kCreditMax);
}

// Everybody else is not one provider: what is said of him holds for each route.
std::string RouteTable::LimitName(const Route& route) const {
  return route.provider == rules_.fallback ? route.name : route.provider->name;
}

absl::StatusOr<uint32_t> RouteTable::MakeLimits(const Route& route, const Source& source) {
  LimitSpec spec = LimitSpecOf(*route.provider);
  if (!spec.connections) spec.connections = rules_.connections;
  if (rules_.adapter != nullptr && !spec.rate) spec.rate = kUnpaced;
  const LimitKey key{.source = source.name(), .provider = LimitName(route)};
  std::optional<WarmUp> plan;
  if (const WarmUp* of = WarmUpOf(rules_.warm_ups, key)) plan = *of;
  const auto limit = limits_->FindOrAdd(key, spec, {rules_.clock(), absl::Now()}, std::move(plan));
  if (!limit.ok()) return limit.status();
  if (rules_.adapter == nullptr) return 0;
  return rules_.adapter->Add(key.source.empty() ? key.provider : key.source + " -> " + key.provider,
                             *limit, route.provider);
}

LaneOptions RouteTable::PlanFor(uint32_t id) {
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
  lane.limit_key = {.source = source->name(), .provider = LimitName(*route)};
  lane.flows = rules_.flows;
  return lane;
}

// --- What shards and the name service say ---

void RouteTable::TakeNews() {
  RouteNews news;
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    while (shards_[shard]->TakeRouteNews(&news)) {
      if (news.lost) Rest(news.lane);
      feeders_[news.flow]->OnTaken(news.lane, shard, news.taken);
    }
  }
}

void RouteTable::TakeAnswers() {
  router_->TakeAnswers([this](std::string_view domain) {
    for (RouteFeeder* feeder : feeders_) feeder->OnAnswer(domain);
  });
}

void RouteTable::Note(const OutcomeNote& note) {
  if (note.lane >= lanes_.size()) return;
  RouteLane& lane = *lanes_[note.lane];
  if (rules_.adapter != nullptr) Adapt(lane, note);
  if (note.index == OutcomeNote::kNobody) return;
  if (note.command == engine::smtp::CommandKind::kGreeting) {
    lane.why = note.text_view();
    lane.code = note.code;
    if (rests(note.lane)) DeferWaiting(note.lane);
  } else if (lane.failures > 0 && !rests(note.lane)) {
    lane.failures = 0;
  }
}

void RouteTable::Adapt(const RouteLane& lane, const OutcomeNote& note) {
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

// --- Servers that cannot be reached ---

// With what its servers said, or did not say, to those who were tried.
void RouteTable::DeferWaiting(uint32_t id) {
  const RouteLane& lane = *lanes_[id];
  const std::string why = lane.why;
  for (RouteFeeder* feeder : feeders_) {
    feeder->SettleWaiting(id, {.lane = id,
                               .command = engine::smtp::CommandKind::kGreeting,
                               .reply = {lane.code, {}, why},
                               .provider = lane.route->provider->name});
  }
}

void RouteTable::Rest(uint32_t id) {
  RouteLane* lane = lanes_[id].get();
  if (!lane->why.empty()) DeferWaiting(id);
  const uint32_t doublings = std::min<uint32_t>(lane->failures++, 10);
  const absl::Duration rest = std::min(rules_.rest_longest, rules_.rest_first * (1 << doublings));
  if (!rests(id)) resting_.push_back(id);
  lane->rests_until = rules_.clock() + rest;
}

void RouteTable::EndRests() {
  if (resting_.empty()) return;
  const io::MonoTime now = rules_.clock();
  std::erase_if(resting_, [this, now](uint32_t id) {
    if (lanes_[id]->rests_until > now) return false;
    lanes_[id]->rests_until = io::MonoTime();
    for (RouteFeeder* feeder : feeders_) feeder->OnRestOver(id);
    return true;
  });
}

io::MonoTime RouteTable::NextRestOver(const RouteFeeder& of) const {
  io::MonoTime next = io::MonoTime::Infinite();
  for (const uint32_t id : resting_) {
    if (of.waiting(id) > 0) next = std::min(next, lanes_[id]->rests_until);
  }
  return next;
}

// --- For people ---

std::string_view RouteTable::NameOf(uint32_t lane) const {
  return lane < lanes_.size() ? std::string_view(lanes_[lane]->route->name) : "";
}

std::string_view RouteTable::ProviderOf(uint32_t lane) const {
  return lanes_[lane]->route->provider->name;
}

std::string_view RouteTable::WhyItRests(uint32_t lane) const {
  return rests(lane) ? std::string_view(lanes_[lane]->why) : "";
}

}  // namespace volley::pipeline
