// RoundTrips: how long a server takes to answer: assumed, or measured when the campaign ran before.
//
// A delivered message's event says how long it took from composing to the last reply, which is two
// round trips where commands are pipelined (ADR 0009): the envelope's and the content's.
//
// Threading: values; Measure reads files. Errors: as ReadEvents.
#ifndef VOLLEY_PIPELINE_PLAN_ROUND_TRIPS_H_
#define VOLLEY_PIPELINE_PLAN_ROUND_TRIPS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/smtp/client.h"
#include "engine/smtp/types.h"

namespace volley::pipeline {

// A server on the same continent that looks at a message for a moment.
inline constexpr absl::Duration kAssumedRoundTrip = absl::Milliseconds(50);

class RoundTrips {
 public:
  explicit RoundTrips(absl::Duration assumed = kAssumedRoundTrip) : all_(assumed) {}

  // Means of the campaign's own events; ways (relays, routes) with fewer than kTriesMin deliveries
  // get that of all. Nothing changes where there are fewer of all.
  absl::Status Measure(const std::string& folder);
  static constexpr uint64_t kTriesMin = 10;

  absl::Duration Of(std::string_view way) const;
  absl::Duration all() const { return all_; }
  uint64_t measured() const { return measured_; }  // deliveries; 0: it is assumed

 private:
  absl::Duration all_;
  uint64_t measured_ = 0;
  absl::flat_hash_map<std::string, absl::Duration> ways_;
};

// Round trips until a connection can take a message: TCP, greeting, EHLO; TLS 1.3 in the middle,
// with STARTTLS and a second EHLO unless it is implicit; AUTH.
int OpeningTrips(engine::smtp::TlsPolicy tls, bool auth);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_PLAN_ROUND_TRIPS_H_
