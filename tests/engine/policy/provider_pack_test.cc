// Files laid over the pack, what is refused and in which words, lookups.
#include "engine/policy/provider_pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace volley::engine::policy {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Pack = std::shared_ptr<const ProviderPack>;

absl::StatusOr<Pack> WithOwn(std::string_view text) {
  return ProviderPack::WithOwnFile({.name = "own.toml", .text = text});
}

std::string ErrorOf(std::string_view own) {
  const auto pack = WithOwn(own);
  return pack.ok() ? "it was taken" : std::string(pack.status().message());
}

Pack Taken(std::string_view own) {
  auto pack = WithOwn(own);
  EXPECT_TRUE(pack.ok()) << pack.status();
  return pack.ok() ? *pack : ProviderPack::BuiltIn();
}

// --- Lookups ---

TEST(ProviderPack, TakesTheLongestSuffixAtALabel) {
  const Pack pack = Taken(R"(
[[provider]]
name = "near"
mx_suffixes = ["l.google.com"]
[[provider]]
name = "one-host"
mx_suffixes = ["alt4.aspmx.l.google.com"]
)");
  EXPECT_EQ(pack->ByMx("aspmx.l.google.com")->name, "near");
  EXPECT_EQ(pack->ByMx("l.google.com")->name, "near");
  EXPECT_EQ(pack->ByMx("alt4.aspmx.l.google.com")->name, "one-host");
  EXPECT_EQ(pack->ByMx("xalt4.aspmx.l.google.com")->name, "near");
  EXPECT_EQ(pack->ByMx("smtp.google.com")->name, "google");
  EXPECT_EQ(pack->ByMx("notgoogle.com")->name, "default");
  EXPECT_EQ(pack->ByMx("google.com.example.org")->name, "default");
}

TEST(ProviderPack, FindsNamesInAnyCaseAndWithALastDot) {
  const Pack pack = ProviderPack::BuiltIn();
  EXPECT_EQ(pack->ByMx("ASPMX.L.Google.COM.")->name, "google");
  EXPECT_EQ(pack->ByDomain("GMail.com.")->name, "google");
  EXPECT_EQ(pack->ByRelay("SMTP.SendGrid.net.")->name, "sendgrid");
}

TEST(ProviderPack, GivesTheDefaultForWhatIsNoName) {
  const Pack pack = ProviderPack::BuiltIn();
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string(300, 'a'),
        std::string("a.") + std::string(260, 'b') + ".google.com", std::string("\0google.com", 11),
        std::string("m\xc3\xbcller.de"), std::string("*")}) {
    EXPECT_EQ(pack->ByMx(bad), &pack->fallback()) << bad;
    EXPECT_EQ(pack->ByDomain(bad), &pack->fallback()) << bad;
    EXPECT_EQ(pack->ByRelay(bad), &pack->relay_fallback()) << bad;
  }
}

TEST(ProviderPack, TakesAStarForOneLabelOfARelay) {
  const Pack pack = ProviderPack::BuiltIn();
  EXPECT_EQ(pack->ByRelay("email-smtp.ap-southeast-2.amazonaws.com")->name, "ses");
  EXPECT_EQ(pack->ByRelay("email-smtp.amazonaws.com")->name, "default-relay");
  EXPECT_EQ(pack->ByRelay("email-smtp.a.b.amazonaws.com")->name, "default-relay");
  EXPECT_EQ(pack->ByRelay("x.email-smtp.a.amazonaws.com")->name, "default-relay");
  EXPECT_EQ(pack->ByRelay("email-smtp..amazonaws.com")->name, "default-relay");
  const Pack own =
      Taken("[[provider]]\nname = \"ours\"\nrelays = [\"email-smtp.eu-west-1.amazonaws.com\"]\n");
  EXPECT_EQ(own->ByRelay("email-smtp.eu-west-1.amazonaws.com")->name, "ours");
  EXPECT_EQ(own->ByRelay("email-smtp.eu-west-2.amazonaws.com")->name, "ses");
}

TEST(ProviderPack, TakesOtherScriptsAsALabels) {
  const Pack pack =
      Taken("[[provider]]\nname = \"mueller\"\ndomains = [\"M\xc3\xbcller.example\"]\n");
  EXPECT_EQ(pack->ByDomain("xn--mller-kva.example")->name, "mueller");
}

