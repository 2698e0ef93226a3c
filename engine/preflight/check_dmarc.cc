#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/preflight/dmarc.h"
#include "engine/preflight/org_domain.h"
#include "engine/preflight/rules.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr std::initializer_list<Check> kDmarcChecks = {
    Check::kDmarcMissing, Check::kDmarcSeveralRecords, Check::kDmarcSyntax,
    Check::kDmarcNotAligned};

// The policy that applies to the From domain.
struct Policy {
  DmarcRecord record;
  DmarcPolicy applied = DmarcPolicy::kNone;
};

class DmarcRules {
 public:
  DmarcRules(const Situation& situation, DnsAnswers* dns, Report* report)
      : situation_(situation),
        organization_(OrganizationalDomain(situation.from_domain)),
        dns_(dns),
        report_(report) {}

  void Run(const Authenticated& spf, const Authenticated& dkim) {
    const Policy policy = Discover().value_or(Policy());
    CheckAlignment(policy, spf, dkim);
  }

 private:
  // RFC 7489 §6.6.3: at the domain itself, else at the organisational domain.
  std::optional<Policy> Discover() {
    const std::string own = "_dmarc." + situation_.from_domain;
    const std::string parent = "_dmarc." + organization_;
    const DnsRecords& here = dns_->Ask(DnsType::kTxt, own);
    const DnsRecords& above = dns_->Ask(DnsType::kTxt, parent);
    if (here.failed()) return SkipRecord(here);
    if (const auto texts = Candidates(here); !texts.empty()) return Judge(own, texts, false);
    if (above.failed()) return SkipRecord(above);
    if (const auto texts = Candidates(above); !texts.empty()) return Judge(parent, texts, true);
    report_->Found(
        Check::kDmarcMissing, situation_.bulk_sender,
        fmt::format("there is no DMARC record at {}{}", own, own == parent ? "" : " or " + parent),
        fmt::format("publish  {}",
                    TxtRecord(parent, fmt::format("v=DMARC1; p=none; rua=mailto:dmarc@{}",
                                                  organization_))));
    SkipAll({Check::kDmarcSeveralRecords, Check::kDmarcSyntax}, "there is no DMARC record",
            report_);
    return std::nullopt;
  }

  static std::vector<std::string> Candidates(const DnsRecords& answer) {
    std::vector<std::string> out;
    std::copy_if(answer.records.begin(), answer.records.end(), std::back_inserter(out),
                 LooksLikeDmarc);
    return out;
  }

  std::optional<Policy> SkipRecord(const DnsRecords& answer) {
    SkipAll({Check::kDmarcMissing, Check::kDmarcSeveralRecords, Check::kDmarcSyntax}, answer.error,
            report_);
    return std::nullopt;
  }

  std::optional<Policy> Judge(const std::string& name, const std::vector<std::string>& texts,
                              bool inherited) {
    for (const Check check :
         {Check::kDmarcMissing, Check::kDmarcSeveralRecords, Check::kDmarcSyntax}) {
      report_->Passed(check);
    }
    if (texts.size() > 1) {
      report_->Found(Check::kDmarcSeveralRecords, situation_.bulk_sender,
                     fmt::format("there are {} DMARC records at {}", texts.size(), name),
                     fmt::format("keep one of them at {}", name));
      return std::nullopt;
    }
    const auto record = ParseDmarcRecord(texts[0]);
    if (!record.ok()) {
      report_->Found(
          Check::kDmarcSyntax, situation_.bulk_sender,
          fmt::format("the record at {} is {}: {}", name, Shown(texts[0]),
                      std::string(record.status().message())),
          fmt::format("publish, for instance,  {}",
                      TxtRecord(name, fmt::format("v=DMARC1; p=none; rua=mailto:dmarc@{}",
                                                  organization_))));
      return std::nullopt;
    }
    const bool subdomain = inherited && situation_.from_domain != organization_;
    return Policy{*record, subdomain ? record->subdomain_policy : record->policy};
  }

  bool IsAligned(const Authenticated& authenticated, bool strict) const {
    return std::any_of(authenticated.domains.begin(), authenticated.domains.end(),
                       [&](const std::string& domain) {
                         return strict ? EqualsNoCase(domain, situation_.from_domain)
                                       : SameOrganization(domain, situation_.from_domain);
                       });
  }

