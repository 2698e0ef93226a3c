#include "pipeline/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "pipeline/plan/simulation.h"
#include "pipeline/throttle/provider_limits.h"

namespace volley::pipeline {
namespace {

// Lanes with limits of their own. Routes of nobody we know beyond that many, the smallest, are
// simulated as one lane: each has too few messages for its own limits to matter.
constexpr size_t kLanesMax = 3000;

std::string Millis(absl::Duration d) {
  const double ms = absl::ToDoubleMilliseconds(d);
  return ms < 10 ? fmt::format("{:.3g} ms", ms) : fmt::format("{:.0f} ms", ms);
}

HeldBy HeldByOf(const Hold& hold) {
  switch (hold.kind) {
    case LimitKind::kRate:
      return HeldBy::kRate;
    case LimitKind::kQuota:
      return HeldBy::kQuota;
    case LimitKind::kWarmUp:
      return HeldBy::kWarmUp;
    case LimitKind::kConnections:
      return HeldBy::kConnections;
    case LimitKind::kSuspended:
      break;
  }
  return HeldBy::kSchedule;
}

// The lanes of one provider, route or relay.
struct Group {
  PlanPart part;
  std::vector<size_t> lanes;
  absl::Duration round_trip;
  uint32_t connections_max = 0;
};

class Planner {
 public:
  explicit Planner(const PlanOptions& options)
      : options_(options),
        simulation_({.start = options.start,
                     .quota_dir = options.quota_dir,
                     .schedule = options.schedule,
                     .on_progress = options.on_progress}) {}

  absl::Status AddLimit(const LimitKey& key, const LimitSpec& spec) {
    const bool limits = spec.rate || spec.quota || spec.connections;
    std::optional<WarmUp> plan;
    if (const WarmUp* of = WarmUpOf(options_.warm_ups, key)) plan = *of;
    if (!limits && !plan) return absl::OkStatus();
    return simulation_.limits().FindOrAdd(key, spec, options_.start, std::move(plan)).status();
  }

  // Those of several lanes together.
  absl::Status AddWarmUps(const std::vector<std::string>& sources) {
    const bool named = !sources.empty() && !sources[0].empty();
    absl::Status status;
    for (const KeyedWarmUp& warm_up : options_.warm_ups) {
      if (!IsOfOneLane(warm_up.key, named)) status.Update(AddLimit(warm_up.key, {}));
    }
    return status;
  }

  absl::Status AddLane(const std::string& group, const LaneWork& work, uint64_t routes = 1) {
    const auto [at, is_new] = by_name_.try_emplace(group, groups_.size());
    if (is_new) groups_.emplace_back().part.routes = 0;
    Group& g = groups_[at->second];
    g.part.name = group;
    g.part.routes += routes;
    g.round_trip = work.round_trip;
    g.connections_max = std::max(g.connections_max, work.connections_max);
    g.lanes.push_back(lanes_++);
    return simulation_.AddLane(work);
  }

  Plan Run() {
    simulation_.Run();
    Plan plan;
    plan.begins = simulation_.opened_at();
    plan.notes = simulation_.limits().TakeNotes();
    plan.all.routes = 0;
    for (Group& group : groups_) {
      Sum(&group);
      plan.all.messages += group.part.messages;
      plan.all.left += group.part.left;
      plan.all.routes += group.part.routes;
      plan.all.connections += group.part.connections;
      plan.all.first = std::min(plan.all.first, group.part.first);
      plan.all.end = std::max(plan.all.end, group.part.end);
      plan.parts.push_back(std::move(group.part));
    }
    std::stable_sort(
        plan.parts.begin(), plan.parts.end(), [](const PlanPart& a, const PlanPart& b) {
          const bool a_stays = a.left > 0, b_stays = b.left > 0;
          return std::tuple(a_stays, a.end, a.messages) > std::tuple(b_stays, b.end, b.messages);
        });
    if (!plan.parts.empty()) {
      plan.all.held = plan.parts[0].held;
      plan.all.why = plan.parts[0].why;
    }
    return plan;
  }

 private:
  void Sum(Group* group) const {
    std::vector<Hold> holds;
    absl::Duration busy;
    const Limit* room = nullptr;
    PlanPart& part = group->part;
    for (const size_t lane : group->lanes) {
      const LaneForecast& f = simulation_.forecast(lane);
      part.messages += f.sent + f.left;
      part.left += f.left;
      part.first = std::min(part.first, f.first);
      part.end = std::max(part.end, f.last);
      part.connections += f.connections;
      busy += f.busy;
      if (f.room != nullptr) room = f.room;
      for (const Hold& hold : f.holds) AddHold(hold, &holds);
    }
    Explain(*group, holds, busy, room, &part);
  }

  static void AddHold(const Hold& hold, std::vector<Hold>* holds) {
    for (Hold& known : *holds) {
      if (known.limit == hold.limit && known.kind == hold.kind) {
        known.time += hold.time;
        known.messages += hold.messages;
        return;
      }
    }
    holds->push_back(hold);
  }

