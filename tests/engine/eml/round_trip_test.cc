// What the composer writes, read by GMime over a grid of contents: every decoded part is what was
// put in.
#include <gtest/gtest.h>

#include "engine/eml/gmime.h"
#include "tests/engine/message/message_spec.h"

namespace volley::engine::eml {
namespace {

using message::MessageSpec;

struct Leaf {
  std::string type;
  std::string name;
  std::string bytes;
};

void Collect(GMimeObject* object, std::vector<Leaf>* leaves) {
  if (GMIME_IS_MULTIPART(object)) {
    GMimeMultipart* multipart = GMIME_MULTIPART(object);
    for (int i = 0; i < g_mime_multipart_get_count(multipart); ++i) {
      Collect(g_mime_multipart_get_part(multipart, i), leaves);
    }
    return;
  }
  ASSERT_TRUE(GMIME_IS_PART(object));
  GMimePart* part = GMIME_PART(object);
  const OwnedChars type(g_mime_content_type_get_mime_type(g_mime_object_get_content_type(object)));
  const Owned<GMimeStream> stream(g_mime_stream_mem_new());
  g_mime_data_wrapper_write_to_stream(g_mime_part_get_content(part), stream.get());
  GByteArray* bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream.get()));
  leaves->push_back({type.get(), ToString(g_mime_part_get_filename(part)),
                     std::string(reinterpret_cast<const char*>(bytes->data), bytes->len)});
}

void Warn(gint64 offset, GMimeParserWarning code, const gchar* item, gpointer count) {
  ADD_FAILURE() << "GMime warns of " << code << " at " << offset << ": " << ToString(item);
  ++*static_cast<int*>(count);
}

std::vector<Leaf> Leaves(const std::string& composed, std::string* subject) {
  g_mime_init();
  const Owned<GMimeStream> stream(
      g_mime_stream_mem_new_with_buffer(composed.data(), composed.size()));
  const Owned<GMimeParser> parser(g_mime_parser_new_with_stream(stream.get()));
  int warnings = 0;
  GMimeParserOptions* options = g_mime_parser_options_new();
  g_mime_parser_options_set_warning_callback(options, Warn, &warnings);
  const Owned<GMimeMessage> message(g_mime_parser_construct_message(parser.get(), options));
  g_mime_parser_options_free(options);
  std::vector<Leaf> leaves;
  Collect(g_mime_message_get_mime_part(message.get()), &leaves);
  *subject = ToString(g_mime_message_get_subject(message.get()));
  return leaves;
}

// Text parts at the top level are ended with a line end; line ends are CRLF.
std::string Canonical(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? "\r\n" : std::string(1, c);
  return out;
}

const std::vector<std::string> kContents = {
    "",
    "plain\n",
    "no line end",
    std::string(5000, 'x'),
    "caf\xC3\xA9 \xE2\x82\xAC\n",
    ".\n..\n.dot\nFrom me\n>From\n",
    "\xF0\x9F\x98\x80\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7\n",
    "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D \xE2\x80\x8F \xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7\n",
    "  spaces \n\t\n end ",
    "=_boundary --=_0 =20 =\n",
    "\n\n\n",
    "{{first_name}} {{city}}\n{{token}}",
    "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 {{first_name}}, \xD0\xBC\xD0\xB8\xD1\x80 "
    "{{city}}",
};

std::string Filled(std::string text, const message::TestRow& row) {
  const std::pair<std::string, std::string> kValues[] = {
      {"{{first_name}}", row.first_name}, {"{{city}}", row.city}, {"{{token}}", row.token}};
  for (const auto& [tag, value] : kValues) {
    for (size_t at = text.find(tag); at != text.npos; at = text.find(tag, at + value.size())) {
      text.replace(at, tag.size(), value);
    }
  }
  return Canonical(text);
}

TEST(RoundTrip, TextAndHtmlComeBackAsTheyWere) {
  const message::TestRow rows[] = {
      {},
      {.first_name = "\xE3\x83\x86\xE3\x82\xB9\xE3\x83\x88", .token = ".x \n.y", .city = " a  "}};
  for (const message::TestRow& row : rows) {
    for (const std::string& text : kContents) {
      for (const std::string& html : kContents) {
        MessageSpec spec = message::TestSpec();
        spec.text = {"t.txt", text};
        spec.html = {"t.html", html};
        std::string subject;
        const std::vector<Leaf> leaves = Leaves(message::ComposeOne(spec, row), &subject);
        ASSERT_EQ(leaves.size(), 2u);
        EXPECT_EQ(leaves[0].bytes, Filled(text, row));
        EXPECT_EQ(leaves[1].bytes, Filled(html, row));
        EXPECT_EQ(leaves[0].type, "text/plain");
        EXPECT_EQ(leaves[1].type, "text/html");
        EXPECT_EQ(subject, "News for " + row.first_name);
      }
    }
  }
}

TEST(RoundTrip, FilesComeBackWithTheirNames) {
  std::string binary;
  for (int i = 0; i < 1000; ++i) binary.push_back(static_cast<char>(i * 7));
  const std::vector<std::string> kNames = {
      "a.pdf",
      "with space.pdf",
      "quote\"back.txt",
      "semi;colon='x'.bin",
      "caf\xC3\xA9.pdf",
      "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D.docx",
      "\xF0\x9F\x98\x80.png",
      "100%.txt",
      "=?utf-8?Q?x?=.txt",
      "no ending",
      std::string(250, 'l') + ".txt",
      std::string(60, 'l') + "\xE3\x83\x86\xE3\x82\xB9\xE3\x83\x88\xE3\x83\x86\xE3\x82\xB9.zip"};
  for (const std::string& content : kContents) {
    MessageSpec spec = message::TestSpec();
    spec.text = {"t.txt", content};
    spec.html = {"t.html", "<img src=\"cid:logo.png\">"};
    spec.inline_parts = {{"logo.png", "", binary}};
    spec.recipient_attachments = true;
    std::vector<message::PartFileView> own;
    for (size_t i = 0; i < kNames.size(); ++i) {
      const std::string& bytes = i % 3 == 0 ? binary : kContents[i];
      if (i % 2 == 0) spec.attachments.push_back({kNames[i], "", bytes});
      if (i % 2 == 1) own.push_back({kNames[i], "", bytes});
    }
    const auto compiled = message::MessageTemplate::Compile(spec, message::kTestColumns);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    const message::TestRow row;
    const message::FieldView fields[] = {
        {row.first_name}, {row.token}, {row.items, message::FieldKind::kJson}, {row.city}};
    message::ComposedMessage composed;
    ASSERT_TRUE(compiled->Compose({row.address, 1, fields, own}, &composed).ok());
    std::string subject;
    const std::vector<Leaf> leaves = Leaves(composed.ToString(), &subject);
    ASSERT_EQ(leaves.size(), 3 + kNames.size());
    EXPECT_EQ(leaves[0].bytes, Filled(content, row));
    EXPECT_EQ(leaves[2].bytes, binary);
    EXPECT_EQ(leaves[2].name, "logo.png");
    std::vector<Leaf> expected;
    for (const message::PartFile& file : spec.attachments)
      expected.push_back({"", file.name, file.bytes});
    for (const message::PartFileView& file : own) {
      expected.push_back({"", std::string(file.name), std::string(file.bytes)});
    }
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(leaves[3 + i].name, expected[i].name);
      EXPECT_EQ(leaves[3 + i].bytes, expected[i].bytes) << expected[i].name;
    }
  }
}

}  // namespace
}  // namespace volley::engine::eml
