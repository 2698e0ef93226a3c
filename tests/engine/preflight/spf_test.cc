#include "engine/preflight/spf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "engine/preflight/spf_record.h"
#include "tests/engine/preflight/fake_dns.h"

namespace volley::engine::preflight {
namespace {

using testing::HasSubstr;

std::string V4(int a, int b, int c, int d) {
  return {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c), static_cast<char>(d)};
}

SpfVerdict Check(FakeDns dns, std::string_view ip, std::string_view domain = "example.com",
                 std::string_view sender = "ann@example.com") {
  SpfQuery query;
  if (!ip.empty()) query.ip = IpAddress::Parse(ip);
  query.sender = std::string(sender);
  query.helo = "mail.example.com";
  DnsAnswers answers;
  for (int round = 0; round < 50; ++round) {
    const SpfVerdict verdict = EvaluateSpf(query, domain, &answers);
    if (!dns.Answer(&answers)) {
      EXPECT_FALSE(verdict.pending);
      return verdict;
    }
  }
  ADD_FAILURE() << "it never ends";
  return {};
}

std::string Result(const FakeDns& dns, std::string_view ip,
                   std::string_view domain = "example.com") {
  return std::string(SpfResultName(Check(dns, ip, domain).result));
}

// The zone of RFC 7208 appendix A, with the record to be tried.
FakeDns Appendix(const std::string& record) {
  FakeDns dns;
  dns.A("example.com", V4(192, 0, 2, 10)).A("example.com", V4(192, 0, 2, 11));
  dns.A("amy.example.com", V4(192, 0, 2, 65)).A("bob.example.com", V4(192, 0, 2, 66));
  dns.A("mail-a.example.com", V4(192, 0, 2, 129)).A("mail-b.example.com", V4(192, 0, 2, 130));
  dns.Mx("example.com", "mail-a.example.com").Mx("example.com", "mail-b.example.com");
  dns.A("mail-c.example.org", V4(192, 0, 2, static_cast<int>(140)));
  dns.Mx("example.org", "mail-c.example.org");
  dns.Ptr("192.0.2.10", "example.com").Ptr("192.0.2.65", "amy.example.com");
  dns.Ptr("192.0.2.140", "mail-c.example.org").Ptr("10.0.0.4", "bob.example.com");
  return dns.Txt("example.com", record);
}

TEST(Spf, GivesTheResultsOfTheAppendixOfTheRfc) {
  struct Case {
    const char *record, *ip, *result;
  };
  const Case cases[] = {
      {"v=spf1 +all", "10.1.2.3", "pass"},
      {"v=spf1 a -all", "192.0.2.10", "pass"},
      {"v=spf1 a -all", "192.0.2.11", "pass"},
      {"v=spf1 a -all", "192.0.2.12", "fail"},
      {"v=spf1 a:example.org -all", "192.0.2.10", "fail"},
      {"v=spf1 mx -all", "192.0.2.129", "pass"},
      {"v=spf1 mx -all", "192.0.2.130", "pass"},
      {"v=spf1 mx -all", "192.0.2.140", "fail"},
      {"v=spf1 mx:example.org -all", "192.0.2.140", "pass"},
      {"v=spf1 mx mx:example.org -all", "192.0.2.129", "pass"},
      {"v=spf1 mx mx:example.org -all", "192.0.2.140", "pass"},
      {"v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131", "pass"},
      {"v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.143", "pass"},
      {"v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.144", "fail"},
      {"v=spf1 ptr -all", "192.0.2.65", "pass"},
      {"v=spf1 ptr -all", "192.0.2.140", "fail"},  // its name is of another domain
      {"v=spf1 ptr -all", "10.0.0.4", "fail"},     // its name has another address
      {"v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.65", "fail"},
      {"v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "pass"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Result(Appendix(c.record), c.ip), c.result) << c.record << " " << c.ip;
  }
}

TEST(Spf, QualifiersAndTheEndDecide) {
  struct Case {
    const char *record, *result;
  };
  const Case cases[] = {
      {"v=spf1", "neutral"},
      {"v=spf1 ?all", "neutral"},
      {"v=spf1 ~all", "softfail"},
      {"v=spf1 -all", "fail"},
      {"V=SPF1 -ALL", "fail"},
      {"v=spf1 ~ip4:1.2.3.4 -all", "softfail"},
      {"v=spf10 -all", "none"},
      {"v=spf1  -all ", "fail"},
      {"v=spf1 -all +all", "fail"},
      {"v=spf1 ip6:::/0 -all", "fail"},
      {"v=spf1 ip4:0.0.0.0/0", "pass"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Result(FakeDns().Txt("example.com", c.record), "1.2.3.4"), c.result) << c.record;
  }
}

TEST(Spf, ComparesIpv6) {
  const FakeDns dns =
      FakeDns()
          .Txt("example.com", "v=spf1 ip6:2001:db8::/33 a//64 -all")
          .Aaaa("example.com", std::string("\x20\x01\x0d\xb8\xff\0\0\0", 8) + std::string(8, '\1'))
          .A("example.com", V4(9, 9, 9, 9));
  EXPECT_EQ(Result(dns, "2001:db8:1::1"), "pass");
  EXPECT_EQ(Result(dns, "2001:db8:ff00::7"), "pass");  // by "a//64"
  EXPECT_EQ(Result(dns, "2001:db8:fe00::7"), "fail");
  EXPECT_EQ(Result(dns, "9.9.9.9"), "pass");
  EXPECT_EQ(Result(FakeDns().Txt("example.com", "v=spf1 ip4:1.2.3.4 -all"), "::ffff:1.2.3.4"),
            "pass");
}

TEST(Spf, IncludeTakesOverOnlyAPass) {
  const auto with = [](const std::string& other) {
    return Result(FakeDns()
                      .Txt("example.com", "v=spf1 include:other.example ~all")
                      .Txt("other.example", other),
                  "1.2.3.4");
  };
  EXPECT_EQ(with("v=spf1 ip4:1.2.3.4 -all"), "pass");
  EXPECT_EQ(with("v=spf1 -all"), "softfail");
  EXPECT_EQ(with("v=spf1"), "softfail");
  EXPECT_EQ(with("no spf"), "permerror");
  EXPECT_EQ(with("v=spf1 bogus"), "permerror");
}

TEST(Spf, RedirectReplacesTheRecord) {
  const auto with = [](const std::string& record) {
    return Result(
        FakeDns().Txt("example.com", record).Txt("other.example", "v=spf1 ip4:1.2.3.4 -all"),
        "1.2.3.5");
  };
  EXPECT_EQ(with("v=spf1 redirect=other.example"), "fail");
  EXPECT_EQ(with("v=spf1 redirect=other.example ?all"), "neutral");
  EXPECT_EQ(with("v=spf1 redirect=nothing.example"), "permerror");
}

TEST(Spf, AnyTermThatIsWrongSpoilsTheWholeRecord) {
  for (const char* term : {"ip4:1.2.3",
                           "ip4",
                           "ip4:1.2.3.4/33",
                           "ip4:1.2.3.4/08",
                           "ip6:1.2.3.4",
                           "ip4:::1",
                           "all:x.y",
                           "include",
                           "include:",
                           "include:localhost",
                           "exists",
                           "bogus",
                           "a:",
                           "a/33",
                           "a//129",
                           "a:example.com:8080",
                           "a:example.123",
                           "mx:%{x}.example.com",
                           "mx:%{d",
                           "a:%{d0}.example",
                           "exists:%{t}.example",
                           "redirect=",
                           "redirect=a.example redirect=b.example",
                           "exp=a.example exp=b.example",
                           "=x",
                           "1x=y",
                           "ipv4:1.2.3.4",
                           "-",
                           "a:ex\x01mple.com",
                           "unknown=%{"}) {
    const auto dns = FakeDns().Txt("example.com", "v=spf1 ip4:1.2.3.4 " + std::string(term));
    const SpfVerdict verdict = Check(dns, "1.2.3.4");
    EXPECT_EQ(verdict.result, SpfResult::kPermError) << term;
    EXPECT_EQ(verdict.fault, SpfFault::kSyntax) << term;
  }
}

TEST(Spf, TermsThatTheGrammarHasAreTaken) {
  for (const char* term :
       {"a/24", "a//64", "a/24//64", "a:example.com/24//64", "mx:example.com.", "a:%{d}/24",
        "exists:%{i}._spf.%{d}", "unknown=%{d}%%%_%-", "ptr", "include:%{d2}.example.net",
        "a:_spf.example-1.com", "exists:%{l1r+-}.%{d}", "exp=explain.%{d}",
        "moo.cow-far_out=man:dog/cat"}) {
    const auto record = ParseSpfRecord("v=spf1 " + std::string(term));
    EXPECT_TRUE(record.ok()) << term << ": " << record.status();
  }
}

TEST(Spf, SeveralRecordsAreNone) {
  const auto dns = FakeDns().Txt("example.com", "v=spf1 +all").Txt("example.com", "v=spf1 a");
  EXPECT_EQ(Check(dns, "1.2.3.4").fault, SpfFault::kSeveralRecords);
  EXPECT_EQ(
      Result(FakeDns().Txt("example.com", "v=spf1 +all").Txt("example.com", "google-x"), "1.2.3.4"),
      "pass");
}

TEST(Spf, CountsAtMostTenLookups) {
  const auto chain = [](int includes) {
    FakeDns dns;
    std::string record = "v=spf1";
    for (int i = 0; i < includes; ++i) {
      const std::string name = "s" + std::to_string(i) + ".example";
      record += " include:" + name;
      dns.Txt(name, "v=spf1 ip4:9.9.9." + std::to_string(i));
    }
    return dns.Txt("example.com", record + " -all");
  };
  EXPECT_EQ(Result(chain(10), "1.2.3.4"), "fail");
  EXPECT_EQ(Check(chain(10), "1.2.3.4").lookups, 10);
  const SpfVerdict over = Check(chain(11), "1.2.3.4");
  EXPECT_EQ(over.fault, SpfFault::kTooManyLookups);
  EXPECT_THAT(over.detail, HasSubstr("include:s10.example"));
  // Receivers stop where it matches.
  EXPECT_EQ(Result(chain(11), "9.9.9.3"), "pass");
}

TEST(Spf, ARecordThatIncludesItselfEnds) {
  EXPECT_EQ(Check(FakeDns().Txt("example.com", "v=spf1 include:example.com"), "1.2.3.4").fault,
            SpfFault::kTooManyLookups);
  EXPECT_EQ(Check(FakeDns().Txt("example.com", "v=spf1 redirect=example.com"), "1.2.3.4").fault,
            SpfFault::kTooManyLookups);
}

TEST(Spf, TwoNamesWithoutRecordsAreAllowedAndNoThird) {
  const auto dns = [](const char* record) { return FakeDns().Txt("example.com", record); };
  EXPECT_EQ(Result(dns("v=spf1 a:x.example mx:y.example -all"), "1.2.3.4"), "fail");
  const SpfVerdict third =
      Check(dns("v=spf1 a:x.example mx:y.example exists:z.example -all"), "1.2.3.4");
  EXPECT_EQ(third.fault, SpfFault::kTooManyLookups);
  EXPECT_THAT(third.detail, HasSubstr("z.example"));
}

TEST(Spf, MoreThanTenMxHostsAreTooMany) {
  FakeDns dns;
  dns.Txt("example.com", "v=spf1 mx -all");
  for (int i = 0; i < 11; ++i) dns.Mx("example.com", "mx" + std::to_string(i) + ".example.com");
  EXPECT_EQ(Check(dns, "1.2.3.4").fault, SpfFault::kTooManyLookups);
}

TEST(Spf, AFailureOfTheDnsIsTemporary) {
  EXPECT_EQ(Result(FakeDns().Fails(DnsType::kTxt, "example.com"), "1.2.3.4"), "temperror");
  EXPECT_EQ(
      Result(
          FakeDns().Txt("example.com", "v=spf1 a:x.example -all").Fails(DnsType::kA, "x.example"),
          "1.2.3.4"),
      "temperror");
  EXPECT_EQ(Result(FakeDns().Txt("example.com", "v=spf1 ptr -all").Fails(DnsType::kPtr, "1.2.3.4"),
                   "1.2.3.4"),
            "fail");  // §5.5
}

TEST(Spf, WithoutAnAddressItWalksToTheEnd) {
  const auto dns = FakeDns()
                       .Txt("example.com", "v=spf1 a mx exists:%{i}.x.example ip4:1.2.3.4 +all")
                       .A("example.com", V4(1, 2, 3, 4))
                       .Mx("example.com", "example.com");
  const SpfVerdict verdict = Check(dns, "");
  EXPECT_EQ(verdict.result, SpfResult::kPass);
  EXPECT_THAT(verdict.detail, HasSubstr("+all"));
  EXPECT_EQ(verdict.lookups, 3);
}

TEST(Spf, AsksForAllTermsOfARecordAtOneTime) {
  FakeDns dns;
  dns.Txt("example.com", "v=spf1 include:a.example include:b.example include:c.example -all");
  for (const char* name : {"a.example", "b.example", "c.example"}) dns.Txt(name, "v=spf1 -all");
  SpfQuery query{IpAddress::Parse("1.2.3.4"), "ann@example.com", ""};
  DnsAnswers answers;
  do {
    (void)EvaluateSpf(query, "example.com", &answers);
  } while (dns.Answer(&answers));
  EXPECT_EQ(dns.rounds(), 2);
  EXPECT_EQ(dns.asked(), 4);
}

TEST(Spf, NamesThatAreNoDomainsHaveNoPolicy) {
  for (const std::string_view name : {"", "localhost", "a..example", ".example.com"}) {
    EXPECT_EQ(Result(FakeDns(), "1.2.3.4", name), "none") << name;
  }
  EXPECT_EQ(Result(FakeDns(), "1.2.3.4", std::string(64, 'a') + ".example"), "none");
}

TEST(SpfMacros, ExpandAsInTheExamplesOfTheRfc) {
  SpfMacroValues values;
  values.ip = IpAddress::Parse("192.0.2.3");
  values.sender = "strong-bad@email.example.com";
  values.domain = "email.example.com";
  values.helo = "mx.example.org";
  struct Case {
    const char *spec, *expanded;
  };
  const Case cases[] = {
      {"%{s}", "strong-bad@email.example.com"},
      {"%{o}", "email.example.com"},
      {"%{d}", "email.example.com"},
      {"%{d4}", "email.example.com"},
      {"%{d3}", "email.example.com"},
      {"%{d2}", "example.com"},
      {"%{d1}", "com"},
      {"%{dr}", "com.example.email"},
      {"%{d2r}", "example.email"},
      {"%{l}", "strong-bad"},
      {"%{l-}", "strong.bad"},
      {"%{lr}", "strong-bad"},
      {"%{lr-}", "bad.strong"},
      {"%{l1r-}", "strong"},
      {"%{h}", "mx.example.org"},
      {"%{p}", "unknown"},
      {"%{S}", "strong-bad%40email.example.com"},
      {"a%%b%_c%-d", "a%b c%20d"},
      {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
      {"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
      {"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
      {"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
      {"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
  };
  for (const Case& c : cases) EXPECT_EQ(ExpandSpfMacros(c.spec, values), c.expanded) << c.spec;
  values.ip = IpAddress::Parse("2001:db8::cb01");
  EXPECT_EQ(ExpandSpfMacros("%{ir}.%{v}._spf.%{d2}", values),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com");
  values.ip.reset();
  EXPECT_EQ(ExpandSpfMacros("%{i}.x.example", values), std::nullopt);
}

TEST(SpfMacros, CutLabelsOffTheLeftOfANameThatIsTooLong) {
  SpfMacroValues values;
  values.sender = std::string(200, 'x') + "@b.example";
  values.domain = "b.example";
  EXPECT_EQ(ExpandSpfMacros("%{l}." + std::string(60, 'y') + ".example.com", values),
            std::string(60, 'y') + ".example.com");
}

}  // namespace
}  // namespace volley::engine::preflight
