#include "pipeline/deliver/press.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/reactor/sim_reactor.h"
#include "tests/engine/dkim/naive_dkim.h"
#include "tests/engine/dkim/test_keys.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

namespace dkim = engine::dkim;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using volley::testing::SecretFolder;

constexpr std::string_view kMarker = "DKIM-Signature: kept=yes\r\n";
constexpr std::string_view kList = "news.example.org";
constexpr absl::Duration kLong = absl::Seconds(60);

class PressTest : public ::testing::Test {
 protected:
  PressTest() : reactor_(io::SimReactor::Create({})) {
    folder_.Put("ed", dkim::kEd25519Pem);
    definition_.name = "Spring";
    definition_.from = "News <news@example.org>";
    definition_.subject = "Hello {{name}}";
    definition_.text_path = folder_.Write("hello.txt", "Dear {{name}}, {{#vip}}{{vip}}{{/vip}}\n");
    definition_.recipients_path = folder_.Write("people.csv",
                                                "email,name,vip\n"
                                                "ann@example.com,Ann,\n"
                                                "Bob@example.com,Bob,\n"
                                                "carl@example.com,Carl,\n"
                                                "dora@example.com,Dora,\n");
    definition_.unsubscribe.url = "https://example.org/u/";
    definition_.unsubscribe.list_id = kList;
    definition_.dkim = {{"example.org", "e", folder_.path("ed")}};
  }

  void Start() {
    PrepareOptions options;
    options.state_dir = folder_.path("state");
    auto campaign = Campaign::Prepare(definition_, options);
    ASSERT_TRUE(campaign.ok()) << campaign.status();
    campaign_ = *std::move(campaign);
    suppressions_ = *SuppressionList::Open(folder_.path("state"));
    const RecipientFile& recipients = campaign_->recipients();
    RecipientRecord record;
    uint64_t offset = recipients.first_offset();
    for (uint32_t i = 0; i < recipients.count(); ++i) {
      jobs_.push_back({.offset = offset, .index = i});
      offset = *recipients.ReadAt(offset, &record);
    }
    StartPress();
  }
  void StartPress() {
    const FlowMail mail{campaign_.get(),
                        *SuppressionSnapshot::Load(folder_.path("state"), campaign_->list())};
    press_ = std::make_unique<Press>(reactor_.get(), std::span(&mail, 1),
                                     [this](size_t n) -> const Job* {
                                       peeked_.push_back(n);
                                       return n < jobs_.size() ? &jobs_[n] : nullptr;
                                     });
  }
  void Suppress(std::string_view address, std::string_view list) {
    Suppression entry;
    entry.address = address, entry.list = list;
    entry.reason = "unsubscribe", entry.source = "one-click";
    ASSERT_TRUE(suppressions_->Add(entry).ok());
  }
  // Empty: it is to be sent, and copy_ is it.
  std::optional<Outcome> Make(size_t job) {
    Press::Made made = press_->Make(jobs_[job], &copy_);
    why_ = made.why;
    if (!made.outcome) {
      EXPECT_EQ(made.record->index, jobs_[job].index);
    }
    return made.outcome;
  }
  std::string Sent(size_t job) {
    EXPECT_EQ(Make(job), std::nullopt) << why_;
    return copy_.message.ToString();
  }
  // What another process would make of it, with nothing kept.
  std::string Fresh(size_t job) const {
    RecipientRecord record;
    Copy copy;
    EXPECT_TRUE(campaign_->recipients().ReadAt(jobs_[job].offset, &record).ok());
    EXPECT_TRUE(CopyMaker(&campaign_->recipe()).Make(&record, &copy).ok());
    return copy.message.ToString();
  }
  void Ahead() {
    press_->StartAhead();
    reactor_->RunUntilIdle(kLong);
  }

  const SecretFolder folder_;
  CampaignDefinition definition_;
  std::unique_ptr<io::SimReactor> reactor_;
  std::unique_ptr<Campaign> campaign_;
  std::unique_ptr<SuppressionList> suppressions_;
  std::vector<Job> jobs_;
  std::vector<size_t> peeked_;
  std::unique_ptr<Press> press_;
  Copy copy_;
  std::string why_;
};

TEST_F(PressTest, LooksUpEachRecipientJustBeforeSending) {
  Start();
  EXPECT_THAT(Sent(0), HasSubstr("Dear Ann"));
  Suppress("ann@example.com", kList);
  EXPECT_EQ(Make(0), Outcome::kSuppressed);
  EXPECT_THAT(why_, HasSubstr("suppression list"));
  EXPECT_EQ(Make(2), std::nullopt) << "somebody else";
  ASSERT_TRUE(*suppressions_->Remove("ann@example.com", kList));
  EXPECT_EQ(Make(0), std::nullopt) << "came back";
}

TEST_F(PressTest, SendsNothingToWhoWantsNothingAtAllAndNoMatterHowTheySpellIt) {
  Start();
  Suppress("bob@EXAMPLE.com", "");
  Suppress("carl@example.com", "another.example.org");
  EXPECT_EQ(Make(1), Outcome::kSuppressed);
  EXPECT_EQ(Make(2), std::nullopt) << "left another list";
}

TEST_F(PressTest, KnowsWhoWasSuppressedBeforeItStarted) {
  Start();
  Suppress("dora@example.com", kList);
  StartPress();
  EXPECT_EQ(Make(3), Outcome::kSuppressed);
  EXPECT_EQ(Make(0), std::nullopt);
}