TEST(ProviderPack, GivesEveryProviderAnIndexOfItsOwn) {
  const Pack pack = Taken("[[provider]]\nname = \"ours\"\ndomains = [\"ours.example\"]\n");
  size_t next = 0;
  for (const Provider& provider : pack->providers()) {
    EXPECT_EQ(provider.index, next++);
    EXPECT_EQ(pack->ByName(provider.name), &provider);
  }
  EXPECT_EQ(pack->ByName("nobody"), nullptr);
}

TEST(ProviderPack, IsReadByManyThreads) {
  const Pack pack = ProviderPack::BuiltIn();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2'000; ++i) {
        const Provider* provider = pack->ByMx("aspmx.l.google.com");
        const ReplyRule* rule = ProviderPack::Match(
            *provider, {.code = 421, .enhanced = "4.7.28", .text = "unusual rate"});
        if (rule == nullptr || rule->name != "unusual-rate") std::abort();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// --- Own files ---

TEST(ProviderPack, ReplacesKeyByKey) {
  const Pack pack = Taken(R"(
[[provider]]
name = "google"
connections = 20
rate = "50/s"
)");
  const Provider& google = *pack->ByName("google");
  EXPECT_EQ(google.connections.value, 20u);
  EXPECT_EQ(google.connections.source->kind, SourceKind::kOwn);
  EXPECT_EQ(google.connections.place, "own.toml:4");
  EXPECT_EQ(google.rate.value, (CountPer{.count = 50, .per = absl::Seconds(1)}));
  EXPECT_EQ(google.messages_per_connection.value, 50u) << "what is not named stays";
  EXPECT_EQ(google.messages_per_connection.source->name, "kumo");
  EXPECT_EQ(google.title, "Gmail and Google Workspace");
  EXPECT_EQ(pack->ByMx("aspmx.l.google.com"), &google);
}

TEST(ProviderPack, TakesALimitAwayWithNone) {
  const Pack pack = Taken(R"(
[[provider]]
name = "gmail-smtp"
quota = "none"
[[provider]]
name = "google"
connections = "none"
mx_suffixes = []
)");
  EXPECT_FALSE(pack->ByName("gmail-smtp")->quota.value);
  EXPECT_EQ(pack->ByName("gmail-smtp")->quota.source->kind, SourceKind::kOwn);
  EXPECT_FALSE(pack->ByName("google")->connections.value) << "not the default's either";
  EXPECT_FALSE(pack->ByName("google")->connections.inherited);
  EXPECT_EQ(pack->ByMx("aspmx.l.google.com")->name, "default");
}

TEST(ProviderPack, HandsDownTheValuesOfTheBase) {
  const Pack pack = Taken(R"(
[[provider]]
name = "default"
connections = 3
[[provider]]
name = "default-relay"
rate = "7/s"
[[provider]]
name = "ours"
mx_suffixes = ["ours.example"]
[[provider]]
name = "our-relay"
relays = ["relay.example"]
)");
  for (const char* name : {"default", "ours", "yahoo"}) {
    EXPECT_EQ(pack->ByName(name)->connections.value, 3u) << name;
  }
  EXPECT_TRUE(pack->ByName("ours")->connections.inherited);
  EXPECT_EQ(pack->ByName("google")->connections.value, 5u);
  EXPECT_FALSE(pack->ByName("our-relay")->connections.value);
  EXPECT_EQ(pack->ByName("our-relay")->rate.value->count, 7u);
  EXPECT_EQ(pack->ByName("our-relay")->base, &pack->relay_fallback());
  EXPECT_FALSE(pack->ByName("ours")->rate.value);
}

TEST(ProviderPack, PutsOwnReplyRulesFirstAndReplacesThoseOfTheSameName) {
  const std::string own = R"(
[[provider]]
name = "google"
[[provider.reply]]
name = "unusual-rate"
enhanced = "4.7.28"
action = "slow"
rate = "1/min"
duration = "1h"
[[provider.reply]]
pattern = "very low reputation"
stage = ["rcpt", "body"]
threshold = "3/10min"
action = "suspend"
duration = "2h"
)";
  const Pack pack = Taken(own);
  const Provider& google = *pack->ByName("google");
  const bounce::ReplyFacts flood{.code = 421, .enhanced = "4.7.28", .text = "unusual rate of x"};
  const ReplyRule* rule = ProviderPack::Match(google, flood);
  ASSERT_NE(rule, nullptr);
  EXPECT_EQ(rule->action, ReplyAction::kSlow);
  EXPECT_EQ(rule->rate->per, absl::Minutes(1));
  bounce::ReplyFacts low{.stage = bounce::Stage::kBody,
                         .code = 421,
                         .enhanced = "4.7.0",
                         .text = "the Very Low Reputation of the sending IP address"};
  rule = ProviderPack::Match(google, low);
  ASSERT_NE(rule, nullptr);
  EXPECT_EQ(rule->name, "line-10");
  EXPECT_EQ(rule->threshold, (CountPer{.count = 3, .per = absl::Minutes(10)}));
  low.stage = bounce::Stage::kMail;
  EXPECT_EQ(ProviderPack::Match(google, low)->name, "reputation-of-address") << "ours, after it";
}

