#include "engine/eml/eml.h"

#include <gtest/gtest.h>

#include "tests/engine/message/message_spec.h"

namespace volley::engine::eml {
namespace {

using message::MessageSpec;

// "\n" for people; the message has CRLF.
std::string Eml(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? "\r\n" : std::string(1, c);
  return out;
}

MessageSpec Read(std::string_view text) {
  auto spec = ReadEml(Eml(text), "m.eml");
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? *std::move(spec) : MessageSpec();
}

std::string Error(std::string_view text) {
  const auto spec = ReadEml(text, "m.eml");
  return spec.ok() ? ""
                   : std::string(spec.status().message().data(), spec.status().message().size());
}

constexpr char kHead[] = "From: Ann <ann@example.org>\nSubject: Hi\nMIME-Version: 1.0\n";

TEST(Eml, ReadsAPlainMessage) {
  const MessageSpec spec = Read(
      "Return-Path: <x@y.example>\nReceived: from a by b\nReceived: from c by d\n"
      "From: =?iso-8859-1?Q?J=F6rg_=22Q=22?= <j@example.org>\nReply-To: help@example.org\n"
      "To: a@b.example, c@d.example\nCc: e@f.example\nBcc: g@h.example\n"
      "Subject: =?utf-8?B?TsOpd3M=?= for\n {{first_name}}\nDate: Mon, 3 Nov 2025 17:05:00 +0100\n"
      "Message-ID: <1@x>\nDKIM-Signature: v=1\nARC-Seal: i=1\nAuthentication-Results: x\n"
      "List-Unsubscribe: <https://x.example/{{token}}>,\n <mailto:u@x.example>\n"
      "X-Campaign: =?utf-8?Q?caf=C3=A9?=\nMIME-Version: 1.0\n"
      "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n"
      "\nHello {{first_name}}, caf=E9=\n!\nBye\n");
  EXPECT_EQ(spec.from, "\"J\xC3\xB6rg \\\"Q\\\"\" <j@example.org>");
  EXPECT_EQ(spec.reply_to, "help@example.org");
  EXPECT_EQ(spec.subject.text, "N\xC3\xA9ws for {{first_name}}");
  ASSERT_TRUE(spec.text.has_value());
  EXPECT_EQ(spec.text->text, "Hello {{first_name}}, caf\xC3\xA9!\nBye\n");
  EXPECT_EQ(spec.text->name, "m.eml text");
  EXPECT_FALSE(spec.html.has_value());
  ASSERT_EQ(spec.headers.size(), 2u);
  EXPECT_EQ(spec.headers[0].first, "List-Unsubscribe");
  EXPECT_EQ(spec.headers[0].second.text, "<https://x.example/{{token}}>, <mailto:u@x.example>");
  EXPECT_EQ(spec.headers[1].first, "X-Campaign");
  EXPECT_EQ(spec.headers[1].second.text, "caf\xC3\xA9");
}

constexpr char kNested[] = R"(Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=utf-8

Text {{first_name}}
--a
Content-Type: text/x-amp-html

<html amp4email>
--a
Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHA+PGltZyBzcmM9ImNpZDppbWFnZTAwMS5wbmdAMDFEOSI+PGltZyBzcmM9J2NpZDpiYic+e3tjaXR5fX08L3A+
--r
Content-Type: image/png; name="logo.png"
Content-ID: <image001.png@01D9>
Content-Transfer-Encoding: base64

AAEC
--r
Content-Type: image/gif
Content-ID: <bb>

GIF
--r
Content-Type: image/gif; name="unused.gif"
Content-ID: <cc>
Content-Disposition: inline

GIF
--r--
--a--
--m
Content-Type: text/calendar; method=REQUEST; charset=utf-8; name=x
Content-Disposition: attachment; filename*0*=utf-8''C%3A%5Ctmp%5C; filename*1*=%C3%A9.ics

BEGIN:VCALENDAR
--m--
)";

TEST(Eml, PutsEveryPartInItsPlace) {
  const MessageSpec spec = Read(std::string(kHead) + kNested);
  EXPECT_EQ(spec.text->text, "Text {{first_name}}");
  EXPECT_EQ(spec.amp->text, "<html amp4email>");
  EXPECT_EQ(spec.html->text, "<p><img src=\"cid:logo.png\"><img src='cid:part-8.gif'>{{city}}</p>");
  ASSERT_EQ(spec.inline_parts.size(), 2u);
  EXPECT_EQ(spec.inline_parts[0].name, "logo.png");
  EXPECT_EQ(spec.inline_parts[0].content_type, "image/png");
  EXPECT_EQ(spec.inline_parts[0].bytes, std::string("\x00\x01\x02", 3));
  EXPECT_EQ(spec.inline_parts[1].name, "part-8.gif");
  ASSERT_EQ(spec.attachments.size(), 2u);
  EXPECT_EQ(spec.attachments[0].name, "unused.gif");
  EXPECT_EQ(spec.attachments[1].name, "\xC3\xA9.ics");
  EXPECT_EQ(spec.attachments[1].content_type,
            "text/calendar; method=\"REQUEST\"; charset=\"utf-8\"");
  EXPECT_EQ(spec.attachments[1].bytes, "BEGIN:VCALENDAR");
}

TEST(Eml, MakesASpecThatComposes) {
  MessageSpec spec = Read(std::string(kHead) + kNested);
  spec.message_id_key = "key";
  spec.date = absl::FromUnixSeconds(1762185900);
  const std::string composed = message::ComposeOne(spec, {.city = "Z\xC3\xBCrich"});
  // Read again: the same content, rendered.
  const auto again = ReadEml(composed, "again");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->text->text, "Text Bob");
  EXPECT_EQ(again->html->text,
            "<p><img src=\"cid:logo.png\"><img src='cid:part-8.gif'>Z\xC3\xBCrich</p>");
  ASSERT_EQ(again->inline_parts.size(), 2u);
  EXPECT_EQ(again->inline_parts[0].bytes, spec.inline_parts[0].bytes);
  ASSERT_EQ(again->attachments.size(), 2u);
  EXPECT_EQ(again->attachments[1].name, spec.attachments[1].name);
  EXPECT_EQ(again->attachments[1].content_type, spec.attachments[1].content_type);
}

