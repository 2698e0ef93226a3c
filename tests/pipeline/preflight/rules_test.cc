// Each rule broken, one at a time, in a campaign that is otherwise in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "pipeline/preflight/preflight.h"
#include "tests/pipeline/preflight/campaign.h"

namespace volley::pipeline {
namespace {

using engine::preflight::Check;
using engine::preflight::CheckId;
using engine::preflight::kCheckCount;
using engine::preflight::Severity;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct BrokenRule {
  const char* name;  // of the test
  Check check;
  Severity severity;
  std::function<void(TestCampaign&)> breaks;
  const char* mend = "";  // what the advice must have
};

void PrintTo(const BrokenRule& rule, std::ostream* out) { *out << rule.name; }

std::vector<std::string> Ids(const PreflightResult& result) {
  std::vector<std::string> ids;
  for (const Finding& finding : result.findings) ids.push_back(finding.id);
  return ids;
}

// Each check is found, passed or skipped, and never two of these.
void ExpectComplete(const PreflightResult& result) {
  std::multiset<std::string> seen;
  const std::vector<std::string> found = Ids(result);
  for (const std::string& id : std::set<std::string>(found.begin(), found.end())) seen.insert(id);
  for (const std::string& id : result.passed) seen.insert(id);
  for (const std::string& what : result.skipped) {
    const size_t colon = what.find(": ");
    ASSERT_NE(colon, std::string::npos) << what;
    EXPECT_GT(what.size(), colon + 2) << what;
    seen.insert(what.substr(0, colon));
  }
  std::multiset<std::string> all;
  for (size_t i = 0; i < kCheckCount; ++i) all.emplace(CheckId(static_cast<Check>(i)));
  EXPECT_EQ(seen, all);
}

TEST(Preflight, FindsNothingInACampaignThatIsInOrder) {
  const PreflightResult result = TestCampaign().Run();
  EXPECT_THAT(Ids(result), IsEmpty());
  EXPECT_THAT(result.skipped, IsEmpty());
  EXPECT_EQ(result.passed.size(), kCheckCount);
  EXPECT_EQ(result.errors() + result.warnings(), 0u);
}

class PreflightRule : public ::testing::TestWithParam<BrokenRule> {};

TEST_P(PreflightRule, IsFoundAloneWhenItIsBroken) {
  const BrokenRule& rule = GetParam();
  TestCampaign campaign;
  rule.breaks(campaign);
  const PreflightResult result = campaign.Run();
  ASSERT_THAT(Ids(result), ElementsAre(CheckId(rule.check)))
      << (result.findings.empty() ? "" : result.findings[0].found);
  const Finding& finding = result.findings[0];
  EXPECT_EQ(finding.severity, rule.severity) << finding.found;
  EXPECT_GT(finding.found.size(), 8u);
  EXPECT_GT(finding.why.size(), 20u);
  EXPECT_GT(finding.source.size(), 8u);
  EXPECT_GT(finding.mend.size(), 8u);
  EXPECT_NE(finding.mend.find(rule.mend), std::string::npos) << finding.mend;
  ExpectComplete(result);
}

constexpr Severity kError = Severity::kError;
constexpr Severity kWarning = Severity::kWarning;
constexpr Severity kNote = Severity::kNote;

const BrokenRule kSpfRules[] = {
    {"SpfMissing", Check::kSpfMissing, kError,
     [](TestCampaign& c) { c.zone.Remove("bounce.example.org", 16); },
     "bounce.example.org.  TXT  \"v=spf1 ip4:5.6.7.8 ~all\""},
    {"SpfMissingOfSmallSender", Check::kSpfMissing, kWarning,
     [](TestCampaign& c) {
       c.input.recipients = 4999;
       c.zone.Remove("bounce.example.org", 16);
     }},
    {"SpfSeveral", Check::kSpfSeveralRecords, kError,
     [](TestCampaign& c) { c.zone.Txt("bounce.example.org", "v=spf1 a -all"); }},
    {"SpfSyntax", Check::kSpfSyntax, kError,
     [](TestCampaign& c) {
       c.ReplaceTxt("bounce.example.org", "v=spf1 ip4:5.6.7.8 ipv4:5.6.7.9 -all");
     }},
    {"SpfIncludeWithoutRecord", Check::kSpfSyntax, kError,
     [](TestCampaign& c) { c.zone.Remove("_spf.example.org", 16); }},
    {"SpfTooManyLookups", Check::kSpfTooManyLookups, kError,
     [](TestCampaign& c) {
       std::string record = "v=spf1";
       for (int i = 0; i < 11; ++i) {
         const std::string name = "x" + std::to_string(i) + ".example.org";
         record += " include:" + name;
         c.zone.Txt(name, "v=spf1 -all");
       }
       c.ReplaceTxt("bounce.example.org", record + " ip4:5.6.7.8 -all");
     }},
    {"SpfTooManyVoidLookups", Check::kSpfTooManyLookups, kError,
     [](TestCampaign& c) {
       c.ReplaceTxt("bounce.example.org",
                    "v=spf1 a:a.example.org a:b.example.org a:c.example.org ip4:5.6.7.8 -all");
     }},
    {"SpfTooManyLookupsBehindTheMatch", Check::kSpfTooManyLookups, kWarning,
     [](TestCampaign& c) {
       c.ReplaceTxt("bounce.example.org",
                    "v=spf1 ip4:5.6.7.8 a:a.example.org a:b.example.org a:c.example.org -all");
     }},
    {"SpfNotAuthorised", Check::kSpfNotAuthorised, kError,
     [](TestCampaign& c) { c.ReplaceTxt("_spf.example.org", "v=spf1 ip4:5.6.9.0/24 -all"); },
     "\"v=spf1 ip4:5.6.7.8 include:_spf.example.org -all\""},
    {"SpfNotAuthorisedOfTheRelay", Check::kSpfNotAuthorised, kNote,
     [](TestCampaign& c) { c.ThroughRelay("relay.example.com", "9.8.7.6"); },
     "a:relay.example.com"},
    {"SpfAllowsAll", Check::kSpfAllowsAll, kWarning,
     [](TestCampaign& c) { c.ReplaceTxt("bounce.example.org", "v=spf1 ip4:5.6.7.8 +all"); }},
    {"SpfAllowsAllByInclude", Check::kSpfAllowsAll, kWarning,
     [](TestCampaign& c) { c.ReplaceTxt("_spf.example.org", "v=spf1 ip4:0.0.0.0/0 -all"); }},
};

const BrokenRule kDkimRules[] = {
    {"DkimNotSigned", Check::kDkimNotSigned, kError,
     [](TestCampaign& c) {
       c.sign = false;
       c.input.dkim.clear();
     },
     "volley keys dkim new example.org"},
    {"DkimNotSignedThoughThereIsAKey", Check::kDkimNotSigned, kError,
     [](TestCampaign& c) { c.sign = false; }},
    {"DkimNotSignedOfSmallSender", Check::kDkimNotSigned, kWarning,
     [](TestCampaign& c) {
       c.input.recipients = 100;
       c.sign = false;
     }},
    {"DkimRecordMissing", Check::kDkimRecordMissing, kError,
     [](TestCampaign& c) { c.zone.Remove(kKeyName); },
     "s1._domainkey.example.org.  TXT  \"v=DKIM1; k=rsa; p=MII"},
    {"DkimRecordMismatch", Check::kDkimRecordMismatch, kError,
     [](TestCampaign& c) {
       std::string record = TestKey()->DnsRecord();
       record[100] = record[100] == 'A' ? 'B' : 'A';
       c.ReplaceTxt(kKeyName, record);
     },
     "\"v=DKIM1; k=rsa; p=MII"},
    {"DkimRecordOfAnotherType", Check::kDkimRecordMismatch, kError,
     [](TestCampaign& c) {
       c.ReplaceTxt(kKeyName, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
     }},
    {"DkimRecordRevoked", Check::kDkimRecordRevoked, kError,
     [](TestCampaign& c) { c.ReplaceTxt(kKeyName, "v=DKIM1; k=rsa; p="); }},
    {"DkimRecordMalformed", Check::kDkimRecordMalformed, kError,
     [](TestCampaign& c) { c.ReplaceTxt(kKeyName, "v=DKIM1; k=rsa; p=M!!"); }},
    {"DkimRecordIsSomethingElse", Check::kDkimRecordMalformed, kError,
     [](TestCampaign& c) { c.ReplaceTxt(kKeyName, "hello"); }},
    {"DkimRecordIsNotForMail", Check::kDkimRecordMalformed, kError,
     [](TestCampaign& c) { c.ReplaceTxt(kKeyName, TestKey()->DnsRecord() + "; s=tlsrpt"); }},
    {"DkimRecordWithoutSha256", Check::kDkimRecordMalformed, kError,
     [](TestCampaign& c) { c.ReplaceTxt(kKeyName, TestKey()->DnsRecord() + "; h=sha1"); }},
    {"DkimSeveralRecords", Check::kDkimSeveralRecords, kError,
     [](TestCampaign& c) { c.zone.Txt(kKeyName, "v=DKIM1; p="); }},
    {"DkimTestingFlag", Check::kDkimTestingFlag, kWarning,
     [](TestCampaign& c) { c.ReplaceTxt(kKeyName, TestKey()->DnsRecord() + "; t=y"); }},
    {"DkimKeyOf1024Bits", Check::kDkimKeyShort, kWarning,
     [](TestCampaign& c) { c.input.dkim[0].bits = 1024; }},
    {"DkimKeyOf768Bits", Check::kDkimKeyShort, kError,
     [](TestCampaign& c) { c.input.dkim[0].bits = 768; }},
};

const BrokenRule kDmarcRules[] = {
    {"DmarcMissing", Check::kDmarcMissing, kError,
     [](TestCampaign& c) { c.zone.Remove("_dmarc.example.org"); },
     "_dmarc.example.org.  TXT  \"v=DMARC1; p=none; rua=mailto:dmarc@example.org\""},
    {"DmarcMissingOfSmallSender", Check::kDmarcMissing, kWarning,
     [](TestCampaign& c) {
       c.input.recipients = 1;
       c.zone.Remove("_dmarc.example.org");
     }},
    {"DmarcSeveral", Check::kDmarcSeveralRecords, kError,
     [](TestCampaign& c) { c.zone.Txt("_dmarc.example.org", "v=DMARC1; p=none"); }},
    {"DmarcSyntax", Check::kDmarcSyntax, kError,
     [](TestCampaign& c) { c.ReplaceTxt("_dmarc.example.org", "v=DMARC1 p=none"); }},
    {"DmarcNotAlignedForStrictness", Check::kDmarcNotAligned, kError,
     [](TestCampaign& c) {
       c.input.from = "news@news.example.org";
       c.zone.Mx("news.example.org", 10, "mail.example.org");
       c.ReplaceTxt("_dmarc.example.org", "v=DMARC1; p=reject; adkim=s; aspf=s");
     },
     "d=news.example.org"},
    {"DmarcNotAligned", Check::kDmarcNotAligned, kError,
     [](TestCampaign& c) {
       c.input.from = "news@example.com";
       c.zone.Mx("example.com", 10, "mail.example.org");
       c.zone.Txt("_dmarc.example.com", "v=DMARC1; p=none");
     }},
    {"DmarcNotAlignedAndEnforcedForASmallSender", Check::kDmarcNotAligned, kError,
     [](TestCampaign& c) {
       c.input.recipients = 10;
       c.input.from = "news@a.example.com";
       c.zone.Mx("a.example.com", 10, "mail.example.org");
       c.zone.Txt("_dmarc.example.com", "v=DMARC1; p=none; sp=quarantine");
     }},
    {"DmarcNotAlignedForASmallSender", Check::kDmarcNotAligned, kWarning,
     [](TestCampaign& c) {
       c.input.recipients = 10;
       c.input.from = "news@a.example.com";
       c.zone.Mx("a.example.com", 10, "mail.example.org");
       c.zone.Txt("_dmarc.example.com", "v=DMARC1; p=none");
     }},
    {"FromWithTwoAddresses", Check::kFromNotSingle, kError,
     [](TestCampaign& c) {
       c.letters[1].Field("From") = "News <news@example.org>, Ann <ann@example.org>";
     }},
    {"FromAtGmail", Check::kFromDomainPublicProvider, kError,
     [](TestCampaign& c) {
       c.input.from = "news@gmail.com";
       c.zone.Mx("gmail.com", 5, "gmail-smtp-in.l.google.com");
     }},
    {"FromDomainDoesNotExist", Check::kFromDomainMissing, kError,
     [](TestCampaign& c) { c.input.from = "news@news.example.org"; }},
    {"FromDomainTakesNoMail", Check::kFromDomainMissing, kError,
     [](TestCampaign& c) { c.zone.Remove("example.org", 15).Mx("example.org", 0, ""); }},
    {"FromDomainHasNothingToSendTo", Check::kFromDomainMissing, kError,
     [](TestCampaign& c) { c.zone.Remove("example.org", 15); }, "example.org.  MX"},
    {"BouncesCannotReturn", Check::kFromDomainMissing, kError,
     [](TestCampaign& c) { c.zone.Remove("bounce.example.org", 15); }},
};

const BrokenRule kListRules[] = {
    {"OneClickWithoutListUnsubscribe", Check::kOneClickMissing, kError,
     [](TestCampaign& c) {
       c.letters[0].Remove("List-Unsubscribe");
       auto& body = c.letters[0].body;
       body.replace(body.find("Leave us"), 8, "D=C3=A9sabonnement");
     }},
    {"OneClickWithoutPost", Check::kOneClickMissing, kError,
     [](TestCampaign& c) { c.letters[2].Remove("List-Unsubscribe-Post"); }},
    {"OneClickOfSmallSender", Check::kOneClickMissing, kWarning,
     [](TestCampaign& c) {
       c.input.recipients = 4999;
       c.letters[2].Remove("List-Unsubscribe-Post");
     }},
    {"OneClickWithAnotherPost", Check::kOneClickMissing, kError,
     [](TestCampaign& c) {
       c.letters[0].Field("List-Unsubscribe-Post") = "List-Unsubscribe=one-click";
     }},
    {"OneClickByMailOnly", Check::kOneClickNotHttps, kError,
     [](TestCampaign& c) {
       c.letters[0].Field("List-Unsubscribe") = "<mailto:u@example.org>";
       c.letters[0].body = "Leave: https://example.org/unsubscribe\r\n";
       c.letters[0].Field("Content-Type") = "text/plain";
     }},
    {"OneClickByPlainHttp", Check::kOneClickNotHttps, kError,
     [](TestCampaign& c) {
       auto& value = c.letters[0].Field("List-Unsubscribe");
       value += ", <http://example.org/u>";
     }},
    {"OneClickByTwoAddresses", Check::kOneClickNotHttps, kError,
     [](TestCampaign& c) {
       auto& value = c.letters[0].Field("List-Unsubscribe");
       value += ", <https://example.org/other>";
     }},
    {"OneClickNotSigned", Check::kOneClickNotSigned, kError,
     [](TestCampaign& c) {
       const auto drop = [](std::vector<std::string>* names) {
         std::erase_if(*names, [](const std::string& name) {
           return name == "List-Unsubscribe-Post" || name == "list-unsubscribe-post";
         });
       };
       drop(&c.signer.oversigned);
       drop(&c.signer.signed_if_there);
     }},
    {"BodyLinkMissing", Check::kBodyLinkMissing, kWarning,
     [](TestCampaign& c) {
       c.letters[1].body = "Hello, read https://example.org/news\r\n";
       c.letters[1].Field("Content-Type") = "text/plain";
     },
     "{{unsubscribe_url}}"},
};

const BrokenRule kMessageRules[] = {
    {"MessageIdMissing", Check::kMessageIdMissing, kError,
     [](TestCampaign& c) { c.letters[0].Remove("Message-ID"); }},
    {"MessageIdNotValid", Check::kMessageIdMissing, kError,
     [](TestCampaign& c) { c.letters[0].Field("Message-ID") = "one@example.org"; }},
    {"MessageIdNotUnique", Check::kMessageIdNotUnique, kError,
     [](TestCampaign& c) { c.letters[2].Field("Message-ID") = "<id1@example.org>"; }},
    {"DuplicateSubject", Check::kDuplicateHeader, kError,
     [](TestCampaign& c) { c.letters[0].fields.emplace_back("subject", "Another"); }},
    {"DateMissing", Check::kDateMissing, kError,
     [](TestCampaign& c) { c.letters[0].Remove("Date"); }},
    {"SubjectFakeReply", Check::kSubjectFakeReply, kWarning,
     [](TestCampaign& c) { c.letters[0].Field("Subject") = "RE: our talk"; }},
    {"SubjectFakeReplyEncoded", Check::kSubjectFakeReply, kWarning,
     [](TestCampaign& c) { c.letters[0].Field("Subject") = "=?utf-8?Q?Fwd=5B2=5D:_caf=C3=A9?="; }},
    {"DisplayNameIsTheRecipientsAddress", Check::kDisplayNameIsRecipient, kWarning,
     [](TestCampaign& c) {
       c.letters[1].Field("From") = "\"For Reader2@example.net\" <news@example.org>";
     }},
    {"DisplayNameIsTheRecipientsName", Check::kDisplayNameIsRecipient, kWarning,
     [](TestCampaign& c) { c.letters[1].Field("From") = "Hi READER2 <news@example.org>"; }},
    {"SizeOver25Mb", Check::kSizeOverLimit, kError,
     [](TestCampaign& c) {
       c.letters[0].Field("Content-Type") = "multipart/alternative; boundary=b";
       for (int i = 0; i < 27 * 1024; ++i) {
         c.letters[0].body += std::string(1022, 'x') + "\r\n";
       }
     }},
    {"SizeOver10Mb", Check::kSizeOverLimit, kWarning,
     [](TestCampaign& c) {
       for (int i = 0; i < 11 * 1024; ++i) {
         c.letters[0].body += std::string(1022, 'x') + "\r\n";
       }
     }},
    {"HtmlThatGmailClips", Check::kSizeOverLimit, kWarning,
     [](TestCampaign& c) {
       auto& body = c.letters[0].body;
       std::string html;
       for (int i = 0; i < 1100; ++i) html += std::string(98, 'x') + "\r\n";
       body.insert(body.find("<p>"), html);
     }},
    {"TooManyLinks", Check::kTooManyLinks, kWarning, [](TestCampaign& c) { c.input.links = 101; }},
    {"PlainTextMissing", Check::kPlainTextMissing, kWarning,
     [](TestCampaign& c) { c.input.has_text = false; }},
    {"FeedbackIdWithAShortSender", Check::kFeedbackIdMalformed, kWarning,
     [](TestCampaign& c) { c.letters[0].Field("Feedback-ID") = "a:b:c:abcd"; }},
    {"FeedbackIdWithALongSender", Check::kFeedbackIdMalformed, kWarning,
     [](TestCampaign& c) {
       for (auto& letter : c.letters) letter.Field("Feedback-ID") = "a:b:c:1234567890123456";
     }},
    {"FeedbackIdOfFiveParts", Check::kFeedbackIdMalformed, kWarning,
     [](TestCampaign& c) {
       for (auto& letter : c.letters) letter.Field("Feedback-ID") = "a:b:c:d:example-org";
     }},
    {"FeedbackIdTwice", Check::kFeedbackIdMalformed, kWarning,
     [](TestCampaign& c) {
       c.letters[0].fields.emplace_back("Feedback-ID", "week48:example:news:example-org");
     }},
    {"FeedbackIdUnique", Check::kFeedbackIdMalformed, kWarning,
     [](TestCampaign& c) {
       for (auto& letter : c.letters) {
         letter.Field("Feedback-ID") = letter.Field("To").substr(0, 7) + ":b:c:example-org";
       }
     }},
    {"FeedbackIdNotSigned", Check::kFeedbackIdNotSigned, kWarning,
     [](TestCampaign& c) {
       const auto drop = [](std::vector<std::string>* names) {
         std::erase(*names, "Feedback-ID");
         std::erase(*names, "feedback-id");
       };
       drop(&c.signer.oversigned);
       drop(&c.signer.signed_if_there);
     }},
};

const BrokenRule kSourceRules[] = {
    {"PtrMissing", Check::kPtrMissing, kError, [](TestCampaign& c) { c.zone.Remove(kReverse); },
     "mail.example.org"},
    {"PtrMissingOfSmallSender", Check::kPtrMissing, kError,
     [](TestCampaign& c) {
       c.input.recipients = 1;
       c.zone.Remove(kReverse);
     }},
    {"PtrLeadsElsewhere", Check::kPtrNotForwardConfirmed, kError,
     [](TestCampaign& c) {
       c.zone.Remove(kReverse)
           .Ptr(kReverse, "host8.example.net")
           .Address("host8.example.net", "5.6.7.9");
     }},
    {"PtrLeadsNowhere", Check::kPtrNotForwardConfirmed, kError,
     [](TestCampaign& c) { c.zone.Remove(kReverse).Ptr(kReverse, "gone.example.net"); }},
    {"HeloOfAnotherHost", Check::kHeloNotMatching, kWarning,
     [](TestCampaign& c) {
       c.input.helo = "other.example.org";
       c.zone.Address("other.example.org", "5.6.7.9");
     }},
    {"HeloOfOneLabel", Check::kHeloNotMatching, kWarning,
     [](TestCampaign& c) { c.input.helo = "laptop"; }},
    {"HeloIsAnAddress", Check::kHeloNotMatching, kWarning,
     [](TestCampaign& c) { c.input.helo = "[5.6.7.8]"; }},
    {"TlsOff", Check::kTlsOff, kError, [](TestCampaign& c) { c.input.relay_tls_off = true; }},
    {"TlsOffToARelay", Check::kTlsOff, kWarning,
     [](TestCampaign& c) {
       c.ThroughRelay("relay.example.com", "5.6.7.8");
       c.input.relay_tls_off = true;
     }},
    {"DnsFailsForTheKey", Check::kDnsUnreachable, kWarning,
     [](TestCampaign& c) { c.zone.Always(kKeyName, {.code = 2, .silent = false, .records = {}}); }},
    {"DnsFailsForTheSpfRecord", Check::kDnsUnreachable, kWarning,
     [](TestCampaign& c) {
       c.zone.Always("bounce.example.org", {.code = 2, .silent = false, .records = {}});
     }},
    {"DnsFailsForThePolicy", Check::kDnsUnreachable, kWarning,
     [](TestCampaign& c) {
       c.zone.Always("_dmarc.example.org", {.code = 2, .silent = false, .records = {}});
     }},
    {"DnsFailsForTheAddress", Check::kDnsUnreachable, kWarning,
     [](TestCampaign& c) { c.zone.Always(kReverse, {.code = 2, .silent = false, .records = {}}); }},
};

std::string NameOf(const ::testing::TestParamInfo<BrokenRule>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Spf, PreflightRule, ::testing::ValuesIn(kSpfRules), NameOf);
INSTANTIATE_TEST_SUITE_P(Dkim, PreflightRule, ::testing::ValuesIn(kDkimRules), NameOf);
INSTANTIATE_TEST_SUITE_P(Dmarc, PreflightRule, ::testing::ValuesIn(kDmarcRules), NameOf);
INSTANTIATE_TEST_SUITE_P(List, PreflightRule, ::testing::ValuesIn(kListRules), NameOf);
INSTANTIATE_TEST_SUITE_P(Message, PreflightRule, ::testing::ValuesIn(kMessageRules), NameOf);
INSTANTIATE_TEST_SUITE_P(Source, PreflightRule, ::testing::ValuesIn(kSourceRules), NameOf);

// A rule without a way to break it would never be seen to work.
TEST(PreflightRules, AreAllBrokenSomewhereHere) {
  std::set<Check> broken = {Check::kMessageMalformed};  // in preflight_test.cc
  const auto add = [&](const auto& rules) {
    for (const BrokenRule& rule : rules) broken.insert(rule.check);
  };
  add(kSpfRules), add(kDkimRules), add(kDmarcRules), add(kListRules), add(kMessageRules);
  add(kSourceRules);
  EXPECT_EQ(broken.size(), kCheckCount);
}

}  // namespace
}  // namespace volley::pipeline
