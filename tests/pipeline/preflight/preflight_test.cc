#include "pipeline/preflight/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/pipeline/preflight/campaign.h"

namespace volley::pipeline {
namespace {

using engine::preflight::Check;
using engine::preflight::CheckId;
using engine::preflight::CheckSource;
using engine::preflight::CheckWhy;
using engine::preflight::kCheckCount;
using engine::preflight::Severity;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Ids(const PreflightResult& result) {
  std::vector<std::string> ids;
  for (const Finding& finding : result.findings) ids.push_back(finding.id);
  return ids;
}

TEST(PreflightIds, EachIsDifferentAndHasItsTexts) {
  std::set<std::string> ids;
  for (size_t i = 0; i < kCheckCount; ++i) {
    const Check check = static_cast<Check>(i);
    const std::string id(CheckId(check));
    EXPECT_THAT(id, ::testing::MatchesRegex("[a-z][a-z0-9-]+"));
    EXPECT_TRUE(ids.insert(id).second) << id << " is there twice";
    EXPECT_TRUE(CheckWhy(check).ends_with('.')) << id;
    EXPECT_FALSE(CheckSource(check).empty()) << id;
  }
}

TEST(PreflightIds, AreListedInTheirOrder) {
  const std::vector<std::string> ids = engine::preflight::CheckIds();
  ASSERT_EQ(ids.size(), kCheckCount);
  for (size_t i = 0; i < kCheckCount; ++i) EXPECT_EQ(ids[i], CheckId(static_cast<Check>(i)));
}

TEST(PreflightIds, EachHasItsChapterInTheDocsAndNoOtherHas) {
  std::ifstream file(std::string(VOLLEY_TESTS_DIR) + "/../docs/preflight.md");
  ASSERT_TRUE(file.good());
  std::set<std::string> chapters, ids;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("### `")) continue;
    ASSERT_TRUE(line.ends_with("`")) << line;
    EXPECT_TRUE(chapters.insert(line.substr(5, line.size() - 6)).second) << line;
  }
  for (size_t i = 0; i < kCheckCount; ++i) ids.emplace(CheckId(static_cast<Check>(i)));
  EXPECT_EQ(chapters, ids);
}

// --- The DNS ---

TEST(Preflight, ClaimsNothingWhenNoNameServerAnswers) {
  TestCampaign campaign;
  const testing::NameServer server(
      [](std::string_view, uint16_t) { return testing::DnsReply{.silent = true, .records = {}}; });
  io::ResolverOptions options;
  options.servers = {server.address()};
  options.use_hosts_file = false;
  options.timeout = absl::Milliseconds(300);
  const auto resolver = io::Resolver::Create(options);
  ASSERT_TRUE(resolver.ok());
  const PreflightResult result = RunPreflight(campaign.Finished(), resolver->get());
  EXPECT_THAT(Ids(result), ElementsAre("dns-unreachable"));
  EXPECT_EQ(result.errors(), 0u);
  for (const char* id : {"spf-missing", "dkim-record-missing", "dmarc-missing", "ptr-missing",
                         "from-domain-missing", "spf-not-authorised", "helo-not-matching"}) {
    EXPECT_THAT(result.skipped, Contains(StartsWith(std::string(id) + ": "))) << id;
    EXPECT_THAT(result.passed, Not(Contains(id)));
  }
}

TEST(Preflight, WithoutTheDnsItLooksAtTheMessageOnly) {
  TestCampaign campaign;
  campaign.letters[0].Remove("Date");
  PreflightInput input = campaign.Finished();
  input.ask_dns = false;
  const PreflightResult result = RunPreflight(input, nullptr);
  EXPECT_THAT(Ids(result), ElementsAre("date-missing"));
  EXPECT_THAT(result.skipped, Contains("dns-unreachable: the DNS was not asked"));
  EXPECT_THAT(result.skipped, Contains("spf-missing: the DNS was not asked"));
  EXPECT_THAT(result.passed, Contains("dmarc-not-aligned"));  // names can be compared without it
}

TEST(Preflight, SpfRecordsWithoutEndEndSoon) {
  // Each name leads to ten others: only the rules' own bounds stop this.
  TestCampaign campaign;
  const testing::NameServer server([&](std::string_view name, uint16_t type) {
    testing::DnsReply reply;
    if (type != 16 || name.starts_with('_') || name.starts_with("s1.")) {
      return campaign.zone(name, type);
    }
    std::string record = "v=spf1";
    for (int i = 0; i < 10; ++i)
      record += " include:" + std::to_string(i) + "." + std::string(name);
    reply.records = {testing::TxtData(record + " -all")};
    return reply;
  });
  const auto resolver = testing::ResolverOf(server);
  const PreflightResult result = RunPreflight(campaign.Finished(), resolver.get());
  EXPECT_THAT(Ids(result), Contains("spf-too-many-lookups"));
}

