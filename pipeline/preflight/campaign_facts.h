// What the preflight wants to know of a campaign that is ready to send: who sends, with which keys,
// over which relays, and up to three of its copies as they would go out.
//
// Threading: blocks for composing and signing the samples. Errors: a row of which no copy can be
// made is passed over; sample_failure has the first.
#ifndef VOLLEY_PIPELINE_PREFLIGHT_CAMPAIGN_FACTS_H_
#define VOLLEY_PIPELINE_PREFLIGHT_CAMPAIGN_FACTS_H_

#include <span>

#include "pipeline/campaign/campaign.h"
#include "pipeline/preflight/preflight.h"
#include "pipeline/route/relay.h"

namespace volley::pipeline {

// `relays`: empty: not known yet. ask_dns and without_unsubscribe are left for the caller to set.
PreflightInput FactsOf(const Campaign& campaign, std::span<const Relay> relays);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_PREFLIGHT_CAMPAIGN_FACTS_H_
