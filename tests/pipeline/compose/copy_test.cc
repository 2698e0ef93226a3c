#include "pipeline/compose/copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/compliance/list_headers.h"
#include "tests/engine/dkim/naive_dkim.h"
#include "tests/engine/dkim/test_keys.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

namespace compliance = engine::compliance;
namespace dkim = engine::dkim;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;
using volley::testing::SecretFolder;

constexpr std::string_view kTokenKey =
    "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::string_view kMailbox = "bounces@example.org";
constexpr std::string_view kMarker = "DKIM-Signature: kept=yes\r\n";

// A message as receivers see it: fields by name, unfolded.
std::string FieldOf(const std::string& message, std::string_view name) {
  const std::string header = message.substr(0, message.find("\r\n\r\n") + 2);
  for (std::string field : dkim::naive::Fields(header)) {
    if (!field.starts_with(std::string(name) + ":")) continue;
    dkim::naive::ReplaceAll(&field, "\r\n", "");
    return dkim::naive::Trim(field.substr(name.size() + 1));
  }
  return "";
}

std::string Between(const std::string& text, std::string_view before, std::string_view after) {
  const size_t begin = text.find(before);
  if (begin == text.npos) return "";
  const size_t at = begin + before.size();
  return text.substr(at, text.find(after, at) - at);
}

struct Row {
  uint64_t index = 0;
  std::string address = "ann@example.com";
  std::vector<std::string> values = {"Ann", ""};
};

