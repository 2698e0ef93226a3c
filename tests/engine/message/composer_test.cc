#include "engine/message/composer.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/engine/message/decode.h"
#include "tests/engine/message/message_spec.h"

namespace volley::engine::message {
namespace {

std::string ErrorText(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

std::string CompileError(const MessageSpec& spec) {
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  return compiled.ok() ? "" : ErrorText(compiled.status());
}

TEST(Composer, WritesAPlainMessageToTheByte) {
  MessageSpec spec = TestSpec();
  spec.text = {"t.txt", "Hello {{first_name}},\n\n.dots and caf\xC3\xA9\nFrom Ann\n"};
  EXPECT_EQ(ComposeOne(spec),
            "Date: Mon, 03 Nov 2025 16:05:00 +0000\r\n"
            "From: Ann Example <ann@example.org>\r\n"
            "To: bob@example.net\r\n"
            "Message-ID: <key.rs@example.org>\r\n"
            "Subject: News for Bob\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n"
            "\r\n"
            "Hello Bob,\r\n"
            "\r\n"
            "=2Edots and caf=C3=A9\r\n"
            "=46rom Ann\r\n");
}

TEST(Composer, SendsShortFixedAsciiAsItIs) {
  MessageSpec spec = TestSpec();
  spec.text = {"t.txt", "Hello = you,\nbye"};
  const std::string message = ComposeOne(spec);
  EXPECT_TRUE(message.ends_with("Content-Transfer-Encoding: 7bit\r\n\r\nHello = you,\r\nbye\r\n"))
      << message;
}

TEST(Composer, EncodesFixedTextThatWouldNotSurvive) {
  for (const char* text :
       {"caf\xC3\xA9\n", ".dot\n", "From me\n", "white \n", "a=_b\n", "\x07\n"}) {
    MessageSpec spec = TestSpec();
    spec.text = {"t.txt", text};
    const std::string message = ComposeOne(spec);
    EXPECT_EQ(message.find("Encoding: 7bit"), std::string::npos) << message;
    EXPECT_EQ(LeafText(ParseMessage(message)).text, Crlf(text));
    EXPECT_EQ(BrokenLineRule(message), "");
  }
  MessageSpec spec = TestSpec();
  spec.text = {"t.txt", std::string(77, 'x')};
  EXPECT_NE(ComposeOne(spec).find("quoted-printable"), std::string::npos);
}

// Text, HTML or both, times fixed or with variables.
TEST(Composer, HasTheRightStructureForEveryContent) {
  const char* kFixed = "Fixed text\n";
  const char* kVariable = "Hi {{first_name}}\n";
  for (const char* text : {(const char*)nullptr, kFixed, kVariable}) {
    for (const char* html : {(const char*)nullptr, kFixed, kVariable}) {
      if (text == nullptr && html == nullptr) continue;
      MessageSpec spec = TestSpec();
      spec.text.reset();
      spec.text_from_html = false;
      if (text != nullptr) spec.text = {"t.txt", text};
      if (html != nullptr) spec.html = {"t.html", html};
      const std::string composed = ComposeOne(spec);
      EXPECT_EQ(BrokenLineRule(composed), "");
      const ParsedMessage message = ParseMessage(composed);
      ASSERT_TRUE(message.ok) << composed;
      std::vector<ParsedMessage> leaves = {message};
      if (text != nullptr && html != nullptr) {
        const std::string type = message.Field("Content-Type");
        ASSERT_TRUE(type.starts_with("multipart/alternative;\r\n boundary=\"")) << type;
        const size_t open = type.find('"') + 1;
        leaves = SplitParts(message.body, type.substr(open, type.size() - open - 1));
        ASSERT_EQ(leaves.size(), 2u) << composed;
      }
      auto expect_leaf = [](const ParsedMessage& leaf, const char* source, const char* type) {
        EXPECT_EQ(leaf.Field("Content-Type"), std::string(type) + "; charset=utf-8");
        EXPECT_EQ(LeafText(leaf).text,
                  std::string_view(source) == "Fixed text\n" ? "Fixed text\r\n" : "Hi Bob\r\n");
      };
      if (text != nullptr) expect_leaf(leaves.front(), text, "text/plain");
      if (html != nullptr) expect_leaf(leaves.back(), html, "text/html");
    }
  }
}

TEST(Composer, EscapesValuesInHtmlOnly) {
  MessageSpec spec = TestSpec();
  spec.text = {"t.txt", "{{first_name}}"};
  spec.html = {"t.html", "{{first_name}} {{{first_name}}}"};
  const std::string message = ComposeOne(spec, {.first_name = "<B&b>"});
  EXPECT_NE(message.find("\r\n\r\n<B&b>\r\n"), std::string::npos) << message;
  EXPECT_NE(message.find("&lt;B&amp;b&gt; <B&b>\r\n"), std::string::npos) << message;
  EXPECT_NE(message.find("Subject: News for <B&b>\r\n"), std::string::npos) << message;
}

TEST(Composer, PutsHeadersInTheirOrder) {
  MessageSpec spec = TestSpec();
  spec.reply_to = "\"Help, Desk\" <help@example.org>";
  spec.to_name = {"to", "{{first_name}}"};
  spec.headers = {{"X-One", {"one", "1"}}, {"List-Unsubscribe", {"lu", "<https://x/{{token}}>"}}};
  std::vector<std::string> names;
  for (const auto& [name, value] : ParseMessage(ComposeOne(spec)).fields) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"Date", "From", "Reply-To", "To", "Message-ID",
                                             "Subject", "X-One", "List-Unsubscribe", "MIME-Version",
                                             "Content-Type", "Content-Transfer-Encoding"}));
  const ParsedMessage message = ParseMessage(ComposeOne(spec));
  EXPECT_EQ(message.Field("Reply-To"), "\"Help, Desk\" <help@example.org>");
  EXPECT_EQ(message.Field("To"), "Bob <bob@example.net>");
  EXPECT_EQ(message.Field("List-Unsubscribe"), "<https://x/t0k3n>");
}

