// [[dkim]], [unsubscribe] and [attachments] of a campaign file: from the text to the copies made,
// and what each wrong value is told.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "pipeline/campaign/campaign.h"
#include "pipeline/campaign/definition.h"
#include "tests/engine/dkim/naive_dkim.h"
#include "tests/engine/dkim/test_keys.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

namespace dkim = engine::dkim;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using volley::testing::SecretFolder;
using volley::testing::WordsOf;
using enum absl::StatusCode;

constexpr std::string_view kHead = R"([campaign]
name = "Spring"
from = "News <news@example.org>"
subject = "Hello"
text = "hello.txt"
html = "hello.html"
recipients = "people.csv"
)";
constexpr std::string_view kOneClick = "[unsubscribe]\nurl = \"https://example.org/u/\"\n";

class MailSettings : public ::testing::Test {
 protected:
  MailSettings() {
    folder_.Write("hello.txt", "Hello\n");
    folder_.Write("hello.html", "<p>Hello</p>\n");
    folder_.Write("people.csv", "email,file\nann@example.com,ann.txt\n");
    folder_.Put("rsa.pem", dkim::kRsaPem), folder_.Put("ed.pem", dkim::kEd25519Pem);
  }

  absl::StatusOr<CampaignDefinition> Load(std::string_view tables) const {
    return LoadCampaignFile(folder_.Write("c.toml", std::string(kHead) + std::string(tables)));
  }
  // Empty where a step was refused; then error_ says why.
  std::unique_ptr<Campaign> Prepare(std::string_view tables, bool without_unsubscribe = false) {
    const auto definition = Load(tables);
    error_ = definition.status();
    if (error_.ok()) error_ = CheckDefinition(*definition, /*to_send=*/false);
    if (!error_.ok()) return nullptr;
    PrepareOptions options;
    options.state_dir = folder_.path("state");
    options.without_unsubscribe = without_unsubscribe;
    auto campaign = Campaign::Prepare(*definition, options);
    error_ = campaign.status();
    return error_.ok() ? *std::move(campaign) : nullptr;
  }
  std::string First(std::string_view tables, bool without_unsubscribe = false) {
    const auto campaign = Prepare(tables, without_unsubscribe);
    EXPECT_TRUE(campaign) << error_;
    return campaign ? FirstOf(*campaign) : "";
  }
  static std::string FirstOf(const Campaign& campaign) {
    RecipientRecord record;
    EXPECT_TRUE(campaign.recipients().ReadAt(campaign.recipients().first_offset(), &record).ok());
    Copy copy;
    const absl::Status status = CopyMaker(&campaign.recipe()).Make(&record, &copy);
    EXPECT_TRUE(status.ok()) << status;
    return copy.message.ToString();
  }

  const SecretFolder folder_;
  absl::Status error_;
};

// The line of the file where the tables begin.
constexpr int kFirstLine = 8;

struct BadTables {
  std::string name, text;
  int line;  // of `text`, from 1
  std::string expected;
};
class BadMailSettings : public MailSettings, public ::testing::WithParamInterface<BadTables> {};

TEST_P(BadMailSettings, AreToldWithFileLineAndWhatWouldDo) {
  const BadTables& bad = GetParam();
  EXPECT_THAT(
      WordsOf(Load(bad.text).status()),
      AllOf(StartsWith(fmt::format("{}:{}: ", folder_.path("c.toml"), kFirstLine - 1 + bad.line)),
            HasSubstr(bad.expected)));
}

