#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/dkim/dns_record.h"
#include "engine/preflight/rules.h"
#include "engine/preflight/text.h"
#include "engine/sasl/base64.h"

namespace volley::engine::preflight {
namespace {

constexpr int kRsaBitsRecommended = 2048;

// A key that signs, and ours if it is.
struct SigningDomain {
  std::string domain, selector;
  const DkimIdentity* identity = nullptr;

  std::string RecordName() const { return fmt::format("{}._domainkey.{}", selector, domain); }
};

const DkimIdentity* FindIdentity(const CampaignFacts& facts, std::string_view domain,
                                 std::string_view selector) {
  const auto it = std::find_if(facts.dkim.begin(), facts.dkim.end(), [&](const DkimIdentity& i) {
    return EqualsNoCase(i.domain, domain) && EqualsNoCase(i.selector, selector);
  });
  return it == facts.dkim.end() ? nullptr : &*it;
}

// Those of the samples' signatures; without a sample those that are meant to sign.
std::vector<SigningDomain> SigningDomains(const CampaignFacts& facts) {
  std::vector<SigningDomain> out;
  const auto add = [&](const std::string& domain, const std::string& selector) {
    const bool known = std::any_of(out.begin(), out.end(), [&](const SigningDomain& s) {
      return EqualsNoCase(s.domain, domain) && EqualsNoCase(s.selector, selector);
    });
    if (!known) out.push_back({domain, selector, FindIdentity(facts, domain, selector)});
  };
  for (const SampleFacts& sample : facts.samples) {
    for (const SampleSignature& s : sample.signatures) add(s.domain, s.selector);
  }
  if (facts.samples.empty()) {
    for (const DkimIdentity& identity : facts.dkim) add(identity.domain, identity.selector);
  }
  return out;
}

// What makes signatures with a key fail; nullopt: nothing that is known.
struct Defect {
  Check check = Check::kDkimRecordMissing;
  std::string found;
};

bool LooksLikeKeyRecord(std::string_view txt) {
  if (StartsWithNoCase(Trim(txt), "v=DKIM")) return true;
  const auto tags = ParseTagList(txt);
  return tags.ok() &&
         std::any_of(tags->begin(), tags->end(), [](const Tag& tag) { return tag.name == "p"; });
}

// An RSA key may also be published without its SubjectPublicKeyInfo wrapping, which it is the end
// of (RFC 6376 §3.6.1 and its erratum 3017).
bool SameKey(std::string_view published, std::string_view ours) {
  if (published == ours) return true;
  const auto a = sasl::DecodeBase64(published), b = sasl::DecodeBase64(ours);
  constexpr size_t kRsaKeyBytesMin = 130;  // 1024 bits
  return a && b && a->size() >= kRsaKeyBytesMin && b->ends_with(*a);
}

bool Allows(const std::vector<std::string>& list, std::string_view word) {
  return list.empty() || std::any_of(list.begin(), list.end(), [&](const std::string& entry) {
           return EqualsNoCase(entry, word) || entry == "*";
         });
}

std::optional<Defect> CompareWithKey(const std::string& name, const dkim::DkimRecord& record,
                                     const DkimIdentity& identity) {
  if (!EqualsNoCase(record.key_type, identity.key_type)) {
    return Defect{Check::kDkimRecordMismatch,
                  fmt::format("the key at {} is of type {}, ours is {}", name,
                              Shown(record.key_type), identity.key_type)};
  }
  if (!SameKey(record.public_key, identity.public_key)) {
    return Defect{Check::kDkimRecordMismatch,
                  fmt::format("the key at {} is not the public half of the one that signs", name)};
  }
  return std::nullopt;
}

std::optional<Defect> JudgeRecords(const SigningDomain& key,
                                   const std::vector<std::string>& records, bool* testing) {
  const std::string name = key.RecordName();
  std::vector<std::string_view> candidates;
  std::copy_if(records.begin(), records.end(), std::back_inserter(candidates), LooksLikeKeyRecord);
  if (candidates.empty()) {
    return Defect{Check::kDkimRecordMalformed,
                  fmt::format("the TXT record at {} is no DKIM key: {}", name, Shown(records[0]))};
  }
  if (candidates.size() > 1) {
    return Defect{Check::kDkimSeveralRecords,
                  fmt::format("there are {} DKIM records at {}", candidates.size(), name)};
  }
  const auto record = dkim::ParseDkimRecord(candidates[0]);
  if (!record.ok()) {
    return Defect{Check::kDkimRecordMalformed, fmt::format("the record at {}: {}", name,
                                                           std::string(record.status().message()))};
  }
  *testing = record->testing;
  if (record->public_key.empty()) {
    return Defect{Check::kDkimRecordRevoked, fmt::format("the record at {} has an empty p=", name)};
  }
  if (!Allows(record->hash_algorithms, "sha256") || !Allows(record->service_types, "email")) {
    return Defect{Check::kDkimRecordMalformed,
                  fmt::format("the record at {} does not allow {}", name,
                              Allows(record->service_types, "email")
                                  ? "sha256 (h=), the only hash receivers take"
                                  : "email (s=)")};
  }
  return key.identity == nullptr ? std::nullopt : CompareWithKey(name, *record, *key.identity);
}

std::string Mend(const SigningDomain& key) {
  if (key.identity == nullptr) {
    return fmt::format("publish the record of this key at {}", key.RecordName());
  }
  return fmt::format(
      "publish  {}",
      TxtRecord(key.RecordName(), fmt::format("v=DKIM1; k={}; p={}", key.identity->key_type,
                                              key.identity->public_key)));
}

constexpr Check kRecordChecks[] = {
    Check::kDkimRecordMissing,   Check::kDkimRecordMismatch, Check::kDkimRecordRevoked,
    Check::kDkimRecordMalformed, Check::kDkimSeveralRecords, Check::kDkimTestingFlag,
};

class DkimRules {
 public:
  DkimRules(DnsAnswers* dns, Report* report) : dns_(dns), report_(report) {}

