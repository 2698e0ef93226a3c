#include "engine/preflight/dmarc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "engine/preflight/org_domain.h"
#include "engine/preflight/providers.h"

namespace volley::engine::preflight {
namespace {

using testing::HasSubstr;

TEST(Dmarc, ReadsARecord) {
  const auto record = ParseDmarcRecord(
      "v=DMARC1; p=reject; sp=quarantine; adkim=s; aspf=r; pct=20; fo=1; "
      "rua=mailto:a@example.org,mailto:b@example.net!10m; ri=3600;");
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->policy, DmarcPolicy::kReject);
  EXPECT_EQ(record->subdomain_policy, DmarcPolicy::kQuarantine);
  EXPECT_TRUE(record->strict_dkim);
  EXPECT_FALSE(record->strict_spf);
  EXPECT_EQ(record->percent, 20);
  EXPECT_TRUE(record->has_reports);
}

TEST(Dmarc, DefaultsAreRelaxedAndForSubdomainsThePolicyItself) {
  const auto record = ParseDmarcRecord("v=DMARC1;p=quarantine");
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->subdomain_policy, DmarcPolicy::kQuarantine);
  EXPECT_FALSE(record->strict_dkim);
  EXPECT_FALSE(record->strict_spf);
  EXPECT_EQ(record->percent, 100);
  EXPECT_FALSE(record->has_reports);
}

TEST(Dmarc, SaysWhatIsWrong) {
  struct Case {
    const char *record, *words;
  };
  const Case cases[] = {
      {"", "v=DMARC1"},
      {"p=none; v=DMARC1", "v=DMARC1"},
      {"v=dmarc1; p=none", "v=DMARC1"},
      {"v=DMARC1 p=none", "v=DMARC1"},
      {";v=DMARC1; p=none", "v=DMARC1"},
      {"v=DMARC1", "no p="},
      {"v=DMARC1; p=all", "none, quarantine or reject"},
      {"v=DMARC1; p=none; sp=x", "sp="},
      {"v=DMARC1; p=none; p=reject", "twice"},
      {"v=DMARC1; p=none; adkim=strict", "r or s"},
      {"v=DMARC1; p=none; aspf=", "r or s"},
      {"v=DMARC1; p=none; pct=101", "0 to 100"},
      {"v=DMARC1; p=none; pct=10%", "0 to 100"},
      {"v=DMARC1; p=none; rua=dmarc@example.org", "mailto:"},
      {"v=DMARC1; p=none; quarantine", "tag=value"},
      {"v=DMARC1; p=none, sp=none", "none, quarantine or reject"},
  };
  for (const Case& c : cases) {
    const auto record = ParseDmarcRecord(c.record);
    ASSERT_FALSE(record.ok()) << c.record;
    EXPECT_THAT(std::string(record.status().message()), HasSubstr(c.words)) << c.record;
  }
}

TEST(Dmarc, TellsWhatWasMeantToBeARecord) {
  for (const char* text : {"v=DMARC1; p=none", "V=dmarc1", " v = DMARC", "v=DMARC2;"}) {
    EXPECT_TRUE(LooksLikeDmarc(text)) << text;
  }
  for (const char* text : {"", "v", "v=spf1 -all", "DMARC1", "google-site-verification=x"}) {
    EXPECT_FALSE(LooksLikeDmarc(text)) << text;
  }
}

TEST(OrganizationalDomain, IsWhatIsRegistered) {
  EXPECT_EQ(OrganizationalDomain("mail.news.example.org"), "example.org");
  EXPECT_EQ(OrganizationalDomain("Mail.Example.CO.UK."), "example.co.uk");
  EXPECT_EQ(OrganizationalDomain("example.org"), "example.org");
  EXPECT_EQ(OrganizationalDomain("co.uk"), "co.uk");
  EXPECT_EQ(OrganizationalDomain("a.b.unheard-of"), "b.unheard-of");
  EXPECT_EQ(OrganizationalDomain(""), "");
  EXPECT_EQ(OrganizationalDomain(std::string("a.b.example.\0x", 14)),
            std::string("a.b.example.\0x", 14));
  EXPECT_TRUE(SameOrganization("a.example.org", "b.EXAMPLE.org"));
  EXPECT_FALSE(SameOrganization("a.co.uk", "b.co.uk"));
  EXPECT_FALSE(SameOrganization("", ""));
}

TEST(Providers, KnowDomainsOnlyTheirOwnersCanSendFor) {
  for (const char* domain : {"gmail.com", "GoogleMail.com", "yahoo.com", "yahoo.co.uk",
                             "hotmail.fr", "outlook.com", "icloud.com", "gmx.de", "aol.com"}) {
    EXPECT_NE(FindPublicProvider(domain), nullptr) << domain;
  }
  for (const char* domain : {"example.org", "mail.gmail.com.example.org", "yahoo.example.org",
                             "mygmail.com", "live.org", "yahoo."}) {
    EXPECT_EQ(FindPublicProvider(domain), nullptr) << domain;
  }
  EXPECT_TRUE(IsServerOf(*FindPublicProvider("gmail.com"), "smtp.gmail.com"));
  EXPECT_FALSE(IsServerOf(*FindPublicProvider("gmail.com"), "smtp.notgmail.com"));
}

TEST(Providers, KnowRelaysThatSendWithAReversePathOfTheirOwn) {
  ASSERT_NE(FindRelayService("email-smtp.eu-west-1.amazonaws.com"), nullptr);
  EXPECT_TRUE(FindRelayService("email-smtp.eu-west-1.amazonaws.com")->own_reverse_path);
  EXPECT_EQ(FindRelayService("smtp.office365.com")->include, "spf.protection.outlook.com");
  EXPECT_EQ(FindRelayService("mail.example.org"), nullptr);
}

}  // namespace
}  // namespace volley::engine::preflight