TEST(ProviderPack, MatchesOnlyRefusals) {
  const Pack pack = Taken(
      "[[provider]]\nname = \"default\"\nreply = [{pattern = \"queued\", action = \"close\"}]\n");
  const Provider& any = pack->fallback();
  EXPECT_EQ(ProviderPack::Match(any, {.code = 250, .text = "queued"}), nullptr);
  EXPECT_EQ(ProviderPack::Match(any, {.code = 0, .text = "queued"}), nullptr);
  EXPECT_EQ(ProviderPack::Match(any, {.code = 600, .text = "queued"}), nullptr);
  EXPECT_NE(ProviderPack::Match(any, {.code = 450, .text = "not queued"}), nullptr);
  EXPECT_NE(ProviderPack::Match(*pack->ByName("google"), {.code = 450, .text = "not queued"}),
            nullptr)
      << "the default's rules are for all";
}

TEST(ProviderPack, LooksAtBytesOfAnyKind) {
  const Provider& google = *ProviderPack::BuiltIn()->ByName("google");
  const std::string junk("\xff\xfe\0\x80unusual rate of mail\r\n\xc3", 28);
  EXPECT_NE(ProviderPack::Match(google, {.code = 421, .text = junk}), nullptr);
  const std::string far = std::string(1 << 20, 'x') + "unusual rate of mail";
  EXPECT_EQ(ProviderPack::Match(google, {.code = 421, .text = far}), nullptr)
      << "an essay is not read to its end";
}

TEST(ProviderPack, KnowsTheSourcesOfOwnFiles) {
  const Pack pack = Taken(R"(
version = 1
[source.mail-of-may]
title = "their postmaster's mail of 3 May"
date = 2026-05-03
kind = "published"
[[provider]]
name = "ours"
mx_suffixes = { value = ["ours.example"], source = "mail-of-may", note = "both data centres" }
connections = { value = 7, source = "kumo" }
)");
  const Provider& ours = *pack->ByName("ours");
  EXPECT_EQ(ours.mx_suffixes.source->title, "their postmaster's mail of 3 May");
  EXPECT_EQ(ours.mx_suffixes.source->date, "2026-05-03");
  EXPECT_EQ(ours.mx_suffixes.note, "both data centres");
  EXPECT_EQ(ours.connections.source->kind, SourceKind::kFolklore);
}

// --- What is refused ---

