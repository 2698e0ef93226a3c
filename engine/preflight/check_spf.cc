#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "engine/preflight/ip_address.h"
#include "engine/preflight/rules.h"
#include "engine/preflight/spf.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr size_t kRelaysMax = 8;  // addresses that are evaluated

bool OnThisMachine(const CampaignFacts& facts) {
  return !facts.relay_addresses.empty() &&
         std::all_of(facts.relay_addresses.begin(), facts.relay_addresses.end(),
                     [](const RelayAddress& relay) { return relay.loopback; });
}

// What an SPF record needs to let this sender through.
std::string Terms(const CampaignFacts& facts, const Situation& situation) {
  std::vector<std::string> terms;
  for (const std::string& ip : facts.own_ips) {
    const auto address = IpAddress::Parse(ip);
    if (!address || !address->IsPublic()) continue;
    terms.push_back(fmt::format("{}:{}", address->is_v6() ? "ip6" : "ip4", address->ToString()));
  }
  if (situation.service != nullptr) {
    terms.push_back(fmt::format("include:{}", situation.service->include));
  } else if (situation.through_relay && !OnThisMachine(facts) && !facts.relay_names.empty()) {
    const std::string& name = facts.relay_names.front();
    const auto address = IpAddress::Parse(name);
    terms.push_back(fmt::format("{}:{}", !address ? "a" : address->is_v6() ? "ip6" : "ip4", name));
  }
  return Join(terms, " ");
}

// The record as it is with these terms in front; a new one where there is none.
std::string RecordWith(std::string_view record, std::string_view terms) {
  if (record.empty()) return fmt::format("v=spf1 {} ~all", terms);
  return fmt::format("v=spf1 {}{}", terms, record.substr(std::string_view("v=spf1").size()));
}

class SpfRules {
 public:
  SpfRules(const CampaignFacts& facts, const Situation& situation, DnsAnswers* dns, Report* report)
      : facts_(facts), situation_(situation), dns_(dns), report_(report) {}

  Authenticated Run() {
    // All questions in one round: nothing here waits for the record's verdict.
    const SpfVerdict walk = Evaluate(std::nullopt);
    const bool own_pass = CheckOwnAddresses(walk);
    NoteRelays(walk);
    const bool sound = JudgeRecord(walk, own_pass);
    if (!sound && !own_pass) return {};
    if (report_->has(Check::kSpfNotAuthorised) && !situation_.through_relay) return {};
    return {{situation_.spf_domain}};
  }

 private:
  SpfVerdict Evaluate(const std::optional<IpAddress>& ip) {
    return EvaluateSpf({ip, facts_.reverse_path, facts_.helo}, situation_.spf_domain, dns_);
  }

  // SPF or DKIM is enough for small senders, and the relay may sign.
  Severity HowBad() const {
    const bool other = situation_.is_signed || situation_.through_relay;
    return other ? situation_.bulk_sender : Severity::kError;
  }

  std::string Publish(std::string_view record) const {
    const std::string terms = Terms(facts_, situation_);
    if (terms.empty()) {
      return fmt::format(
          "publish what the relay's operator names for it, such as  {}",
          TxtRecord(situation_.spf_domain, RecordWith(record, "include:spf.their-domain.example")));
    }
    std::string publish =
        fmt::format("publish  {}", TxtRecord(situation_.spf_domain, RecordWith(record, terms)));
    if (situation_.service != nullptr || !situation_.through_relay) return publish;
    return publish + "  and ask the relay's operator which addresses it sends from";
  }

  // Whether there are some, and SPF lets all of them through.
  bool CheckOwnAddresses(const SpfVerdict& walk);
  void NoteRelays(const SpfVerdict& walk);
  bool JudgeRecord(const SpfVerdict& walk, bool own_pass);
  void FoundFault(const SpfVerdict& walk, Severity severity);

  const CampaignFacts& facts_;
  const Situation& situation_;
  DnsAnswers* dns_;
  Report* report_;
};

bool SpfRules::CheckOwnAddresses(const SpfVerdict& walk) {
  bool all_pass = true;
  size_t judged = 0;
  for (const std::string& ip : facts_.own_ips) {
    const auto address = IpAddress::Parse(ip);
    if (!address || !address->IsPublic()) {
      report_->Skip(Check::kSpfNotAuthorised,
                    fmt::format("{} is not the address receivers will see", Shown(ip)));
      continue;
    }
    const SpfVerdict verdict = Evaluate(address);
    ++judged;
    report_->Passed(Check::kSpfNotAuthorised);
    if (verdict.result == SpfResult::kPass) continue;
    all_pass = false;
    if (verdict.result == SpfResult::kTempError) {
      report_->Skip(Check::kSpfNotAuthorised, verdict.detail);
    } else if (walk.result == SpfResult::kNone || verdict.result == SpfResult::kPermError) {
      report_->Skip(Check::kSpfNotAuthorised, "there is no SPF record that can be evaluated");
    } else {
      report_->Found(
          Check::kSpfNotAuthorised, HowBad(),
          fmt::format("SPF of {} says {} for {}: {}", situation_.spf_domain,
                      SpfResultName(verdict.result), address->ToString(), verdict.detail),
          Publish(walk.record));
    }
  }
  return judged > 0 && all_pass;
}

