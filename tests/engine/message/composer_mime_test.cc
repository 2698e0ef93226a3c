// Alternatives, images, attachments and encodings of composed messages, and header() and body().
#include <gtest/gtest.h>

#include "engine/message/composer.h"
#include "engine/message/message_buffer.h"
#include "tests/engine/message/decode.h"
#include "tests/engine/message/message_spec.h"

namespace volley::engine::message {
namespace {

const std::string kPng = "\x89PNG\r\n\x1A\n not really";
const std::string kCyrillic =
    "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82, \xD0\xBC\xD0\xB8\xD1\x80! ";

std::string CompileError(const MessageSpec& spec) {
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  return compiled.ok()
             ? ""
             : std::string(compiled.status().message().data(), compiled.status().message().size());
}

std::string TypeOf(const ParsedMessage& part) {
  const std::string type = part.Field("Content-Type");
  return type.substr(0, type.find(';'));
}

std::vector<ParsedMessage> PartsOf(const ParsedMessage& part) {
  const std::string type = part.Field("Content-Type");
  const size_t open = type.find("boundary=\"") + 10;
  // Split wants the line end that only the outermost multipart has.
  const std::string body = part.body.ends_with("\r\n") ? part.body : part.body + "\r\n";
  return SplitParts(body, type.substr(open, type.size() - open - 1));
}

// "mixed(alternative(plain,html),pdf)"
std::string Shape(const ParsedMessage& part) {
  const std::string type = TypeOf(part);
  if (!type.starts_with("multipart/")) return type.substr(type.find('/') + 1);
  std::string shape = type.substr(10) + "(";
  for (const ParsedMessage& child : PartsOf(part)) {
    if (!shape.ends_with('(')) shape += ",";
    shape += Shape(child);
  }
  return shape + ")";
}

MessageSpec FullSpec() {
  MessageSpec spec = TestSpec();
  spec.text = {"t.txt", "Hi {{first_name}}\n"};
  spec.amp = {"t.amp", "<html amp4email><b>{{first_name}}</b></html>"};
  spec.html = {"t.html", "<p>{{first_name}} <img src=\"cid:logo.png\"></p>"};
  spec.inline_parts = {{"logo.png", "", kPng}};
  spec.attachments = {{"terms.pdf", "", "%PDF-1.7"}};
  return spec;
}

TEST(ComposerMime, PutsEveryKindOfPartInItsPlace) {
  const std::string composed = ComposeOne(FullSpec());
  EXPECT_EQ(BrokenLineRule(composed), "");
  const ParsedMessage message = ParseMessage(composed);
  EXPECT_EQ(Shape(message), "mixed(alternative(plain,x-amp-html,related(html,png)),pdf)");
  const auto mixed = PartsOf(message);
  EXPECT_EQ(LeafText(mixed[1]).text, "%PDF-1.7");
  const auto related = PartsOf(PartsOf(mixed[0])[2]);
  EXPECT_EQ(LeafText(related[0]).text, "<p>Bob <img src=\"cid:1.logopng.key@example.org\"></p>");
  EXPECT_EQ(related[1].Field("Content-ID"), "<1.logopng.key@example.org>");
  EXPECT_EQ(LeafText(related[1]).text, kPng);
  EXPECT_NE(composed.find("multipart/related; type=\"text/html\";\r\n boundary="),
            std::string::npos);
}

TEST(ComposerMime, HasNoMultipartThatIsNotNeeded) {
  MessageSpec spec = FullSpec();
  spec.attachments.clear();
  EXPECT_EQ(Shape(ParseMessage(ComposeOne(spec))),
            "alternative(plain,x-amp-html,related(html,png))");
  spec.amp.reset();
  spec.text.reset();
  spec.text_from_html = false;
  EXPECT_EQ(Shape(ParseMessage(ComposeOne(spec))), "related(html,png)");
  spec.inline_parts.clear();
  spec.html->text = "<p>x</p>";
  EXPECT_EQ(Shape(ParseMessage(ComposeOne(spec))), "html");
  spec.attachments = {{"a", "", ""}};
  EXPECT_EQ(Shape(ParseMessage(ComposeOne(spec))), "mixed(html,octet-stream)");
}

TEST(ComposerMime, MakesTheTextOfTheHtml) {
  MessageSpec spec = TestSpec();
  spec.text.reset();
  spec.html = {"t.html",
               "<h1>Hi {{first_name}}</h1><p>{{>foot}} &amp; <a href=\"https://x\">go</a>"};
  spec.partials = [](std::string_view) { return "<b>from {{city}}</b>"; };
  const ParsedMessage message = ParseMessage(ComposeOne(spec, {.first_name = "<Bob>"}));
  EXPECT_EQ(Shape(message), "alternative(plain,html)");
  EXPECT_EQ(LeafText(PartsOf(message)[0]).text, "Hi <Bob>\r\n\r\nfrom Paris & go (https://x)");
  spec.text_from_html = false;
  EXPECT_EQ(Shape(ParseMessage(ComposeOne(spec))), "html");
  spec.text_from_html = true;
  spec.html = {"t.html", "<img src=https://x/y.png>"};
  EXPECT_EQ(Shape(ParseMessage(ComposeOne(spec))), "html");
  spec.html = {"t.html", "<p>\n{{nobody}}</p>"};
  EXPECT_TRUE(CompileError(spec).starts_with("t.html:2:1: there is no column"))
      << CompileError(spec);
}

TEST(ComposerMime, ChoosesTheEncodingByContent) {
  const std::pair<std::string, const char*> kCases[] = {
      {"plain\n", "7bit"},
      {"caf\xC3\xA9 au lait, s'il vous pla\xC3\xAEt\n", "quoted-printable"},
      {kCyrillic + "\n", "base64"},
      {"{{first_name}} plain", "quoted-printable"},
      {kCyrillic + "{{first_name}} " + kCyrillic + "\n", "base64"},
  };
  for (const auto& [text, encoding] : kCases) {
    MessageSpec spec = TestSpec();
    spec.text = {"t.txt", text};
    const std::string composed = ComposeOne(spec, {.first_name = "\xD0\x96<b>"});
    const ParsedMessage message = ParseMessage(composed);
    EXPECT_EQ(message.Field("Content-Transfer-Encoding"), encoding) << text;
    EXPECT_EQ(BrokenLineRule(composed), "");
    EXPECT_EQ(composed.find_first_of("\xD0"), std::string::npos);
  }
}

TEST(ComposerMime, JoinsBase64LiteralsAndValuesAtEveryOffset) {
  std::string fixed;
  while (fixed.size() < 2000) fixed += kCyrillic;
  for (size_t offset = 0; offset < 7; ++offset) {
    MessageSpec spec = TestSpec();
    spec.text.reset();
    spec.text_from_html = false;
    spec.html = {"t.html", std::string(offset, 'x') + fixed + "{{city}}" + fixed + "\n{{token}}"};
    const std::string composed = ComposeOne(spec, {.token = "a\nb", .city = "<&>"});
    EXPECT_EQ(BrokenLineRule(composed), "");
    EXPECT_EQ(LeafText(ParseMessage(composed)).text,
              std::string(offset, 'x') + fixed + "&lt;&amp;&gt;" + fixed + "\r\na\r\nb");
  }
}

TEST(ComposerMime, SaysWhatIsWrongWithParts) {
  using Change = void (*)(MessageSpec*);
  const std::pair<Change, const char*> kCases[] = {
      {[](MessageSpec* s) {
         s->text.reset();
         s->html.reset();
         s->inline_parts.clear();
       },
       "an AMP part needs a text or an html template beside it"},
      {[](MessageSpec* s) { s->html->text = "<p>\n<img src='cid:x.png'>"; },
       "t.html:2: cid:x.png names no inline part of this message"},
      {[](MessageSpec* s) { s->html->text = "<p>"; },
       "t.html: inline part \"logo.png\" is shown nowhere: no cid:logo.png in it"},
      {[](MessageSpec* s) {
         s->inline_parts.push_back({"logo.png", "", ""});
       },
       "two inline parts are called \"logo.png\""},
      {[](MessageSpec* s) { s->html.reset(); },
       "inline part \"logo.png\" needs an html template that shows it"},
      {[](MessageSpec* s) { s->amp->text = "<amp-img src='cid:logo.png'>"; },
       "t.amp:1: cid:logo.png names no inline part of this message"},
      {[](MessageSpec* s) { s->attachments[0].name = "a/b"; },
       "attachment \"a/b\": the name is a path: give the file's name alone"},
      {[](MessageSpec* s) { s->attachments[0].name = "a\r\nBcc: x"; },
       "attachment \"a\\r\\nBcc: x\": the name has a control character or is not UTF-8"},
      {[](MessageSpec* s) {
         s->message_bytes_max = 1000;
         s->attachments[0].bytes = std::string(900, 'x');
       },
       "attachment \"terms.pdf\" has 900 bytes, 1230 as it is sent; a message may have 1000"},
  };
  for (const auto& [change, error] : kCases) {
    MessageSpec spec = FullSpec();
    change(&spec);
    EXPECT_EQ(CompileError(spec), error);
  }
  MessageSpec spec = FullSpec();
  spec.message_bytes_max = 700;
  EXPECT_TRUE(CompileError(spec).starts_with("the message has at least ")) << CompileError(spec);
}

TEST(ComposerMime, RefusesACopyThatIsTooLarge) {
  MessageSpec spec = TestSpec();
  spec.message_bytes_max = 2000;
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage message;
  EXPECT_TRUE(Compose(*compiled, {.first_name = std::string(500, 'x')}, &message).ok());
  EXPECT_FALSE(Compose(*compiled, {.first_name = std::string(1500, 'x')}, &message).ok());
  EXPECT_EQ(message.bytes(), 0u);
  EXPECT_TRUE(message.header().empty());
}

absl::Status ComposeWith(const MessageTemplate& compiled, std::span<const PartFileView> files,
                         ComposedMessage* message) {
  const FieldView fields[] = {{"Bob"}, {"t"}, {"[]", FieldKind::kJson}, {"Paris"}};
  return compiled.Compose({"bob@example.net", 1, fields, files}, message);
}

TEST(ComposerMime, TakesARecipientsOwnFiles) {
  for (const bool fixed_too : {false, true}) {
    MessageSpec spec = TestSpec();
    spec.recipient_attachments = true;
    if (fixed_too) spec.attachments = {{"terms.pdf", "", "%PDF"}};
    const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
    ASSERT_TRUE(compiled.ok());
    EXPECT_FALSE(compiled->body_is_shared());
    ComposedMessage message;
    const std::string large(100000, 'z');
    const PartFileView files[] = {{"bill.pdf", "", large}, {"\xC3\xA9.txt", "", "\xC3\xA9"}};
    ASSERT_TRUE(ComposeWith(*compiled, files, &message).ok());
    EXPECT_EQ(BrokenLineRule(message.ToString()), "");
    const ParsedMessage parsed = ParseMessage(message.ToString());
    EXPECT_EQ(Shape(parsed), fixed_too ? "mixed(plain,pdf,pdf,plain)" : "mixed(plain,pdf,plain)");
    const auto parts = PartsOf(parsed);
    EXPECT_EQ(LeafText(parts[parts.size() - 2]).text, large);
    EXPECT_EQ(LeafText(parts.back()).text, "\xC3\xA9");
    ASSERT_TRUE(ComposeWith(*compiled, {}, &message).ok());
    EXPECT_EQ(Shape(ParseMessage(message.ToString())), fixed_too ? "mixed(plain,pdf)" : "plain");
  }
}

TEST(ComposerMime, RefusesFilesOfARecipientThatMayNotBe) {
  MessageSpec spec = TestSpec();
  ComposedMessage message;
  auto error = [&](const PartFileView& file) {
    const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
    EXPECT_TRUE(compiled.ok());
    const absl::Status status = ComposeWith(*compiled, {&file, 1}, &message);
    return std::string(status.message().data(), status.message().size());
  };
  EXPECT_EQ(error({"a", "", ""}), "this message takes no files of a recipient's own");
  spec.recipient_attachments = true;
  EXPECT_EQ(error({"a", "", ""}), "");
  EXPECT_EQ(error({"a\nb", "", ""}),
            "attachment \"a\\nb\": the name has a control character or is not UTF-8");
  EXPECT_EQ(error({"a", "b", ""}), "attachment \"a\": \"b\" is no content type, such as image/png");
  spec.message_bytes_max = 2000;
  EXPECT_EQ(error({"a", "", std::string_view(std::string(1500, 'x'))}),
            "attachment \"a\" of 1500 bytes makes the message larger than 2000 bytes");
}

std::string Join(std::span<const iovec> pieces) {
  std::string all;
  for (const iovec& piece : pieces) {
    all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return all;
}

TEST(ComposerMime, PartsHeaderAndBodyAtTheEmptyLine) {
  const auto compiled = MessageTemplate::Compile(FullSpec(), kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage message;
  ASSERT_TRUE(Compose(*compiled, {}, &message).ok());
  const std::string all = message.ToString();
  const size_t end = all.find("\r\n\r\n") + 2;
  EXPECT_EQ(Join(message.header()), all.substr(0, end));
  EXPECT_EQ(Join(message.body()), all.substr(end));
  EXPECT_TRUE(Join(message.body()).starts_with("\r\n--=_"));
}

TEST(ComposerMime, PutsSignaturesInFront) {
  const auto compiled = MessageTemplate::Compile(TestSpec(), kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage message;
  ASSERT_TRUE(Compose(*compiled, {}, &message).ok());
  const std::string plain = message.ToString();
  const std::string body = Join(message.body());
  message.Prepend("");
  EXPECT_EQ(message.ToString(), plain);
  message.Prepend("B: 2\r\n");
  message.Prepend("A: 1\r\n x\r\n");
  EXPECT_EQ(message.ToString(), "A: 1\r\n x\r\nB: 2\r\n" + plain);
  EXPECT_EQ(message.bytes(), message.ToString().size());
  EXPECT_EQ(Join(message.header()) + body, message.ToString());
  EXPECT_EQ(Join(message.body()), body);
  ComposedMessage moved = std::move(message);
  EXPECT_EQ(moved.ToString(), "A: 1\r\n x\r\nB: 2\r\n" + plain);
  ASSERT_TRUE(Compose(*compiled, {}, &moved).ok());
  EXPECT_EQ(moved.ToString(), plain);
  EXPECT_EQ(moved.bytes(), plain.size());
}

TEST(ComposerMime, HasRoomForASignatureWithManyPieces) {
  MessageSpec spec = TestSpec();
  spec.text->text.clear();
  for (int i = 0; i < 100; ++i) spec.text->text += "{{city}}" + std::string(2000, 'x') + "\n";
  for (int i = 0; i < 20; ++i) {
    std::string words;
    while (words.size() < 3000) words += " word";
    spec.headers.emplace_back("X-" + std::to_string(i), TemplateSource{"x", words});
    spec.headers.emplace_back("Y-" + std::to_string(i), TemplateSource{"y", "{{city}}"});
  }
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  ComposedMessage message;
  ASSERT_TRUE(Compose(*compiled, {}, &message).ok());
  const std::string plain = message.ToString();
  message.Prepend("A: 1\r\n");
  EXPECT_LE(message.pieces().size(), 62u);
  EXPECT_EQ(message.ToString(), "A: 1\r\n" + plain);
  EXPECT_TRUE(Join(message.body()).starts_with("\r\nParis"));
}

TEST(ComposerMime, KnowsWhetherTheBodyIsTheSameForAll) {
  MessageSpec spec = TestSpec();
  spec.text = {"t.txt", kCyrillic};
  spec.html = {"t.html", "<p>caf\xC3\xA9"};
  auto shared = [&] {
    const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
    EXPECT_TRUE(compiled.ok()) << compiled.status();
    ComposedMessage one;
    ComposedMessage two;
    EXPECT_TRUE(Compose(*compiled, {}, &one).ok());
    EXPECT_TRUE(Compose(*compiled, {.index = 2, .first_name = "Zo"}, &two).ok());
    EXPECT_EQ(compiled->body_is_shared(), Join(one.body()) == Join(two.body()));
    return compiled->body_is_shared();
  };
  EXPECT_TRUE(shared());
  spec.attachments = {{"a.pdf", "", "x"}};
  EXPECT_TRUE(shared());
  spec.html->text += "{{first_name}}";
  EXPECT_FALSE(shared());
}

TEST(ComposerMime, TellsFactsAboutTheContent) {
  MessageSpec spec = FullSpec();
  spec.html->text =
      "<A HREF='HTTP://x'>1</a><a class=\"b\" href={{first_name}}>2</a><a href=\"#x\">3</a>"
      "<link href=\"https://x\"><img src=\"cid:logo.png\"><IMG/>https://not.a.link {{>more}}";
  spec.partials = [](std::string_view) { return "<area href=\"https://y\"><img alt=''>"; };
  auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_TRUE(compiled->facts().has_text && compiled->facts().has_html &&
              compiled->facts().has_amp);
  EXPECT_EQ(compiled->facts().links, 3u);
  EXPECT_EQ(compiled->facts().images, 3u);
  ComposedMessage message;
  ASSERT_TRUE(Compose(*compiled, {}, &message).ok());
  EXPECT_LE(compiled->facts().fixed_bytes, message.bytes());
  EXPECT_GE(compiled->facts().fixed_bytes + 200, message.bytes());
  spec = TestSpec();
  spec.text->text = "See https://a and http://b, ftp://c\n";
  compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  EXPECT_EQ(compiled->facts().links, 2u);
  EXPECT_FALSE(compiled->facts().has_html || compiled->facts().has_amp);
}

}  // namespace
}  // namespace volley::engine::message