TEST(Composer, EncodesNamesAndSubjectsBeyondAscii) {
  MessageSpec spec = TestSpec();
  spec.from = "J\xC3\xB6rg <j@example.org>";
  spec.to_name = {"to", "{{first_name}}"};
  const ParsedMessage message = ParseMessage(ComposeOne(spec, {.first_name = "Zo\xC3\xAB"}));
  EXPECT_EQ(message.Field("From"), "=?utf-8?B?SsO2cmc=?= <j@example.org>");
  EXPECT_EQ(DecodeFieldBody(message.Field("To")).text, "Zo\xC3\xAB <bob@example.net>");
  EXPECT_EQ(DecodeFieldBody(message.Field("Subject")).text, "News for Zo\xC3\xAB");
}

TEST(Composer, LeavesTheNameOutWhenItIsEmpty) {
  MessageSpec spec = TestSpec();
  spec.to_name = {"to", "{{first_name|}}"};
  spec.subject = {"subject", "Hi"};
  spec.text = {"t.txt", "Hello\n"};
  EXPECT_EQ(ParseMessage(ComposeOne(spec, {.first_name = ""})).Field("To"), "bob@example.net");
}

TEST(Composer, GivesEveryCopyItsOwnMessageId) {
  const auto compiled = MessageTemplate::Compile(TestSpec(), kTestColumns);
  ASSERT_TRUE(compiled.ok());
  std::set<std::string> seen;
  for (uint64_t index = 0; index < 2000; ++index) {
    const std::string message = ComposeOne(*compiled, {.index = index});
    EXPECT_TRUE(seen.insert(ParseMessage(message).Field("Message-ID")).second);
  }
  EXPECT_TRUE(seen.contains("<key.0@example.org>"));
  EXPECT_TRUE(seen.contains("<key.10@example.org>"));  // 36
  const std::string last = ComposeOne(*compiled, {.index = UINT64_MAX});
  EXPECT_EQ(ParseMessage(last).Field("Message-ID"), "<key.3w5e11264sgsf@example.org>");
}