TEST_F(PressTest, DefersWhoCannotBeLookedUp) {
  Start();
  suppressions_.reset();
  for (const char* file : {"volley.db", "volley.db-wal", "volley.db-shm"}) {
    std::filesystem::remove(folder_.path("state/" + std::string(file)));
  }
  std::filesystem::create_directory(folder_.path("state/volley.db"));
  EXPECT_EQ(Make(0), Outcome::kDeferred);
  EXPECT_THAT(why_, HasSubstr("volley.db"));
}

TEST_F(PressTest, CountsACopyThatCannotBeMadeAndGoesOn) {
  definition_.text_path = folder_.Write("hello.txt", "{{#vip}}Dear {{name}}{{/vip}}\n");
  definition_.subject = "Hello";
  folder_.Write("people.csv", "email,name,vip\nann@example.com,,yes\nbob@example.com,Bob,yes\n");
  Start();
  EXPECT_EQ(Make(0), Outcome::kUnrenderable);
  EXPECT_THAT(why_, HasSubstr("name"));
  EXPECT_THAT(Sent(1), HasSubstr("Dear Bob"));
  jobs_[0].offset = uint64_t{1} << 39;
  EXPECT_EQ(Make(0), Outcome::kUnrenderable);
  Ahead();
  EXPECT_EQ(press_->signed_ahead(), 1u);
}

TEST_F(PressTest, KeepsASignatureForARetryOfTheSameCopy) {
  Start();
  Sent(1);
  copy_.signature = kMarker;  // shows whether it is used
  press_->Keep(jobs_[0], copy_);
  EXPECT_THAT(Sent(0), Not(StartsWith(kMarker)));
  EXPECT_THAT(Sent(1), StartsWith(kMarker));
  EXPECT_EQ(Sent(1), Fresh(1));
}

TEST_F(PressTest, SignsAheadWhatComesNextAndSendsTheSame) {
  Start();
  Ahead();
  EXPECT_THAT(peeked_, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(press_->signed_ahead(), 4u);
  for (size_t job = 0; job < jobs_.size(); ++job) {
    const std::string sent = Sent(job);
    EXPECT_EQ(sent, Fresh(job));
    EXPECT_EQ(dkim::naive::Verify(sent, 0, std::string(dkim::kEd25519Record)), "");
  }
}

TEST_F(PressTest, SignsOneATurnUntilItIsToStop) {
  Start();
  press_->StartAhead();
  press_->StartAhead();  // is no second one
  reactor_->RunOnce(kLong);
  EXPECT_EQ(press_->signed_ahead(), 1u);
  press_->StopAhead();
  press_->StopAhead();
  reactor_->RunUntilIdle(kLong);
  EXPECT_EQ(press_->signed_ahead(), 1u);
  Ahead();
  EXPECT_EQ(press_->signed_ahead(), 4u) << "what was signed is not signed again";
}

TEST_F(PressTest, EndsWhileItSignsAhead) {
  Start();
  press_->StartAhead();
  press_.reset();
  reactor_->RunUntilIdle(kLong);
  EXPECT_THAT(peeked_, ElementsAre());
}

TEST_F(PressTest, LooksAtNoJobAheadWithoutAKey) {
  definition_.dkim.clear();
  Start();
  Ahead();
  EXPECT_THAT(peeked_, ElementsAre());
  EXPECT_THAT(Sent(0), Not(HasSubstr("DKIM-Signature")));
}

TEST_F(PressTest, DoesNotSendWhatItSignedAheadToWhoLeftSince) {
  Start();
  Ahead();
  Suppress("ann@example.com", kList);
  EXPECT_EQ(Make(0), Outcome::kSuppressed);
  EXPECT_EQ(Make(1), std::nullopt);
}

TEST_F(PressTest, SignsAnewWhatItSignedAheadWithAKeyThatWasReplaced) {
  Start();
  Ahead();
  const auto key = *dkim::SigningKey::Generate(dkim::KeyAlgorithm::kEd25519);
  folder_.Replace("ed", key->ToPem().reveal());
  ASSERT_TRUE(campaign_->recipe().dkim->Reload().ok());
  const std::string record = "v=DKIM1; k=ed25519; p=" + key->public_key();
  for (size_t job = 0; job < jobs_.size(); ++job) {
    EXPECT_EQ(dkim::naive::Verify(Sent(job), 0, record), "");
  }
}

TEST_F(PressTest, SignsNoMoreAheadThanItCanKeep) {
  std::string people = "email,name,vip\n";
  for (size_t i = 0; i < kKeptSignaturesMax + 10; ++i) {
    people += fmt::format("p{}@example.com,P,\n", i);
  }
  folder_.Write("people.csv", people);
  Start();
  Ahead();
  EXPECT_EQ(press_->signed_ahead(), kKeptSignaturesMax);
  EXPECT_EQ(peeked_.size(), kKeptSignaturesMax) << "looks at jobs that it has no room for";
  Ahead();
  EXPECT_EQ(peeked_.size(), kKeptSignaturesMax);
  // Who left makes room for another.
  Suppress("p5@example.com", kList);
  EXPECT_EQ(Make(5), Outcome::kSuppressed);
  jobs_.erase(jobs_.begin(), jobs_.begin() + 6);
  Ahead();
  EXPECT_EQ(press_->signed_ahead(), kKeptSignaturesMax + 1);
}

}  // namespace
}  // namespace volley::pipeline