  // Lanes that wait for permits most of the time, or for most of their messages, are held by what
  // refuses them; else by their connections, each of which is waiting for an answer.
  void Explain(const Group& group, const std::vector<Hold>& holds, absl::Duration busy,
               const Limit* room, PlanPart* part) const {
    const auto longest = std::max_element(
        holds.begin(), holds.end(), [](const Hold& a, const Hold& b) { return a.time < b.time; });
    const auto most =
        std::max_element(holds.begin(), holds.end(),
                         [](const Hold& a, const Hold& b) { return a.messages < b.messages; });
    const Hold* hold = nullptr;
    if (longest != holds.end() && longest->time > busy) hold = &*longest;
    if (hold == nullptr && most != holds.end() && most->messages > part->messages / 2) {
      hold = &*most;
    }
    if (hold != nullptr) {
      part->held = HeldByOf(*hold);
      part->why = hold->limit == nullptr ? "its hours" : Named(*hold, part->name);
      if (part->held == HeldBy::kConnections) part->why += Replies(group);
      return;
    }
    part->held = HeldBy::kReplies;
    if (room != nullptr || part->connections >= group.connections_max) {
      part->held = HeldBy::kConnections;
      part->why = room != nullptr ? Named({room, LimitKind::kConnections}, part->name)
                                  : fmt::format("connections {}", part->connections);
      part->why += Replies(group);
    } else {
      part->why = fmt::format("a reply takes {}", Millis(group.round_trip));
    }
  }

  static std::string Replies(const Group& group) {
    return fmt::format(", a reply takes {}", Millis(group.round_trip));
  }

  // Whose limit it is, unless the line is about just that one.
  std::string Named(const Hold& hold, const std::string& name) const {
    const LimitKey& key = hold.limit->key();
    std::string text = hold.limit->Text(hold.kind);
    if ((key.provider == name || key.relay == name) && key.source.empty()) return text;
    if (key == LimitKey{.campaign = options_.campaign}) {
      return fmt::format("the campaign's {}", text);
    }
    return fmt::format("{} of {}", text, Describe(key));
  }

  const PlanOptions& options_;
  Simulation simulation_;
  std::vector<Group> groups_;
  absl::flat_hash_map<std::string, size_t> by_name_;
  size_t lanes_ = 0;
};

std::vector<LaterMessages> LaterOf(const DomainCount& count) {
  std::vector<LaterMessages> later;
  for (const auto& [due, messages] : count.later) {
    later.push_back({absl::FromUnixSeconds(due), messages});
  }
  return later;
}

LaneWork WorkOf(const PlanOptions& options, const DomainCount& count, std::string_view way,
                int opening_trips) {
  LaneWork work;
  work.messages = count.now;
  work.later = LaterOf(count);
  work.connections_max = options.connections;
  work.messages_per_connection = options.messages_per_connection;
  work.round_trip = options.round_trips.Of(way);
  work.opening = work.round_trip * opening_trips;
  return work;
}

DomainCount SumOf(const LeftToSend& left) {
  DomainCount all;
  for (const auto& [domain, by_source] : left.domains) {
    for (const DomainCount& count : by_source) all.Add(count);
  }
  return all;
}

// The part of `count` (of a list: below 2^32) that falls to weights `before` to `before + weight`.
uint64_t ShareOf(uint64_t count, uint64_t before, uint64_t weight, uint64_t weights) {
  return count * (before + weight) / weights - count * before / weights;
}

// Shares are kept whichever is faster (RelayPool): the slowest sets the pace of all.
void KeepPace(Plan* plan) {
  if (plan->parts.empty() || plan->all.left > 0) return;
  const PlanPart& slowest = plan->parts[0];
  for (PlanPart& part : plan->parts) {
    if (part.end == slowest.end) continue;
    part.end = slowest.end;
    part.held = slowest.held;
    part.why = fmt::format("{} of {}: shares are kept", slowest.why, slowest.name);
  }
}

class RoutePlanner {
 public:
  RoutePlanner(const PlanOptions& options, const PlanDirect& direct)
      : options_(options), direct_(direct), planner_(options) {}

  absl::StatusOr<Plan> Run(const PlanRoutes& routes) {
    absl::Status status =
        planner_.AddLimit({.campaign = options_.campaign}, {.connections = options_.connections,
                                                            .rate = options_.limits.rate,
                                                            .quota = options_.limits.quota});
    if (status.ok()) status = planner_.AddWarmUps(direct_.sources);
    for (const PlanRoute& route : routes.routes) {
      if (!status.ok()) return status;
      status = route.provider == direct_.fallback && ++unknown_ > kLanesMax ? AddSmall(route)
                                                                            : Add(route);
    }
    if (status.ok() && small_routes_ > 0) status = AddSmallLane();
    if (!status.ok()) return status;
    Plan plan = planner_.Run();
    if (small_routes_ > 0 && (spec_of_all().rate || spec_of_all().quota)) {
      plan.notes.push_back(
          fmt::format("{} small domains are planned without the rate and quota of \"{}\"",
                      small_routes_, direct_.fallback->name));
    }
    return plan;
  }

