#include "pipeline/shard/lanes_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

namespace volley::pipeline {
namespace {

std::string WhyItWaits(const RouteStatus& route, const AdaptStatus* limits) {
  if (route.down) return "its servers cannot be reached: " + route.why;
  if (limits == nullptr || route.waiting + route.with_shards == 0) return "";
  if (limits->paused_for > absl::ZeroDuration()) return "paused: " + limits->cause;
  if (limits->connections < limits->connections_configured) {
    return "fewer connections: " + limits->cause;
  }
  if (limits->rate != limits->rate_configured) return "slowed: " + limits->cause;
  if (!limits->rate.empty()) return "rate " + limits->rate;
  if (limits->in_use >= limits->connections) return "all its connections are in use";
  return "";
}

nlohmann::ordered_json LaneJson(const RouteStatus& route, const AdaptStatus* limits) {
  nlohmann::ordered_json lane = {{"name", route.name},
                                 {"provider", route.provider},
                                 {"waiting", route.waiting},
                                 {"with_shards", route.with_shards}};
  if (limits != nullptr) {
    lane["name"] = limits->lane;
    lane["sessions"] = limits->in_use;
    lane["connections"] = limits->connections;
    lane["connections_configured"] = limits->connections_configured;
    lane["rate"] = limits->rate;
    lane["rate_configured"] = limits->rate_configured;
    lane["paused_s"] = absl::ToInt64Seconds(limits->paused_for);
    lane["cause"] = limits->cause;
  }
  lane["why"] = WhyItWaits(route, limits);
  return lane;
}

}  // namespace

std::string LanesJson(const CampaignStatus& status, std::vector<RouteStatus> routes,
                      const std::vector<AdaptStatus>& adapted) {
  const auto limits = [&adapted](const RouteStatus& route) {
    return route.adapted < adapted.size() ? &adapted[route.adapted] : nullptr;
  };
  const auto rank = [&limits](const RouteStatus& route) {
    const AdaptStatus* of = limits(route);
    return std::tuple(of != nullptr && !of->cause.empty(), route.down,
                      route.waiting + route.with_shards);
  };
  const size_t shown = std::min(routes.size(), kLanesMax);
  std::partial_sort(
      routes.begin(), routes.begin() + static_cast<ptrdiff_t>(shown), routes.end(),
      [&rank](const RouteStatus& a, const RouteStatus& b) { return rank(a) > rank(b); });
  auto lanes = nlohmann::ordered_json::array();
  for (size_t i = 0; i < shown; ++i) lanes.push_back(LaneJson(routes[i], limits(routes[i])));
  auto all = nlohmann::ordered_json::parse(ToJson(status));
  all["lanes_total"] = routes.size();
  all["lanes"] = std::move(lanes);
  // What servers said may be cut in the middle of a character.
  return all.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace volley::pipeline
