#include "engine/message/quoted_printable.h"

#include <gtest/gtest.h>

#include "tests/engine/message/decode.h"

namespace volley::engine::message {
namespace {

std::string Joined(const MessageBuffer& buffer) {
  std::array<iovec, MessageBuffer::kMaxPieces> iovecs;
  std::string all;
  for (const iovec& piece : buffer.Pieces(iovecs)) {
    all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  EXPECT_EQ(all.size(), buffer.bytes());
  return all;
}

std::string EncodeValue(std::string_view text, TextEscape escape = TextEscape::kNone) {
  MessageBuffer buffer;
  QpWriter writer(&buffer);
  writer.Value(text, escape);
  writer.Finish(false);
  return Joined(buffer);
}

TEST(QuotedPrintable, LeavesPlainTextAlone) {
  EXPECT_EQ(EncodeValue("Hello, world! (1 + 1) <b> ~^|\\"), "Hello, world! (1 + 1) <b> ~^|\\");
  EXPECT_EQ(EncodeValue("a\tb c\r\nd"), "a\tb c\r\nd");
}

TEST(QuotedPrintable, EncodesWhatMustBe) {
  EXPECT_EQ(EncodeValue("1=2"), "1=3D2");
  EXPECT_EQ(EncodeValue("caf\xC3\xA9"), "caf=C3=A9");
  EXPECT_EQ(EncodeValue("a\x01\x7F"), "a=01=7F");
  EXPECT_EQ(EncodeValue("a \r\nb\t\r\n"), "a=20\r\nb=09\r\n");
  EXPECT_EQ(EncodeValue("end "), "end=20");
}

TEST(QuotedPrintable, MakesEveryLineEndCrlf) {
  EXPECT_EQ(EncodeValue("a\nb\rc\r\nd\n\r\ne\r\r\n"), "a\r\nb\r\nc\r\nd\r\n\r\ne\r\n\r\n");
}

TEST(QuotedPrintable, NeverBeginsALineWithADotOrFrom) {
  EXPECT_EQ(EncodeValue(".a\n..b"), "=2Ea\r\n=2E.b");
  EXPECT_EQ(EncodeValue("From x\nFrom"), "=46rom x\r\n=46rom");
  EXPECT_EQ(EncodeValue("Frog\nfrom me\na From b"), "Frog\r\nfrom me\r\na From b");
}

TEST(QuotedPrintable, GuardsAgainstADotAfterASoftBreak) {
  const std::string encoded = EncodeValue(std::string(75, 'x') + "." + std::string(80, 'y'));
  EXPECT_NE(encoded.find("=\r\n=2Ey"), std::string::npos) << encoded;
}

TEST(QuotedPrintable, GuardsAgainstFromThatIsSplitOverPieces) {
  const QpLiteral space = QpLiteral::Encode(" there");
  MessageBuffer buffer;
  QpWriter writer(&buffer);
  writer.Value("Fr", TextEscape::kNone);
  writer.Value("om", TextEscape::kNone);
  writer.Literal(space);
  EXPECT_EQ(Joined(buffer), "=46rom there");
}

TEST(QuotedPrintable, EscapesHtmlOnlyWhenAsked) {
  EXPECT_EQ(EncodeValue("<a href=\"x\">'&'", TextEscape::kHtml),
            "&lt;a href=3D&quot;x&quot;&gt;&#39;&amp;&#39;");
  EXPECT_EQ(EncodeValue("<&>\"'"), "<&>\"'");
}

TEST(QuotedPrintable, BreaksLinesOnlyWhereTheyAreFull) {
  EXPECT_EQ(EncodeValue(std::string(75, 'x')), std::string(75, 'x'));
  EXPECT_EQ(EncodeValue(std::string(76, 'x')), std::string(75, 'x') + "=\r\nx");
  EXPECT_EQ(EncodeValue(std::string(73, 'x') + "\xC3\xA9"), std::string(73, 'x') + "=\r\n=C3=A9");
  EXPECT_EQ(EncodeValue(std::string(75, 'x') + "\r\ny"), std::string(75, 'x') + "\r\ny");
}

TEST(QuotedPrintable, PutsASoftBreakBeforeALiteralThatDoesNotFit) {
  const QpLiteral literal = QpLiteral::Encode("12345\nnext");
  for (const size_t before : {69u, 70u, 71u}) {
    MessageBuffer buffer;
    QpWriter writer(&buffer);
    writer.Value(std::string(before, 'x'), TextEscape::kNone);
    writer.Literal(literal);
    const std::string glue = before + 5 > kQpMaxColumn ? "=\r\n" : "";
    EXPECT_EQ(Joined(buffer), std::string(before, 'x') + glue + "12345\r\nnext");
    EXPECT_EQ(writer.column(), 4u);
  }
}

TEST(QuotedPrintable, KnowsTheShapeOfALiteral) {
  const QpLiteral lines = QpLiteral::Encode("abc\nde");
  EXPECT_EQ(lines.first_line, 3u);
  EXPECT_EQ(lines.end_column, 2u);
  EXPECT_TRUE(lines.has_break);
  const QpLiteral soft = QpLiteral::Encode(std::string(100, 'x'));
  EXPECT_EQ(soft.first_line, 75u);
  EXPECT_EQ(soft.end_column, 25u);
  const QpLiteral one = QpLiteral::Encode("abc \t");
  EXPECT_EQ(one.bytes, "abc ");
  EXPECT_EQ(one.white, '\t');
  EXPECT_FALSE(one.has_break);
  EXPECT_EQ(one.end_column, 4u);
  EXPECT_TRUE(QpLiteral::Encode("\nx").begins_with_break);
  EXPECT_EQ(QpLiteral::Encode("").bytes, "");
  EXPECT_TRUE(QpLiteral::Encode("").empty);
}

std::string Pieces(const std::vector<std::string>& texts) {
  std::vector<QpLiteral> literals;
  for (const std::string& text : texts) literals.push_back(QpLiteral::Encode(text));
  MessageBuffer buffer;
  QpWriter writer(&buffer);
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i % 2 == 0) {
      writer.Literal(literals[i]);
    } else {
      writer.Value(texts[i], TextEscape::kNone);
    }
  }
  writer.Finish(true);
  return Joined(buffer);
}

TEST(QuotedPrintable, EncodesWhiteSpaceBetweenPiecesOnlyAtTheEndOfALine) {
  EXPECT_EQ(Pieces({"Hello ", "Ann"}), "Hello Ann\r\n");
  EXPECT_EQ(Pieces({"Hello ", "\nAnn"}), "Hello=20\r\nAnn\r\n");
  EXPECT_EQ(Pieces({"a", "b\t", "\r\nc"}), "ab=09\r\nc\r\n");
  EXPECT_EQ(Pieces({"a", "b ", "c"}), "ab c\r\n");
  EXPECT_EQ(Pieces({"a ", "", " ", " ", "b"}), "a   b\r\n");
  EXPECT_EQ(Pieces({"a ", " "}), "a =20\r\n");
  EXPECT_EQ(Pieces({" "}), "=20\r\n");
  const std::string full(75, 'x');
  EXPECT_EQ(Pieces({full + " ", "y"}), full + "=\r\n y\r\n");
  EXPECT_EQ(Pieces({full.substr(1) + " ", "y"}), full.substr(1) + " =\r\ny\r\n");
  EXPECT_EQ(Pieces({full.substr(1) + " ", "\n"}), full.substr(1) + "=\r\n=20\r\n");
}

TEST(QuotedPrintable, EncodesAWholeTextTheSameWay) {
  EXPECT_EQ(EncodeQuotedPrintable("caf\xC3\xA9 \nx "), "caf=C3=A9=20\r\nx=20");
  EXPECT_EQ(EncodeQuotedPrintable(std::string(74, 'x') + "\t"), std::string(74, 'x') + "=\r\n=09");
}

TEST(QuotedPrintable, PointsAtLongLiteralsInsteadOfCopying) {
  const QpLiteral literal = QpLiteral::Encode(std::string(2000, 'x'));
  MessageBuffer buffer;
  QpWriter writer(&buffer);
  writer.Value("a", TextEscape::kNone);
  writer.Literal(literal);
  writer.Value("b", TextEscape::kNone);
  std::array<iovec, MessageBuffer::kMaxPieces> iovecs;
  const auto pieces = buffer.Pieces(iovecs);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[1].iov_base, literal.bytes.data());
}

