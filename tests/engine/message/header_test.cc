#include "engine/message/header.h"

#include <gtest/gtest.h>

#include "engine/message/encoded_word.h"
#include "engine/message/utf8.h"
#include "tests/engine/message/decode.h"

namespace volley::engine::message {
namespace {

std::string Field(std::string_view value, FieldSyntax syntax = FieldSyntax::kUnstructured,
                  std::string_view name = "Subject") {
  std::string out;
  const absl::Status status = AppendField(name, value, syntax, &out);
  if (status.ok()) return out;
  return "error: " + std::string(status.message().data(), status.message().size());
}

std::string Mailbox(std::string_view name, std::string_view address = "ann@example.org") {
  std::string out;
  EXPECT_TRUE(AppendMailboxField("To", name, address, &out).ok());
  return out;
}

// What a reader gets out of "Name: body\r\n".
std::string ReadBack(const std::string& field) {
  const Decoded decoded =
      DecodeFieldBody(field.substr(field.find(": ") + 2, field.size() - field.find(": ") - 4));
  EXPECT_TRUE(decoded.ok) << field;
  return decoded.text;
}

TEST(HeaderDate, IsWrittenAsRfc5322Has) {
  const absl::Time time = absl::FromUnixSeconds(1762185900);
  EXPECT_EQ(FormatDate(time, absl::UTCTimeZone()).value(), "Mon, 03 Nov 2025 16:05:00 +0000");
  EXPECT_EQ(FormatDate(time, absl::FixedTimeZone(5400)).value(), "Mon, 03 Nov 2025 17:35:00 +0130");
  EXPECT_EQ(FormatDate(time, absl::FixedTimeZone(-34200)).value(),
            "Mon, 03 Nov 2025 06:35:00 -0930");
  EXPECT_EQ(FormatDate(absl::FromUnixSeconds(951782400), absl::UTCTimeZone()).value(),
            "Tue, 29 Feb 2000 00:00:00 +0000");
}

TEST(HeaderDate, RefusesTimesThatAreNone) {
  EXPECT_FALSE(FormatDate(absl::InfiniteFuture(), absl::UTCTimeZone()).ok());
  EXPECT_FALSE(FormatDate(absl::InfinitePast(), absl::UTCTimeZone()).ok());
}

TEST(HeaderField, LeavesShortAsciiAlone) {
  EXPECT_EQ(Field("Hello, world"), "Subject: Hello, world\r\n");
  EXPECT_EQ(Field("  trimmed\t "), "Subject: trimmed\r\n");
  EXPECT_EQ(Field(""), "Subject: \r\n");
}

TEST(HeaderField, FoldsAtWhiteSpaceBefore78) {
  const std::string words =
      "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff "
      "ggggggggg hhhhhhhhh iiiiiiiii";
  EXPECT_EQ(Field(words),
            "Subject: aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggggg\r\n"
            " hhhhhhhhh iiiiiiiii\r\n");
}

TEST(HeaderField, FillsALineToExactly78) {
  // "Subject: " and 69 more.
  EXPECT_EQ(Field("a " + std::string(67, 'x')), "Subject: a " + std::string(67, 'x') + "\r\n");
  EXPECT_EQ(Field("a " + std::string(68, 'x')), "Subject: a\r\n " + std::string(68, 'x') + "\r\n");
}

TEST(HeaderField, NeverFoldsBeforeTheFirstWordOrInsideOne) {
  const std::string url(300, 'u');
  EXPECT_EQ(Field(url), "Subject: " + url + "\r\n");
  EXPECT_EQ(Field("a " + url + " b"), "Subject: a\r\n " + url + "\r\n b\r\n");
}

TEST(HeaderField, RefusesAWordTooLongForAnyLine) {
  EXPECT_EQ(Field(std::string(989, 'x')).size(), 1000u);  // 998 and CRLF
  EXPECT_EQ(Field(std::string(990, 'x')),
            "error: a word of 990 bytes is too long for a header line");
  EXPECT_EQ(Field("a " + std::string(997, 'x')).size(), 12u + 998u + 2u);
  EXPECT_TRUE(Field("a " + std::string(998, 'x')).starts_with("error"));
}

TEST(HeaderField, EncodesFromTheFirstToTheLastWordThatNeedsIt) {
  EXPECT_EQ(Field("Hello caf\xC3\xA9 au lait cr\xC3\xA8me today"),
            "Subject: Hello =?utf-8?Q?caf=C3=A9_au_lait_cr=C3=A8me?= today\r\n");
  EXPECT_EQ(Field("\xC3\xA9t\xC3\xA9"), "Subject: =?utf-8?B?w6l0w6k=?=\r\n");
}

TEST(HeaderField, PicksTheShorterEncoding) {
  EXPECT_EQ(ShorterEncoding("caf\xC3\xA9", WordContext::kText), WordEncoding::kB);
  EXPECT_EQ(ShorterEncoding("a longer text with one \xC3\xA9", WordContext::kText),
            WordEncoding::kQ);
  EXPECT_NE(Field("\xE3\x83\x86\xE3\x82\xB9\xE3\x83\x88").find("?B?"), std::string::npos);
}

TEST(HeaderField, EncodesTextThatLooksLikeAnEncodedWord) {
  const std::string field = Field("see =?utf-8?Q?x?= here");
  EXPECT_EQ(ReadBack(field), "see =?utf-8?Q?x?= here");
}

TEST(HeaderField, RefusesNonAsciiInAStructuredField) {
  EXPECT_EQ(Field("<https://example.org/\xC3\xA9>", FieldSyntax::kStructured, "List-Unsubscribe"),
            "error: List-Unsubscribe can hold ASCII only");
  EXPECT_EQ(Field("=?x", FieldSyntax::kStructured, "List-Id"), "List-Id: =?x\r\n");
}

TEST(HeaderField, FoldsAListOfUrlsAfterItsCommas) {
  const std::string url = "<https://example.org/u/" + std::string(850, 'x') + ">";
  const std::string mail = "<mailto:u@example.org>";
  const std::string folded = "List-Unsubscribe: " + mail + ",\r\n " + url + "\r\n";
  EXPECT_EQ(Field(mail + ", " + url, FieldSyntax::kStructured, "List-Unsubscribe"), folded);
  EXPECT_EQ(Field(mail + "," + url, FieldSyntax::kStructured, "List-Unsubscribe"), folded);
  EXPECT_EQ(Field(url + "," + mail, FieldSyntax::kStructured, "List-Unsubscribe"),
            "List-Unsubscribe: " + url + ",\r\n " + mail + "\r\n");
  EXPECT_EQ(Field("<a>,<b>,<c>", FieldSyntax::kStructured, "List-Help"),
            "List-Help: <a>, <b>, <c>\r\n");
  EXPECT_EQ(Field("a>,<b", FieldSyntax::kUnstructured, "X-A"), "X-A: a>,<b\r\n");
}

TEST(HeaderField, RefusesEveryControlCharacterButTab) {
  for (int c = 0; c < 32; ++c) {
    const std::string value = std::string("a") + static_cast<char>(c) + "b";
    EXPECT_EQ(Field(value).starts_with("error"), c != '\t') << c;
  }
  EXPECT_TRUE(Field("a\x7F").starts_with("error"));
  EXPECT_TRUE(Field("a\xC2\x85 b").starts_with("error"));
  EXPECT_TRUE(Field("a\xFF b").starts_with("error"));
  EXPECT_TRUE(Field(std::string(9000, 'a')).starts_with("error"));
}

TEST(HeaderMailboxField, UsesAtomsQuotesOrEncodedWords) {
  EXPECT_EQ(Mailbox(""), "To: ann@example.org\r\n");
  EXPECT_EQ(Mailbox("  "), "To: ann@example.org\r\n");
  EXPECT_EQ(Mailbox("Ann Example"), "To: Ann Example <ann@example.org>\r\n");
  EXPECT_EQ(Mailbox("Example, Ann"), "To: \"Example, Ann\" <ann@example.org>\r\n");
  EXPECT_EQ(Mailbox("Dr. \"A\" \\ B"), "To: \"Dr. \\\"A\\\" \\\\ B\" <ann@example.org>\r\n");
  EXPECT_EQ(Mailbox("Ann  B"), "To: \"Ann  B\" <ann@example.org>\r\n");
  EXPECT_EQ(Mailbox("J\xC3\xB6rg"), "To: =?utf-8?B?SsO2cmc=?= <ann@example.org>\r\n");
  EXPECT_EQ(Mailbox("Jorgen (\xC3\xB6) a Maier"),
            "To: =?utf-8?Q?Jorgen_=28=C3=B6=29_a_Maier?= <ann@example.org>\r\n");
}

TEST(HeaderMailboxField, FoldsBeforeTheAddress) {
  const std::string address = std::string(60, 'a') + "@example.org";
  EXPECT_EQ(Mailbox("Ann Example", address), "To: Ann Example\r\n <" + address + ">\r\n");
}

TEST(HeaderMailboxField, CountsTheClosingBracket) {
  // "To: Ann <" is 9, the bracket 1: 68 bytes of address fit and 69 do not.
  const std::string fits = std::string(56, 'a') + "@example.org";
  ASSERT_EQ(Mailbox("Ann", fits), "To: Ann <" + fits + ">\r\n");
  EXPECT_EQ(Mailbox("Ann", "a" + fits), "To: Ann\r\n <a" + fits + ">\r\n");
}

TEST(HeaderMailboxField, CannotBeMadeToHoldAnotherMailbox) {
  EXPECT_EQ(Mailbox("x\" <evil@example.net>, \"y"),
            "To: \"x\\\" <evil@example.net>, \\\"y\" <ann@example.org>\r\n");
  std::string out;
  EXPECT_FALSE(AppendMailboxField("To", "Ann\r\nBcc: x@example.org", "a@b.c", &out).ok());
}

TEST(EncodedWord, NeverSplitsACharacter) {
  const std::string smile = "\xF0\x9F\x98\x80";
  for (size_t room = kMinEncodedWordBytes; room <= kMaxEncodedWordBytes; ++room) {
    for (const WordEncoding encoding : {WordEncoding::kQ, WordEncoding::kB}) {
      std::string text = "x";
      for (int i = 0; i < 20; ++i) text += smile;
      std::string out;
      const size_t taken = AppendEncodedWord(text, encoding, WordContext::kText, room, &out);
      EXPECT_LE(out.size(), room);
      EXPECT_GE(taken, 1u);
      EXPECT_TRUE(IsUtf8(text.substr(0, taken)));
      EXPECT_EQ(DecodeFieldBody(out).text, text.substr(0, taken));
    }
  }
}

TEST(HeaderField, IsReadBackAsItWasAndKeepsTheLineRules) {
  const std::vector<std::string> kPieces = {"a",
                                            "word",
                                            " ",
                                            " ",
                                            " ",
                                            ",",
                                            "=?",
                                            "?=",
                                            "_",
                                            "=",
                                            "\xC3\xA9",
                                            "\xE3\x83\x86",
                                            "\xF0\x9F\x98\x80",
                                            std::string(40, 'x'),
                                            "\""};
  for (uint64_t seed = 1; seed <= 4000; ++seed) {
    Random random(seed);
    std::string value = random.Text(kPieces, 60);
    // Runs of white space may be read as one space where words are encoded; not the point here.
    while (value.find("  ") != std::string::npos) value.erase(value.find("  "), 1);
    const std::string field = Field(value);
    while (value.starts_with(' ')) value.erase(0, 1);
    while (value.ends_with(' ')) value.pop_back();
    ASSERT_EQ(ReadBack(field), value) << "seed " << seed << "\n" << field;
    ASSERT_EQ(BrokenLineRule(field + "\r\n"), "") << "seed " << seed;
    std::string name(value);
    const std::string mailbox = Mailbox(name);
    ASSERT_EQ(BrokenLineRule(mailbox + "\r\n"), "") << "seed " << seed;
    ASSERT_TRUE(IsAscii(mailbox)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace volley::engine::message
