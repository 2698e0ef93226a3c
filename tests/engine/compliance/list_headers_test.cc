#include "engine/compliance/list_headers.h"

#include <string>
#include <utility>
#include <vector>

#include "engine/message/composer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::compliance {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

ListHeaderOptions All() {
  return {.kind = MailKind::kBulk,
          .url = "https://u.example.org/u/{{token}}",
          .mailto = "unsubscribe@Example.org",
          .list_id = "Weekly news <Weekly.example.org>",
          .feedback_id = "november:news::example"};
}

// As a recipient gets them.
std::string Rendered(const ListHeaderOptions& options) {
  const auto headers = MakeListHeaders(options);
  if (!headers.ok()) return std::string(headers.status().message());
  message::MessageSpec spec;
  spec.from = "news@example.org";
  spec.subject = {"subject", "Hello"};
  spec.text = {"text", "Hello"};
  spec.message_id_key = "k";
  for (const auto& [name, value] : *headers) spec.headers.push_back({name, {name, value}});
  const std::vector<std::string> columns = {"unsubscribe_url", "unsubscribe_token"};
  const auto compiled = message::MessageTemplate::Compile(spec, columns);
  if (!compiled.ok()) return std::string(compiled.status().message());
  const message::FieldView fields[] = {{"https://u.example.org/u/TO&KEN"}, {"TOKEN"}};
  message::ComposedMessage out;
  const absl::Status status = compiled->Compose({"ann@example.org", 1, fields}, &out);
  return status.ok() ? out.ToString() : std::string(status.message());
}

TEST(ListHeaders, BulkMailHasThePairOfRfc8058AndSaysWhatListItIs) {
  EXPECT_THAT(
      *MakeListHeaders(All()),
      ElementsAre(Pair("List-Unsubscribe",
                       "<{{{unsubscribe_url}}}>, <mailto:unsubscribe@example.org?subject="
                       "unsubscribe-{{{unsubscribe_token}}}>"),
                  Pair("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
                  Pair("List-Id", "Weekly news <weekly.example.org>"),
                  Pair("Feedback-ID", "november:news::example"), Pair("Precedence", "bulk")));
}

TEST(ListHeaders, RenderToWhatReceiversRead) {
  const std::string message = Rendered(All());
  EXPECT_THAT(message, HasSubstr("\r\nList-Unsubscribe: <https://u.example.org/u/TO&KEN>,\r\n "
                                 "<mailto:unsubscribe@example.org?subject=unsubscribe-TOKEN>\r\n"));
  EXPECT_THAT(message, HasSubstr("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
}

TEST(ListHeaders, TransactionalMailHasNothingOfAList) {
  ListHeaderOptions options = All();
  options.kind = MailKind::kTransactional;
  EXPECT_THAT(*MakeListHeaders(options), ElementsAre(Pair("Feedback-ID", "november:news::example"),
                                                     Pair("Auto-Submitted", "auto-generated")));
}

TEST(ListHeaders, OneClickIsOnlyPromisedWithAUrl) {
  ListHeaderOptions options;
  options.mailto = "u@example.org";
  EXPECT_THAT(Rendered(options), HasSubstr("\r\nList-Unsubscribe: <mailto:u@"));
  EXPECT_THAT(Rendered(options), Not(HasSubstr("One-Click")));
  EXPECT_THAT(*MakeListHeaders({}), ElementsAre(Pair("Precedence", "bulk")));
}

TEST(ListHeaders, RefuseBadParts) {
  const auto bad = [](auto change) {
    ListHeaderOptions options = All();
    change(&options);
    return !MakeListHeaders(options).ok();
  };
  for (const char* mailto :
       {"unsubscribe", "a@b.org>, <https://evil.example/", "a b@example.org", "a@b.org?cc=x@y.org",
        "a@b.org\r\nBcc: x@y.org", "a&b@example.org", "{{x}}@example.org", "\"a b\"@example.org"}) {
    EXPECT_TRUE(bad([&](auto* o) { o->mailto = mailto; })) << mailto;
  }
  EXPECT_TRUE(bad([](auto* o) { o->url = "http://example.org/"; }));
  EXPECT_TRUE(bad([](auto* o) { o->list_id = "news"; }));
  EXPECT_TRUE(bad([](auto* o) { o->feedback_id = "{{id}}:news:example"; }));
}

TEST(ListHeaders, ListIdIsReadInItsThreeForms) {
  for (const char* text : {"news.Example.org", "<news.example.org>", " < news.example.org > "}) {
    const auto list = ParseListId(text);
    ASSERT_TRUE(list.ok()) << list.status();
    EXPECT_EQ(list->id, "news.example.org");
    EXPECT_EQ(FormatListId(*list), "<news.example.org>");
  }
  EXPECT_EQ(FormatListId(*ParseListId("\"News, weekly\" <n.example.org>")),
            "\"News, weekly\" <n.example.org>");
  EXPECT_EQ(FormatListId(*ParseListId("News, weekly <n.example.org>")),
            "\"News, weekly\" <n.example.org>");
  EXPECT_EQ(FormatListId(*ParseListId("Ann \"A\" <n.example.org>")),
            "\"Ann \\\"A\\\"\" <n.example.org>");
  EXPECT_EQ(FormatListId(*ParseListId("Br\xC3\xAA"
                                      "ves <n.example.org>")),
            "=?utf-8?Q?Br=C3=AAves?= <n.example.org>");
}

TEST(ListHeaders, ListIdRefusesWhatIsNone) {
  for (const std::string& text :
       {std::string(), std::string("news"), std::string("News <news>"), std::string("a..b"),
        std::string(".a.b"), std::string("a.b."), std::string("a b.c"), std::string("a.b>"),
        std::string("News <a.b> x"), std::string("N\r\nX: y <a.b>"), std::string("N\xFF <a.b>"),
        std::string("{{n}} <a.b>"), std::string("a.{{b}}"), std::string("b\xC3\xBC.example"),
        std::string(254, 'a') + ".b", std::string(201, 'n') + " <a.b>"}) {
    EXPECT_FALSE(ParseListId(text).ok()) << text;
  }
}

TEST(ListHeaders, FeedbackIdHasUpToFourPartsAndASenderId) {
  for (const char* good :
       {"sender", "a:sender", "a:b:c:sender", ":::sender", "a:b:c:123456789012345"}) {
    EXPECT_TRUE(CheckFeedbackId(good).ok()) << good;
  }
  for (const char* bad : {"", "abcd", "a:b:c:d:sender", "sender:", "1234567890123456", "a b:sender",
                          "a:b:sen\r\nder", "{{a}}:sender", "\xC3\xA4:sender"}) {
    EXPECT_FALSE(CheckFeedbackId(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace volley::engine::compliance
