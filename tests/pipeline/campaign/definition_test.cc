#include "pipeline/campaign/definition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using volley::testing::TempDir;

constexpr std::string_view kWhole = R"(
[campaign]
name = "Spring"
from = "Ann <ann@example.org>"
reply_to = "help@example.org"
subject = "Hello {{first_name}}"
text = "hello.txt"
html = "/abs/hello.html"
recipients = "people.csv"
kind = "transactional"
headers = { X-Team = "news", List-Id = "<spring.example.org>" }
[relay]
via = "smtp://127.0.0.1:2525"
[limits]
connections = 7
messages_per_connection = 0
)";

TEST(CampaignFile, ReadsEveryKeyAndTakesPathsRelativeToTheFile) {
  TempDir dir;
  const auto d = LoadCampaignFile(dir.Write("c.toml", kWhole));
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_EQ(d->name, "Spring");
  EXPECT_EQ(d->from, "Ann <ann@example.org>");
  EXPECT_EQ(d->text_path, dir.path("hello.txt"));
  EXPECT_EQ(d->html_path, "/abs/hello.html");
  EXPECT_EQ(d->recipients_path, dir.path("people.csv"));
  EXPECT_EQ(d->kind, "transactional");
  EXPECT_EQ(d->headers.size(), 2u);
  EXPECT_EQ(d->connections, 7u);
  EXPECT_EQ(d->messages_per_connection, 0u);
}

TEST(CampaignFile, IsNamedAfterItsFileWhenItHasNoName) {
  TempDir dir;
  const auto d = LoadCampaignFile(dir.Write("june-news.toml", "[campaign]\nsubject = \"x\"\n"));
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_EQ(d->name, "june-news");
}

TEST(CampaignFile, ReadsPlansForNewAddressesAndWritesThemAgain) {
  TempDir dir;
  const auto d = LoadCampaignFile(dir.Write("c.toml", R"(
[[warm_up]]
source = "192.0.2.1"
provider = "google"
start = "2026-12-01"
days = [50, 100, 200]
[[warm_up]]
start = "2026-12-24"
days = { 10 = 7000, 1 = 5, 9 = 100 }
)"));
  ASSERT_TRUE(d.ok()) << d.status();
  const std::vector<WarmUpDefinition> wanted = {
      {"192.0.2.1", "google", "2026-12-01", {{1, 50}, {2, 100}, {3, 200}}},
      {"", "", "2026-12-24", {{1, 5}, {9, 100}, {10, 7000}}}};
  EXPECT_EQ(d->warm_ups, wanted);
  FrozenFacts facts;
  facts.key = "k";
  const auto again =
      LoadFrozenCampaignFile(dir.Write("frozen.toml", FormatCampaignFile(*d, facts)), &facts);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->warm_ups, wanted);
  const auto made = MakeWarmUps(d->warm_ups, absl::UTCTimeZone());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->at(0).key, (LimitKey{.source = "192.0.2.1", .provider = "google"}));
  EXPECT_EQ(made->at(1)
                .plan.At(absl::FromCivil(absl::CivilDay(2027, 1, 1), absl::UTCTimeZone()))
                .messages,
            100u);
  EXPECT_THAT(
      std::string(MakeWarmUps({wanted[1], wanted[1]}, absl::UTCTimeZone()).status().message()),
      HasSubstr("two [[warm_up]] for everything"));
}