class CopyTest : public ::testing::Test {
 protected:
  // A bulk campaign with everything on: tokens, list headers, signed bounce paths, two signatures.
  CopyTest() {
    folder_.Put("ed", dkim::kEd25519Pem), folder_.Put("rsa", dkim::kRsaPem);
    spec_.from = "News <news@example.org>";
    spec_.subject = {"subject", "Hello {{name}}"};
    spec_.text = {"text", "Dear {{name}},\n\nLeave: {{{unsubscribe_url}}}\n"};
    spec_.message_id_key = "key234";
    spec_.date = absl::FromUnixSeconds(1'800'000'000);
    recipe_.date = spec_.date;
    recipe_.reverse_path = "news@example.org";
    recipe_.list = "news.example.org";
    recipe_.campaign = "spring";
    recipe_.bounce_mailbox = kMailbox;
    recipe_.token_keys =
        std::make_shared<const compliance::KeyRing>(*compliance::KeyRing::Parse(kTokenKey));
    recipe_.unsubscribe_url = *compliance::UnsubscribeUrl::Parse(kUrl);
    SetListHeaders(compliance::MailKind::kBulk);
    LoadKeys();
  }

  void LoadKeys() {
    recipe_.dkim = *DkimKeys::Load(
        {{"example.org", "e", folder_.path("ed")}, {"example.org", "r", folder_.path("rsa")}});
  }
  void SetListHeaders(compliance::MailKind kind) {
    spec_.headers.clear();
    auto headers = compliance::MakeListHeaders({.kind = kind,
                                                .url = kUrl,
                                                .mailto = "leave@example.org",
                                                .list_id = "News <news.example.org>",
                                                .feedback_id = "spring:sender1"});
    for (auto& [name, value] : *headers) spec_.headers.push_back({name, {name, value}});
  }
  // After this the spec is of no more use.
  const CopyRecipe* Recipe() {
    std::vector<std::string> columns = {"name", "file"};
    if (recipe_.token_keys != nullptr) {
      columns.emplace_back(kUnsubscribeUrlColumn);
      columns.emplace_back(kUnsubscribeTokenColumn);
    }
    auto compiled = engine::message::MessageTemplate::Compile(spec_, columns);
    EXPECT_TRUE(compiled.ok()) << compiled.status();
    recipe_.message.emplace(*std::move(compiled));
    return &recipe_;
  }

  static RecipientRecord RecordOf(const Row& row) {
    RecipientRecord record;
    record.index = row.index;
    record.address = row.address;
    for (const std::string& value : row.values) record.fields.push_back({value});
    return record;
  }
  static absl::Status Make(CopyMaker* maker, const Row& row, Copy* copy) {
    RecipientRecord record = RecordOf(row);
    return maker->Make(&record, copy);
  }
  static std::string Made(CopyMaker* maker, const Row& row) {
    Copy copy;
    const absl::Status status = Make(maker, row, &copy);
    EXPECT_TRUE(status.ok()) << status;
    return status.ok() ? copy.message.ToString() : "";
  }
  static bool SignAhead(CopyMaker* maker, const Row& row) {
    RecipientRecord record = RecordOf(row);
    return maker->SignAhead(&record);
  }
  // Keeps a signature that no signer makes, so that it shows whether it was used.
  static void KeepMarker(CopyMaker* maker, const Row& row) {
    Copy copy;
    ASSERT_TRUE(Make(maker, row, &copy).ok());
    copy.signature = kMarker;
    maker->Keep(copy);
  }
  void NewKey() const {
    folder_.Replace(
        "ed",
        std::string((*dkim::SigningKey::Generate(dkim::KeyAlgorithm::kEd25519))->ToPem().reveal()));
    ASSERT_TRUE(recipe_.dkim->Reload().ok());
    ASSERT_EQ(recipe_.dkim->version(), 2u);
  }

  static constexpr const char* kUrl = "https://example.org/u/{{token}}?from=mail";
  const SecretFolder folder_;
  engine::message::MessageSpec spec_;
  CopyRecipe recipe_;
  const Row ann_ = {0, "ann@example.com", {"Ann", ""}};
  const Row bob_ = {7, "bob@example.net", {"Bob", ""}};
};

TEST_F(CopyTest, GivesEachRecipientALinkThatIsTheirOwn) {
  CopyMaker maker(Recipe());
  std::string tokens[2];
  for (const Row* row : {&ann_, &bob_}) {
    const std::string message = Made(&maker, *row);
    const std::string field = FieldOf(message, "List-Unsubscribe");
    const std::string token = Between(field, "<https://example.org/u/", "?from=mail>, <mailto:");
    const auto claim = compliance::OpenUnsubscribeToken(*recipe_.token_keys, token);
    ASSERT_TRUE(claim.ok()) << field;
    EXPECT_EQ(claim->recipient, row->address);
    EXPECT_EQ(claim->list, "news.example.org");
    EXPECT_EQ(claim->campaign, "spring");
    EXPECT_THAT(field, EndsWith("<mailto:leave@example.org?subject=unsubscribe-" + token + ">"));
    EXPECT_EQ(FieldOf(message, "List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    EXPECT_EQ(FieldOf(message, "List-Id"), "News <news.example.org>");
    EXPECT_EQ(FieldOf(message, "Precedence"), "bulk");
    // The link that a reader sees is the one in the header.
    std::string body = message.substr(message.find("\r\n\r\n"));
    dkim::naive::ReplaceAll(&body, "=\r\n", "");
    dkim::naive::ReplaceAll(&body, "=3D", "=");
    EXPECT_THAT(body, HasSubstr("Leave: https://example.org/u/" + token + "?from=mail"));
    tokens[row == &bob_] = token;
  }
  EXPECT_NE(tokens[0], tokens[1]);
}

TEST_F(CopyTest, SignsReversePathsThatTellCampaignAndRecipient) {
  CopyMaker maker(Recipe());
  for (const Row* row : {&ann_, &bob_, &ann_}) {  // a copy is used again: nothing of bob is left
    Copy copy;
    ASSERT_TRUE(Make(&maker, *row, &copy).ok());
    EXPECT_THAT(copy.reverse_path, MatchesRegex("bounces\\+[a-z2-7]+@example\\.org"));
    const auto claim = compliance::OpenBouncePath(*recipe_.token_keys, kMailbox, copy.reverse_path);
    ASSERT_TRUE(claim.ok()) << copy.reverse_path;
    EXPECT_EQ(claim->recipient, row->index);
    EXPECT_EQ(claim->campaign, compliance::BounceCampaign("spring"));
    EXPECT_THAT(copy.message.ToString(), Not(HasSubstr("bounces+")));
  }
}

TEST_F(CopyTest, HasOneReversePathForAllWithoutABounceMailbox) {
  recipe_.bounce_mailbox.clear();
  CopyMaker maker(Recipe());
  Copy copy;
  for (const Row* row : {&ann_, &bob_}) {
    ASSERT_TRUE(Make(&maker, *row, &copy).ok());
    EXPECT_EQ(copy.reverse_path, "news@example.org");
  }
}

TEST_F(CopyTest, SaysThatABounceMailboxCannotBe) {
  recipe_.bounce_mailbox = "b\"o@example.org";
  CopyMaker maker(Recipe());
  Copy copy;
  EXPECT_EQ(Make(&maker, ann_, &copy).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CopyTest, SignsWithEveryKeyAndCoversBothUnsubscribeHeaders) {
  CopyMaker maker(Recipe());
  const std::string message = Made(&maker, bob_);
  EXPECT_EQ(dkim::naive::Verify(message, 0, std::string(dkim::kEd25519Record)), "");
  EXPECT_EQ(dkim::naive::Verify(message, 1, std::string(dkim::kRsaRecord)), "");
  for (const std::string_view name : {"List-Unsubscribe:", "List-Unsubscribe-Post:"}) {
    std::string altered = message;
    altered.insert(altered.find("\r\n" + std::string(name)) + 2 + name.size(), " x");
    EXPECT_EQ(dkim::naive::Verify(altered, 0, std::string(dkim::kEd25519Record)), "signature");
    EXPECT_EQ(dkim::naive::Verify(altered, 1, std::string(dkim::kRsaRecord)), "signature");
    // RFC 8058 §4 and RFC 6376 §8.15: nor may a second one be put beside it.
    std::string doubled = message;
    doubled.insert(doubled.find("\r\nFrom:") + 2, std::string(name) + " x\r\n");
    EXPECT_EQ(dkim::naive::Verify(doubled, 0, std::string(dkim::kEd25519Record)), "signature");
  }
}

TEST_F(CopyTest, SignsABodyThatAllShareAsItIs) {
  spec_.text = {"text", "The same for all.\n"};
  CopyMaker maker(Recipe());
  ASSERT_TRUE(recipe_.message->body_is_shared());
  for (const Row* row : {&ann_, &bob_}) {
    EXPECT_EQ(dkim::naive::Verify(Made(&maker, *row), 0, std::string(dkim::kEd25519Record)), "");
  }
}

TEST_F(CopyTest, LeavesListHeadersOutOfTransactionalMail) {
  SetListHeaders(compliance::MailKind::kTransactional);
  spec_.text = {"text", "Dear {{name}}, here is your receipt.\n"};
  recipe_.unsubscribe_url.reset();
  recipe_.token_keys.reset();
  recipe_.bounce_mailbox.clear();
  CopyMaker maker(Recipe());
  const std::string message = Made(&maker, ann_);
  const std::string header = "\r\n" + message.substr(0, message.find("\r\n\r\n"));
  EXPECT_THAT(header, Not(HasSubstr("\r\nList-")));
  EXPECT_THAT(header, Not(HasSubstr("\r\nPrecedence")));
  EXPECT_EQ(FieldOf(message, "Auto-Submitted"), "auto-generated");
  EXPECT_EQ(dkim::naive::Verify(message, 0, std::string(dkim::kEd25519Record)), "");
}

TEST_F(CopyTest, RefusesHeaderInjectionThroughAColumnAndGoesOn) {
  spec_.headers.push_back({"X-Name", {"header X-Name", "{{name}}"}});
  spec_.to_name = {"to_name", "{{name}}"};
  CopyMaker maker(Recipe());
  const std::string good = Made(&maker, ann_);
  Copy copy;
  for (const std::string& value :
       {std::string("Ann\r\nBcc: eve@example.net"), std::string("Ann\nX: y"), std::string("Ann\r"),
        std::string("Ann\0x", 5), std::string("Ann\x1b[2J"), std::string("Ann\xff"),
        std::string("Ann\xed\xa0\x80")}) {
    const absl::Status status = Make(&maker, {3, "ann@example.com", {value, ""}}, &copy);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << value;
    EXPECT_THAT(std::string(status.message()), HasSubstr("name"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
    EXPECT_FALSE(SignAhead(&maker, {3, "ann@example.com", {value, ""}}));
    ASSERT_TRUE(Make(&maker, ann_, &copy).ok());
    EXPECT_EQ(copy.message.ToString(), good);
  }
  // The same bytes in the address, which the importer would never have let in.
  EXPECT_FALSE(Make(&maker, {3, "ann@example.com\r\nBcc: eve@example.net", {"A", ""}}, &copy).ok());
}

TEST_F(CopyTest, MakesTheSameBytesForPreviewSendingAndRetries) {
  const CopyRecipe* recipe = Recipe();
  CopyMaker preview(recipe), sender(recipe);
  const std::string shown = Made(&preview, bob_);
  EXPECT_TRUE(SignAhead(&sender, ann_));
  EXPECT_TRUE(SignAhead(&sender, bob_));
  Copy copy;
  ASSERT_TRUE(Make(&sender, ann_, &copy).ok());
  ASSERT_TRUE(Make(&sender, bob_, &copy).ok());
  EXPECT_EQ(copy.message.ToString(), shown);
  const std::string reverse_path = copy.reverse_path;
  for (int retry = 0; retry < 3; ++retry) {
    sender.Keep(copy);
    ASSERT_TRUE(Make(&sender, ann_, &copy).ok());
    ASSERT_TRUE(Make(&sender, bob_, &copy).ok());
    EXPECT_EQ(copy.message.ToString(), shown);
    EXPECT_EQ(copy.reverse_path, reverse_path);
  }
}

TEST_F(CopyTest, TakesAKeptSignatureOnceAndForItsRecipientOnly) {
  CopyMaker maker(Recipe());
  const std::string bob = Made(&maker, bob_);
  KeepMarker(&maker, bob_);
  EXPECT_THAT(Made(&maker, ann_), Not(StartsWith(kMarker)));
  EXPECT_THAT(Made(&maker, bob_), StartsWith(kMarker));
  EXPECT_EQ(Made(&maker, bob_), bob);
}

TEST_F(CopyTest, ForgetsTheSignatureOfWhoWillNotBeSentTo) {
  CopyMaker maker(Recipe());
  KeepMarker(&maker, ann_), KeepMarker(&maker, bob_);
  maker.Forget(bob_.index);
  maker.Forget(1234);  // of whom there is none
  EXPECT_THAT(Made(&maker, bob_), Not(StartsWith(kMarker)));
  EXPECT_THAT(Made(&maker, ann_), StartsWith(kMarker));
}

TEST_F(CopyTest, SignsAheadOnce) {
  CopyMaker maker(Recipe());
  EXPECT_TRUE(SignAhead(&maker, ann_));
  EXPECT_FALSE(SignAhead(&maker, ann_));
  Made(&maker, ann_);
  EXPECT_TRUE(SignAhead(&maker, ann_)) << "it was used";
}

TEST_F(CopyTest, DropsWhatOldKeysSignedWhenNewOnesCome) {
  CopyMaker maker(Recipe());
  Copy in_flight;
  ASSERT_TRUE(Make(&maker, bob_, &in_flight).ok());
  KeepMarker(&maker, ann_);
  EXPECT_FALSE(SignAhead(&maker, ann_)) << "it is kept";
  NewKey();
  EXPECT_TRUE(SignAhead(&maker, ann_)) << "what is kept is of the old key";
  const std::string record =
      "v=DKIM1; k=ed25519; p=" + (*recipe_.dkim->current())[0].key->public_key();
  EXPECT_EQ(dkim::naive::Verify(Made(&maker, ann_), 0, record), "");
  maker.Keep(in_flight);  // it was on its way while the key changed, and comes back
  EXPECT_EQ(dkim::naive::Verify(Made(&maker, bob_), 0, record), "");
}

TEST_F(CopyTest, KeepsSoManySignaturesAndNotOneMore) {
  CopyMaker maker(Recipe());
  Copy copy;
  ASSERT_TRUE(Make(&maker, ann_, &copy).ok());
  for (size_t i = 0; i < kKeptSignaturesMax; ++i) {
    ASSERT_TRUE(maker.can_keep());
    copy.recipient = 100 + i;
    copy.signature = kMarker;
    maker.Keep(copy);
  }
  EXPECT_FALSE(maker.can_keep());
  KeepMarker(&maker, bob_);
  EXPECT_THAT(Made(&maker, bob_), Not(StartsWith(kMarker)));
  EXPECT_FALSE(SignAhead(&maker, bob_));
  maker.Forget(100);
  EXPECT_TRUE(SignAhead(&maker, bob_));
}

TEST_F(CopyTest, MakesUnsignedCopiesWithoutKeys) {
  recipe_.dkim.reset();
  CopyMaker maker(Recipe());
  EXPECT_FALSE(maker.signs());
  EXPECT_FALSE(maker.can_keep());
  EXPECT_FALSE(SignAhead(&maker, ann_));
  Copy copy;
  ASSERT_TRUE(Make(&maker, ann_, &copy).ok());
  EXPECT_EQ(copy.signature, "");
  EXPECT_THAT(copy.message.ToString(), Not(HasSubstr("DKIM-Signature")));
  maker.Keep(copy);
  EXPECT_THAT(Made(&maker, ann_), Not(HasSubstr("DKIM-Signature")));
}

class OwnFileTest : public CopyTest {
 protected:
  OwnFileTest() {
    spec_.recipient_attachments = true;
    recipe_.file_column = 1;
    recipe_.files = *RecipientFiles::Open(folder_.path(), 1000);
  }
  const Row with_file_ = {1, "ann@example.com", {"Ann", "ann.txt"}};
};

TEST_F(OwnFileTest, AttachesTheRecipientsOwnAndSignsItAnewEachTime) {
  CopyMaker maker(Recipe());
  for (const auto& [content, base64] : {std::pair("first", "Zmlyc3Q="), {"second", "c2Vjb25k"}}) {
    folder_.Write("ann.txt", content);
    const std::string message = Made(&maker, with_file_);
    EXPECT_THAT(message, HasSubstr("ann.txt"));
    EXPECT_THAT(message, HasSubstr(base64));
    EXPECT_EQ(dkim::naive::Verify(message, 0, std::string(dkim::kEd25519Record)), "");
    KeepMarker(&maker, with_file_);
    EXPECT_FALSE(SignAhead(&maker, with_file_));
  }
  EXPECT_THAT(Made(&maker, {1, "ann@example.com", {"Ann", ""}}), Not(HasSubstr("ann.txt")));
}

TEST_F(OwnFileTest, SaysWhichFileIsMissingOrTooBig) {
  CopyMaker maker(Recipe());
  Copy copy;
  EXPECT_REFUSED(Make(&maker, with_file_, &copy), absl::StatusCode::kInvalidArgument, "ann.txt",
                 folder_.path(), "No such file");
  folder_.Write("ann.txt", std::string(1001, 'x'));
  EXPECT_REFUSED(Make(&maker, with_file_, &copy), absl::StatusCode::kInvalidArgument, "ann.txt",
                 "1001 bytes", "at most 1000");
}

}  // namespace
}  // namespace volley::pipeline
