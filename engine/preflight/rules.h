// The groups of rules, each in a file of its own; preflight.cc says in which order they are
// applied. For this folder only.
//
// Threading: functions without state. Each says of every check of its group that it has passed, was
// found or was skipped.
#ifndef VOLLEY_ENGINE_PREFLIGHT_RULES_H_
#define VOLLEY_ENGINE_PREFLIGHT_RULES_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "engine/preflight/dns_answers.h"
#include "engine/preflight/preflight.h"
#include "engine/preflight/providers.h"
#include "engine/preflight/report.h"

namespace volley::engine::preflight {

// What the groups need to know of the campaign beyond its plain facts.
struct Situation {
  std::string from_domain;
  std::string spf_domain;      // of the reverse-path, or the HELO name (RFC 7208 §2.4)
  bool through_relay = false;  // what happens behind it cannot be seen
  bool is_signed = false;      // by us
  // From is an address at this provider, and whether every relay is the provider's own server.
  const PublicProvider* provider = nullptr;
  bool own_server = false;
  const RelayService* service = nullptr;  // the relay's, if it is known
  // Of what is demanded of bulk senders.
  Severity bulk_sender = Severity::kWarning;
};
Situation SituationOf(const CampaignFacts& facts);
bool IsThroughRelay(const CampaignFacts& facts);

// Whether a domain can pass for DMARC, as far as can be seen.
struct Authenticated {
  std::vector<std::string> domains;  // that pass, or of which nothing is known to the contrary
};

Authenticated CheckSpf(const CampaignFacts& facts, const Situation& situation, DnsAnswers* dns,
                       Report* report);
Authenticated CheckDkim(const CampaignFacts& facts, const Situation& situation, DnsAnswers* dns,
                        Report* report);
void CheckDmarc(const CampaignFacts& facts, const Situation& situation, const Authenticated& spf,
                const Authenticated& dkim, DnsAnswers* dns, Report* report);
void CheckFromDomain(const CampaignFacts& facts, const Situation& situation, DnsAnswers* dns,
                     Report* report);
void CheckUnsubscribing(const CampaignFacts& facts, const Situation& situation, Report* report);
void CheckMessage(const CampaignFacts& facts, const Situation& situation, Report* report);
void CheckFeedbackId(const CampaignFacts& facts, Report* report);
void CheckSource(const CampaignFacts& facts, DnsAnswers* dns, Report* report);

// --- Words ---

void SkipAll(std::initializer_list<Check> checks, std::string_view why, Report* report);
// "NAME.  TXT  \"...\"": what to publish, cut into strings of at most 255 bytes.
std::string TxtRecord(std::string_view name, std::string_view text);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_RULES_H_