struct BadFile {
  std::string text, expected;
};
class BadCampaignFile : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadCampaignFile, IsRefusedWithFileLineAndNextStep) {
  TempDir dir;
  const std::string path = dir.Write("c.toml", GetParam().text);
  const auto d = LoadCampaignFile(path);
  ASSERT_FALSE(d.ok());
  EXPECT_THAT(std::string(d.status().message()), HasSubstr(path));
  EXPECT_THAT(std::string(d.status().message()), HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadCampaignFile,
    ::testing::Values(
        BadFile{"[[warm_up]]\nstart = \"2026-12-01\"\n", "needs start"},
        BadFile{"[[warm_up]]\nstart = \"1.12.2026\"\ndays = [1]\n", "1.12.2026"},
        BadFile{"[[warm_up]]\nstart = \"2026-12-01\"\ndays = { x = 1 }\n", "\"x\" is no day"},
        BadFile{"[[warm_up]]\nstart = \"2026-12-01\"\ndays = [-1]\n", "whole number"},
        BadFile{"[[warm_up]]\nstart = \"2026-12-01\"\ndays = { 2 = 9 }\n", "[[warm_up]]"},
        BadFile{"[[warm_up]]\nsauce = \"192.0.2.1\"\n", "source"},
        BadFile{"warm_up = 3\n", "must be a table"},
        BadFile{"[campaign]\nsubjekt = \"x\"\n",
                "c.toml:2: unknown key \"subjekt\" in [campaign] "
                "(did you mean \"subject\"?)"},
        BadFile{"[campagne]\nname = \"x\"\n", "(did you mean \"campaign\"?)"},
        BadFile{"[campaign]\nname = 3\n", "c.toml:2: \"name\" must be a string"},
        BadFile{"[limits]\nconnections = 0\n", "c.toml:2: \"connections\" must be a whole number"},
        BadFile{"[limits]\nconnections = \"many\"\n", "must be a whole number from 1 to"},
        BadFile{"[campaign]\nkind = \"spam\"\n", "c.toml:2: kind \"spam\" is neither"},
        BadFile{"[campaign]\nheaders = \"x\"\n", "must be a table"},
        BadFile{"[campaign]\ntext = \"\"\n", "empty path"},
        BadFile{"[campaign\nname = 1\n", "c.toml:1: not TOML"},
        BadFile{"[frozen]\nkey = \"x\"\n", "unknown table or key \"frozen\""}));

TEST(CampaignFile, MissingFileSaysSo) {
  const auto d = LoadCampaignFile("/nonexistent/c.toml");
  ASSERT_FALSE(d.ok());
  EXPECT_THAT(std::string(d.status().message()), HasSubstr("No such file"));
}

TEST(CampaignFile, FrozenCopyReadsBackAsItWasWritten) {
  TempDir dir;
  auto d = LoadCampaignFile(dir.Write("c.toml", kWhole));
  ASSERT_TRUE(d.ok());
  d->subject = "quotes \" and \\ and \n newline, ünï";
  const FrozenFacts facts{"abc234", "2026-11-23T10:00:00+00:00", 0x7fffffffffffffff};
  FrozenFacts read;
  const auto back =
      LoadFrozenCampaignFile(dir.Write("frozen.toml", FormatCampaignFile(*d, facts)), &read);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->subject, d->subject);
  EXPECT_EQ(back->headers, d->headers);
  EXPECT_EQ(back->connections, d->connections);
  EXPECT_EQ(back->html_path, d->html_path);
  EXPECT_EQ(read.key, facts.key);
  EXPECT_EQ(read.date_rfc3339, facts.date_rfc3339);
  EXPECT_EQ(read.boundary_seed, facts.boundary_seed);
}

TEST(CampaignFile, FrozenCopyOfANewerVersionIsRefused) {
  TempDir dir;
  FrozenFacts facts;
  facts.key = "k";
  const auto d = LoadFrozenCampaignFile(dir.Write("f.toml", "[frozen]\nversion = 2\n"), &facts);
  ASSERT_FALSE(d.ok());
  EXPECT_THAT(std::string(d.status().message()), HasSubstr("newer volley"));
}

TEST(Definition, FlagsWinOverTheFile) {
  CampaignDefinition file, flags;
  file.subject = "old";
  file.from = "a@example.org";
  file.connections = 5;
  flags.subject = "new";
  flags.messages_per_connection = 0;
  const CampaignDefinition d = Overlay(file, flags);
  EXPECT_EQ(d.subject, "new");
  EXPECT_EQ(d.from, "a@example.org");
  EXPECT_EQ(d.connections, 5u);
  EXPECT_EQ(d.messages_per_connection, 0u);
}

TEST(Definition, SaysWhatIsMissingAndBothWaysToGiveIt) {
  CampaignDefinition d;
  EXPECT_THAT(std::string(CheckDefinition(d, true).message()), HasSubstr("--from"));
  d.from = "a@example.org";
  EXPECT_THAT(std::string(CheckDefinition(d, true).message()), HasSubstr("--subject"));
  d.subject = "s";
  EXPECT_THAT(std::string(CheckDefinition(d, true).message()), HasSubstr("--text"));
  d.text_path = "t";
  EXPECT_THAT(std::string(CheckDefinition(d, true).message()), HasSubstr("--to"));
  d.recipients_path = "r";
  EXPECT_THAT(std::string(CheckDefinition(d, true).message()), HasSubstr("--via"));
  EXPECT_TRUE(CheckDefinition(d, false).ok());
  d.relays.emplace_back().via = "smtp://localhost";
  EXPECT_TRUE(CheckDefinition(d, true).ok());
  d.kind = "x";
  EXPECT_FALSE(CheckDefinition(d, true).ok());
}

}  // namespace
}  // namespace volley::pipeline