TEST(Composer, TakesTheMessageIdDomainFromTheSpec) {
  MessageSpec spec = TestSpec();
  spec.message_id_domain = "Mail.Example.NET";
  EXPECT_EQ(ParseMessage(ComposeOne(spec)).Field("Message-ID"), "<key.rs@mail.example.net>");
}

TEST(Composer, IsDeterministicAndBoundariesFollowTheSeed) {
  MessageSpec spec = TestSpec();
  spec.html = {"t.html", "<p>{{first_name}}</p>"};
  const std::string once = ComposeOne(spec);
  EXPECT_EQ(ComposeOne(spec), once);
  spec.boundary_seed = 1;
  EXPECT_NE(ComposeOne(spec), once);
}

TEST(Composer, ReusesAMessageWithoutTracesOfTheLastOne) {
  MessageSpec spec = TestSpec();
  spec.text = {"t.txt", "{{token}} {{city}}\n"};
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage reused;
  const std::string fresh = ComposeOne(*compiled, {});
  ASSERT_TRUE(Compose(*compiled, {.token = std::string(50000, 'x')}, &reused).ok());
  ASSERT_FALSE(Compose(*compiled, {.city = std::string(1, '\0')}, &reused).ok());
  EXPECT_EQ(reused.bytes(), 0u);
  EXPECT_TRUE(reused.pieces().empty());
  ASSERT_TRUE(Compose(*compiled, {}, &reused).ok());
  EXPECT_EQ(reused.ToString(), fresh);
  ComposedMessage moved = std::move(reused);
  EXPECT_EQ(moved.ToString(), fresh);
}

TEST(Composer, PointsAtLongFixedText) {
  MessageSpec spec = TestSpec();
  std::string text;
  for (int i = 0; i < 100; ++i) text += "A line of fixed text.\n";
  spec.text = {"t.txt", "Hi {{first_name}}\n" + text + "Bye {{first_name}}\n" + text};
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage one;
  ComposedMessage two;
  ASSERT_TRUE(Compose(*compiled, {}, &one).ok());
  ASSERT_TRUE(Compose(*compiled, {.first_name = "Carol"}, &two).ok());
  ASSERT_EQ(one.pieces().size(), 5u);  // header, greeting, text, farewell, text
  EXPECT_EQ(one.pieces()[2].iov_base, two.pieces()[2].iov_base);
  EXPECT_EQ(one.pieces()[4].iov_base, two.pieces()[4].iov_base);
  uint64_t sum = 0;
  for (const iovec& piece : one.pieces()) sum += piece.iov_len;
  EXPECT_EQ(one.bytes(), sum);
}

