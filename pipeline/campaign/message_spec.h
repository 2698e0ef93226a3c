// From what a user asks for to what the composer compiles: the MessageSpec of a campaign, with the
// headers that the law and the providers want and the sender's postal address.
//
// Threading: functions without state. Errors: InvalidArgument, naming key, value and what to do.
#ifndef VOLLEY_PIPELINE_CAMPAIGN_MESSAGE_SPEC_H_
#define VOLLEY_PIPELINE_CAMPAIGN_MESSAGE_SPEC_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/message/composer.h"
#include "pipeline/campaign/definition.h"
#include "pipeline/campaign/material.h"

namespace volley::pipeline {

absl::StatusOr<engine::message::MessageSpec> MakeMessageSpec(const CampaignDefinition& definition,
                                                             const Material& material,
                                                             const FrozenFacts& facts);

// What is not the same in both, in the words of a campaign file ("subject", "text", ...).
std::vector<std::string> Differences(const engine::message::MessageSpec& one,
                                     const engine::message::MessageSpec& other);

// FailedPrecondition: the message has no one-click unsubscribing (RFC 8058), which bulk mail needs.
absl::Status CheckOneClick(const engine::message::MessageSpec& spec);

// The list that people leave: "news.example.org" of list_id "News <news.example.org>"; without one
// it is made of From ("ann.example.org" of ann@example.org). InvalidArgument: no list id, and From
// gives none.
absl::StatusOr<std::string> ListName(const CampaignDefinition& definition,
                                     const std::string& from_address);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CAMPAIGN_MESSAGE_SPEC_H_
