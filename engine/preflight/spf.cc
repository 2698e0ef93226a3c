#include "engine/preflight/spf.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/preflight/spf_record.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

// §4.3: a name that cannot be a domain has no policy.
bool IsFullName(std::string_view domain) {
  if (domain.size() > 253 || domain.find('.') == domain.npos) return false;
  const auto labels = Split(domain, '.');
  return std::all_of(labels.begin(), labels.end(),
                     [](std::string_view label) { return !label.empty() && label.size() <= 63; });
}

SpfResult ResultOf(char qualifier) {
  switch (qualifier) {
    case '-':
      return SpfResult::kFail;
    case '~':
      return SpfResult::kSoftFail;
    case '?':
      return SpfResult::kNeutral;
    default:
      return SpfResult::kPass;
  }
}

bool CostsLookup(SpfMechanism mechanism) {
  return mechanism != SpfMechanism::kAll && mechanism != SpfMechanism::kIp4 &&
         mechanism != SpfMechanism::kIp6;
}

class Evaluation {
 public:
  Evaluation(const SpfQuery& query, DnsAnswers* dns) : query_(query), dns_(dns) {
    if (query_.sender.empty()) query_.sender = "postmaster@" + query_.helo;
    if (query_.sender.starts_with('@')) query_.sender.insert(0, "postmaster");
  }

  SpfVerdict Run(std::string_view domain) {
    verdict_.result = CheckDomain(std::string(domain), &verdict_.record);
    return std::move(verdict_);
  }

 private:
  enum class Match : uint8_t { kNo, kYes, kError };  // kError: error_ says which

  SpfResult CheckDomain(const std::string& domain, std::string* record_text);
  SpfResult CheckRecord(const std::string& domain, const SpfRecord& record);
  SpfResult Redirect(const std::string& domain, const SpfRecord& record);
  Match Matches(const std::string& domain, const SpfDirective& directive);
  Match MatchesInclude(const SpfDirective& directive, const std::string& target);
  Match MatchesA(const SpfDirective& directive, const std::string& target);
  Match MatchesMx(const SpfDirective& directive, const std::string& target);
  Match MatchesPtr(const std::string& target);
  Match MatchesExists(const std::string& target);
  Match MatchesNetwork(const SpfDirective& directive) const;

  // The domain-spec of a term; nullopt: it needs an address that is not known.
  std::optional<std::string> Target(const std::string& domain, const std::string& spec) const;
  Match HasAddress(const std::string& host, int prefix4, int prefix6, bool counts);
  Match CountVoid(const std::string& name);
  bool CountLookup(const std::string& domain, std::string_view term);
  SpfResult Permanent(SpfFault fault, std::string detail);
  Match Error(SpfResult result) {
    error_ = result;
    return Match::kError;
  }
  Match Temporary(const DnsRecords& answer, std::string_view name);

  SpfQuery query_;
  DnsAnswers* dns_;
  SpfVerdict verdict_;
  SpfResult error_ = SpfResult::kPermError;
  int void_lookups_ = 0;
};

SpfResult Evaluation::Permanent(SpfFault fault, std::string detail) {
  verdict_.fault = fault;
  verdict_.detail = std::move(detail);
  return SpfResult::kPermError;
}

Evaluation::Match Evaluation::Temporary(const DnsRecords& answer, std::string_view name) {
  verdict_.detail = dns_->offline()
                        ? answer.error
                        : fmt::format("no answer about {}: {}", Shown(name), answer.error);
  return Error(SpfResult::kTempError);
}

// §4.4, §4.5.
SpfResult Evaluation::CheckDomain(const std::string& domain, std::string* record_text) {
  if (!IsFullName(domain)) return SpfResult::kNone;
  const DnsRecords& answer = dns_->Ask(DnsType::kTxt, domain);
  if (answer.pending()) return verdict_.pending = true, SpfResult::kNeutral;
  if (answer.failed()) return Temporary(answer, domain), error_;
  std::vector<std::string_view> records;
  for (const std::string& text : answer.records) {
    if (IsSpfRecord(text)) records.push_back(text);
  }
  if (records.empty()) return SpfResult::kNone;
  if (records.size() > 1) {
    return Permanent(SpfFault::kSeveralRecords,
                     fmt::format("{} has {} SPF records", domain, records.size()));
  }
  if (record_text != nullptr) *record_text = std::string(records[0]);
  const auto record = ParseSpfRecord(records[0]);
  if (!record.ok()) {
    return Permanent(SpfFault::kSyntax, fmt::format("in the record of {}: {}", domain,
                                                    std::string(record.status().message())));
  }
  return CheckRecord(domain, *record);
}

