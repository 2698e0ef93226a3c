// Random templates and rows through the whole composer: what a reader decodes is what the template
// says, and every line keeps the rules. A second test lets Python's email package be the reader.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/message/composer.h"
#include "engine/message/utf8.h"
#include "tests/engine/message/decode.h"
#include "tests/engine/message/message_spec.h"
#include "tests/engine/message/text_sink.h"

namespace volley::engine::message {
namespace {

const std::vector<std::string> kText = {"word",
                                        "a",
                                        " ",
                                        "  ",
                                        "\t",
                                        ".",
                                        "From ",
                                        "F",
                                        "rom ",
                                        "=",
                                        "\xC3\xA9",
                                        "\n",
                                        "\r\n",
                                        "<",
                                        "&",
                                        "\"",
                                        "long ",
                                        "=_",
                                        "\xF0\x9F\x98\x80",
                                        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"};
const std::vector<std::string> kLine = {"word", "a",  " ",  ",",    "\xC3\xA9", "\xE3\x83\x86",
                                        "=?",   "\"", "\t", "long", "<",        ">"};

std::string RandomBody(Random* random) {
  std::string out;
  for (size_t n = 1 + random->Below(12); n > 0; --n) {
    out += random->Text(kText, 10);
    switch (random->Below(8)) {
      case 0:
        out += "{{first_name|nobody}}";
        break;
      case 1:
        out += "{{{token|.}}}";
        break;
      case 2:
        out += "{{#items}}{{n}}" + random->Text(kText, 3) + "{{/items}}";
        break;
      case 3:
        out += "{{^city}}" + random->Text(kText, 3) + "{{/city}}";
        break;
      case 4:
        out += "{{#city}}{{.}}{{/city}}";
        break;
      case 5:
        out += "\n" + std::string(random->Below(90), 'y') + "{{city|}}";
        break;
      default:
        break;
    }
  }
  return out;
}

TestRow RandomRow(Random* random) {
  nlohmann::json items = nlohmann::json::array();
  for (size_t n = random->Below(4); n > 0; --n) items.push_back({{"n", random->Text(kText, 4)}});
  return {.index = random->Next(),
          .first_name = random->Text(kText, 6),
          .token = random->Text(kText, 30),
          .items = items.dump(),
          .city = random->Text(kText, 2)};
}

std::string Rendered(const std::string& text, const TestRow& row, bool html) {
  const auto compiled = Template::Compile("t", text, {.columns = kTestColumns});
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  const FieldView fields[] = {
      {row.first_name}, {row.token}, {row.items, FieldKind::kJson}, {row.city}};
  RenderScratch scratch;
  TextSink sink(*compiled, html);
  EXPECT_TRUE(RenderTemplate(*compiled, {.fields = fields}, &scratch, &sink).ok());
  return Crlf(sink.text());
}

std::vector<ParsedMessage> Leaves(const ParsedMessage& message) {
  const std::string type = message.Field("Content-Type");
  if (!type.starts_with("multipart/")) return {message};
  const size_t open = type.find('"') + 1;
  return SplitParts(message.body, type.substr(open, type.size() - open - 1));
}

TEST(ComposerProperty, DecodesToWhatTheTemplateSays) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    MessageSpec spec = TestSpec();
    const size_t contents = 1 + random.Below(3);
    spec.text.reset();
    spec.text_from_html = false;
    spec.subject = {"subject", "S {{#city}}x{{/city}} " + random.Text(kLine, 40)};
    spec.headers = {{"X-Test", {"x", random.Text(kLine, 20) + "{{^city}}y{{/city}}z"}}};
    std::vector<std::pair<std::string, bool>> sources;
    if ((contents & 1) != 0) {
      spec.text = {"t.txt", RandomBody(&random)};
      sources.emplace_back(spec.text->text, false);
    }
    if ((contents & 2) != 0) {
      spec.html = {"t.html", RandomBody(&random)};
      sources.emplace_back(spec.html->text, true);
    }
    const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    const TestRow row = RandomRow(&random);
    const std::string composed = ComposeOne(*compiled, row);
    ASSERT_EQ(BrokenLineRule(composed), "");
    const ParsedMessage message = ParseMessage(composed);
    ASSERT_TRUE(message.ok);
    const std::vector<ParsedMessage> leaves = Leaves(message);
    ASSERT_EQ(leaves.size(), sources.size()) << composed;
    for (size_t i = 0; i < leaves.size(); ++i) {
      std::string expected = Rendered(sources[i].first, row, sources[i].second);
      // The last line of a message is ended, but base64 carries the text as it is.
      const bool base64 = leaves[i].Field("Content-Transfer-Encoding") == "base64";
      if (leaves.size() == 1 && !base64 && !expected.empty() && !expected.ends_with("\r\n"))
        expected += "\r\n";
      const Decoded decoded = LeafText(leaves[i]);
      ASSERT_TRUE(decoded.ok) << composed;
      ASSERT_EQ(decoded.text, expected) << composed;
    }
  }
}

TEST(ComposerProperty, NeverLetsARowWriteAHeader) {
  MessageSpec spec = TestSpec();
  spec.subject = {"subject", "{{token|-}} and {{first_name|-}}"};
  spec.to_name = {"to", "{{first_name|-}}"};
  spec.headers = {{"X-City", {"x", "{{city|-}}"}}};
  spec.text = {"t.txt", "Hi {{token|-}}"};
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  size_t composed_count = 0;
  for (uint64_t seed = 1; seed <= 4000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::vector<std::string> pieces = kLine;
    pieces.insert(pieces.end(), {"\r\n", "\n", "Bcc: x@example.net", "\r\n\r\n", "@", "\xC2\x85"});
    if (random.Below(2) == 0) pieces.resize(kLine.size());
    const TestRow row{.first_name = random.Text(pieces, 10),
                      .token = random.Text(pieces, 10),
                      .city = random.Text(pieces, 40)};
    ComposedMessage message;
    const std::string all = row.first_name + row.token + row.city;
    const bool hostile = all.find_first_of("\r\n\x85") != std::string::npos;
    const absl::Status status = Compose(*compiled, row, &message);
    ASSERT_EQ(status.ok(), !hostile) << status;
    if (!status.ok()) continue;
    ++composed_count;
    const ParsedMessage parsed = ParseMessage(message.ToString());
    ASSERT_TRUE(parsed.ok);
    ASSERT_EQ(parsed.fields.size(), 9u) << message.ToString();
    ASSERT_EQ(BrokenLineRule(message.ToString()), "");
    ASSERT_TRUE(parsed.Field("To").ends_with("bob@example.net>") ||
                parsed.Field("To") == "bob@example.net");
  }
  EXPECT_GT(composed_count, 1000u);
}

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

constexpr char kPythonReader[] = R"(
import email, email.policy, json, sys, pathlib
from email.header import decode_header, make_header
folder = pathlib.Path(sys.argv[1])
count = 0
for path in sorted(folder.glob('*.eml')):
    want = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP)
    def same(what, got, wanted):
        if got != wanted:
            sys.exit('%s: %s: got %r, wanted %r' % (path, what, got, wanted))
    for part in message.walk():
        same('defects', part.defects, [])
    same('subject', str(message['subject']), want['subject'])
    to = message['to'].addresses
    same('mailboxes', len(to), 1)
    same('address', to[0].addr_spec, want['address'])
    # Python 3.11's address parser puts a space between two encoded words of a name; its older
    # decoder does as RFC 2047 says.
    raw = email.message_from_bytes(path.read_bytes(), policy=email.policy.compat32)['to']
    if '=?' in raw:
        read = str(make_header(decode_header(raw)))
        same('name', read, '%s <%s>' % (want['name'], want['address']))
    else:
        same('name', to[0].display_name, want['name'])
    leaves = [part for part in message.walk() if not part.is_multipart()]
    files = [part for part in leaves if part.get_filename() is not None]
    leaves = [part for part in leaves if part.get_filename() is None]
    same('files', [[part.get_filename(), part.get_payload(decode=True).hex()] for part in files],
         want['files'])
    same('leaves', [part.get_content_type() for part in leaves], want['types'])
    for part, text in zip(leaves, want['texts']):
        got = part.get_payload(decode=True).decode('utf-8')
        same('text', got, text)
    count += 1
