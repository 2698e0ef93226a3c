#include "engine/bounce/classify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace volley::engine::bounce {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Classification Of(std::string reply, Stage stage = Stage::kUnknown,
                  std::string_view provider = "") {
  ReplyFacts facts = ParseReply(&reply);
  facts.stage = stage;
  facts.provider = provider;
  return Classifier::BuiltIn().Classify(facts);
}

std::string NameOf(const std::string& reply, Stage stage = Stage::kUnknown) {
  return std::string(InfoOf(Of(reply, stage).category).name);
}

TEST(Rules, EachIsAliveByItsExample) {
  const auto examples = Classifier::BuiltIn().Examples();
  std::set<std::string> with_example;
  for (const Classifier::Example& example : examples) {
    with_example.insert(example.rule);
    EXPECT_EQ(Of(example.reply, example.stage, example.provider).rule, example.rule)
        << example.reply;
  }
  EXPECT_EQ(with_example.size(), Classifier::BuiltIn().rules()) << "a rule has no example";
  EXPECT_GT(with_example.size(), 30u);
}

// Wordings of servers that are in nobody's table, family by family.
TEST(Classifier, KnowsTheWordsOfManyServers) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"recipient_unknown",
       "550 5.1.1 <x@y.com>: Recipient address rejected: User unknown in relay table"},
      {"recipient_unknown",
       "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP lookup"},
      {"recipient_unknown", "511 sorry, no mailbox here by that name (#5.1.1 - chkuser)"},
      {"recipient_unknown", "550 #5.1.0 Address rejected."},
      {"recipient_unknown", "550 Requested action not taken: mailbox unavailable"},
      {"recipient_inactive", "550 5.2.1 This mailbox has been blocked due to inactivity"},
      {"recipient_inactive", "550 user account is over 90 days inactive"},
      {"mailbox_full", "552 5.2.2 <x@y>: Quota exceeded (mailbox for user is full)"},
      {"mailbox_full", "422 4.2.2 The recipient's mailbox is over its storage limit"},
      {"domain_invalid", "550 5.1.2 x@y.com... Host unknown (Name server: y.com: host not found)"},
      {"domain_invalid", "556 5.1.10 Domain does not accept mail (nullMX)"},
      {"greylisted", "451 4.7.1 Greylisting in action, please come back in 00:05:00"},
      {"rate_limited",
       "421 Too many concurrent SMTP connections from this IP address; please try again"},
      {"rate_limited", "450 4.7.1 Error: too much mail from 192.0.2.1"},
      {"rate_limited", "454 Throttling failure: Maximum sending rate exceeded"},
      {"rate_limited",
       "421 4.7.0 Message count per session exceeded: Maximum message count reached"},
      {"reputation", "554 5.7.1 Email rejected per reputation"},
      {"reputation",
       "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints"},
      {"ip_blocked",
       "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.spamcop.net"},
      {"ip_blocked",
       "550 SC-001 Unfortunately, messages from 192.0.2.1 weren't sent; on our block list"},
      {"ip_blocked", "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help)"},
      {"spam_content", "554 Message refused: spam score 12.3"},
      {"virus_attachment", "550 5.7.0 Attachment type .exe is not allowed"},
      {"message_too_large", "552 5.3.4 Error: message file too big"},
      {"auth_failure",
       "550 5.7.515 Access denied, sending domain x.com doesn't meet the required "
       "authentication level"},
      {"auth_failure", "550 5.7.20 No passing DKIM signature found"},
      {"ptr_missing", "554 5.7.1 refused: your host does not have a valid reverse DNS"},
      {"policy", "550 5.7.1 Message rejected due to company policy"},
      {"sender_rejected", "553 5.1.8 <x@y>... Domain of sender address x@y does not exist"},
      {"sender_rejected", "554 Message rejected: Email address is not verified."},
      {"relay_denied", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"},
      {"tls_failure", "451 4.7.5 Certificate validation failure; TLS handshake failed"},
      {"protocol_error", "503 5.5.1 Error: need RCPT command"},
      {"remote_system", "451 4.3.0 Error: queue file write error"},
      {"connect_failure", "421 4.4.2 Connection timed out"},
      {"dns_failure", "554 5.4.6 Hop count exceeded - possible mail loop"},
      {"recipient_moved", "551 5.1.6 User not local; please try <new@y>"},
      {"recipient_filtered",
       "550 5.7.133 sender not authenticated for group: not allowed to send to this"},
      {"noncompliant", "554 5.6.0 Message contains bare LF"},
      {"content_rejected", "554 5.7.1 Message content rejected, id=1234-01 - BANNED: link"},
  };
  for (const auto& [category, reply] : cases) EXPECT_EQ(NameOf(reply), category) << reply;
}