TEST(Eml, GivesImagesOfOneNameNamesOfTheirOwn) {
  const MessageSpec spec = Read(std::string(kHead) + R"(Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html

<img src=cid:a><img src=cid:b>
--r
Content-Type: image/png; name="image.png"
Content-ID: <a>

1
--r
Content-Type: image/png; name="image.png"
Content-ID: <b>

2
--r--
)");
  EXPECT_EQ(spec.html->text, "<img src=cid:image.png><img src=cid:2-image.png>");
  ASSERT_EQ(spec.inline_parts.size(), 2u);
  EXPECT_EQ(spec.inline_parts[1].name, "2-image.png");
  EXPECT_EQ(spec.inline_parts[1].bytes, "2");
}

std::string Parts(std::string_view types) {
  std::string out = std::string(kHead) + "Content-Type: multipart/mixed; boundary=m\n";
  while (!types.empty()) {
    const size_t end = std::min(types.find(' '), types.size());
    out += "\n--m\nContent-Type: " + std::string(types.substr(0, end)) + "\n\nx\n";
    types.remove_prefix(std::min(end + 1, types.size()));
  }
  return out + "--m--\n";
}

TEST(Eml, NamesWhatCannotBeCarried) {
  const std::string head = kHead;
  EXPECT_EQ(Error("Subject: x\n\ntext\n"), "m.eml: no From");
  EXPECT_EQ(Error("From: a@b.example, c@d.example\n\nx\n"),
            "m.eml: From has 2 mailboxes; one can be carried");
  EXPECT_EQ(Error("From: a@b.example\nFrom: c@d.example\n\nx\n"),
            "m.eml: the header \"from\" is there twice");
  EXPECT_EQ(Error("From: a@b.example\nSubject: a\nSubject: b\n\nx\n"),
            "m.eml: the header \"subject\" is there twice");
  EXPECT_EQ(Error("From: a@b.example\nX-A: a\nx-a: b\n\nx\n"),
            "m.eml: the header \"x-a\" is there twice");
  EXPECT_EQ(Error("From: us: a@b.example;\n\nx\n"), "m.eml: From is a group");
  EXPECT_EQ(Error("From: a@b.example\nReply-To: a@b.example, c@d.example\n\nx\n"),
            "m.eml: Reply-To has 2 mailboxes; one can be carried");
  EXPECT_EQ(Error(head + "Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b--\n"),
            "m.eml: multipart/signed cannot be carried: copies of it would not be what was signed");
  EXPECT_EQ(Error(head + "Content-Type: multipart/encrypted; boundary=b\n\n--b\n\nx\n--b--\n"),
            "m.eml: multipart/encrypted cannot be carried: copies of it would not be what was "
            "encrypted");
  EXPECT_EQ(Error(head + "Content-Type: application/pkcs7-mime\n\nx\n"),
            "m.eml: a signed or encrypted message (S/MIME) cannot be carried");
  EXPECT_EQ(Error(Parts("text/plain message/rfc822")),
            "m.eml: an attached message (message/rfc822) cannot be carried");
  EXPECT_EQ(Error(Parts("text/plain text/plain")), "m.eml: a second text/plain part has no place");
  EXPECT_EQ(Error(Parts("image/png")), "m.eml: no text/plain and no text/html part");
  EXPECT_EQ(Error(head + "Content-Type: text/html\n\n<p>\n<img src='cid:x'>\n"),
            "m.eml: m.eml html:2: cid:x names no inline part of this message");
  EXPECT_EQ(Error(""), "m.eml: no message (RFC 5322)");
}

TEST(Eml, KeepsItsBounds) {
  EXPECT_EQ(Error(std::string(kMaxEmlBytes + 1, 'x')), "m.eml: 26214401 bytes; at most 26214400");
  std::string many;
  for (size_t i = 0; i < kMaxEmlParts; ++i) many += "image/png ";
  EXPECT_EQ(Error(Parts(many + "text/plain")), "m.eml: more than 100 parts");
  // Deeper than any stack would take if it were recursed into without a bound.
  for (const size_t depth : {size_t{25}, size_t{200000}}) {
    std::string deep = kHead;
    for (size_t i = 0; i < depth; ++i) {
      const std::string b = std::to_string(i);
      deep += "Content-Type: multipart/mixed; boundary=b" + b + "\n\n--b" + b + "\n";
    }
    EXPECT_EQ(Error(deep + "\nx\n"), "m.eml: parts nested over 20 deep");
  }
  std::string headers = kHead;
  for (size_t i = 0; i < kMaxEmlHeaders; ++i) headers += "X-" + std::to_string(i) + ": x\n";
  EXPECT_EQ(Error(headers + "\nx\n"), "m.eml: more than 200 headers");
}

TEST(Eml, SurvivesEveryTruncation) {
  const std::string whole = Eml(std::string(kHead) + kNested);
  size_t read = 0;
  for (size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    if (ReadEml(std::string_view(whole).substr(0, bytes), "m.eml").ok()) ++read;
  }
  EXPECT_GT(read, 100u);
}

}  // namespace
}  // namespace volley::engine::eml
