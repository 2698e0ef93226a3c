#include "engine/preflight/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "engine/preflight/ip_address.h"
#include "engine/preflight/report.h"

namespace volley::engine::preflight {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ReadSample, FindsFieldsSignaturesAndTexts) {
  const auto sample = ReadSample(
      "DKIM-Signature: v=1; a=rsa-sha256; d=Example.ORG; s=S1;\r\n h=From : to:\r\n  Subject; "
      "b=x\r\n"
      "From: Ann\r\n <ann@example.org>\r\nX-A: 1\r\nx-a: 2\r\n\r\nHello\r\n");
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->Value("from"), "Ann <ann@example.org>");
  EXPECT_THAT(sample->Values("x-a"), ElementsAre("1", "2"));
  ASSERT_EQ(sample->signatures.size(), 1u);
  EXPECT_EQ(sample->signatures[0].domain, "example.org");
  EXPECT_EQ(sample->signatures[0].selector, "s1");
  EXPECT_THAT(sample->signatures[0].signed_fields, ElementsAre("from", "to", "subject"));
  EXPECT_TRUE(sample->IsSigned("subject"));
  EXPECT_FALSE(sample->IsSigned("x-a"));
  EXPECT_EQ(sample->texts.plain, "Hello\r\n");
}

TEST(ReadSample, RefusesWhatHasNoHeader) {
  EXPECT_FALSE(ReadSample("").ok());
  EXPECT_FALSE(ReadSample("\r\n\r\nbody").ok());
  EXPECT_FALSE(ReadSample("From: a@b.c\nTo: d@e.f\n\nbody").ok());
}

TEST(ReadBodyTexts, DecodesThePartsOfAMultipart) {
  const BodyTexts texts = ReadBodyTexts(
      "Content-Type: multipart/mixed; charset=x;\r\n boundary=\"a b\"\r\n\r\npreamble\r\n--a b\r\n"
      "Content-Type: multipart/alternative; boundary=in\r\n\r\n"
      "--in\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nca=C3=A9 =\r\nend=3D\r\n"
      "--in\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+\r\n"
      "aGk8L2I+\r\n--in--\r\nignored\r\n"
      "--a b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nnot this\r\n"
      "--a b--\r\nepilogue\r\n");
  EXPECT_EQ(texts.plain, "ca\xc3\xa9 end=\r\n");
  EXPECT_EQ(texts.html, "<b>hi</b>");
}

TEST(ReadBodyTexts, EndsOnWhatIsNestedWithoutEnd) {
  std::string message;
  for (int i = 0; i < 2000; ++i) {
    message += "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n";
  }
  EXPECT_EQ(ReadBodyTexts(message).plain, "");
}

TEST(DecodeWords, DecodesUtf8AndLeavesTheRest) {
  EXPECT_EQ(DecodeWords("=?utf-8?Q?caf=C3=A9_a?= =?UTF-8?B?IGI=?= c"), "caf\xc3\xa9 a b c");
  EXPECT_EQ(DecodeWords("=?iso-8859-1?Q?caf=E9?="), "=?iso-8859-1?Q?caf=E9?=");
  EXPECT_EQ(DecodeWords("=?utf-8?Q?open"), "=?utf-8?Q?open");
  EXPECT_EQ(DecodeWords("=?utf-8?"), "=?utf-8?");
  EXPECT_EQ(DecodeWords("a =?utf-8?x?y?= b"), "a =?utf-8?x?y?= b");
}

TEST(IpAddress, TellsWhatTheInternetCanSee) {
  for (const char* ip :
       {"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.31.0.1",
        "192.168.1.1", "::", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(IpAddress::Parse(ip)->IsPublic()) << ip;
  }
  for (const char* ip : {"5.6.7.8", "172.32.0.1", "100.128.0.1", "2a01:4f8::1"}) {
    EXPECT_TRUE(IpAddress::Parse(ip)->IsPublic()) << ip;
  }
  EXPECT_EQ(IpAddress::Parse("1.2.3"), std::nullopt);
  EXPECT_EQ(IpAddress::Parse("[::1]"), std::nullopt);
  EXPECT_EQ(IpAddress::FromBytes("abc"), std::nullopt);
}

TEST(Report, NeverSaysThatSomethingPassedThatWasFoundOrSkipped) {
  Report report;
  report.Passed(Check::kSpfMissing);
  report.Passed(Check::kDateMissing);
  report.Found(Check::kDateMissing, Severity::kWarning, "none", "add it");
  report.Passed(Check::kTlsOff);
  report.Skip(Check::kTlsOff, "for a reason");
  report.Skip(Check::kTlsOff, "for another");
  report.Found(Check::kSpfSyntax, Severity::kError, "bad", "mend it");
  const Outcome outcome = std::move(report).Finish();
  EXPECT_THAT(outcome.passed, ElementsAre("spf-missing"));
  EXPECT_THAT(outcome.skipped, ElementsAre("tls-off: for a reason"));
  ASSERT_EQ(outcome.findings.size(), 2u);
  EXPECT_EQ(outcome.findings[0].id, "spf-syntax");  // worst first
  EXPECT_EQ(outcome.findings[1].why, CheckWhy(Check::kDateMissing));
  EXPECT_THAT(std::move(Report()).Finish().passed, IsEmpty());
}

}  // namespace
}  // namespace volley::engine::preflight