// §4.6.2.
SpfResult Evaluation::CheckRecord(const std::string& domain, const SpfRecord& record) {
  for (const SpfDirective& directive : record.directives) {
    if (CostsLookup(directive.mechanism) && !CountLookup(domain, directive.text)) {
      return SpfResult::kPermError;
    }
    const Match match = Matches(domain, directive);
    if (match == Match::kError) return error_;
    if (match == Match::kNo) continue;
    verdict_.detail = fmt::format("{} in the record of {}", Shown(directive.text), domain);
    return ResultOf(directive.qualifier);
  }
  if (!record.redirect.empty()) return Redirect(domain, record);
  verdict_.detail = fmt::format("nothing in the record of {} names it", domain);
  return SpfResult::kNeutral;  // §4.7
}

// §6.1.
SpfResult Evaluation::Redirect(const std::string& domain, const SpfRecord& record) {
  if (!CountLookup(domain, "redirect=" + record.redirect)) return SpfResult::kPermError;
  const auto target = Target(domain, record.redirect);
  if (!target) return SpfResult::kNeutral;
  const SpfResult result = CheckDomain(*target, nullptr);
  if (result != SpfResult::kNone) return result;
  return Permanent(SpfFault::kNoTarget, fmt::format("redirect={} in the record of {} leads to a "
                                                    "domain without an SPF record",
                                                    *target, domain));
}

bool Evaluation::CountLookup(const std::string& domain, std::string_view term) {
  if (++verdict_.lookups <= kSpfLookupsMax) return true;
  Permanent(SpfFault::kTooManyLookups,
            fmt::format("{} in the record of {} is lookup number {}; {} are allowed", Shown(term),
                        domain, kSpfLookupsMax + 1, kSpfLookupsMax));
  return false;
}

// §4.6.4: names without an answer.
Evaluation::Match Evaluation::CountVoid(const std::string& name) {
  if (++void_lookups_ <= kSpfVoidLookupsMax) return Match::kNo;
  return Error(Permanent(SpfFault::kTooManyLookups,
                         fmt::format("{} is the third name in it that has no records; {} are "
                                     "allowed",
                                     Shown(name), kSpfVoidLookupsMax)));
}

std::optional<std::string> Evaluation::Target(const std::string& domain,
                                              const std::string& spec) const {
  if (spec.empty()) return domain;
  return ExpandSpfMacros(spec, {query_.ip, query_.sender, domain, query_.helo});
}

Evaluation::Match Evaluation::Matches(const std::string& domain, const SpfDirective& directive) {
  using enum SpfMechanism;
  if (directive.mechanism == kAll) return Match::kYes;
  if (!CostsLookup(directive.mechanism)) return MatchesNetwork(directive);
  const auto target = Target(domain, directive.domain);
  if (!target) return Match::kNo;
  switch (directive.mechanism) {
    case kInclude:
      return MatchesInclude(directive, *target);
    case kA:
      return MatchesA(directive, *target);
    case kMx:
      return MatchesMx(directive, *target);
    case kPtr:
      return MatchesPtr(*target);
    default:
      return MatchesExists(*target);
  }
}

Evaluation::Match Evaluation::MatchesNetwork(const SpfDirective& directive) const {
  const int bits = directive.network.is_v6() ? directive.prefix6 : directive.prefix4;
  // Whoever it is, he is in a network of everybody.
  if (!query_.ip) return bits == 0 ? Match::kYes : Match::kNo;
  return query_.ip->IsInPrefix(directive.network, bits) ? Match::kYes : Match::kNo;
}

// §5.2.
Evaluation::Match Evaluation::MatchesInclude(const SpfDirective& directive,
                                             const std::string& target) {
  const SpfResult result = CheckDomain(target, nullptr);
  switch (result) {
    case SpfResult::kPass:
      return Match::kYes;
    case SpfResult::kTempError:
    case SpfResult::kPermError:
      return Error(result);
    case SpfResult::kNone:
      return Error(
          Permanent(SpfFault::kNoTarget, fmt::format("{} leads to {}, which has no SPF record",
                                                     Shown(directive.text), Shown(target))));
    default:
      return Match::kNo;
  }
}