  Authenticated Run(const std::vector<SigningDomain>& keys) {
    Authenticated out;
    for (const SigningDomain& key : keys) {
      if (Look(key)) out.domains.push_back(key.domain);
    }
    // One good signature is enough: then a bad one beside it (a second key whose record was
    // forgotten) costs nothing but work.
    const Severity severity = out.domains.empty() ? Severity::kError : Severity::kWarning;
    for (auto& [key, defect] : defects_) {
      report_->Found(defect.check, severity, std::move(defect.found), Mend(*key));
    }
    return out;
  }

 private:
  // Whether signatures with this key may verify.
  bool Look(const SigningDomain& key) {
    const DnsRecords& answer = dns_->Ask(DnsType::kTxt, key.RecordName());
    if (answer.pending()) return true;
    for (const Check check : kRecordChecks) {
      report_->Passed(check);
      if (answer.failed()) report_->Skip(check, answer.error);
    }
    if (answer.failed()) return true;
    if (answer.none()) {
      defects_.emplace_back(&key,
                            Defect{Check::kDkimRecordMissing,
                                   fmt::format("there is no TXT record at {}", key.RecordName())});
      return false;
    }
    bool testing = false;
    auto defect = JudgeRecords(key, answer.records, &testing);
    if (testing) {
      report_->Found(Check::kDkimTestingFlag, Severity::kWarning,
                     fmt::format("the record at {} has t=y", key.RecordName()),
                     "remove t=y from the record once it works");
    }
    if (!defect) return true;
    defects_.emplace_back(&key, *std::move(defect));
    return false;
  }

  DnsAnswers* dns_;
  Report* report_;
  std::vector<std::pair<const SigningDomain*, Defect>> defects_;
};

void CheckKeySizes(const std::vector<SigningDomain>& keys, Report* report) {
  report->Passed(Check::kDkimKeyShort);
  for (const SigningDomain& key : keys) {
    if (key.identity == nullptr) {
      report->Skip(Check::kDkimKeyShort, fmt::format("the key of {} is not ours", key.domain));
      continue;
    }
    const bool rsa = EqualsNoCase(key.identity->key_type, "rsa");
    if (!rsa || key.identity->bits >= kRsaBitsRecommended) continue;
    report->Found(
        Check::kDkimKeyShort,
        key.identity->bits < dkim::kRsaBitsMin ? Severity::kError : Severity::kWarning,
        fmt::format("the RSA key of {} (selector {}) has {} bits", key.domain, key.selector,
                    key.identity->bits),
        fmt::format("make one of 2048 bits under another selector: volley keys dkim new {}",
                    key.domain));
  }
}

void FoundNotSigned(const CampaignFacts& facts, const Situation& situation, Report* report) {
  // Without SPF there is nothing left that even small senders could pass by.
  const bool nothing_left = report->has(Check::kSpfMissing);
  const Severity direct = nothing_left ? Severity::kError : situation.bulk_sender;
  std::string found = facts.dkim.empty() ? "volley has no key to sign with"
                                         : "there are keys, but the sample is not signed";
  if (situation.through_relay) found += "; the relay may sign, which cannot be seen from here";
  report->Found(
      Check::kDkimNotSigned, situation.through_relay ? Severity::kWarning : direct,
      std::move(found),
      fmt::format("volley keys dkim new {} makes a key and prints its DNS record; name it "
                  "in [[dkim]] of the campaign file",
                  situation.from_domain));
}

}  // namespace

Authenticated CheckDkim(const CampaignFacts& facts, const Situation& situation, DnsAnswers* dns,
                        Report* report) {
  const auto skip = [&](std::string_view why) {
    for (const Check check : kRecordChecks) report->Skip(check, why);
    report->Skip(Check::kDkimKeyShort, why);
    return Authenticated{};
  };
  if (!situation.is_signed && situation.own_server) {
    const std::string why = fmt::format("{} signs it", situation.provider->name);
    report->Skip(Check::kDkimNotSigned, why);
    return skip(why);
  }
  report->Passed(Check::kDkimNotSigned);
  if (!situation.is_signed) {
    FoundNotSigned(facts, situation, report);
    return skip("volley does not sign");
  }
  const std::vector<SigningDomain> keys = SigningDomains(facts);
  CheckKeySizes(keys, report);
  return DkimRules(dns, report).Run(keys);
}

}  // namespace volley::engine::preflight
