// The pack that volley brings: each of its rules can match, each value says where it is from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "engine/policy/provider_pack.h"

namespace volley::engine::policy {
namespace {

const ProviderPack& Pack() { return *ProviderPack::BuiltIn(); }

const Names& NamesOf(const Setting<Names>& setting) {
  static const Names none;
  return setting.value ? *setting.value : none;
}

bool IsAtOrBelow(const std::string& host, const std::string& suffix) {
  return host == suffix || host.ends_with("." + suffix);
}

bool IsDate(std::string_view date) {
  int year = 0, month = 0, day = 0;
  return date.size() == 10 &&
         std::sscanf(std::string(date).c_str(), "%4d-%2d-%2d", &year, &month, &day) == 3 &&
         year >= 2024 && year < 2100 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

template <typename F>
void EachOrigin(const Provider& p, F f) {
  f("mx_suffixes", p.mx_suffixes);
  f("domains", p.domains);
  f("relays", p.relays);
  f("connections", p.connections);
  f("messages_per_connection", p.messages_per_connection);
  f("recipients_per_transaction", p.recipients_per_transaction);
  f("rate", p.rate);
  f("quota", p.quota);
  f("tls", p.tls);
  f("retry", p.retry);
}

TEST(BuiltInPack, LeadsAHostOfEachSuffixToItsProvider) {
  size_t suffixes = 0;
  for (const Provider& provider : Pack().providers()) {
    for (const std::string& suffix : NamesOf(provider.mx_suffixes)) {
      ++suffixes;
      bool shown = false;
      for (const std::string& example : provider.examples) {
        if (!IsAtOrBelow(example, suffix)) continue;
        shown = true;
        // Its own domains may be named as examples too, and need not be MX hosts.
        EXPECT_TRUE(Pack().ByMx(example) == &provider) << provider.name << " " << example;
      }
      EXPECT_TRUE(shown) << provider.name << " has no example for " << suffix;
      EXPECT_EQ(Pack().ByMx("mx1." + suffix), &provider);
    }
  }
  EXPECT_GT(suffixes, 20u);
}

TEST(BuiltInPack, LeadsEachDomainAndRelayToItsProvider) {
  for (const Provider& provider : Pack().providers()) {
    for (const std::string& domain : NamesOf(provider.domains)) {
      EXPECT_EQ(Pack().ByDomain(domain), &provider) << domain;
    }
    for (std::string relay : NamesOf(provider.relays)) {
      const size_t star = relay.find('*');
      if (star != relay.npos) relay.replace(star, 1, "eu-west-1");
      EXPECT_EQ(Pack().ByRelay(relay), &provider) << relay;
    }
    for (const std::string& example : provider.examples) {
      EXPECT_TRUE(Pack().ByMx(example) == &provider || Pack().ByDomain(example) == &provider ||
                  Pack().ByRelay(example) == &provider)
          << provider.name << " " << example;
    }
  }
}

TEST(BuiltInPack, HasNoReplyRuleThatCannotMatch) {
  size_t rules = 0;
  for (const Provider& provider : Pack().providers()) {
    for (const ReplyRule& rule : provider.replies) {
      ++rules;
      ASSERT_FALSE(rule.example.empty()) << provider.name << " " << rule.name;
      std::string example = rule.example;
      bounce::ReplyFacts reply = bounce::ParseReply(&example);
      if (!rule.stages.empty()) reply.stage = rule.stages.front();
      EXPECT_GE(reply.code, 400) << rule.example;
      const ReplyRule* found = ProviderPack::Match(provider, reply);
      EXPECT_EQ(found, &rule) << provider.name << " " << rule.name << ": "
                              << (found == nullptr ? "nothing" : found->name) << " matches";
    }
  }
  EXPECT_GT(rules, 40u);
}

TEST(BuiltInPack, SaysOfEachValueWhoSaysSo) {
  size_t values = 0;
  for (const Provider& provider : Pack().providers()) {
    EXPECT_FALSE(provider.title.empty()) << provider.name;
    EachOrigin(provider, [&](const char* key, const auto& setting) {
      if (setting.place.empty()) return;
      ++values;
      EXPECT_NE(setting.source, nullptr) << provider.name << " " << key;
    });
    for (const ReplyRule& rule : provider.replies) EXPECT_NE(rule.source, nullptr) << rule.name;
  }
  EXPECT_GT(values, 100u);
}

TEST(BuiltInPack, HasWellFormedSourcesThatAreAllUsed) {
  std::set<const Source*> used;
  for (const Provider& provider : Pack().providers()) {
    EachOrigin(provider, [&](const char*, const auto& s) { used.insert(s.source); });
    for (const ReplyRule& rule : provider.replies) used.insert(rule.source);
  }
  std::set<std::string> names;
  for (const Source& source : Pack().sources()) {
    EXPECT_TRUE(names.insert(source.name).second) << source.name << " is there twice";
    EXPECT_FALSE(source.title.empty()) << source.name;
    EXPECT_TRUE(IsDate(source.date)) << source.name << " " << source.date;
    EXPECT_NE(source.kind, SourceKind::kOwn) << source.name;
    EXPECT_TRUE(source.url.empty() || source.url.starts_with("https://")) << source.url;
    EXPECT_TRUE(used.contains(&source)) << source.name << " is used by nothing";
  }
  EXPECT_TRUE(IsDate(Pack().released()));
}

TEST(BuiltInPack, HasGooglesWayBackFrom4728) {
  const Provider* google = Pack().ByMx("alt3.gmail-smtp-in.l.google.com.");
  EXPECT_EQ(google->name, "google");
  const ReplyRule* rule =
      ProviderPack::Match(*google, {.provider = "google",
                                    .stage = bounce::Stage::kBody,
                                    .code = 421,
                                    .enhanced = "4.7.28",
                                    .text = "Gmail has detected an unusual rate of email."});
  ASSERT_NE(rule, nullptr);
  EXPECT_EQ(rule->action, ReplyAction::kSuspend);
  EXPECT_EQ(rule->duration, absl::Minutes(10));
  EXPECT_EQ(rule->connections, 1u);
  EXPECT_EQ(rule->threshold.count, 1u);
  EXPECT_EQ(rule->source->kind, SourceKind::kPublished);
  // It is the default for whoever else says so.
  const ReplyRule* other = ProviderPack::Match(*Pack().ByMx("mx.example.org"),
                                               {.code = 421, .text = "4.7.28 slow down please"});
  ASSERT_NE(other, nullptr);
  EXPECT_EQ(other->duration, absl::Minutes(10));
  EXPECT_EQ(other->connections, 1u);
}

// Values that are easily lost in a merge.
TEST(BuiltInPack, HasTheKnownLimits) {
  struct Row {
    const char* host;
    uint32_t connections, messages;
  };
  for (const Row& row : std::vector<Row>{{"aspmx.l.google.com", 5, 50},
                                         {"mta6.am0.yahoodns.net", 10, 20},
                                         {"mx2.mail.yahoo.co.jp", 2, 20},
                                         {"hotmail-com.olc.protection.outlook.com", 5, 50},
                                         {"fabrikam-com.mail.protection.outlook.com", 5, 50},
                                         {"mx02.mail.icloud.com", 10, 5},
                                         {"mx2h1.comcast.net", 25, 1000},
                                         {"mx01.gmx.net", 4, 20},
                                         {"mx-ha03.web.de", 4, 20},
                                         {"smtp-in.orange.fr", 2, 100},
                                         {"us-smtp-inbound-2.mimecast.com", 10, 100},
                                         {"mx1.qq.com", 4, 8},
                                         {"163mx02.mxmail.netease.com", 4, 7},
                                         {"d1.ess.barracudanetworks.com", 10, 15},
                                         {"mail.example.org", 10, 100}}) {
    const Provider* provider = Pack().ByMx(row.host);
    EXPECT_EQ(provider->connections.value, row.connections) << row.host;
    EXPECT_EQ(provider->messages_per_connection.value, row.messages) << row.host;
  }
  EXPECT_EQ(Pack().ByRelay("smtp-relay.gmail.com")->quota.value,
            (CountPer{.count = 10'000, .per = absl::Hours(24)}));
  EXPECT_EQ(Pack().ByRelay("smtp.office365.com")->rate.value,
            (CountPer{.count = 30, .per = absl::Minutes(1)}));
  EXPECT_EQ(Pack().ByRelay("smtp.sendgrid.net")->connections.value, 10'000u);
  EXPECT_EQ(Pack().ByRelay("smtp.mailgun.org")->messages_per_connection.value, 3u);
  EXPECT_EQ(Pack().ByRelay("email-smtp.eu-west-1.amazonaws.com")->name, "ses");
}

TEST(BuiltInPack, LimitsNoRelayThatNobodyKnows) {
  const Provider* relay = Pack().ByRelay("mail.example.org");
  EXPECT_EQ(relay, &Pack().relay_fallback());
  EXPECT_FALSE(relay->connections.value || relay->rate.value || relay->quota.value);
  // Nor what a known one does not say.
  EXPECT_FALSE(Pack().ByRelay("smtp.postmarkapp.com")->connections.value);
  // But mail to somebody's own servers is careful.
  EXPECT_EQ(Pack().ByMx("mail.example.org"), &Pack().fallback());
  EXPECT_TRUE(Pack().fallback().connections.value);
  EXPECT_TRUE(Pack().fallback().retry.value);
}

}  // namespace
}  // namespace volley::engine::policy
