#include "engine/message/base64.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/engine/message/decode.h"

namespace volley::engine::message {
namespace {

std::string Joined(const MessageBuffer& buffer) {
  std::array<iovec, MessageBuffer::kMaxPieces> iovecs;
  std::string all;
  for (const iovec& piece : buffer.Pieces(iovecs)) {
    all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return all;
}

std::string Lines(std::string_view bytes) {
  std::string out(Base64LinesBytes(bytes.size()), '?');
  EXPECT_EQ(WriteBase64Lines(bytes, out.data()), out.data() + out.size());
  return out;
}

std::string Unwrapped(std::string text) {
  for (size_t at = text.find("\r\n"); at != text.npos; at = text.find("\r\n", at))
    text.erase(at, 2);
  return text;
}

// RFC 4648 §10
TEST(Base64, EncodesWhatTheRfcShows) {
  const std::pair<const char*, const char*> kVectors[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : kVectors) EXPECT_EQ(Lines(plain), encoded);
  EXPECT_EQ(Lines("\xFB\xFF\xBF"), "+/+/");
}

TEST(Base64, BreaksLinesAt76) {
  for (const size_t bytes : {56u, 57u, 58u, 113u, 114u, 115u, 1000u}) {
    const std::string plain(bytes, 'x');
    const std::string encoded = Lines(plain);
    EXPECT_EQ(DecodeBase64(Unwrapped(encoded)).text, plain) << bytes;
    EXPECT_FALSE(encoded.ends_with("\r\n")) << bytes;
    for (size_t at = 0; at < encoded.size();) {
      const size_t end = std::min(encoded.find("\r\n", at), encoded.size());
      EXPECT_EQ(end - at, end == encoded.size() ? encoded.size() - at : 76u);
      at = end + 2;
    }
  }
}

TEST(Base64, EncodesLongLiteralsAheadForEveryPlaceInAGroup) {
  const Base64Literal literal = Base64Literal::Encode(std::string(1000, 'x') + "\n");
  EXPECT_EQ(literal.text.size(), 1002u);
  for (size_t skipped = 0; skipped < 3; ++skipped) {
    const Decoded decoded = DecodeBase64(Unwrapped(literal.lines[skipped]));
    ASSERT_TRUE(decoded.ok);
    const size_t whole = (literal.text.size() - skipped) / 3 * 3;
    EXPECT_EQ(decoded.text, literal.text.substr(skipped, whole));
  }
  EXPECT_TRUE(Base64Literal::Encode("short").lines[0].empty());
}

TEST(Base64, PointsAtLongLiterals) {
  const Base64Literal literal = Base64Literal::Encode(std::string(3000, 'x'));
  MessageBuffer buffer;
  Base64Writer writer(&buffer);
  writer.Value("ab", TextEscape::kNone);
  writer.Literal(literal);
  writer.Finish(true);
  std::array<iovec, MessageBuffer::kMaxPieces> iovecs;
  const auto pieces = buffer.Pieces(iovecs);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[1].iov_base, literal.lines[1].data());
}

TEST(Base64, EscapesAndNormalisesValues) {
  MessageBuffer buffer;
  Base64Writer writer(&buffer);
  writer.Value("<a&b>\"'\n\r\n\r", TextEscape::kHtml);
  writer.Value("<&>", TextEscape::kNone);
  writer.Finish(false);
  EXPECT_EQ(DecodeBase64(Unwrapped(Joined(buffer))).text,
            "&lt;a&amp;b&gt;&quot;&#39;\r\n\r\n\r\n<&>");
}

TEST(Base64, DecodesToItsSourceHoweverItIsCut) {
  const std::vector<std::string> kPieces = {
      "a", "\xD0\x96", "\n", "\r\n", std::string(56, 'x'), std::string(400, 'y'), "bc", " "};
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    Random random(seed);
    MessageBuffer buffer;
    Base64Writer writer(&buffer);
    std::vector<std::unique_ptr<Base64Literal>> literals;
    std::string expected;
    for (size_t n = random.Below(8); n > 0; --n) {
      const std::string text = random.Text(kPieces, 6);
      expected += Crlf(text);
      if (random.Below(2) == 0) {
        literals.push_back(std::make_unique<Base64Literal>(Base64Literal::Encode(text)));
        writer.Literal(*literals.back());
      } else {
        writer.Value(text, TextEscape::kNone);
      }
    }
    writer.Finish(true);
    const std::string encoded = Joined(buffer);
    const Decoded decoded = DecodeBase64(Unwrapped(encoded));
    ASSERT_TRUE(decoded.ok) << "seed " << seed;
    ASSERT_EQ(decoded.text, expected) << "seed " << seed;
    ASSERT_EQ(BrokenLineRule("A: b\r\n\r\n" + encoded), "") << "seed " << seed;
    ASSERT_EQ(encoded.find("\r\n\r\n"), encoded.npos) << "seed " << seed;
  }
}

}  // namespace
}  // namespace volley::engine::message