TEST(ProviderPack, NamesFileLineKeyAndWhatIsAllowed) {
  struct Row {
    const char* line;  // line 3 of the file, in provider "ours"
    std::vector<const char*> said;
  };
  const std::vector<Row> rows = {
      {"conections = 5", {"unknown key \"conections\"", "did you mean \"connections\"?"}},
      {"connections = 0", {"connections = 0", "nothing could be sent", "1 to 1000000", "\"none\""}},
      {"connections = -3", {"connections = -3", "1 to 1000000"}},
      {"connections = 1000001", {"connections = 1000001", "1 to 1000000"}},
      {"connections = 2.5", {"connections = ", "whole number"}},
      {"connections = \"many\"", {"connections = \"many\"", "whole number", "\"none\""}},
      {"messages_per_connection = 0", {"messages_per_connection = 0", "nothing could be sent"}},
      {"recipients_per_transaction = 0", {"recipients_per_transaction = 0"}},
      {"rate = \"fast\"", {"rate = \"fast\"", "COUNT/TIME", "500/min"}},
      {"rate = 10", {"rate = 10", "COUNT/TIME"}},
      {"rate = \"0/s\"", {"rate = \"0/s\"", "not possible", "\"none\""}},
      {"rate = \"100/2d\"", {"rate = \"100/2d\"", "not possible", "over days: quota"}},
      {"quota = \"10/min\"", {"quota = \"10/min\"", "not possible", "10000/24h"}},
      {"tls = \"always\"", {"tls = \"always\"", "opportunistic or required"}},
      {"tls = true", {"tls = true", "opportunistic or required"}},
      {"retry = \"1h\"", {"retry = \"1h\"", "give_up_after"}},
      {"retry = { first = \"1h\" }", {"retry: needs \"longest\""}},
      {"retry = { first = \"2h\", longest = \"1h\", give_up_after = \"1d\" }",
       {"\"first\" is longer than \"longest\""}},
      {"retry = { first = \"soon\", longest = \"1h\", give_up_after = \"1d\" }",
       {"first = \"soon\"", "90s, 10min"}},
      {"mx_suffixes = [\".ours.example\"]", {"\".ours.example\"", "without the dot in front"}},
      {"mx_suffixes = [\"ours example\"]", {"\"ours example\"", "no host name"}},
      {"mx_suffixes = [\"a.example\", \"A.example.\"]", {"has \"a.example\" twice"}},
      {"mx_suffixes = 3", {"mx_suffixes = 3", "text in quotes"}},
      {"domains = [\"gmail.com\"]", {"\"gmail.com\" is provider \"google\"'s already"}},
      {"mx_suffixes = [\"google.com\"]", {"\"google.com\" is provider \"google\"'s already"}},
      {"connections = { value = 5, source = \"kumoo\" }",
       {"no such source", "did you mean \"kumo\"?", "[source.NAME]"}},
      {"connections = { source = \"kumo\" }", {"needs \"value\""}},
      {"connections = { value = 5, sauce = \"kumo\" }",
       {"unknown key \"sauce\"", "did you mean \"source\"?"}},
      {"reply = 3", {"reply = 3", "[[provider.reply]]"}},
  };
  for (const Row& row : rows) {
    const std::string error =
        ErrorOf("[[provider]]\nname = \"ours\"\n" + std::string(row.line) + "\n");
    EXPECT_THAT(error, HasSubstr("own.toml:3: provider \"ours\"")) << row.line;
    for (const char* said : row.said) EXPECT_THAT(error, HasSubstr(said)) << row.line;
  }
}

TEST(ProviderPack, RefusesReplyRulesThatMakeNoSense) {
  struct Row {
    const char* rule;
    std::vector<const char*> said;
  };
  const std::vector<Row> rows = {
      {"pattern = \"(x\", action = \"close\"", {"pattern = \"(x\"", "RE2", "missing )"}},
      {"pattern = \"x*\", action = \"close\"", {"matches every text"}},
      {"pattern = \"\", action = \"close\"", {"pattern = \"\"", "text in quotes"}},
      {"pattern = \"x\"", {"needs \"action\"", "limit_connections"}},
      {"action = \"close\"", {"needs \"pattern\", \"codes\" or \"enhanced\""}},
      {"pattern = \"x\", action = \"stop\"", {"action = \"stop\"", "slow, suspend"}},
      {"pattern = \"x\", action = \"suspnd\"", {"did you mean \"suspend\"?"}},
      {"pattern = \"x\", action = \"suspend\"", {"\"suspend\" needs \"duration\""}},
      {"pattern = \"x\", action = \"suspend\", duration = \"10\"", {"duration = \"10\"", "10min"}},
      {"pattern = \"x\", action = \"suspend\", duration = \"0s\"", {"duration = \"0s\""}},
      {"pattern = \"x\", action = \"suspend\", duration = 10", {"duration = 10"}},
      {"pattern = \"x\", action = \"close\", duration = \"1h\"",
       {"duration = \"1h\"", "\"close\" has no use for it"}},
      {"pattern = \"x\", action = \"limit_connections\", duration = \"1h\"",
       {"needs \"connections\""}},
      {"pattern = \"x\", action = \"limit_connections\", connections = 0, duration = \"1h\"",
       {"connections = 0", "1 to 1000000"}},
      {"pattern = \"x\", action = \"slow\", rate = \"1\", duration = \"1h\"", {"rate = \"1\""}},
      {"pattern = \"x\", action = \"ignore\", threshold = \"2/1h\"", {"has no use for it"}},
      {"pattern = \"x\", action = \"close\", threshold = 3", {"threshold = 3", "COUNT/TIME"}},
      {"pattern = \"x\", action = \"close\", threshold = \"0/1h\"", {"a count from 1"}},
      {"pattern = \"x\", action = \"close\", stage = \"helo\"", {"stage \"helo\"", "ehlo"}},
      {"pattern = \"x\", action = \"close\", stage = []", {"stage", "nothing"}},
      {"pattern = \"x\", action = \"close\", codes = [\"250\"]", {"codes \"250\"", "4xx"}},
      {"pattern = \"x\", action = \"close\", enhanced = \"4.7\"", {"enhanced \"4.7\"", "4.7.28"}},
      {"pattern = \"x\", action = \"close\", name = \"A b\"", {"name = \"A b\"", "lower-case"}},
      {"pattern = \"x\", action = \"close\", example = \"450 y\"",
       {"does not match its own example"}},
      {"pattern = \"x\", acton = \"close\"", {"did you mean \"action\"?"}},
  };
  for (const Row& row : rows) {
    const std::string error =
        ErrorOf("[[provider]]\nname = \"google\"\n\nreply = [{ " + std::string(row.rule) + " }]\n");
    EXPECT_THAT(error, HasSubstr("own.toml:4: provider \"google\", reply \"")) << row.rule;
    for (const char* said : row.said) EXPECT_THAT(error, HasSubstr(said)) << row.rule;
  }
}

