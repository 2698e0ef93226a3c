#include "engine/preflight/preflight.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/dkim/key.h"
#include "engine/preflight/rules.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr size_t kFailedShownMax = 5;

void CheckDns(const DnsAnswers& dns, Report* report) {
  if (dns.offline()) return report->Skip(Check::kDnsUnreachable, "the DNS was not asked");
  report->Passed(Check::kDnsUnreachable);
  const auto failed = dns.Failed();
  if (failed.empty()) return;
  std::vector<std::string> words;
  for (const auto& [question, error] : failed) {
    if (words.size() == kFailedShownMax) break;
    words.push_back(
        fmt::format("{} {} ({})", DnsTypeName(question.type), Shown(question.name), error));
  }
  if (failed.size() > words.size()) {
    words.push_back(fmt::format("and {} more", failed.size() - words.size()));
  }
  report->Found(Check::kDnsUnreachable, Severity::kWarning,
                fmt::format("no answer to {}", Join(words, ", ")),
                "look whether this host can ask name servers (/etc/resolv.conf, port 53), and "
                "whether those of the domain answer");
}

}  // namespace

bool IsThroughRelay(const CampaignFacts& facts) {
  return !facts.relay_names.empty() || !facts.relay_addresses.empty();
}

Situation SituationOf(const CampaignFacts& facts) {
  Situation out;
  out.from_domain = DomainOf(facts.from);
  out.spf_domain = facts.reverse_path.empty() ? ToLower(facts.helo) : DomainOf(facts.reverse_path);
  out.through_relay = IsThroughRelay(facts);
  out.is_signed = facts.samples.empty()
                      ? !facts.dkim.empty()
                      : std::all_of(facts.samples.begin(), facts.samples.end(),
                                    [](const SampleFacts& s) { return !s.signatures.empty(); });
  out.provider = FindPublicProvider(out.from_domain);
  const auto& names = facts.relay_names;
  out.own_server = out.provider != nullptr && !names.empty() &&
                   std::all_of(names.begin(), names.end(), [&](const std::string& name) {
                     return IsServerOf(*out.provider, name);
                   });
  if (!names.empty()) out.service = FindRelayService(names.front());
  if (facts.recipients >= kBulkSenderRecipients) out.bulk_sender = Severity::kError;
  return out;
}

Outcome RunChecks(const CampaignFacts& facts, DnsAnswers* dns) {
  const Situation situation = SituationOf(facts);
  Report report;
  const Authenticated spf = CheckSpf(facts, situation, dns, &report);
  const Authenticated dkim = CheckDkim(facts, situation, dns, &report);
  CheckDmarc(facts, situation, spf, dkim, dns, &report);
  CheckFromDomain(facts, situation, dns, &report);
  CheckUnsubscribing(facts, situation, &report);
  CheckMessage(facts, situation, &report);
  CheckFeedbackId(facts, &report);
  CheckSource(facts, dns, &report);
  CheckDns(*dns, &report);
  return std::move(report).Finish();
}

void SkipAll(std::initializer_list<Check> checks, std::string_view why, Report* report) {
  for (const Check check : checks) report->Skip(check, why);
}

std::string TxtRecord(std::string_view name, std::string_view text) {
  std::string out = fmt::format("{}.  TXT ", name);
  for (const std::string_view part : dkim::SplitTxtRecord(text)) out += " " + Shown(part);
  return out;
}

}  // namespace volley::engine::preflight
