#include "engine/smtp/content.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

std::vector<iovec> Pieces(std::vector<std::string>& parts) {
  std::vector<iovec> pieces;
  for (std::string& part : parts) pieces.push_back({part.data(), part.size()});
  return pieces;
}

// `content` cut into pieces of at most `piece` bytes, sent with `out_size` pieces a call.
std::string Send(const std::string& content, size_t piece, size_t out_size, bool stuff) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < content.size(); at += piece) parts.push_back(content.substr(at, piece));
  const std::vector<iovec> pieces = Pieces(parts);
  DotStuffer stuffer;
  stuffer.Start(pieces, stuff);
  std::string sent;
  std::vector<iovec> out(out_size);
  while (!stuffer.done()) {
    const size_t n = stuffer.Next(out);
    EXPECT_GT(n, 0u);
    for (size_t i = 0; i < n; ++i) {
      EXPECT_GT(out[i].iov_len, 0u);
      sent.append(static_cast<const char*>(out[i].iov_base), out[i].iov_len);
    }
  }
  EXPECT_EQ(stuffer.Next(out), 0u);
  return sent;
}

// RFC 5321 §4.5.2 byte by byte.
std::string Expected(const std::string& content) {
  std::string out;
  for (size_t i = 0; i < content.size(); ++i) {
    if (content[i] == '.' && (i == 0 || content[i - 1] == '\n')) out.push_back('.');
    out.push_back(content[i]);
  }
  return out;
}

TEST(DotStufferTest, DoublesLeadingDotsOnly) {
  EXPECT_EQ(Send(".a\r\nb.c\r\n..\r\n.\r\n", 100, 8, true), "..a\r\nb.c\r\n...\r\n..\r\n");
}

TEST(DotStufferTest, LeavesContentAloneWhenToldTo) {
  EXPECT_EQ(Send(".a\r\n.\r\n", 3, 1, false), ".a\r\n.\r\n");
}

TEST(DotStufferTest, HasNothingToDoForNoContent) {
  EXPECT_EQ(Send("", 1, 1, true), "");
  iovec empty{nullptr, 0};
  DotStuffer stuffer;
  stuffer.Start({&empty, 1}, true);
  EXPECT_TRUE(stuffer.done());
}

TEST(DotStufferTest, RemembersLineStartsOverEmptyPieces) {
  std::vector<std::string> parts = {"a\r\n", "", ".b", "", ".c\r\n"};
  const std::vector<iovec> pieces = Pieces(parts);
  DotStuffer stuffer;
  stuffer.Start(pieces, true);
  iovec out[8];
  std::string sent;
  for (size_t i = 0, n = stuffer.Next(out); i < n; ++i) {
    sent.append(static_cast<const char*>(out[i].iov_base), out[i].iov_len);
  }
  EXPECT_EQ(sent, "a\r\n..b.c\r\n");
}

TEST(DotStufferTest, AgreesWithTheDefinitionForAnyCut) {
  std::mt19937 random(5321);
  const std::string alphabet[] = {".", "\r\n", "x", "..", "text", "\r\n."};
  for (int round = 0; round < 2000; ++round) {
    std::string content;
    for (size_t n = random() % 30; n > 0; --n) content += alphabet[random() % 6];
    content += "\r\n";
    const std::string expected = Expected(content);
    for (const size_t piece : {1, 2, 3, 5, 1000}) {
      ASSERT_EQ(Send(content, piece, 1 + random() % 4, true), expected) << piece;
    }
  }
}

// Not a byte is copied: every piece points into the content.
TEST(DotStufferTest, CopiesNothing) {
  std::string content = ".x\r\n.y\r\n";
  iovec piece{content.data(), content.size()};
  DotStuffer stuffer;
  stuffer.Start({&piece, 1}, true);
  iovec out[8];
  const size_t n = stuffer.Next(out);
  ASSERT_EQ(n, 3u);
  for (size_t i = 0; i < n; ++i) {
    const char* begin = static_cast<const char*>(out[i].iov_base);
    EXPECT_GE(begin, content.data());
    EXPECT_LE(begin + out[i].iov_len, content.data() + content.size());
  }
}

absl::StatusOr<ContentFacts> Check(const std::string& content, size_t piece) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < content.size(); at += piece) parts.push_back(content.substr(at, piece));
  const std::vector<iovec> pieces = Pieces(parts);
  return CheckCanonical(pieces);
}

TEST(CheckCanonicalTest, TellsTheFacts) {
  for (const size_t piece : {1, 2, 3, 100}) {
    const auto plain = Check("Subject: x\r\n\r\na.b\r\n", piece);
    ASSERT_TRUE(plain.ok());
    EXPECT_EQ(plain->bytes, 19u);
    EXPECT_EQ(plain->longest_line_bytes, 12u);
    EXPECT_FALSE(plain->eight_bit);
    EXPECT_TRUE(plain->dot_free);
    const auto other = Check("a\r\n.\xc3\xa4 and eight more bytes\r\n", piece);
    ASSERT_TRUE(other.ok());
    EXPECT_TRUE(other->eight_bit);
    EXPECT_FALSE(other->dot_free);
    EXPECT_FALSE(Check(".a\r\n", piece)->dot_free);
  }
}

TEST(CheckCanonicalTest, TakesNoContent) {
  const auto facts = CheckCanonical({});
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->bytes, 0u);
}

// RFC 5321 §2.3.8: what smuggling is made of.
TEST(CheckCanonicalTest, RefusesEveryOtherLineEndWithItsPlace) {
  const struct {
    std::string content;
    std::string fault;
  } kCases[] = {
      {"a\nb\r\n", "an LF without CR at byte 1"},
      {"a\r\n\n.\r\n", "an LF without CR at byte 3"},
      {"a\rb\r\n", "a CR without LF at byte 2"},
      {"a\r\r\n", "a CR without LF at byte 2"},
      {"a\r\n.\r", "a CR without LF at byte 5"},
      {"a", "a last line without CRLF at byte 1"},
      {std::string("a\0b\r\n", 5), "a NUL at byte 1"},
  };
  for (const auto& [content, fault] : kCases) {
    for (const size_t piece : {1, 2, 3, 100}) {
      const auto facts = Check(content, piece);
      ASSERT_FALSE(facts.ok()) << content;
      EXPECT_NE(std::string(facts.status().message()).find(fault), std::string::npos)
          << facts.status().message() << " in pieces of " << piece;
    }
  }
}

TEST(CheckCanonicalTest, SeesEightBitAtAnyPlace) {
  for (size_t length = 1; length < 20; ++length) {
    for (size_t at = 0; at < length; ++at) {
      std::string line(length, 'a');
      line[at] = '\x80';
      EXPECT_TRUE(Check(line + "\r\n", 100)->eight_bit) << length << " " << at;
    }
  }
}

}  // namespace
}  // namespace volley::engine::smtp
