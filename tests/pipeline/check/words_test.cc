// What `check` shows: peers' words made safe, capabilities and TLS explained, names like a mistyped
// one, and the test message.
#include <string>
#include <vector>

#include "engine/sasl/base64.h"
#include "engine/smtp/content.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/check/explain.h"
#include "pipeline/check/shown_text.h"
#include "pipeline/check/similar_names.h"
#include "pipeline/check/test_message.h"

namespace volley::pipeline {
namespace {

using engine::Secret;
using engine::sasl::EncodeBase64;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// --- ShownText ---

engine::sasl::Credentials Credentials(std::string_view password, std::string_view token) {
  engine::sasl::Credentials credentials;
  credentials.user = "ann@example.org";
  credentials.password = *Secret::Make(password);
  credentials.token = *Secret::Make(token);
  return credentials;
}

TEST(ShownText, IsOnePrintableLineOfBoundedLength) {
  const ShownText shown;
  EXPECT_EQ(shown("hello \x1b[2J\r\n\xc3\xbc"), "hello ?[2J????");
  EXPECT_EQ(shown(std::string(10'000, 'x')).size(), ShownText::kBytesMax + 3);
  EXPECT_EQ(shown(""), "");
}

TEST(ShownText, HidesWhateverRepeatsTheLogin) {
  const std::string password = "s3cret word", token = "ya29.abcdefghijklmnopqrstuvwxyz";
  ShownText shown;
  shown.Hide(Credentials(password, token));
  const std::string user = "ann@example.org";
  for (const std::string& said :
       {password, token, EncodeBase64(password), token.substr(0, 20),  // cut by the server
        EncodeBase64(std::string(1, '\0') + user + std::string(1, '\0') + password),
        EncodeBase64("user=" + user + "\1auth=Bearer " + token + "\1\1"),
        EncodeBase64("n,a=" + user + ",\1auth=Bearer " + token + "\1\1")}) {
    const std::string line = shown("535 what is \"" + said + "\"?");
    EXPECT_THAT(line, Not(HasSubstr(said)));
    EXPECT_THAT(line, HasSubstr("not shown"));
  }
  EXPECT_EQ(shown("535 5.7.8 no such user ann@example.org"),
            "535 5.7.8 no such user ann@example.org");
}

TEST(ShownText, HidesOldSecretsToo) {
  ShownText shown;
  shown.Hide(Credentials("", "the-first-token-of-two"));
  shown.Hide(Credentials("", "another-token-of-two"));
  EXPECT_THAT(shown("the-first-token-of-two"), HasSubstr("not shown"));
  EXPECT_THAT(shown("another-token-of-two"), HasSubstr("not shown"));
}

// --- Names ---

TEST(NearestKnownHost, FindsTypingErrorsInProvidersNames) {
  EXPECT_EQ(NearestKnownHost("smpt.gmial.com"), "smtp.gmail.com");
  EXPECT_EQ(NearestKnownHost("smtp.gmail.con"), "smtp.gmail.com");
  EXPECT_EQ(NearestKnownHost("smtp.ofice365.com"), "smtp.office365.com");
  EXPECT_EQ(NearestKnownHost("smtp.sengrid.net"), "smtp.sendgrid.net");
}

TEST(NearestKnownHost, SuggestsNoOtherCompany) {
  for (const char* host : {"smtp.example.com", "smtp.example.org", "mail.acme.net", "localhost",
                           "smtp.gmail.com", "relay", "", ".", "a."}) {
    EXPECT_EQ(NearestKnownHost(host), "") << host;
  }
}

TEST(LikelyServerNames, AreOfTheDomainAndOfTheOneAbove) {
  EXPECT_THAT(LikelyServerNames("example.org"),
              ElementsAre("smtp.example.org", "mail.example.org"));
  EXPECT_THAT(LikelyServerNames("smpt.example.org"),
              ElementsAre("smtp.smpt.example.org", "mail.smpt.example.org", "smtp.example.org",
                          "mail.example.org"));
  EXPECT_THAT(LikelyServerNames("smtp.example.org"),
              ElementsAre("smtp.smtp.example.org", "mail.smtp.example.org", "mail.example.org"));
  EXPECT_THAT(LikelyServerNames("localhost"), IsEmpty());
}

TEST(NamesThatExist, AsksForAllAndKeepsTheOrder) {
  auto resolver = io::Resolver::Create({});
  ASSERT_TRUE(resolver.ok()) << resolver.status();
  // Answered in libunbound, RFC 6761: no question leaves the host.
  const std::vector<std::string> names = {"a.invalid", "localhost", "b.invalid"};
  EXPECT_THAT(NamesThatExist(names, resolver->get(), absl::Seconds(10)), ElementsAre("localhost"));
  EXPECT_THAT(NamesThatExist({}, resolver->get(), absl::Seconds(10)), IsEmpty());
}

// --- Capabilities ---

engine::smtp::Capabilities Offers(std::initializer_list<std::string_view> lines) {
  engine::smtp::Capabilities capabilities;
  for (const std::string_view line : lines) capabilities.ParseLine(line, {});
  return capabilities;
}

TEST(ListCapabilities, IsWhatTheServerOffers) {
  EXPECT_EQ(ListCapabilities(Offers({"PIPELINING", "SIZE 1000", "AUTH PLAIN LOGIN",
                                     "LIMITS RCPTMAX=5 MAILMAX=20", "STARTTLS", "X-OTHER"}),
                             {}),
            "PIPELINING, SIZE 1000, LIMITS MAILMAX=20, RCPTMAX=5, STARTTLS, AUTH PLAIN LOGIN");
  EXPECT_EQ(ListCapabilities(Offers({}), {}), "nothing");
}

TEST(ExplainCapabilities, SaysWhatARoundTripCosts) {
  EXPECT_THAT(ExplainCapabilities(Offers({"PIPELINING"}), absl::Milliseconds(20)),
              Contains(AllOf(HasSubstr("one round trip"), HasSubstr("50 messages/s"))));
  EXPECT_THAT(ExplainCapabilities(Offers({}), absl::Milliseconds(20)),
              Contains(AllOf(HasSubstr("five round trips"), HasSubstr("10 messages/s"))));
  // Where the network is not what limits it, no rate is made up.
  EXPECT_THAT(ExplainCapabilities(Offers({"PIPELINING"}), absl::Microseconds(50)),
              Each(Not(HasSubstr("messages/s"))));
}

TEST(ExplainCapabilities, SaysWhatCannotBeSent) {
  const auto lines = ExplainCapabilities(Offers({"SIZE 10485760", "LIMITS MAILMAX=20"}), {});
  EXPECT_THAT(lines, Contains(HasSubstr("over 10.0 MiB")));
  EXPECT_THAT(lines, Contains(HasSubstr("no 8BITMIME")));
  EXPECT_THAT(lines, Contains(HasSubstr("no SMTPUTF8")));
  EXPECT_THAT(lines, Contains(HasSubstr("after each 20 messages")));
}

// --- TLS ---

TEST(ExplainTls, NamesCertificateAndDaysLeft) {
  io::TlsInfo info;
  info.version = "TLSv1.3";
  info.cipher = "TLS_AES_128_GCM_SHA256";
  info.key_exchange = "x25519";
  info.subject = "CN=mx.example.org";
  info.issuer = "CN=Some CA";
  info.peer_names = {"mx.example.org", "*.example.org"};
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  info.not_after = now + absl::Hours(24 * 40);
  info.verified = true;
  EXPECT_THAT(ExplainTls(info, now),
              ElementsAre("TLSv1.3, TLS_AES_128_GCM_SHA256, x25519",
                          "certificate for mx.example.org, *.example.org",
                          "issued by CN=Some CA; valid until 2023-12-24, 40 days left",
                          "verified: chain and name"));
  info.not_after = now + absl::Hours(24 * 3);
  EXPECT_THAT(ExplainTls(info, now), Contains(HasSubstr("3 days left: to be renewed soon")));
  info.not_after = now - absl::Hours(24);
  info.verified = false;
  info.why_not_verified = "the certificate has expired";
  EXPECT_THAT(ExplainTls(info, now), AllOf(Contains(HasSubstr("expired on 2023-11-13")),
                                           Contains("not verified: the certificate has expired")));
}

// --- The test message ---

TEST(TestMessage, IsCanonicalAndSaysWhatItIs) {
  const std::string message =
      MakeTestMessage("ann@example.org", "bob@example.net", "mx.example.org port 587", "17f",
                      absl::FromUnixSeconds(1'700'000'000));
  const iovec piece{const_cast<char*>(message.data()), message.size()};
  EXPECT_TRUE(engine::smtp::CheckCanonical({&piece, 1}).ok());
  EXPECT_THAT(message, testing::StartsWith("Date: "));
  EXPECT_THAT(message, AllOf(HasSubstr("From: <ann@example.org>\r\n"),
                             HasSubstr("To: <bob@example.net>\r\n"),
                             HasSubstr("Message-ID: <17f.check@example.org>\r\n"),
                             HasSubstr("Auto-Submitted: auto-generated\r\n"),
                             HasSubstr("mx.example.org port 587.\r\n")));
}

TEST(TestMessage, OfTheNullSenderComesFromItsRecipient) {
  const std::string message =
      MakeTestMessage("", "bob@example.net", "x", "1", absl::FromUnixSeconds(0));
  EXPECT_THAT(message, HasSubstr("From: <bob@example.net>\r\n"));
}

}  // namespace
}  // namespace volley::pipeline