TEST(ProviderPack, RefusesARuleBehindOneThatTakesItsExample) {
  EXPECT_THAT(
      ErrorOf(R"(
[[provider]]
name = "google"
reply = [
  { name = "wide", pattern = "slow", action = "close" },
  { name = "dead", pattern = "slow down", action = "close", example = "450 slow down" },
]
)"),
      HasSubstr("own.toml:6: provider \"google\", reply \"dead\": its example is matched by "
                "\"wide\" before it"));
}

TEST(ProviderPack, RefusesFilesThatAreNoPack) {
  EXPECT_THAT(ErrorOf("connections = = 5\n"), HasSubstr("own.toml:1: not TOML"));
  EXPECT_THAT(ErrorOf("version = 2\n"),
              AllOf(HasSubstr("version = 2"), HasSubstr("made for a newer volley")));
  EXPECT_THAT(ErrorOf("version = 0\n"), HasSubstr("version = 0: write 1"));
  EXPECT_THAT(ErrorOf("version = \"1\"\n"), HasSubstr("version = \"1\": write 1"));
  EXPECT_THAT(ErrorOf("[providr]\n"), HasSubstr("did you mean \"provider\"?"));
  EXPECT_THAT(ErrorOf("[provider.google]\nconnections = 3\n"), HasSubstr("write [[provider]]"));
  EXPECT_THAT(ErrorOf("provider = [3]\n"), HasSubstr("write [[provider]]"));
  EXPECT_THAT(ErrorOf("[[provider]]\nconnections = 3\n"),
              HasSubstr("own.toml:1: a provider's name"));
  EXPECT_THAT(ErrorOf("[[provider]]\nname = \"Google Mail\"\n"), HasSubstr("lower-case"));
  EXPECT_THAT(ErrorOf("\xff"), HasSubstr("own.toml:1: not TOML"));
  EXPECT_THAT(ErrorOf(std::string(ProviderPack::kFileBytesMax + 1, '#')), HasSubstr("longer than"));
  EXPECT_TRUE(WithOwn("").ok()) << "a file that changes nothing";
}

TEST(ProviderPack, RefusesAProviderTwiceAndOneThatNobodyIs) {
  EXPECT_THAT(ErrorOf("[[provider]]\nname = \"google\"\n[[provider]]\nname = \"google\"\n"),
              HasSubstr("own.toml:3: provider \"google\" is twice"));
  EXPECT_THAT(ErrorOf("\n[[provider]]\nname = \"gogle\"\nconnections = 3\n"),
              AllOf(HasSubstr("own.toml:2: provider \"gogle\": nobody would be"),
                    HasSubstr("did you mean \"google\"?"), HasSubstr("mx_suffixes")));
  EXPECT_THAT(ErrorOf("[[provider]]\nname = \"default\"\nmx_suffixes = [\"a.example\"]\n"),
              HasSubstr("for everybody else"));
  EXPECT_THAT(
      ErrorOf("[[provider]]\nname = \"a\"\nmx_suffixes = [\"x.example\"]\n"
              "[[provider]]\nname = \"b\"\nmx_suffixes = [\"X.example\"]\n"),
      HasSubstr("own.toml:6: provider \"b\": mx_suffixes: \"x.example\" is provider \"a\"'s"));
  EXPECT_THAT(ErrorOf("[[provider]]\nname = \"a\"\nmx_suffixes = [\"x.example\"]\n"
                      "examples = [\"mx.y.example\"]\n"),
              HasSubstr("the example \"mx.y.example\" does not lead to it"));
}

