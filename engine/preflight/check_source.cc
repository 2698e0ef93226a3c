#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "engine/preflight/ip_address.h"
#include "engine/preflight/rules.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr size_t kNamesMax = 10;  // of one address

enum class Leads : uint8_t { kThere, kElsewhere, kPending, kUnknown };

// Whether a name has this address.
Leads LeadsTo(const std::string& name, const IpAddress& ip, DnsAnswers* dns) {
  const DnsRecords& answer = dns->Ask(ip.is_v6() ? DnsType::kAaaa : DnsType::kA, name);
  if (answer.pending()) return Leads::kPending;
  if (answer.failed()) return Leads::kUnknown;
  const bool there =
      std::any_of(answer.records.begin(), answer.records.end(),
                  [&](const std::string& record) { return IpAddress::FromBytes(record) == ip; });
  return there ? Leads::kThere : Leads::kElsewhere;
}

void CheckPointer(const IpAddress& ip, std::string_view helo, DnsAnswers* dns, Report* report) {
  const std::string text = ip.ToString();
  const DnsRecords& pointers = dns->Ask(DnsType::kPtr, text);
  if (pointers.pending()) return;
  if (pointers.failed()) {
    return SkipAll({Check::kPtrMissing, Check::kPtrNotForwardConfirmed}, pointers.error, report);
  }
  const std::string mend = fmt::format(
      "have whoever gave you {} (the hosting provider) set its PTR record to {}, and let that name "
      "have the address",
      text, helo.empty() ? "the host's name" : helo);
  report->Passed(Check::kPtrMissing);
  if (pointers.none()) {
    report->Found(Check::kPtrMissing, Severity::kError, fmt::format("{} has no PTR record", text),
                  mend);
    return report->Skip(Check::kPtrNotForwardConfirmed, "there is no PTR record");
  }
  report->Passed(Check::kPtrNotForwardConfirmed);
  bool settled = true;
  for (size_t i = 0; i < std::min(pointers.records.size(), kNamesMax); ++i) {
    const Leads leads = LeadsTo(pointers.records[i], ip, dns);
    if (leads == Leads::kThere) return;
    if (leads == Leads::kElsewhere) continue;
    settled = false;
    if (leads == Leads::kUnknown) {
      report->Skip(Check::kPtrNotForwardConfirmed,
                   fmt::format("no answer about {}", Shown(pointers.records[i])));
    }
  }
  if (!settled) return;
  report->Found(Check::kPtrNotForwardConfirmed, Severity::kError,
                fmt::format("{} has the PTR record {}, which does not lead back to it", text,
                            Shown(pointers.records[0])),
                mend);
}

void CheckHelo(const IpAddress& ip, const std::string& helo, DnsAnswers* dns, Report* report) {
  report->Passed(Check::kHeloNotMatching);
  const auto found = [&](std::string what) {
    report->Found(Check::kHeloNotMatching, Severity::kWarning, std::move(what),
                  fmt::format("greet with the name of {} in the DNS (--helo), the same as in its "
                              "PTR record",
                              ip.ToString()));
  };
  if (helo.starts_with('[') || helo.find('.') == helo.npos || IpAddress::Parse(helo)) {
    return found(fmt::format("the HELO name {} is not a full host name", Shown(helo)));
  }
  const Leads leads = LeadsTo(helo, ip, dns);
  if (leads == Leads::kUnknown) {
    report->Skip(Check::kHeloNotMatching, fmt::format("no answer about {}", Shown(helo)));
  }
  if (leads == Leads::kElsewhere) {
    found(fmt::format("the HELO name {} does not have the address {}", Shown(helo), ip.ToString()));
  }
}

void CheckTls(const CampaignFacts& facts, Report* report) {
  report->Passed(Check::kTlsOff);
  const bool direct = !IsThroughRelay(facts);
  const bool away =
      direct || std::any_of(facts.relay_addresses.begin(), facts.relay_addresses.end(),
                            [](const RelayAddress& relay) { return !relay.loopback; });
  if (!facts.relay_tls_off || !away) return;
  // Gmail's demand is on who delivers to it; a relay in between may well do it.
  report->Found(
      Check::kTlsOff, direct ? Severity::kError : Severity::kWarning,
      direct ? "TLS is switched off"
             : fmt::format("TLS is switched off on the way to {}", Join(facts.relay_names, ", ")),
      "leave tls at its default, or ask for it with tls = \"required\"");
}

}  // namespace

void CheckSource(const CampaignFacts& facts, DnsAnswers* dns, Report* report) {
  CheckTls(facts, report);
  const auto checks = {Check::kPtrMissing, Check::kPtrNotForwardConfirmed, Check::kHeloNotMatching};
  if (facts.own_ips.empty())
    return SkipAll(checks,
                   IsThroughRelay(facts) ? "mail goes through a relay"
                                         : "the addresses to send from are not known",
                   report);
  if (facts.helo.empty()) report->Skip(Check::kHeloNotMatching, "the HELO name is not known");
  for (const std::string& text : facts.own_ips) {
    const auto ip = IpAddress::Parse(text);
    if (!ip || !ip->IsPublic()) {
      SkipAll(checks, fmt::format("{} is not the address receivers will see", Shown(text)), report);
      continue;
    }
    CheckPointer(*ip, facts.helo, dns, report);
    if (!facts.helo.empty()) CheckHelo(*ip, facts.helo, dns, report);
  }
}

}  // namespace volley::engine::preflight