  void CheckAlignment(const Policy& policy, const Authenticated& spf, const Authenticated& dkim) {
    report_->Passed(Check::kDmarcNotAligned);
    if (IsAligned(dkim, policy.record.strict_dkim)) return;
    if (IsAligned(spf, policy.record.strict_spf)) return;
    const bool enforced = policy.applied != DmarcPolicy::kNone;
    // The relay may sign for the domain: then it is aligned, and cannot be seen from here.
    const bool unseen = situation_.through_relay && !situation_.is_signed;
    const Severity severity = unseen     ? Severity::kWarning
                              : enforced ? Severity::kError
                                         : situation_.bulk_sender;
    report_->Found(Check::kDmarcNotAligned, severity, Words(policy, spf, dkim),
                   fmt::format("sign with d={0}, or let bounces go to an address at {0}",
                               situation_.from_domain));
  }

  std::string Words(const Policy& policy, const Authenticated& spf,
                    const Authenticated& dkim) const {
    const auto list = [](const Authenticated& authenticated) {
      return authenticated.domains.empty() ? "no domain" : Join(authenticated.domains, ", ");
    };
    const bool strict = policy.record.strict_dkim || policy.record.strict_spf;
    return fmt::format("From is at {} (policy {}{}), but DKIM can pass for {} and SPF for {}",
                       situation_.from_domain, DmarcPolicyName(policy.applied),
                       strict ? ", strict alignment" : "", list(dkim), list(spf));
  }

  const Situation& situation_;
  const std::string organization_;
  DnsAnswers* dns_;
  Report* report_;
};

// Whether the domain can be answered: an MX that is not null, or an address.
enum class Reachable : uint8_t { kYes, kNo, kUnknown };
Reachable LookForMail(const std::string& domain, DnsAnswers* dns, std::string* why) {
  const DnsRecords& mx = dns->Ask(DnsType::kMx, domain);
  const DnsRecords& a = dns->Ask(DnsType::kA, domain);
  const DnsRecords& aaaa = dns->Ask(DnsType::kAaaa, domain);
  if (mx.found()) {
    const bool null = mx.records.size() == 1 && mx.records[0].empty();
    if (null) *why = "says that it takes no mail (a null MX)";
    return null ? Reachable::kNo : Reachable::kYes;
  }
  if (mx.failed()) return *why = mx.error, Reachable::kUnknown;
  if (a.found() || aaaa.found()) return Reachable::kYes;
  for (const DnsRecords* answer : {&a, &aaaa}) {
    if (answer->failed()) return *why = answer->error, Reachable::kUnknown;
    if (answer->pending()) return Reachable::kUnknown;
  }
  const bool missing = mx.status == DnsRecords::Status::kNoSuchName;
  *why = missing ? "does not exist (NXDOMAIN)" : "has neither an MX nor an address record";
  return Reachable::kNo;
}

}  // namespace

void CheckDmarc(const CampaignFacts&, const Situation& situation, const Authenticated& spf,
                const Authenticated& dkim, DnsAnswers* dns, Report* report) {
  if (situation.provider != nullptr) {
    const std::string why = fmt::format("{} is {}'s domain: see from-domain-public-provider",
                                        situation.from_domain, situation.provider->name);
    return SkipAll(kDmarcChecks, why, report);
  }
  if (situation.from_domain.find('.') == std::string::npos) {
    return SkipAll(kDmarcChecks, "From has no full domain name", report);
  }
  DmarcRules(situation, dns, report).Run(spf, dkim);
}

void CheckFromDomain(const CampaignFacts& facts, const Situation& situation, DnsAnswers* dns,
                     Report* report) {
  report->Passed(Check::kFromDomainPublicProvider);
  if (situation.provider != nullptr && !situation.own_server) {
    report->Found(Check::kFromDomainPublicProvider, Severity::kError,
                  fmt::format("From is at {}, which is {}'s, and its servers do not send this mail",
                              situation.from_domain, situation.provider->name),
                  "send from an address at a domain of your own; the old one may go into Reply-To");
  }
  report->Passed(Check::kFromDomainMissing);
  std::vector<std::string> domains = {situation.from_domain};
  const std::string reverse = DomainOf(facts.reverse_path);
  if (!reverse.empty() && reverse != situation.from_domain) domains.push_back(reverse);
  for (const std::string& domain : domains) {
    std::string why;
    Reachable reachable = Reachable::kNo;
    if (domain.find('.') == std::string::npos || domain.starts_with('[')) {
      why = "is not a full domain name";
    } else {
      reachable = LookForMail(domain, dns, &why);
    }
    if (reachable == Reachable::kUnknown && !why.empty()) {
      report->Skip(Check::kFromDomainMissing, why);
    }
    if (reachable != Reachable::kNo) continue;
    report->Found(
        Check::kFromDomainMissing, Severity::kError,
        fmt::format("{} ({}) {}", Shown(domain),
                    domain == situation.from_domain ? "of From" : "of the reverse-path", why),
        fmt::format("use a domain that takes mail, or publish  {}.  MX  10 "
                    "mail.example.com.  for the host that takes it",
                    domain));
  }
}

}  // namespace volley::engine::preflight