// --- Relays ---

TEST(Preflight, ARelaysOwnSignatureCannotBeSeenSoItIsAWarning) {
  TestCampaign campaign;
  campaign.ThroughRelay("smtps://user@relay.example.com:465", "5.6.7.8");
  campaign.sign = false;
  campaign.input.dkim.clear();
  const PreflightResult result = campaign.Run();
  ASSERT_THAT(Ids(result), ElementsAre("dkim-not-signed"));
  EXPECT_EQ(result.findings[0].severity, Severity::kWarning);
  EXPECT_THAT(result.findings[0].found, HasSubstr("relay may sign"));
  EXPECT_THAT(result.skipped, Contains(StartsWith("one-click-not-signed: ")));
  EXPECT_THAT(result.skipped, Contains(StartsWith("ptr-missing: ")));
}

TEST(Preflight, AGmailAddressThroughGmailIsInOrder) {
  TestCampaign campaign;
  campaign.ThroughRelay("smtp.gmail.com", "142.250.1.108");
  campaign.zone.Mx("gmail.com", 5, "gmail-smtp-in.l.google.com");
  campaign.input.from = campaign.input.reverse_path = "ann@gmail.com";
  campaign.input.recipients = 100;
  campaign.input.dkim.clear();
  campaign.sign = false;
  EXPECT_THAT(Ids(campaign.Run()), IsEmpty());
  // The same through another relay is what Gmail and everybody else refuses.
  campaign.input.relay_names = {"relay.example.com"};
  EXPECT_THAT(Ids(campaign.Run()), Contains("from-domain-public-provider"));
}

TEST(Preflight, AServiceWithItsOwnReversePathNeedsNoSpfOfOurs) {
  TestCampaign campaign;
  campaign.ThroughRelay("email-smtp.eu-west-1.amazonaws.com", "3.4.5.6");
  campaign.zone.Remove("bounce.example.org", 16);
  const PreflightResult result = campaign.Run();
  EXPECT_THAT(Ids(result), IsEmpty());
  EXPECT_THAT(result.skipped, Contains(HasSubstr("spf-missing: Amazon SES")));
}

TEST(Preflight, AdviceNamesTheRecordOfAKnownService) {
  TestCampaign campaign;
  campaign.ThroughRelay("smtp.office365.com", "3.4.5.6");
  campaign.zone.Remove("bounce.example.org", 16);
  const PreflightResult result = campaign.Run();
  ASSERT_THAT(Ids(result), ElementsAre("spf-missing"));
  EXPECT_THAT(result.findings[0].mend,
              HasSubstr("\"v=spf1 include:spf.protection.outlook.com ~all\""));
}

TEST(Preflight, ARelayOnThisMachineHidesWhereMailLeavesFrom) {
  TestCampaign campaign;
  campaign.ThroughRelay("localhost", "127.0.0.1");
  campaign.input.relay_tls_off = true;
  const PreflightResult result = campaign.Run();
  EXPECT_THAT(Ids(result), IsEmpty());
  EXPECT_THAT(result.skipped, Contains(StartsWith("spf-not-authorised: ")));
}

TEST(Preflight, APrivateAddressIsNotWhatReceiversSee) {
  TestCampaign campaign;
  campaign.input.own_ips = {"192.168.1.5", "10.0.0.1", "not an address"};
  const PreflightResult result = campaign.Run();
  EXPECT_THAT(Ids(result), IsEmpty());
  for (const char* id : {"spf-not-authorised", "ptr-missing", "helo-not-matching"}) {
    EXPECT_THAT(result.skipped, Contains(StartsWith(std::string(id) + ": "))) << id;
  }
}

TEST(Preflight, EveryOwnAddressIsChecked) {
  TestCampaign campaign;
  campaign.input.own_ips = {kIp, "2a01:4f8::1"};
  const PreflightResult result = campaign.Run();
  EXPECT_THAT(Ids(result),
              UnorderedElementsAre("spf-not-authorised", "ptr-missing", "helo-not-matching"));
  EXPECT_THAT(result.findings[0].mend, HasSubstr("2a01:4f8::1"));
}

TEST(Preflight, TheHeloNameStandsInForANullReversePath) {
  TestCampaign campaign;
  campaign.input.reverse_path.clear();
  EXPECT_THAT(Ids(campaign.Run()), ElementsAre("spf-missing"));
  campaign.zone.Txt("mail.example.org", "v=spf1 a -all");
  EXPECT_THAT(Ids(campaign.Run()), IsEmpty());
}

// --- Kinds of mail ---

