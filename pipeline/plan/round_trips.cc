#include "pipeline/plan/round_trips.h"

#include <algorithm>

#include "absl/strings/string_view.h"
#include "pipeline/report/event_reader.h"

namespace volley::pipeline {
namespace {

constexpr absl::Duration kRoundTripMax = absl::Minutes(10);
constexpr size_t kWaysMax = 20'000;

struct Sum {
  uint64_t tries = 0, millis = 0;
  void Add(uint32_t ms) {
    ++tries;
    millis += ms;
  }
  absl::Duration trip() const {
    const double mean = static_cast<double>(millis) / static_cast<double>(tries);
    return std::min(absl::Milliseconds(mean / 2), kRoundTripMax);
  }
};

}  // namespace

absl::Status RoundTrips::Measure(const std::string& folder) {
  absl::flat_hash_map<std::string, Sum> ways;
  Sum all;
  EventsRead read;
  absl::Status status = ReadEvents(
      folder,
      [&](const Event& event) {
        if (event.name != "delivered") return;
        all.Add(event.millis);
        const absl::string_view way(event.relay.data(), event.relay.size());
        if (const auto known = ways.find(way); known != ways.end()) {
          known->second.Add(event.millis);
        } else if (ways.size() < kWaysMax) {
          ways[way].Add(event.millis);
        }
      },
      &read);
  if (absl::IsNotFound(status)) return absl::OkStatus();
  if (!status.ok() || all.tries < kTriesMin) return status;
  all_ = all.trip();
  measured_ = all.tries;
  for (const auto& [way, sum] : ways) {
    if (sum.tries >= kTriesMin) ways_[way] = sum.trip();
  }
  return absl::OkStatus();
}

absl::Duration RoundTrips::Of(std::string_view way) const {
  const auto known = ways_.find(absl::string_view(way.data(), way.size()));
  return known == ways_.end() ? all_ : known->second;
}

int OpeningTrips(engine::smtp::TlsPolicy tls, bool auth) {
  using engine::smtp::TlsPolicy;
  int trips = 3 + (auth ? 1 : 0);
  if (tls == TlsPolicy::kImplicit) trips += 1;
  if (tls == TlsPolicy::kRequired || tls == TlsPolicy::kOpportunistic) trips += 3;
  return trips;
}

}  // namespace volley::pipeline
