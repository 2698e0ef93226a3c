#include "engine/smtp/reply.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

using Result = ReplyParser::Result;

struct Parsed {
  int code;
  EnhancedCode enhanced;
  std::string text;
  std::vector<std::string> lines;
  bool operator==(const Parsed&) const = default;
};

// Every reply of `bytes`, given in segments of `segment` bytes; "error: ..." ends the list.
std::vector<Parsed> ParseAll(std::string_view bytes, size_t segment) {
  ReplyParser parser;
  std::vector<Parsed> replies;
  while (!bytes.empty()) {
    // A copy of exact size, so that a view into an input that is gone is seen by the sanitizer.
    const std::string copy(bytes.substr(0, segment));
    bytes.remove_prefix(copy.size());
    std::string_view input = copy;
    while (!input.empty()) {
      switch (parser.Next(&input)) {
        case Result::kNeedMore:
          EXPECT_TRUE(input.empty());
          break;
        case Result::kError:
          replies.push_back({0, {}, "error: " + std::string(parser.error()), {}});
          return replies;
        case Result::kReply: {
          const ReplyView& reply = parser.reply();
          Parsed parsed{reply.code.value(), reply.enhanced, std::string(reply.text), {}};
          for (size_t i = 0; i < parser.line_count(); ++i)
            parsed.lines.emplace_back(parser.line(i));
          replies.push_back(std::move(parsed));
        }
      }
    }
  }
  return replies;
}

std::vector<Parsed> ParseAll(std::string_view bytes) {
  const std::vector<Parsed> whole = ParseAll(bytes, bytes.size());
  for (const size_t segment : {1, 2, 3, 7}) EXPECT_EQ(ParseAll(bytes, segment), whole) << segment;
  return whole;
}

Parsed ParseOne(std::string_view bytes) {
  const std::vector<Parsed> all = ParseAll(bytes);
  EXPECT_EQ(all.size(), 1u) << bytes;
  return all.empty() ? Parsed{} : all[0];
}

TEST(ReplyParser, ReadsOneLine) {
  EXPECT_EQ(ParseOne("250 ok then\r\n"), (Parsed{250, {}, "ok then", {"ok then"}}));
}

// RFC 5321 §4.2: "ddd" alone, and "ddd " with nothing behind.
TEST(ReplyParser, TakesACodeWithoutText) {
  EXPECT_EQ(ParseOne("250\r\n"), (Parsed{250, {}, "", {""}}));
  EXPECT_EQ(ParseOne("250 \r\n"), (Parsed{250, {}, "", {""}}));
  EXPECT_EQ(ParseOne("250-\r\n250\r\n"), (Parsed{250, {}, "", {"", ""}}));
}

TEST(ReplyParser, JoinsLinesBySingleSpaces) {
  EXPECT_EQ(ParseOne("250-mx.example\r\n250-SIZE 10\r\n250-\r\n250 DSN\r\n"),
            (Parsed{250, {}, "mx.example SIZE 10 DSN", {"mx.example", "SIZE 10", "", "DSN"}}));
}

TEST(ReplyParser, ReadsRepliesThatFollowEachOther) {
  const auto all = ParseAll("250 a\r\n550-5.1.1 no\r\n550 5.1.1 such\r\n354 go\r\n221 \r\n");
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].text, "a");
  EXPECT_EQ(all[1], (Parsed{550, {5, 1, 1}, "no such", {"no", "such"}}));
  EXPECT_EQ(all[2].code, 354);
  EXPECT_EQ(all[3].code, 221);
}

TEST(ReplyParser, TakesABareLf) { EXPECT_EQ(ParseAll("250 a\n250-b\n250 c\n").size(), 2u); }

// RFC 2034 §4, RFC 3463 §2.
TEST(ReplyParser, TakesTheEnhancedCodeOffEveryLine) {
  EXPECT_EQ(ParseOne("450 4.2.1 slow\r\n"), (Parsed{450, {4, 2, 1}, "slow", {"slow"}}));
  EXPECT_EQ(ParseOne("250 2.1.5\r\n"), (Parsed{250, {2, 1, 5}, "", {""}}));
  EXPECT_EQ(ParseOne("550-5.7.1  a\r\n550-b\r\n550 5.7.26 c\r\n"),
            (Parsed{550, {5, 7, 1}, "a b c", {"a", "b", "c"}}));
  EXPECT_EQ(ParseOne("554-see\r\n554 5.7.509 x\r\n"),
            (Parsed{554, {5, 7, 509}, "see x", {"see", "x"}}));
}