TEST(Preflight, TransactionalMailNeedsNoWayToUnsubscribe) {
  TestCampaign campaign;
  campaign.input.bulk = false;
  for (Letter& letter : campaign.letters) {
    letter.Remove("List-Unsubscribe");
    letter.Remove("List-Unsubscribe-Post");
    letter.body = "--b\r\nContent-Type: text/html\r\n\r\n<p>Your key</p>\r\n--b--\r\n";
  }
  EXPECT_THAT(Ids(campaign.Run()), IsEmpty());
  campaign.input.bulk = true;
  EXPECT_THAT(Ids(campaign.Run()), UnorderedElementsAre("one-click-missing", "body-link-missing"));
  campaign.input.without_unsubscribe = true;
  const PreflightResult result = campaign.Run();
  EXPECT_THAT(Ids(result), IsEmpty());
  EXPECT_THAT(result.skipped, Contains("one-click-missing: left out by request"));
}

TEST(Preflight, AReplyMayBeginWithRe) {
  TestCampaign campaign;
  campaign.letters[0].Field("Subject") = "Re: your order";
  campaign.letters[0].fields.emplace_back("In-Reply-To", "<a@example.net>");
  for (auto* subject : {&campaign.letters[1], &campaign.letters[2]}) {
    subject->Field("Subject") = "Regarding: prices; Fwd: no";
  }
  EXPECT_THAT(Ids(campaign.Run()), IsEmpty());
}

TEST(Preflight, WithoutASampleWhatNeedsOneIsSkipped) {
  TestCampaign campaign;
  campaign.letters.clear();
  const PreflightResult result = campaign.Run();
  EXPECT_THAT(Ids(result), IsEmpty());
  EXPECT_THAT(result.skipped, Contains(StartsWith("date-missing: ")));
  EXPECT_THAT(result.passed, Contains("dkim-record-missing"));  // of the key that is meant to sign
}

TEST(Preflight, RowsThatMakeNoCopyAreSaidWhereNoneMakesOne) {
  TestCampaign campaign;
  campaign.input.sample_failure = "line 2, ann@example.net: no name";
  EXPECT_THAT(Ids(campaign.Run()), IsEmpty());
  campaign.letters.clear();
  const PreflightResult result = campaign.Run();
  ASSERT_THAT(Ids(result), ElementsAre("message-malformed"));
  EXPECT_EQ(result.findings[0].severity, Severity::kWarning);
  EXPECT_THAT(result.findings[0].found, HasSubstr("line 2, ann@example.net: no name"));
}

TEST(Preflight, AMessageThatCannotBeReadIsAnError) {
  TestCampaign campaign;
  PreflightInput input = campaign.Finished();
  input.samples[1] = "From: a@example.org\nBare: line ends\n\nhello\n";
  input.ask_dns = false;
  const PreflightResult result = RunPreflight(input, nullptr);
  ASSERT_THAT(Ids(result), ElementsAre("message-malformed"));
  EXPECT_EQ(result.findings[0].severity, Severity::kError);
}

// --- Several keys ---

TEST(Preflight, ASecondKeyWithoutARecordIsAWarningBesideAGoodOne) {
  TestCampaign campaign;
  campaign.letters.clear();
  campaign.input.dkim.push_back(
      {"example.org", "s2", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "ed25519", 253});
  const PreflightResult result = campaign.Run();
  ASSERT_THAT(Ids(result), ElementsAre("dkim-record-missing"));
  EXPECT_EQ(result.findings[0].severity, Severity::kWarning);
  EXPECT_THAT(result.findings[0].mend,
              HasSubstr("s2._domainkey.example.org.  TXT  \"v=DKIM1; k=ed25519; p=11qY"));
}

TEST(Preflight, AnRsaKeyMayBePublishedWithoutItsWrapping) {
  TestCampaign campaign;
  // The SubjectPublicKeyInfo of 2048 bits has 24 bytes before the RSAPublicKey: 32 of base64.
  const std::string bare = TestKey()->public_key().substr(32);
  campaign.ReplaceTxt(kKeyName, "v=DKIM1; p=" + bare);
  EXPECT_THAT(Ids(campaign.Run()), IsEmpty());
}

TEST(Preflight, WhatTheDnsSaysIsShownAsPrintableText) {
  TestCampaign campaign;
  campaign.ReplaceTxt("_dmarc.example.org",
                      "v=DMARC1; p=\x1b[2Jnone\xff\n" + std::string(900, 'x'));
  const PreflightResult result = campaign.Run();
  ASSERT_THAT(Ids(result), ElementsAre("dmarc-syntax"));
  for (const char c : result.findings[0].found) EXPECT_TRUE(c >= ' ' && c < 0x7f);
  EXPECT_LT(result.findings[0].found.size(), 900u);
}

}  // namespace
}  // namespace volley::pipeline
