#include "pipeline/campaign/campaign.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using volley::testing::TempDir;

class CampaignTest : public ::testing::Test {
 protected:
  CampaignDefinition Definition() {
    CampaignDefinition d;
    d.name = "Spring News!";
    d.from = "Ann <ann@example.org>";
    d.subject = "Hello {{name}}";
    d.text_path = dir_.Write("hello.txt", "Dear {{name}},\nbye\n");
    d.html_path = dir_.Write("hello.html", "<p>Dear {{name}}</p>\n");
    d.recipients_path =
        dir_.Write("people.csv", "email,name\nann@example.com,Ann\nbob@example.com,Bob\n");
    return d;
  }
  PrepareOptions Options() {
    PrepareOptions o;
    o.state_dir = dir_.path("state");
    o.without_unsubscribe = true;
    return o;
  }
  std::string ComposeFirst(const Campaign& c) {
    RecipientRecord record;
    EXPECT_TRUE(c.recipients().ReadAt(c.recipients().first_offset(), &record).ok());
    Copy copy;
    EXPECT_TRUE(CopyMaker(&c.recipe()).Make(&record, &copy).ok());
    return copy.message.ToString();
  }
  bool StateExists() { return std::filesystem::exists(dir_.path("state")); }
  TempDir dir_;
};

TEST_F(CampaignTest, OpensByteForByteAsItWasPreparedEvenWhenTheFilesAreGone) {
  std::string sent;
  {
    auto c = Campaign::Prepare(Definition(), Options());
    ASSERT_TRUE(c.ok()) << c.status();
    ASSERT_TRUE((*c)->Commit().ok());
    sent = ComposeFirst(**c);
    EXPECT_THAT(sent, HasSubstr("Hello Ann"));
  }
  std::filesystem::remove(dir_.path("hello.txt"));
  std::filesystem::remove(dir_.path("hello.html"));
  std::filesystem::remove(dir_.path("people.csv"));
  auto again = Campaign::Open(dir_.path("state"), "spring-news");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ComposeFirst(**again), sent);
}

TEST_F(CampaignTest, LeavesNothingBehindWhenItIsNotCommitted) {
  {
    auto c = Campaign::Prepare(Definition(), Options());
    ASSERT_TRUE(c.ok()) << c.status();
    EXPECT_TRUE(StateExists());
  }
  EXPECT_FALSE(StateExists());
}

TEST_F(CampaignTest, LeavesNothingBehindWhenTheListOrATemplateIsBad) {
  CampaignDefinition d = Definition();
  d.text_path = dir_.Write("bad.txt", "Dear {{nmae}}");
  const auto unknown = Campaign::Prepare(d, Options());
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("nmae"));
  EXPECT_FALSE(StateExists());
  d = Definition();
  d.recipients_path = dir_.Write("bad.csv", "a,b\n1,2\n");
  EXPECT_FALSE(Campaign::Prepare(d, Options()).ok());
  EXPECT_FALSE(StateExists());
}

TEST_F(CampaignTest, RefusesANameThatWasSentBeforeUnlessRestarted) {
  {
    auto c = Campaign::Prepare(Definition(), Options());
    ASSERT_TRUE(c.ok());
    ASSERT_TRUE((*c)->Commit().ok());
  }
  const auto again = Campaign::Prepare(Definition(), Options());
  ASSERT_FALSE(again.ok());
  EXPECT_TRUE(absl::IsAlreadyExists(again.status()));
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("--restart"));
  PrepareOptions restart = Options();
  restart.restart = true;
  auto c = Campaign::Prepare(Definition(), restart);
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_TRUE((*c)->Commit().ok());
}

TEST_F(CampaignTest, TheSlowerOfTwoProcessesIsRefusedAtCommit) {
  auto one = Campaign::Prepare(Definition(), Options());
  auto two = Campaign::Prepare(Definition(), Options());
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_TRUE((*one)->Commit().ok());
  EXPECT_TRUE(absl::IsAlreadyExists((*two)->Commit()));
}

TEST_F(CampaignTest, RejectsRowsWithoutAValueTheTemplateNeeds) {
  CampaignDefinition d = Definition();
  d.recipients_path = dir_.Write("gaps.csv", "email,name\nann@example.com,\nbob@example.com,Bob\n");
  auto c = Campaign::Prepare(d, Options());
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ((*c)->import().imported, 1u);
  EXPECT_EQ((*c)->import().rejected, 1u);
}

TEST(CampaignIdOf, IsSafeAsAFolderName) {
  EXPECT_EQ(CampaignId("Spring 2026!"), "spring-2026");
  EXPECT_EQ(CampaignId("../../etc/passwd"), "etc-passwd");
  EXPECT_EQ(CampaignId("..."), "");
  EXPECT_EQ(CampaignId(std::string(500, 'a')).size(), 100u);
}

}  // namespace
}  // namespace volley::pipeline