TEST(Composer, NeedsSmtputf8OnlyForAnAddressBeyondAscii) {
  const auto compiled = MessageTemplate::Compile(TestSpec(), kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage message;
  ASSERT_TRUE(Compose(*compiled, {.first_name = "Zo\xC3\xAB"}, &message).ok());
  EXPECT_FALSE(message.needs_smtputf8());
  EXPECT_FALSE(message.eight_bit());
  EXPECT_TRUE(message.dot_free());
  ASSERT_TRUE(Compose(*compiled, {.address = "zo\xC3\xAB@example.net"}, &message).ok());
  EXPECT_TRUE(message.needs_smtputf8());
  EXPECT_TRUE(message.eight_bit());
  MessageSpec spec = TestSpec();
  spec.from = "zo\xC3\xAB@example.org";
  EXPECT_NE(ComposeOne(spec).find("From: zo\xC3\xAB@example.org\r\n"), std::string::npos);
}

TEST(Composer, ListsTheRequiredColumnsWithWhereTheyAreUsed) {
  MessageSpec spec = TestSpec();
  spec.text = {"welcome.txt", "Hi\n\n{{first_name}} {{token}}{{#items}}{{city}}{{/items}}"};
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ASSERT_EQ(compiled->required_columns().size(), 2u);
  EXPECT_EQ(compiled->required_columns()[0].column, 0u);
  EXPECT_EQ(compiled->required_columns()[0].used_at, "{{first_name}} in subject line 1");
  EXPECT_EQ(compiled->required_columns()[1].used_at, "{{token}} in welcome.txt line 3");
}

TEST(Composer, UsesPartials) {
  MessageSpec spec = TestSpec();
  spec.partials = [](std::string_view name) -> std::optional<std::string> {
    if (name == "footer") return "-- \n{{first_name}} reads this\n";
    return std::nullopt;
  };
  spec.text = {"t.txt", "Hello\n{{>footer}}\n"};
  EXPECT_EQ(LeafText(ParseMessage(ComposeOne(spec))).text, "Hello\r\n-- \r\nBob reads this\r\n");
}

TEST(Composer, SaysWhatIsWrongWithASpec) {
  using Change = void (*)(MessageSpec*);
  const std::pair<Change, const char*> kCases[] = {
      {[](MessageSpec* s) { s->text.reset(); }, "a message needs a text or an html template"},
      {[](MessageSpec* s) { s->from = ""; }, "from \"\": no address"},
      {[](MessageSpec* s) { s->from = "a@b.c, d@e.f"; },
       "from \"a@b.c, d@e.f\": more than one mailbox"},
      {[](MessageSpec* s) { s->from = "A\r\nBcc: x <a@b.c>"; },
       "from \"A\\r\\nBcc: x <a@b.c>\": a control character or line break"},
      {[](MessageSpec* s) { s->reply_to = "help"; }, "reply-to \"help\": no @"},
      {[](MessageSpec* s) { s->date = absl::InfiniteFuture(); },
       "the date is not between 1900 and 9999"},
      {[](MessageSpec* s) { s->message_id_key = ""; },
       "the message id key \"\" must be 1 to 64 letters and digits"},
      {[](MessageSpec* s) { s->message_id_key = "a>b"; },
       "the message id key \"a>b\" must be 1 to 64 letters and digits"},
      {[](MessageSpec* s) { s->message_id_domain = "ex ample"; },
       "message id domain: a space in the domain"},
      {[](MessageSpec* s) { s->subject.text = "two\nlines"; },
       "subject: a line break or control character in \"two\\nlines\"; a header is one line"},
      {[](MessageSpec* s) { s->subject.text = "{{first_nam}}"; },
       "subject:1:1: there is no column \"first_nam\"; did you mean {{first_name}}?"},
      {[](MessageSpec* s) { s->subject.text = "{{first_name|a\rb}}"; },
       "subject: a line break or control character in \"a\\rb\"; a header is one line"},
      {[](MessageSpec* s) { s->text->text = "{{#items}}"; },
       "t.txt:1:1: the section items is never closed: add {{/items}}"},
      {[](MessageSpec* s) {
         s->headers = {{"X Y", {"x", ""}}};
       },
       "\"X Y\" is no header name: printable ASCII without ':', at most 64 bytes"},
      {[](MessageSpec* s) {
         s->headers = {{"X-A", {"x", "1"}}, {"x-a", {"x", "2"}}};
       },
       "the header x-a is there twice"},
      {[](MessageSpec* s) {
         s->headers = {{"X-A", {"x", "a\r\nBcc: b@c.d"}}};
       },
       "x: a line break or control character in \"a\\r\\nBcc: b@c.d\"; a header is one line"},
      {[](MessageSpec* s) {
         s->headers = {{"List-Id", {"id", "\xC3\xA9"}}};
       },
       "id: List-Id can hold ASCII only"},
  };
  for (const auto& [change, error] : kCases) {
    MessageSpec spec = TestSpec();
    change(&spec);
    EXPECT_EQ(CompileError(spec), error);
  }
}

TEST(Composer, KeepsItsOwnHeadersToItself) {
  for (const char* name :
       {"Date", "from", "TO", "Cc", "Bcc", "Reply-To", "Subject", "Message-Id", "MIME-Version",
        "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Return-Path",
        "Received", "Resent-To", "DKIM-Signature", "ARC-Seal", "Authentication-Results"}) {
    MessageSpec spec = TestSpec();
    spec.headers = {{name, {"x", "1"}}};
    EXPECT_EQ(CompileError(spec), "the header " + std::string(name) +
                                      " may not be set by hand: volley writes it, or no message to "
                                      "a list may have it");
  }
}

TEST(Composer, TakesAHeaderFileWithItsLastLineEnd) {
  MessageSpec spec = TestSpec();
  spec.subject.text = "Hi\r\n";
  EXPECT_EQ(ParseMessage(ComposeOne(spec)).Field("Subject"), "Hi");
}

// What a row must not be able to do: end a header line, in any way a reader may see one.
TEST(Composer, RefusesInjectionIntoEveryHeader) {
  const std::pair<std::string, std::string> kHostile[] = {
      {"a\r\nBcc: x@example.net", "\"a\\r\\nBcc: x@example.net\""},
      {"a\nBcc: x", "\"a\\nBcc: x\""},
      {"a\rBcc: x", "\"a\\rBcc: x\""},
      {std::string("a\0b", 3), "\"a\\x00b\""},
      {"a\x0B"
       "b",
       "\"a\\x0Bb\""},
      {"a\x7F", "\"a\\x7F\""},
      {"a\xC2\x85"
       "b",
       "\"a\\x85b\""},
      {"\n", "\"\\n\""},
  };
  for (const char* where : {"subject", "to", "x-header"}) {
    MessageSpec spec = TestSpec();
    spec.subject = {"subject", where == std::string("subject") ? "Hi {{token}}" : "Hi"};
    if (where == std::string("to")) spec.to_name = {"to", "Mr {{token}}"};
    if (where == std::string("x-header")) spec.headers = {{"X-A", {"x-header", "v={{token}}"}}};
    const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
    ASSERT_TRUE(compiled.ok());
    for (const auto& [value, shown] : kHostile) {
      ComposedMessage message;
      const absl::Status status = Compose(*compiled, {.token = value}, &message);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_NE(ErrorText(status).find("column \"token\" is " + shown +
                                       ": it has a line break or control character"),
                std::string::npos)
          << ErrorText(status);
      EXPECT_TRUE(ErrorText(status).starts_with(where)) << ErrorText(status);
    }
    ComposedMessage message;
    EXPECT_TRUE(Compose(*compiled, {.token = "tab\tis fine"}, &message).ok());
    const absl::Status bad = Compose(*compiled, {.token = "\xC3("}, &message);
    EXPECT_NE(ErrorText(bad).find("is \"\\xC3(\": it is not valid UTF-8"), std::string::npos);
  }
}

TEST(Composer, KeepsAValueInsideTheBracketsItStandsIn) {
  MessageSpec spec = TestSpec();
  spec.headers = {{"List-Unsubscribe", {"list-unsubscribe", "<https://example.org/{{token}}>"}}};
  const auto inside = MessageTemplate::Compile(spec, kTestColumns);
  spec.headers = {{"List-Id", {"list-id", "{{token}} <news.example.org>"}}};
  const auto beside = MessageTemplate::Compile(spec, kTestColumns);
  spec.headers = {{"List-Unsubscribe", {"list-unsubscribe", "{{token}}"}}};
  const auto whole = MessageTemplate::Compile(spec, kTestColumns);
  spec.headers = {{"X-A", {"x-a", "<{{token}}>"}}};
  const auto unstructured = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(inside.ok() && beside.ok() && whole.ok() && unstructured.ok());
  ComposedMessage message;
  EXPECT_TRUE(Compose(*inside, {.token = "a,b?c=%20&d"}, &message).ok());
  for (const char* hostile : {"a>, <mailto:eve@example.net", "a<", "a>", "a b", "a\tb"}) {
    const absl::Status status = Compose(*inside, {.token = hostile}, &message);
    EXPECT_NE(ErrorText(status).find("white space"), std::string::npos) << hostile;
    EXPECT_TRUE(Compose(*unstructured, {.token = hostile}, &message).ok()) << hostile;
  }
  EXPECT_TRUE(Compose(*beside, {.token = "News of the week"}, &message).ok());
  EXPECT_FALSE(Compose(*beside, {.token = "News <eve.example.net>"}, &message).ok());
  EXPECT_TRUE(
      Compose(*whole, {.token = "<https://a.example/>, <mailto:b@c.example>"}, &message).ok());
}

TEST(Composer, RefusesInjectionThroughJsonEscapes) {
  MessageSpec spec = TestSpec();
  spec.subject = {"subject", "{{#items}}{{n}}{{/items}}"};
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage message;
  EXPECT_FALSE(Compose(*compiled, {.items = R"([{"n":"a\r\nBcc: x"}])"}, &message).ok());
  EXPECT_FALSE(Compose(*compiled, {.items = R"([{"n":"\u000a"}])"}, &message).ok());
  EXPECT_TRUE(Compose(*compiled, {.items = R"([{"n":"\u00e9"}])"}, &message).ok());
}

TEST(Composer, RefusesAnAddressThatIsNotCanonical) {
  const auto compiled = MessageTemplate::Compile(TestSpec(), kTestColumns);
  ASSERT_TRUE(compiled.ok());
  for (const char* address :
       {"", "bob", "Bob <bob@example.net>", "bob@example.net\r\nBcc: x", "bob@example.net, x@y.z",
        "bob@EXAMPLE.net", " bob@example.net", "\"bob\"@example.net", "bob@example.net>", "<>"}) {
    ComposedMessage message;
    EXPECT_FALSE(Compose(*compiled, {.address = address}, &message).ok()) << address;
  }
}

TEST(Composer, NormalisesLineEndsOfValuesInBodies) {
  MessageSpec spec = TestSpec();
  spec.subject = {"subject", "Hi"};
  spec.text = {"t.txt", "[{{first_name}}]\n"};
  const std::string message = ComposeOne(spec, {.first_name = "a\nb\rc\r\nd \n.e\x01"});
  EXPECT_EQ(LeafText(ParseMessage(message)).text, "[a\r\nb\r\nc\r\nd \r\n.e\x01]\r\n");
  EXPECT_EQ(BrokenLineRule(message), "");
}

TEST(Composer, RefusesNulAndInvalidUtf8InBodies) {
  MessageSpec spec = TestSpec();
  spec.subject = {"subject", "Hi"};
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage message;
  absl::Status status = Compose(*compiled, {.first_name = std::string("a\0", 2)}, &message);
  EXPECT_EQ(ErrorText(status), "t.txt:1:7: column \"first_name\" is \"a\\x00\": it has a NUL byte");
  status = Compose(*compiled, {.first_name = "\xED\xA0\x80"}, &message);
  EXPECT_EQ(ErrorText(status),
            "t.txt:1:7: column \"first_name\" is \"\\xED\\xA0\\x80\": it is not valid UTF-8");
}

TEST(Composer, RefusesARowOfAnotherWidth) {
  const auto compiled = MessageTemplate::Compile(TestSpec(), kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage message;
  const FieldView fields[] = {{"x"}};
  const absl::Status status = compiled->Compose({"bob@example.net", 0, fields}, &message);
  EXPECT_EQ(ErrorText(status), "a row of 1 fields for a list of 4 columns");
}

}  // namespace
}  // namespace volley::engine::message