// Asks for the addresses of the family that sends, or of both where that is not known.
Evaluation::Match Evaluation::HasAddress(const std::string& host, int prefix4, int prefix6,
                                         bool counts) {
  bool any = false, pending = false;
  for (const DnsType type : {DnsType::kA, DnsType::kAaaa}) {
    const bool v6 = type == DnsType::kAaaa;
    if (query_.ip && query_.ip->is_v6() != v6) continue;
    const DnsRecords& answer = dns_->Ask(type, host);
    pending = pending || answer.pending();
    if (answer.failed()) return Temporary(answer, host);
    any = any || answer.found();
    for (const std::string& record : answer.records) {
      const auto address = IpAddress::FromBytes(record);
      if (!query_.ip || !address) continue;
      if (query_.ip->IsInPrefix(*address, v6 ? prefix6 : prefix4)) return Match::kYes;
    }
  }
  if (pending) return verdict_.pending = true, Match::kNo;
  return any || !counts ? Match::kNo : CountVoid(host);
}

Evaluation::Match Evaluation::MatchesA(const SpfDirective& directive, const std::string& target) {
  return HasAddress(target, directive.prefix4, directive.prefix6, /*counts=*/true);
}

// §5.4.
Evaluation::Match Evaluation::MatchesMx(const SpfDirective& directive, const std::string& target) {
  const DnsRecords& answer = dns_->Ask(DnsType::kMx, target);
  if (answer.pending()) return verdict_.pending = true, Match::kNo;
  if (answer.failed()) return Temporary(answer, target);
  if (answer.none()) return CountVoid(target);
  if (answer.records.size() > kSpfHostsMax) {
    return Error(
        Permanent(SpfFault::kTooManyLookups,
                  fmt::format("{} leads to {} MX hosts; {} are allowed", Shown(directive.text),
                              answer.records.size(), kSpfHostsMax)));
  }
  if (!query_.ip) return Match::kNo;
  for (const std::string& host : answer.records) {
    if (host.empty()) continue;
    const Match match = HasAddress(host, directive.prefix4, directive.prefix6, /*counts=*/false);
    if (match != Match::kNo) return match;
  }
  return Match::kNo;
}

// §5.5: names of the address that lead back to it. What fails does not match.
Evaluation::Match Evaluation::MatchesPtr(const std::string& target) {
  if (!query_.ip) return Match::kNo;
  const DnsRecords& answer = dns_->Ask(DnsType::kPtr, query_.ip->ToString());
  if (answer.pending()) return verdict_.pending = true, Match::kNo;
  if (answer.failed()) return Match::kNo;
  if (answer.none()) return CountVoid(query_.ip->ToString());
  const size_t hosts = std::min(answer.records.size(), kSpfHostsMax);
  for (size_t i = 0; i < hosts; ++i) {
    const std::string& host = answer.records[i];
    if (!IsWithin(host, target)) continue;
    if (HasAddress(host, 32, 128, /*counts=*/false) == Match::kYes) return Match::kYes;
  }
  return Match::kNo;
}

// §5.7: an A record, also for IPv6.
Evaluation::Match Evaluation::MatchesExists(const std::string& target) {
  const DnsRecords& answer = dns_->Ask(DnsType::kA, target);
  if (answer.pending()) return verdict_.pending = true, Match::kNo;
  if (answer.failed()) return Temporary(answer, target);
  return answer.found() ? Match::kYes : CountVoid(target);
}

}  // namespace

std::string_view SpfResultName(SpfResult result) {
  switch (result) {
    case SpfResult::kNone:
      return "none";
    case SpfResult::kNeutral:
      return "neutral";
    case SpfResult::kPass:
      return "pass";
    case SpfResult::kFail:
      return "fail";
    case SpfResult::kSoftFail:
      return "softfail";
    case SpfResult::kTempError:
      return "temperror";
    case SpfResult::kPermError:
      return "permerror";
  }
  return "none";
}

SpfVerdict EvaluateSpf(const SpfQuery& query, std::string_view domain, DnsAnswers* dns) {
  return Evaluation(query, dns).Run(domain);
}

}  // namespace volley::engine::preflight