TEST(ProviderPack, RefusesBadSources) {
  const auto error = [](std::string_view lines) {
    return ErrorOf("[source.x]\n" + std::string(lines) + "\n");
  };
  EXPECT_THAT(error("title = \"t\"\nkind = \"folklore\""), HasSubstr("needs \"date\""));
  EXPECT_THAT(error("title = \"t\"\ndate = \"2026-11-24\"\nkind = \"folklore\""),
              HasSubstr("date = \"2026-11-24\": write a date without quotes"));
  EXPECT_THAT(error("title = \"t\"\ndate = 2026-11-24\nkind = \"rumour\""),
              HasSubstr("kind = \"rumour\": write published or folklore"));
  EXPECT_THAT(error("title = \"t\"\ndate = 2026-11-24\nkind = \"folklore\"\nurl = \"x y\""),
              HasSubstr("url = \"x y\": write https://"));
  EXPECT_THAT(error("title = \"t\"\ndate = 2026-02-30\nkind = \"folklore\""),
              HasSubstr("not TOML"));
}

TEST(ProviderPack, TellsAllFaultsInTheOrderOfTheirLines) {
  std::string file;
  for (int i = 0; i < 30; ++i)
    file += "[[provider]]\nname = \"p" + std::to_string(i) + "\"\nrate = 1\n";
  const std::string error = ErrorOf(file);
  const size_t first = error.find("own.toml:3:"), second = error.find("own.toml:6:"),
               tenth = error.find("own.toml:30:");
  EXPECT_TRUE(first < second && second < tenth && tenth != error.npos) << error;
  EXPECT_THAT(error, HasSubstr("and 10 more"));
}

TEST(ProviderPack, ShowsNoControlCharactersOfAFile) {
  const std::string error =
      ErrorOf("[[provider]]\nname = \"ours\"\nrate = \"\\u001b[31m\\nown.toml:1: all is well\"\n");
  EXPECT_THAT(error, Not(HasSubstr("\x1b")));
  EXPECT_THAT(error, Not(HasSubstr("\nown.toml:1: all is well")));
}

// --- The pack itself is held to more ---

TEST(ProviderPack, RefusesAPackWithoutSourcesAndExamples) {
  const auto error = [](std::string_view text) {
    const PackFile file{.name = "pack.toml", .text = text};
    const auto pack = ProviderPack::Parse({&file, 1});
    return pack.ok() ? "it was taken" : std::string(pack.status().message());
  };
  const std::string head =
      "version = 1\nreleased = 2026-11-24\n[source.s]\ntitle = \"t\"\ndate = 2026-11-24\n"
      "kind = \"folklore\"\n[[provider]]\nname = \"default\"\n[[provider]]\n"
      "name = \"default-relay\"\n[[provider]]\nname = \"p\"\n";
  const std::string reachable =
      "mx_suffixes = { value = [\"p.example\"], source = \"s\" }\nexamples = [\"mx.p.example\"]\n";
  EXPECT_EQ(error(head + reachable), "it was taken");
  EXPECT_THAT(error(head + reachable + "connections = 5\n"),
              HasSubstr("pack.toml:15: provider \"p\": connections = 5: nobody says so"));
  EXPECT_THAT(error(head + reachable + "connections = { value = 5, note = \"n\" }\n"),
              HasSubstr("needs \"source\""));
  EXPECT_THAT(error(head + "mx_suffixes = { value = [\"p.example\"], source = \"s\" }\n"),
              HasSubstr("pack.toml:13: provider \"p\": no example for \"p.example\""));
  EXPECT_THAT(error(head + reachable + "reply = [{ pattern = \"x\", action = \"close\" }]\n"),
              AllOf(HasSubstr("needs \"name\""), HasSubstr("needs \"source\""),
                    HasSubstr("needs \"example\"")));
  EXPECT_THAT(error("version = 1\nreleased = 2026-11-24\n"), HasSubstr("no provider \"default\""));
  EXPECT_THAT(error(""), AllOf(HasSubstr("needs \"version\""), HasSubstr("needs \"released\"")));
  EXPECT_FALSE(ProviderPack::Parse({}).ok());
}

}  // namespace
}  // namespace volley::engine::policy