 private:
  LimitSpec spec_of_all() const { return LimitSpecOf(*direct_.fallback); }

  // As RouteFeeder::LimitName: everybody else is not one provider.
  std::string NameOf(const PlanRoute& route) const {
    return route.provider == direct_.fallback ? route.name : route.provider->name;
  }

  int TripsOf(const engine::policy::Provider& provider) const {
    const bool required = provider.tls.value == engine::policy::TlsNeed::kRequired;
    return OpeningTrips(required ? engine::smtp::TlsPolicy::kRequired : direct_.tls, false);
  }

  absl::Status Add(const PlanRoute& route) {
    const std::string name = NameOf(route);
    LimitSpec spec = LimitSpecOf(*route.provider);
    if (!spec.connections) spec.connections = options_.connections;
    uint64_t routes = 1;  // not again for each source
    for (size_t i = 0; i < route.by_source.size(); ++i) {
      if (route.by_source[i].total() == 0) continue;
      const std::string& source = direct_.sources[i];
      absl::Status status = planner_.AddLimit({.source = source, .provider = name}, spec);
      LaneWork work = WorkOf(options_, route.by_source[i], route.name, TripsOf(*route.provider));
      work.key = {.campaign = options_.campaign, .source = source, .provider = name};
      if (status.ok()) status = planner_.AddLane(name, work, std::exchange(routes, 0));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status AddSmall(const PlanRoute& route) {
    for (const DomainCount& count : route.by_source) {
      if (const uint64_t n = count.total(); n > 0) ++small_[static_cast<uint32_t>(n)];
    }
    ++small_routes_;
    return absl::OkStatus();
  }

  absl::Status AddSmallLane() {
    LaneWork work = WorkOf(options_, {}, "", TripsOf(*direct_.fallback));
    work.domains = std::move(small_);
    if (const uint32_t most = spec_of_all().messages_per_connection.value_or(0); most > 0) {
      work.messages_per_connection =
          work.messages_per_connection == 0 ? most : std::min(most, work.messages_per_connection);
    }
    work.key = {.campaign = options_.campaign};
    return planner_.AddLane("other domains", work, small_routes_);
  }

  const PlanOptions& options_;
  const PlanDirect& direct_;
  Planner planner_;
  size_t unknown_ = 0;
  uint64_t small_routes_ = 0;
  std::map<uint32_t, uint64_t> small_;  // messages -> routes with so many
};

}  // namespace

std::string_view HeldByName(HeldBy held) {
  constexpr std::array<std::string_view, 6> kNames = {"replies", "connections", "rate",
                                                      "quota",   "warm_up",     "schedule"};
  return kNames[static_cast<size_t>(held)];
}

double PlanPart::per_second(absl::Time from) const {
  if (messages == left || end <= from) return 0;
  return static_cast<double>(messages - left) / absl::ToDoubleSeconds(end - from);
}

absl::Duration Plan::duration() const {
  return all.end <= begins ? absl::ZeroDuration() : all.end - begins;
}

absl::StatusOr<Plan> PlanByRelays(const PlanOptions& options, std::span<const PlanRelay> relays,
                                  const LeftToSend& left) {
  Planner planner(options);
  absl::Status status = planner.AddLimit({.campaign = options.campaign}, options.limits);
  status.Update(planner.AddWarmUps({}));
  const DomainCount all = SumOf(left);
  uint64_t weights = 0, before = 0;
  for (const PlanRelay& relay : relays) weights += relay.weight;
  for (const PlanRelay& relay : relays) {
    if (relay.weight == 0) continue;
    status.Update(
        planner.AddLimit({.relay = relay.name}, {.rate = relay.rate, .quota = relay.quota}));
    if (!status.ok()) return status;
    DomainCount share;
    share.now = ShareOf(all.now, before, relay.weight, weights);
    for (const auto& [due, count] : all.later) {
      share.later[due] = ShareOf(count, before, relay.weight, weights);
    }
    before += relay.weight;
    LaneWork work = WorkOf(options, share, relay.name, relay.opening_trips);
    work.connections_max = std::max<uint32_t>(
        1, static_cast<uint32_t>(uint64_t{options.connections} * relay.weight / weights));
    work.key = {.campaign = options.campaign, .relay = relay.name};
    if (status = planner.AddLane(relay.name, work); !status.ok()) return status;
  }
  Plan plan = planner.Run();
  KeepPace(&plan);
  return plan;
}

absl::StatusOr<Plan> PlanByRoutes(const PlanOptions& options, const PlanDirect& direct,
                                  const PlanRoutes& routes) {
  return RoutePlanner(options, direct).Run(routes);
}

}  // namespace volley::pipeline
