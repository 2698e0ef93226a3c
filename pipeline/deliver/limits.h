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

// A connection with nothing to do is given up after this long: what is deferred comes back in
// minutes, and servers have better uses for their connections.
inline constexpr absl::Duration kIdleMax = absl::Seconds(5);
// The same where another lane waits for its place: longer than the next jobs take to come.
inline constexpr absl::Duration kIdleWanted = absl::Milliseconds(20);

// Jobs one relay may be ahead of its share: enough for pipelines to stay full while the others
// catch up, little enough to keep the shares of small campaigns.
inline constexpr double kShareSlack = 32;
// Jobs a relay that was away may make up for: a few seconds' worth.
inline constexpr double kShareClaim = 1000;

// Messages after which a session gives its place to another lane that has none.
inline constexpr uint32_t kYieldAfter = 10;

// How long the others wait with the share of a relay that is not ready yet.
inline constexpr absl::Duration kShareStart = absl::Seconds(5);

// Opening is tried again after 1 s, doubling to 60 s; with no session open and none opened for
// kGiveUpAfter the rest of the campaign is deferred.
inline constexpr absl::Duration kBackOffMin = absl::Seconds(1);
inline constexpr absl::Duration kBackOffMax = absl::Seconds(60);
inline constexpr absl::Duration kGiveUpAfter = absl::Minutes(5);

// Credentials that were good before and are refused now are tried again, unchanged, this long after
// each refusal (a server whose password database is away for a moment says 535 too), then no more:
// accounts are locked after some five to ten wrong log-ins. Changed ones are tried at once.
inline constexpr absl::Duration kCredentialProbes[] = {absl::Seconds(5), absl::Seconds(30),
                                                       absl::Minutes(2), absl::Minutes(5)};
// How often a lane that waits for new credentials looks for them.
inline constexpr absl::Duration kCredentialPoll = absl::Milliseconds(250);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_DELIVER_LIMITS_H_