TEST(Classifier, TrapsOfTheTrade) {
  // Outlook's directory says "access denied" of an unknown recipient.
  EXPECT_EQ(NameOf("550 5.4.1 Recipient address rejected: Access denied."), "recipient_unknown");
  // A recipient's rate is no full mailbox.
  EXPECT_EQ(NameOf("450 4.2.1 The user you are trying to contact is receiving mail at a rate that "
                   "prevents additional messages from being delivered."),
            "rate_limited");
  // 552 and x.5.3 are about this transaction.
  EXPECT_EQ(NameOf("552 5.5.3 Too many recipients"), "rate_limited");
  // A blocklist's 550 is not the recipient's fault.
  const Classification blocked =
      Of("550 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org");
  EXPECT_EQ(InfoOf(blocked.category).severity, Severity::kBlock);
  EXPECT_EQ(InfoOf(blocked.category).action, Action::kSuspend);
}

TEST(Classifier, GoesByNumbersWhereWordsSayNothing) {
  EXPECT_EQ(Of("550 5.1.1 xyzzy").rule, "enhanced:5.1.1");
  EXPECT_EQ(NameOf("452 xyzzy", Stage::kRcpt), "rate_limited");
  EXPECT_EQ(NameOf("452 xyzzy", Stage::kBody), "remote_system");
  EXPECT_EQ(NameOf("550 xyzzy", Stage::kRcpt), "unknown");
  EXPECT_EQ(NameOf("", Stage::kConnect), "connect_failure");
  EXPECT_EQ(NameOf("", Stage::kStartTls), "tls_failure");
  EXPECT_EQ(Of("550 (#5.2.2) xyzzy").rule, "enhanced:5.2.2");
  EXPECT_EQ(Of("550 version 15.20.5.1.1 xyzzy").rule, "code:550") << "a version is no code";
}

TEST(Classifier, TakesTheHintOfTheText) {
  const auto hint = [](std::string_view text) {
    return RetryHint(text).value_or(absl::ZeroDuration());
  };
  EXPECT_EQ(hint("Try again in 5 minutes"), absl::Minutes(5));
  EXPECT_EQ(hint("please retry after 300 seconds."), absl::Seconds(300));
  EXPECT_EQ(hint("Greylisted for 60 seconds, see"), absl::Seconds(60));
  EXPECT_EQ(hint("come back in 00:05:30"), absl::Minutes(5) + absl::Seconds(30));
  EXPECT_EQ(hint("Try again after 1 hour"), absl::Hours(1));
  EXPECT_EQ(hint("try again in 300s"), absl::Seconds(300));
  EXPECT_FALSE(RetryHint("over 90 days inactive"));
  EXPECT_FALSE(RetryHint("Try again later"));
  EXPECT_FALSE(RetryHint("try again in 99999999999 minutes"));
}

TEST(Classifier, ReadsRepliesOfSeveralLines) {
  std::string reply =
      "550-5.1.1 The email account that\r\n550-5.1.1 you tried to\r\n550 5.1.1 reach";
  const ReplyFacts facts = ParseReply(&reply);
  EXPECT_EQ(facts.code, 550);
  EXPECT_EQ(facts.enhanced, "5.1.1");
  EXPECT_THAT(std::string(facts.text), HasSubstr("you tried to"));
  EXPECT_EQ(std::string(facts.text).find("550"), std::string::npos);
}

TEST(Classifier, AnyBytesAreText) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  EXPECT_EQ(InfoOf(Of("550 " + all + " user unknown").category).name, "recipient_unknown");
  EXPECT_EQ(InfoOf(Of("550 " + std::string(1 << 20, 'a')).category).name, "unknown");
  EXPECT_EQ(InfoOf(Of(std::string(5, '\0')).category).name, "connect_failure");
}

TEST(OwnRules, GoBeforeTheBuiltIn) {
  const auto own = Classifier::WithOwnRules({"own.toml", R"(version = 1
[[rule]]
id = "ours"
category = "spam_content"
text = 'user unknown'
providers = ["example"]
codes = ["55x"]
)"});
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->Classify({.provider = "example", .code = 550, .text = "User  unknown"}).rule,
            "ours");
  EXPECT_EQ(own->Classify({.provider = "example", .code = 450, .text = "User unknown"}).rule,
            "unknown-user");
  EXPECT_EQ(own->Classify({.provider = "", .code = 550, .text = "User unknown"}).rule,
            "unknown-user");
}

