// What each lane of a running campaign does just now, for `volley top`: one line of JSON, with the
// keys of CampaignStatus and `lanes`, an array; those that wait or are changed first.
//
//   name, provider, waiting (recipients), with_shards, sessions, connections,
//   connections_configured, rate and rate_configured ("" where there is none), paused_s, cause (of
//   the last change), why (it waits; "" where it does not)
//
// Threading: pure function. Bounds: kLanesMax lanes; `lanes_total` says how many there are.
#ifndef VOLLEY_PIPELINE_SHARD_LANES_STATUS_H_
#define VOLLEY_PIPELINE_SHARD_LANES_STATUS_H_

#include <string>
#include <vector>

#include "pipeline/adapt/adapter.h"
#include "pipeline/shard/campaign_status.h"
#include "pipeline/shard/route_feeder.h"

namespace volley::pipeline {

// Its line fits into ControlSocket::kLineBytesMax.
inline constexpr size_t kLanesMax = 60;

// `adapted` is empty where limits stay as configured.
std::string LanesJson(const CampaignStatus& status, std::vector<RouteStatus> routes,
                      const std::vector<AdaptStatus>& adapted);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_LANES_STATUS_H_