TEST(MessageBuffer, CopiesWhenPiecesRunOut) {
  const std::string literal(600, 'x');
  MessageBuffer buffer;
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    buffer.AppendCopy("a");
    buffer.AppendStable(literal);
    expected += "a" + literal;
  }
  std::array<iovec, MessageBuffer::kMaxPieces> iovecs;
  EXPECT_LE(buffer.Pieces(iovecs).size(), MessageBuffer::kMaxPieces);
  EXPECT_GE(buffer.Pieces(iovecs).size(), MessageBuffer::kMaxPieces - 2);
  EXPECT_EQ(Joined(buffer), expected);
}

// Any text, cut anywhere into literals and values: the result decodes to the text and keeps the
// line rules.
TEST(QuotedPrintable, DecodesToItsSourceHoweverItIsCut) {
  const std::vector<std::string> kPieces = {"a",
                                            "word ",
                                            " ",
                                            "\t",
                                            ".",
                                            "From ",
                                            "F",
                                            "rom ",
                                            "=",
                                            "\xC3\xA9",
                                            "\xF0\x9F\x98\x80",
                                            "\n",
                                            "\r\n",
                                            "\n\n",
                                            "&",
                                            "<",
                                            std::string(30, 'x'),
                                            std::string(75, 'y'),
                                            "=_",
                                            "\x07"};
  for (uint64_t seed = 1; seed <= 4000; ++seed) {
    Random random(seed);
    MessageBuffer buffer;
    QpWriter writer(&buffer);
    std::vector<std::unique_ptr<QpLiteral>> literals;
    std::string expected;
    for (size_t n = random.Below(8); n > 0; --n) {
      const std::string text = random.Text(kPieces, 12);
      expected += Crlf(text);
      if (random.Below(2) == 0) {
        literals.push_back(std::make_unique<QpLiteral>(QpLiteral::Encode(text)));
        writer.Literal(*literals.back());
      } else {
        writer.Value(text, TextEscape::kNone);
      }
    }
    writer.Finish(false);
    const size_t last_line = Joined(buffer).size() - (Joined(buffer).rfind('\n') + 1);
    ASSERT_EQ(writer.column(), last_line) << "seed " << seed;
    if (writer.column() != 0) expected += "\r\n";
    writer.Finish(true);
    const std::string encoded = Joined(buffer);
    const Decoded decoded = DecodeQuotedPrintable(encoded);
    ASSERT_TRUE(decoded.ok) << "seed " << seed << "\n" << encoded;
    ASSERT_EQ(decoded.text, expected) << "seed " << seed << "\n" << encoded;
    ASSERT_EQ(BrokenLineRule("A: b\r\n\r\n" + encoded), "") << "seed " << seed;
    ASSERT_EQ(encoded.find("=_"), std::string::npos) << "seed " << seed;
  }
}

}  // namespace
}  // namespace volley::engine::message