// The relay may send on from other addresses than the one that listens: never more than a note.
void SpfRules::NoteRelays(const SpfVerdict& walk) {
  if (!facts_.own_ips.empty()) return;
  std::vector<std::string> refused;
  size_t judged = 0;
  for (const RelayAddress& relay : facts_.relay_addresses) {
    const auto address = IpAddress::Parse(relay.ip);
    if (!address || !address->IsPublic() || judged == kRelaysMax) continue;
    ++judged;
    const SpfVerdict verdict = Evaluate(address);
    if (verdict.result == SpfResult::kPass || verdict.result == SpfResult::kTempError) continue;
    refused.push_back(fmt::format("{} for {}", SpfResultName(verdict.result), relay.ip));
  }
  const bool no_record = walk.result == SpfResult::kNone || walk.result == SpfResult::kPermError;
  if (judged == 0 || no_record || walk.result == SpfResult::kTempError) {
    report_->Skip(Check::kSpfNotAuthorised,
                  no_record ? "there is no SPF record that can be evaluated"
                            : "the addresses that mail will leave from are not known");
    return;
  }
  report_->Passed(Check::kSpfNotAuthorised);
  if (refused.empty()) return;
  report_->Found(Check::kSpfNotAuthorised, Severity::kNote,
                 fmt::format("SPF of {} says {}; the relay may send from other addresses",
                             situation_.spf_domain, Join(refused, ", ")),
                 Publish(walk.record));
}

void SpfRules::FoundFault(const SpfVerdict& walk, Severity severity) {
  const std::string& domain = situation_.spf_domain;
  if (walk.fault == SpfFault::kSeveralRecords) {
    report_->Found(Check::kSpfSeveralRecords, severity, walk.detail,
                   fmt::format("merge them into one TXT record at {}", domain));
  } else if (walk.fault == SpfFault::kTooManyLookups) {
    report_->Found(Check::kSpfTooManyLookups, severity, walk.detail,
                   "remove includes of services that no longer send, and replace a, mx and include "
                   "of fixed hosts by ip4: and ip6:");
  } else {
    report_->Found(Check::kSpfSyntax, severity, walk.detail,
                   fmt::format("mend or remove that term; the record of {} is  {}", domain,
                               TxtRecord(domain, walk.record)));
  }
}

// What is to be said of the record itself, whoever sends. Whether it can be evaluated.
bool SpfRules::JudgeRecord(const SpfVerdict& walk, bool own_pass) {
  if (walk.result == SpfResult::kTempError) {
    SkipAll({Check::kSpfMissing, Check::kSpfSeveralRecords, Check::kSpfSyntax,
             Check::kSpfTooManyLookups, Check::kSpfAllowsAll},
            walk.detail, report_);
    return true;
  }
  report_->Passed(Check::kSpfMissing);
  if (walk.result == SpfResult::kNone) {
    report_->Found(Check::kSpfMissing, HowBad(),
                   fmt::format("{} has no SPF record", situation_.spf_domain), Publish(""));
    SkipAll({Check::kSpfSeveralRecords, Check::kSpfSyntax, Check::kSpfTooManyLookups,
             Check::kSpfAllowsAll},
            "there is no SPF record", report_);
    return false;
  }
  for (const Check check :
       {Check::kSpfSeveralRecords, Check::kSpfSyntax, Check::kSpfTooManyLookups}) {
    report_->Passed(check);
  }
  if (walk.result == SpfResult::kPermError) {
    // Receivers stop where our address matches, so they may never come to what is wrong.
    FoundFault(walk, own_pass ? Severity::kWarning : HowBad());
    report_->Skip(Check::kSpfAllowsAll, "the record cannot be evaluated to its end");
    return false;
  }
  report_->Passed(Check::kSpfAllowsAll);
  if (walk.result == SpfResult::kPass) {
    report_->Found(
        Check::kSpfAllowsAll, Severity::kWarning,
        fmt::format("any address may send for {}: {}", situation_.spf_domain, walk.detail),
        "name the addresses that send and end the record with ~all or -all");
  }
  return true;
}

}  // namespace

Authenticated CheckSpf(const CampaignFacts& facts, const Situation& situation, DnsAnswers* dns,
                       Report* report) {
  const auto skip = [&](std::string_view why) {
    SkipAll({Check::kSpfMissing, Check::kSpfSeveralRecords, Check::kSpfSyntax,
             Check::kSpfTooManyLookups, Check::kSpfNotAuthorised, Check::kSpfAllowsAll},
            why, report);
    return Authenticated{{situation.spf_domain}};
  };
  if (situation.spf_domain.empty()) return skip("no reverse-path and no HELO name to check");
  if (situation.own_server) {
    return skip(fmt::format("{}'s own servers send it", situation.provider->name));
  }
  if (situation.service != nullptr && situation.service->own_reverse_path) {
    return skip(fmt::format("{} sends with a reverse-path of its own", situation.service->name));
  }
  return SpfRules(facts, situation, dns, report).Run();
}

}  // namespace volley::engine::preflight