INSTANTIATE_TEST_SUITE_P(
    Dkim, BadMailSettings,
    ::testing::Values(
        BadTables{"NoSelector", "[[dkim]]\ndomain = \"example.org\"\nkey = \"rsa.pem\"\n", 1,
                  "volley keys dkim new"},
        BadTables{"BadSelector",
                  "[[dkim]]\ndomain = \"example.org\"\nselector = \"a b\"\nkey = \"rsa.pem\"\n", 1,
                  "\"a b\" is not a selector: letters, digits"},
        BadTables{"BadDomain",
                  "[[dkim]]\ndomain = \"example\"\nselector = \"s\"\nkey = \"rsa.pem\"\n", 1,
                  "\"example\" is not a domain"},
        BadTables{"SecondOfTwo",
                  "[[dkim]]\ndomain = \"example.org\"\nselector = \"s\"\nkey = \"rsa.pem\"\n"
                  "[[dkim]]\ndomain = \"example.org\"\nselector = \"-s\"\nkey = \"ed.pem\"\n",
                  5, "\"-s\" is not a selector"},
        BadTables{"EmptyKey", "[[dkim]]\ndomain = \"example.org\"\nselector = \"s\"\nkey = \"\"\n",
                  4, "\"key\" is an empty path"},
        // It comes from the key, so that the two cannot contradict each other.
        BadTables{"Algorithm", "[[dkim]]\nalgorithm = \"rsa\"\n", 2,
                  "unknown key \"algorithm\" in [dkim]"},
        BadTables{"Misspelled", "[[dkim]]\nselektor = \"s\"\n", 2, "(did you mean \"selector\"?)"},
        BadTables{"NotATable", "dkim = \"rsa.pem\"\n", 1, "unknown key \"dkim\" in [campaign]"},
        BadTables{"DomainIsANumber", "[[dkim]]\ndomain = 3\n", 2, "must be a string"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Unsubscribe, BadMailSettings,
    ::testing::Values(
        BadTables{"Http", "[unsubscribe]\nurl = \"http://example.org/u/\"\n", 2,
                  "\"http://example.org/u/\": the unsubscribe URL is http: one-click unsubscribing "
                  "needs https"},
        BadTables{"OtherScheme", "[unsubscribe]\nurl = \"ftp://example.org/u/\"\n", 2,
                  "does not begin with https://"},
        BadTables{"NoPlaceForTheToken", "[unsubscribe]\nurl = \"https://example.org/u\"\n", 2,
                  "write {{token}} where it belongs"},
        BadTables{"TwoTokens", "[unsubscribe]\nurl = \"https://example.org/{{token}}/{{token}}\"\n",
                  2, "{{token}}, which may be there once"},
        BadTables{"OtherVariable", "[unsubscribe]\nurl = \"https://example.org/u/{{id}}\"\n", 2,
                  "braces that are not {{token}}"},
        BadTables{"Fragment", "[unsubscribe]\nurl = \"https://example.org/#{{token}}\"\n", 2,
                  "never reaches the server"},
        BadTables{"LineEnd", "[unsubscribe]\nurl = \"https://example.org/u/\\r\\nX: y/\"\n", 2,
                  "\"https://example.org/u/\\r\\nX: y/\": the unsubscribe URL has a character "
                  "(0x0d)"},
        BadTables{"Mailto", "[unsubscribe]\nmailto = \"leave\"\n", 2, "\"leave\": mailto"},
        BadTables{"MailtoWithHeaders", "[unsubscribe]\nmailto = \"a@example.org?cc=x@y.org\"\n", 2,
                  "mailto"},
        BadTables{"ListId", "\n[unsubscribe]\nlist_id = \"News\"\n", 3,
                  "\"News\": list_id needs a name such as news.example.org"},
        BadTables{"ListIdLineEnd", "[unsubscribe]\nlist_id = \"N\\nX: y <n.example.org>\"\n", 2,
                  "has a control character"},
        BadTables{"EmptyKey", "[unsubscribe]\nkey = \"\"\n", 2, "\"key\" is an empty path"},
        BadTables{"Number", "[unsubscribe]\nurl = 1\n", 2, "\"url\" must be a string"},
        BadTables{"Misspelled", "[unsubscribe]\nmail_to = \"a@example.org\"\n", 2,
                  "(did you mean \"mailto\"?)"},
        BadTables{"FeedbackId", "feedback_id = \"a:b:c:d:e\"\n", 1,
                  "\"a:b:c:d:e\": feedback_id has 5 parts; at most 4"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Attachments, BadMailSettings,
    ::testing::Values(BadTables{"NoList", "[attachments]\nfiles = \"a.pdf\"\n", 2,
                                "\"files\" must be a list: files = [\"a.pdf\"]"},
                      BadTables{"Number", "[attachments]\ninline = [\"a.png\",\n  7]\n", 3,
                                "\"inline\" must be a string"},
                      BadTables{"EmptyPath", "[attachments]\nfiles = [\"\"]\n", 2,
                                "is an empty path"},
                      BadTables{"NoMegabyte", "[attachments]\nmessage_mb_max = 0\n", 2,
                                "must be a whole number from 1 to 150"},
                      BadTables{"TooManyMegabytes", "[attachments]\nmessage_mb_max = 151\n", 2,
                                "must be a whole number from 1 to 150"},
                      BadTables{"Misspelled", "[attachments]\ncolum = \"file\"\n", 2,
                                "(did you mean \"column\"?)"}),
    [](const auto& tested) { return tested.param.name; });

// --- [[dkim]] ---

std::string DkimTable(std::string_view selector, std::string_view key) {
  return fmt::format("[[dkim]]\ndomain = \"example.org\"\nselector = \"{}\"\nkey = \"{}\"\n",
                     selector, key);
}

TEST_F(MailSettings, SeveralDkimKeysSignInTheirOrder) {
  const std::string message =
      First(std::string(kOneClick) + DkimTable("e", "ed.pem") + DkimTable("r", "rsa.pem"));
  EXPECT_EQ(dkim::naive::Verify(message, 0, std::string(dkim::kEd25519Record)), "");
  EXPECT_EQ(dkim::naive::Verify(message, 1, std::string(dkim::kRsaRecord)), "");
  EXPECT_THAT(message.substr(0, 200), AllOf(HasSubstr("s=e;"), HasSubstr("a=ed25519-sha256")));
}

TEST_F(MailSettings, ADkimSignatureExpiresWhenAsked) {
  const std::string tables = std::string(kOneClick) + DkimTable("e", "ed.pem");
  EXPECT_THAT(First(tables), Not(HasSubstr(" x=")));
  const auto campaign = Prepare("dkim_expires_days = 7\n" + tables);
  ASSERT_TRUE(campaign) << error_;
  const int64_t signed_at = absl::ToUnixSeconds(campaign->recipe().date);
  EXPECT_THAT(FirstOf(*campaign), AllOf(HasSubstr(fmt::format("t={};", signed_at)),
                                        HasSubstr(fmt::format("x={};", signed_at + 7 * 86400))));
}

TEST_F(MailSettings, ADkimKeyThatCannotBeUsedIsNamedWithWhatToDo) {
  EXPECT_EQ(Prepare(DkimTable("s", "none.pem"), true), nullptr);
  EXPECT_REFUSED(error_, kNotFound, folder_.path("none.pem"), "No such file");
  folder_.Put("open.pem", dkim::kRsaPem, 0644);
  EXPECT_EQ(Prepare(DkimTable("s", "open.pem"), true), nullptr);
  EXPECT_REFUSED(error_, kPermissionDenied, folder_.path("open.pem"), "chmod 600");
  folder_.Put("public.pem", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n");
  EXPECT_EQ(Prepare(DkimTable("s", "public.pem"), true), nullptr);
  EXPECT_REFUSED(error_, kInvalidArgument, folder_.path("public.pem"), "needs the private key");
  EXPECT_EQ(Prepare(DkimTable("s", "ed.pem") + DkimTable("S", "rsa.pem"), true), nullptr);
  EXPECT_REFUSED(error_, kInvalidArgument, "s._domainkey.example.org", "selector of its own");
  EXPECT_FALSE(std::filesystem::exists(folder_.path("state"))) << "something was left behind";
}

// --- [unsubscribe] ---

TEST_F(MailSettings, AnUnsubscribeUrlIsAPrefixOrAPattern) {
  EXPECT_THAT(First("[unsubscribe]\nurl = \"https://example.org/u/\"\n"),
              HasSubstr("\r\nList-Unsubscribe: <https://example.org/u/AQ"));
  EXPECT_THAT(First("[unsubscribe]\nurl = \"https://example.org/go?t=\"\n"),
              HasSubstr("<https://example.org/go?t=AQ"));
  const std::string pattern = First("[unsubscribe]\nurl = \"https://x.org/{{token}}/leave?a=b\"\n");
  EXPECT_THAT(pattern, HasSubstr("<https://x.org/AQ"));
  EXPECT_THAT(pattern, HasSubstr("/leave?a=b>\r\n"));
  EXPECT_THAT(First("[unsubscribe]\nurl = \"http://127.0.0.1:8080/u/\"\n", true),
              HasSubstr("<http://127.0.0.1:8080/u/AQ"))
      << "loopback, for trying it out";
}

TEST_F(MailSettings, TheListIsTheSendersAddressUnlessItHasAName) {
  auto campaign = Prepare(kOneClick);
  ASSERT_TRUE(campaign) << error_;
  EXPECT_EQ(campaign->list(), "news.example.org");
  EXPECT_THAT(FirstOf(*campaign), HasSubstr("\r\nList-Id: <news.example.org>\r\n"));
  campaign =
      Prepare(std::string(kOneClick) + "list_id = \"The \\\"Week\\\" <Week.example.org>\"\n");
  ASSERT_TRUE(campaign) << error_;
  EXPECT_EQ(campaign->list(), "week.example.org");
  EXPECT_THAT(FirstOf(*campaign),
              HasSubstr("\r\nList-Id: \"The \\\"Week\\\"\" <week.example.org>\r\n"));
}

TEST_F(MailSettings, BulkMailWithoutOneClickIsRefusedUnlessTheFlagSaysSo) {
  for (const char* tables :
       {"", "[unsubscribe]\nmailto = \"leave@example.org\"\n", "[unsubscribe]\nurl = \"\"\n"}) {
    EXPECT_EQ(Prepare(tables), nullptr);
    EXPECT_REFUSED(error_, kFailedPrecondition, "RFC 8058", "[unsubscribe]",
                   "--without-unsubscribe", "transactional");
    EXPECT_THAT(First(tables, /*without_unsubscribe=*/true),
                Not(HasSubstr("List-Unsubscribe-Post")));
  }
}

TEST_F(MailSettings, TransactionalMailLeavesListHeadersOutWhateverIsSetUp) {
  const std::string message =
      First("kind = \"transactional\"\n" + std::string(kOneClick) +
            "mailto = \"leave@example.org\"\nlist_id = \"news.example.org\"\n" +
            DkimTable("e", "ed.pem"));
  const std::string header = message.substr(0, message.find("\r\n\r\n"));
  EXPECT_THAT(header, Not(HasSubstr("\r\nList-")));
  EXPECT_THAT(header, Not(HasSubstr("\r\nPrecedence:")));
  EXPECT_THAT(header, HasSubstr("\r\nAuto-Submitted: auto-generated"));
  EXPECT_EQ(dkim::naive::Verify(message, 0, std::string(dkim::kEd25519Record)), "");
}

TEST_F(MailSettings, AnUnsubscribeKeyThatIsNamedMustBeThereAndOurs) {
  const std::string named = std::string(kOneClick) + "key = \"u.key\"\n";
  EXPECT_EQ(Prepare(named), nullptr);
  EXPECT_REFUSED(error_, kNotFound, folder_.path("u.key"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path("u.key"))) << "it was made";
  const std::string key = "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
  folder_.Put("u.key", key, 0644);
  EXPECT_EQ(Prepare(named), nullptr);
  EXPECT_REFUSED(error_, kPermissionDenied, folder_.path("u.key"), "chmod 600");
  folder_.Put("u.key", "hunter2");
  EXPECT_EQ(Prepare(named), nullptr);
  EXPECT_REFUSED(error_, kInvalidArgument, folder_.path("u.key"), "line 1");
  folder_.Put("u.key", key);
  EXPECT_THAT(First(named), HasSubstr("\r\nList-Unsubscribe: <https://example.org/u/AQ"));
}

TEST_F(MailSettings, AListCannotHaveTheColumnsThatVolleyMakes) {
  folder_.Write("people.csv", "email,unsubscribe_url\nann@example.com,https://x.org/\n");
  EXPECT_EQ(Prepare(kOneClick), nullptr);
  EXPECT_REFUSED(error_, kInvalidArgument, "\"unsubscribe_url\"", "rename it");
}

// --- [attachments] ---

TEST_F(MailSettings, FilesAndInlineFilesAreTakenRelativeToTheCampaignFile) {
  folder_.Write("plan.txt", "the plan"), folder_.Write("logo.png", "\x89PNG");
  folder_.Write("hello.html", "<img src=\"cid:logo.png\">\n");
  const std::string message = First(
      std::string(kOneClick) + "[attachments]\nfiles = [\"plan.txt\"]\ninline = [\"logo.png\"]\n");
  EXPECT_THAT(message, HasSubstr("filename=\"plan.txt\""));
  EXPECT_THAT(message, HasSubstr("dGhlIHBsYW4="));
  EXPECT_THAT(message, HasSubstr("Content-ID: <"));
  EXPECT_THAT(message, HasSubstr("multipart/related"));
}

TEST_F(MailSettings, AnAttachmentThatCannotBeIsNamedWithTheReason) {
  const auto refused = [this](std::string_view tables) {
    EXPECT_EQ(Prepare(std::string(kOneClick) + std::string(tables)), nullptr);
    return error_;
  };
  EXPECT_REFUSED(refused("[attachments]\nfiles = [\"none.pdf\"]\n"), kNotFound,
                 folder_.path("none.pdf"), "No such file");
  EXPECT_REFUSED(refused("[attachments]\ninline = [\"none.png\"]\n"), kNotFound,
                 folder_.path("none.png"), "No such file");
  folder_.Write("logo.png", "\x89PNG");
  EXPECT_REFUSED(refused("[attachments]\ninline = [\"logo.png\"]\n"), kInvalidArgument,
                 "\"logo.png\" is shown nowhere", "cid:");
  std::filesystem::create_directory(folder_.path("sub"));
  folder_.Write("sub/logo.png", "\x89PNG");
  EXPECT_REFUSED(refused("[attachments]\nfiles = [\"logo.png\", \"sub/logo.png\"]\n"),
                 kInvalidArgument, "there are two of the name \"logo.png\"");
  EXPECT_REFUSED(refused("[attachments]\nfiles = [\"sub\"]\n"), kInvalidArgument,
                 folder_.path("sub"), "is a folder");
  // Base64 makes four bytes of three: the file fits, and what travels does not.
  folder_.Write("big.bin", std::string(900'000, 'x'));
  EXPECT_REFUSED(refused("[attachments]\nfiles = [\"big.bin\"]\nmessage_mb_max = 1\n"),
                 kInvalidArgument, "big.bin", "as it is sent", "1048576");
  folder_.Write("big.bin", std::string((1 << 20) + 1, 'x'));
  EXPECT_REFUSED(refused("[attachments]\nfiles = [\"big.bin\"]\nmessage_mb_max = 1\n"),
                 kInvalidArgument, folder_.path("big.bin"), "1048577", "1048576");
}

TEST_F(MailSettings, RecipientsOwnFilesNeedColumnAndFolder) {
  const auto refused = [this](std::string_view tables) {
    EXPECT_EQ(Prepare(std::string(kOneClick) + std::string(tables)), nullptr);
    return error_;
  };
  EXPECT_REFUSED(refused("[attachments]\ncolumn = \"file\"\n"), kInvalidArgument, "folder");
  EXPECT_REFUSED(refused("[attachments]\nfolder = \"own\"\n"), kInvalidArgument, "column");
  EXPECT_REFUSED(refused("[attachments]\ncolumn = \"file\"\nfolder = \"own\"\n"), kNotFound,
                 folder_.path("own"));
  std::filesystem::create_directory(folder_.path("own"));
  EXPECT_REFUSED(refused("[attachments]\ncolumn = \"pdf\"\nfolder = \"own\"\n"), kInvalidArgument,
                 "\"pdf\": there is no such column", "email, file");
  folder_.Write("own/ann.txt", "for Ann");
  EXPECT_THAT(
      First(std::string(kOneClick) + "[attachments]\ncolumn = \"file\"\nfolder = \"own\"\n"),
      AllOf(HasSubstr("filename=\"ann.txt\""), HasSubstr("Zm9yIEFubg==")));
}

TEST_F(MailSettings, AllOfItReadsBackFromTheFrozenCopy) {
  const auto d =
      Load("feedback_id = \"spring:sender1\"\ndkim_expires_days = 7\n" + std::string(kOneClick) +
           "mailto = \"leave@example.org\"\nkey = \"u.key\"\n"
           "list_id = \"News <news.example.org>\"\n"
           "[attachments]\nfiles = [\"a.pdf\", \"/b.pdf\"]\ninline = [\"c.png\"]\n"
           "column = \"file\"\nfolder = \"own\"\nmessage_mb_max = 3\n" +
           DkimTable("e", "ed.pem") + DkimTable("r", "rsa.pem"));
  ASSERT_TRUE(d.ok()) << d.status();
  FrozenFacts facts{.key = "abc", .date_rfc3339 = "2026-11-23T10:00:00+00:00"};
  const std::string text = FormatCampaignFile(*d, facts);
  const auto back = LoadFrozenCampaignFile(folder_.Write("frozen.toml", text), &facts);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(FormatCampaignFile(*back, facts), text);
  EXPECT_EQ(back->unsubscribe.key_path, folder_.path("u.key"));
  EXPECT_EQ(back->unsubscribe.list_id, "News <news.example.org>");
  EXPECT_THAT(back->attachments.files, ElementsAre(folder_.path("a.pdf"), "/b.pdf"));
  EXPECT_THAT(back->attachments.inline_files, ElementsAre(folder_.path("c.png")));
  EXPECT_EQ(back->attachments.message_mb_max, 3u);
  EXPECT_EQ(back->dkim_expires_days, 7u);
  ASSERT_EQ(back->dkim.size(), 2u);
  EXPECT_EQ(back->dkim[1].selector, "r");
  EXPECT_EQ(back->dkim[1].key_path, folder_.path("rsa.pem"));
}

}  // namespace
}  // namespace volley::pipeline