print(count, 'messages read')
sys.exit(0 if count == int(sys.argv[2]) else 'not all messages were there')
)";

TEST(ComposerProperty, IsReadByPythonAsItWasMeant) {
  if (std::system("python3 -c 'import email' >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "SKIPPED: no python3";
  }
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("volley_composer_" + std::to_string(getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  constexpr int kMessages = 200;
  const std::vector<std::string> kWords = {"word", "caf\xC3\xA9", "\xE3\x83\x86\xE3\x82\xB9", "a,b",
                                           "Dr.",  "(x)",         "\xF0\x9F\x98\x80"};
  for (int i = 0; i < kMessages; ++i) {
    Random random(static_cast<uint64_t>(i) + 1);
    std::string words = kWords[random.Below(kWords.size())];
    for (size_t n = random.Below(20); n > 0; --n)
      words += " " + kWords[random.Below(kWords.size())];
    TestRow row = RandomRow(&random);
    row.first_name = words;
    MessageSpec spec = TestSpec();
    spec.subject = {"subject", "For {{first_name}}, today"};
    spec.to_name = {"to", "{{first_name}}"};
    spec.text = {"t.txt", RandomBody(&random)};
    spec.html = {"t.html", RandomBody(&random)};
    nlohmann::json expected = {
        {"subject", "For " + words + ", today"},
        {"address", row.address},
        {"name", words},
        {"types", {"text/plain", "text/html"}},
        {"texts", {Rendered(spec.text->text, row, false), Rendered(spec.html->text, row, true)}},
        {"files", nlohmann::json::array()}};
    if (i % 3 == 1) {
      spec.html->text += "<img src=\"cid:logo.png\">";
      spec.inline_parts = {{"logo.png", "", "\x89PNG\r\n"}};
      expected["texts"][1] = Rendered(spec.html->text, row, true);
      const std::string text = expected["texts"][1];
      expected["texts"][1] =
          text.substr(0, text.rfind("cid:")) + "cid:1.logopng.key@example.org\">";
      expected["files"].push_back({"logo.png", Hex("\x89PNG\r\n")});
    }
    if (i % 3 != 0) {
      const std::string name = words + std::string(random.Below(40), 'n') + ".bin";
      const std::string bytes = random.Text(kText, 300);
      spec.attachments = {{name.substr(0, ValidUtf8Prefix(name.substr(0, 250))), "", bytes}};
      expected["files"].push_back({spec.attachments[0].name, Hex(bytes)});
    }
    std::ofstream(folder / (std::to_string(i) + ".eml"), std::ios::binary) << ComposeOne(spec, row);
    std::ofstream(folder / (std::to_string(i) + ".json")) << expected.dump();
  }
  const std::filesystem::path script = folder / "reader.py";
  std::ofstream(script) << kPythonReader;
  const std::string command =
      "python3 " + script.string() + " " + folder.string() + " " + std::to_string(kMessages);
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace volley::engine::message