TEST(ReplyParser, LeavesAloneWhatIsNoEnhancedCode) {
  for (const std::string text : {"5.1.1 x", "4.1 x", "4.1. x", "4..1 x", "4.1.1x", "4.1.1234 x",
                                 "4.1.1.1 x", "4,1,1 x", "x 4.1.1", "4.", "4", "14.1.1 x"}) {
    EXPECT_EQ(ParseOne("450 " + text + "\r\n"), (Parsed{450, {}, text, {text}}));
  }
  EXPECT_EQ(ParseOne("354 3.0.0 go\r\n").text, "3.0.0 go");
}

TEST(ReplyParser, JudgesUnknownCodesByNothing) {
  for (const int code : {200, 299, 355, 399, 499, 500, 599}) {
    EXPECT_EQ(ParseOne(std::to_string(code) + " x\r\n").code, code);
  }
}

TEST(ReplyParser, RefusesWhatIsNoReply) {
  for (const std::string bytes :
       {"2500 ok\r\n", "25 ok\r\n", "25\r\n", "\r\n", "\n", "ok\r\n", " 250 ok\r\n", "250:ok\r\n",
        "250\tok\r\n", "150 ok\r\n", "050 ok\r\n", "600 ok\r\n", "999 ok\r\n", "-250 ok\r\n",
        "250-a\r\n251 b\r\n", "250-a\r\nb\r\n", "2x0 ok\r\n", "250\rok\r\n"}) {
    const auto all = ParseAll(bytes);
    ASSERT_FALSE(all.empty()) << bytes;
    EXPECT_EQ(all.back().text.substr(0, 7), "error: ") << bytes;
  }
}

TEST(ReplyParser, StaysBrokenUntilReset) {
  ReplyParser parser;
  std::string_view input = "x\r\n250 ok\r\n";
  EXPECT_EQ(parser.Next(&input), Result::kError);
  EXPECT_EQ(parser.Next(&input), Result::kError);
  parser.Reset();
  input = "250 ok\r\n";
  EXPECT_EQ(parser.Next(&input), Result::kReply);
}

TEST(ReplyParser, ForgetsHalfALineAtReset) {
  ReplyParser parser;
  std::string_view input = "250-first\r\n250 sec";
  EXPECT_EQ(parser.Next(&input), Result::kNeedMore);
  parser.Reset();
  input = "220 new\r\n";
  ASSERT_EQ(parser.Next(&input), Result::kReply);
  EXPECT_EQ(parser.reply().text, "new");
  EXPECT_EQ(parser.line_count(), 1u);
}

// RFC 5321 §4.5.3.1.5 has 512 octets; longer ones are read, up to a bound.
TEST(ReplyParser, TakesLinesUpToItsBound) {
  const std::string longest(ReplyParser::kLineBytesMax - 5, 'x');  // with "250 " and CR
  EXPECT_EQ(ParseOne("250 " + longest + "\r\n").text, longest);
  EXPECT_EQ(ParseOne("250 " + longest + "xx\r\n").text, "error: a reply line is too long");
}

TEST(ReplyParser, RefusesALineThatNeverEnds) {
  ReplyParser parser;
  const std::string flood(1000, '2');
  for (size_t i = 0; i < ReplyParser::kLineBytesMax / flood.size(); ++i) {
    std::string_view input = flood;
    ASSERT_EQ(parser.Next(&input), Result::kNeedMore) << i;
  }
  std::string_view input = flood;
  EXPECT_EQ(parser.Next(&input), Result::kError);
}

TEST(ReplyParser, RefusesAReplyThatNeverEnds) {
  std::string bytes;
  while (bytes.size() < ReplyParser::kReplyBytesMax)
    bytes += "250-" + std::string(100, 'x') + "\r\n";
  const std::string in_bounds = bytes.substr(0, bytes.size() - 2 * 106) + "250 end\r\n";
  EXPECT_EQ(ParseAll(in_bounds).back().code, 250);
  EXPECT_EQ(ParseAll(bytes + "250 end\r\n").back().text, "error: a reply is too long");
}

TEST(ReplyParser, KeepsControlCharactersOfTheText) {
  const std::string bytes("250 a\0b\x1b[c\xff\r\n", 13);
  EXPECT_EQ(ParseOne(bytes).text, std::string("a\0b\x1b[c\xff", 7));
}

}  // namespace
}  // namespace volley::engine::smtp
