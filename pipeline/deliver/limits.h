// Every bound of deliver/, with its reason.
#ifndef VOLLEY_PIPELINE_DELIVER_LIMITS_H_
#define VOLLEY_PIPELINE_DELIVER_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace volley::pipeline {

// Connections being opened at one time in a lane: a slow start, as a listen backlog that overflows
// drops SYNs, and each waits a second. Starts low, grows by one with each session that becomes
// ready (so doubles in a round), halves when one fails.
inline constexpr uint32_t kConnectingStart = 16;
inline constexpr uint32_t kConnectingMax = 1024;

// Transactions a session has open: one whose final reply is due, one riding behind its dot, and one
// slot more because a message's memory is free only when our send of it is over.
inline constexpr uint32_t kTransactionSlots = 3;

// Tries of one recipient that cost no attempt (reused session closed, 421, too many recipients).
inline constexpr uint32_t kFreeRetriesMax = 20;

// Opening is tried again after 1 s, doubling to 60 s; with no session open and none opened for
// kGiveUpAfter the rest of the campaign is deferred.
inline constexpr absl::Duration kBackOffMin = absl::Seconds(1);
inline constexpr absl::Duration kBackOffMax = absl::Seconds(60);
inline constexpr absl::Duration kGiveUpAfter = absl::Minutes(5);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_DELIVER_LIMITS_H_