TEST(OwnRules, SayWhatIsWrongAndWhere) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "own.toml:1: a rule file begins with version = 1"},
      {"version = 2\n", "own.toml:1: this volley reads version 1"},
      {"version = 1\nrules = 1\n",
       "own.toml:2: unknown key \"rules\" in a rule file (did you mean \"rule\"?)"},
      {"version = 1\n[[rule]]\nid = \"a\"\ncategory = \"spam_contents\"\ntext = 'x'\n",
       "own.toml:4: rule \"a\": unknown category \"spam_contents\" (did you mean "
       "\"spam_content\"?)"},
      {"version = 1\n[[rule]]\nid = \"a\"\ncategory = \"policy\"\ntext = '('\n",
       "own.toml:2: rule \"a\": text does not compile: missing )"},
      {"version = 1\n[[rule]]\nid = \"a\"\ncategory = \"policy\"\ntext = 'x'\ncodes = [\"250\"]\n",
       "code \"250\" is no refusal"},
      {"version = 1\n[[rule]]\nid = \"a\"\ncategory = \"policy\"\ntext = 'x'\ncodes = []\n",
       "\"codes\" is empty: nothing would match"},
      {"version = 1\n[[rule]]\nid = \"a\"\ncategory = \"policy\"\ntext = 'x'\nenhanced = "
       "[\"5.7\"]\n",
       "write 5.7.1 or x.7.28"},
      {"version = 1\n[[rule]]\nid = \"a\"\ncategory = \"policy\"\ntext = 'x'\nstages = [\"rcp\"]\n",
       "unknown stage \"rcp\""},
      {"version = 1\n[[rule]]\nid = \"spam\"\ncategory = \"policy\"\ntext = 'x'\n",
       "there are two rules \"spam\""},
      {"version = 1\n[[rule]]\ncategory = \"policy\"\n", "own.toml:2: a rule needs \"id\""},
      {"version = \n", "own.toml:1: "},
  };
  for (const auto& [text, says] : cases) {
    const auto own = Classifier::WithOwnRules({"own.toml", text});
    ASSERT_FALSE(own.ok()) << text;
    EXPECT_THAT(std::string(own.status().message()), HasSubstr(says)) << text;
  }
}

TEST(Category, TableAndNamesAgree) {
  std::set<std::string_view> names;
  for (const CategoryInfo& info : AllCategories()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(CategoryByName(info.name), info.category);
    EXPECT_FALSE(SeverityName(info.severity).empty());
    EXPECT_FALSE(ScopeName(info.scope).empty());
    EXPECT_FALSE(ActionName(info.action).empty());
    EXPECT_FALSE(ActionWords(info.action).empty());
  }
  EXPECT_EQ(names.size(), kCategories - 1);
  EXPECT_FALSE(CategoryByName(""));
}

std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> out(1);
  for (const char c : line) {
    if (c == '\t') {
      out.emplace_back();
    } else if (c != '\r') {
      out.back().push_back(c);
    }
  }
  return out;
}

TEST(SharedReplies, AreClassifiedAsLabelled) {
  const std::filesystem::path path =
      std::filesystem::path(VOLLEY_SHARED_DATA_DIR) / "replies/replies.tsv";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "SKIPPED: there is no " << path;
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  int count = 0, right = 0;
  while (std::getline(file, line)) {
    const std::vector<std::string> f = Fields(line);
    ASSERT_GE(f.size(), 7u) << line;
    const auto given = [](const std::string& field) {
      return field == "-" ? std::string() : field;
    };
    uint16_t code = 0;
    std::from_chars(f[2].data(), f[2].data() + f[2].size(), code);
    const std::string provider = given(f[0]), enhanced = given(f[3]);
    const Classification c =
        Classifier::BuiltIn().Classify({.provider = provider,
                                        .stage = StageByName(f[1]).value_or(Stage::kUnknown),
                                        .code = code,
                                        .enhanced = enhanced,
                                        .text = f[4]});
    ++count;
    right += InfoOf(c.category).name == f[5];
    if (InfoOf(c.category).name != f[5]) {
      std::printf("%s instead of %s by %s: %s\n", std::string(InfoOf(c.category).name).c_str(),
                  f[5].c_str(), c.rule.c_str(), line.c_str());
    }
  }
  std::printf("%d of %d right\n", right, count);
  ASSERT_GT(count, 100);
  EXPECT_GE(right * 100, count * 95);
}

}  // namespace
}  // namespace volley::engine::bounce
