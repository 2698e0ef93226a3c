#include "engine/dkim/canonical.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/dkim/key.h"
#include "tests/engine/dkim/naive_dkim.h"

namespace volley::engine::dkim {
namespace {

std::string_view Bytes(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string Hash(Canonicalization canonicalization, std::string_view body) {
  BodyHasher hasher(canonicalization);
  hasher.Add(body);
  return std::string(Bytes(hasher.Finish().digest));
}

std::string Base64(std::string_view bytes) {
  std::string out;
  AppendBase64(bytes, &out);
  return out;
}

struct BodyCase {
  std::string_view body;
  std::string_view simple;
  std::string_view relaxed;
};

constexpr BodyCase kBodies[] = {
    {"", "\r\n", ""},
    {"\r\n", "\r\n", ""},
    {"\r\n\r\n\r\n", "\r\n", ""},
    {" ", " \r\n", ""},
    {" \t\r\n", " \t\r\n", ""},
    {" \r\n\t\r\n", " \r\n\t\r\n", ""},
    {"a", "a\r\n", "a\r\n"},
    {"a ", "a \r\n", "a\r\n"},
    {"a\r\n", "a\r\n", "a\r\n"},
    {"a\r\n\r\n\r\n", "a\r\n", "a\r\n"},
    {"a\r\n \r\n\r\n", "a\r\n \r\n", "a\r\n"},
    {"a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
    {"\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
    {"a\tb\r\n", "a\tb\r\n", "a b\r\n"},
    {"  a  b \t c\t \r\n", "  a  b \t c\t \r\n", " a b c\r\n"},
    {"a\r", "a\r\r\n", "a\r\r\n"},
    {"a \r", "a \r\r\n", "a \r\r\n"},
    {"a\r\r\n\r\n", "a\r\r\n", "a\r\r\n"},
    {"a\n\n", "a\n\n\r\n", "a\n\n\r\n"},
    {"a \n\r\n", "a \n\r\n", "a \n\r\n"},
    {"a\r b\r\n", "a\r b\r\n", "a\r b\r\n"},
    {"a\v\f\r\n", "a\v\f\r\n", "a\v\f\r\n"},
    // RFC 6376 §3.4.5
    {" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
};

TEST(BodyHasher, CanonicalisesAsTheTableSays) {
  for (const BodyCase& c : kBodies) {
    SCOPED_TRACE(testing::PrintToString(c.body));
    EXPECT_EQ(Hash(Canonicalization::kSimple, c.body), naive::Sha256Of(c.simple));
    EXPECT_EQ(Hash(Canonicalization::kRelaxed, c.body), naive::Sha256Of(c.relaxed));
    // The oracle of the random tests below is held to the same table.
    EXPECT_EQ(naive::Body(std::string(c.body), false), c.simple);
    EXPECT_EQ(naive::Body(std::string(c.body), true), c.relaxed);
  }
}

TEST(BodyHasher, HasTheHashesOfTheStandardForEmptyBodies) {
  EXPECT_EQ(Base64(Hash(Canonicalization::kSimple, "")),
            "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
  EXPECT_EQ(Base64(Hash(Canonicalization::kRelaxed, "")),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

std::string RandomBody(std::mt19937* random) {
  static constexpr std::string_view kParts[] = {
      "\r\n", "\r\n", " ", "\t", "a", "word and word", "\r", "\n", "  ", "\r\n.", "text.\r\n"};
  std::string body;
  for (size_t parts = (*random)() % 24; parts > 0; --parts) {
    body += kParts[(*random)() % std::size(kParts)];
  }
  if ((*random)() % 16 == 0) body.insert(body.size() / 2, 5000, 'x');  // over the buffer
  return body;
}

TEST(BodyHasher, AgreesWithTheNaiveOneOverRandomBodiesCutAnywhere) {
  std::mt19937 random(6376);
  BodyHasher simple(Canonicalization::kSimple);
  BodyHasher relaxed(Canonicalization::kRelaxed);
  for (int round = 0; round < 20000; ++round) {
    const std::string body = RandomBody(&random);
    std::vector<iovec> pieces;
    for (size_t at = 0; at < body.size();) {
      const size_t size = std::min<size_t>(random() % 9, body.size() - at);  // empty ones, too
      pieces.push_back({const_cast<char*>(body.data()) + at, size});
      at += size;
    }
    ASSERT_EQ(Bytes(simple.Hash(pieces).digest), naive::Sha256Of(naive::Body(body, false)))
        << testing::PrintToString(body);
    ASSERT_EQ(Bytes(relaxed.Hash(pieces).digest), naive::Sha256Of(naive::Body(body, true)))
        << testing::PrintToString(body);
    ASSERT_EQ(Hash(Canonicalization::kRelaxed, body), naive::Sha256Of(naive::Body(body, true)))
        << testing::PrintToString(body);
    ASSERT_EQ(Hash(Canonicalization::kSimple, body), naive::Sha256Of(naive::Body(body, false)))
        << testing::PrintToString(body);
  }
}

std::string Field(Canonicalization canonicalization, std::string_view name,
                  std::string_view value) {
  std::string out;
  AppendCanonicalField(canonicalization, name, value, &out);
  return out;
}

TEST(CanonicalField, LeavesEveryByteInSimple) {
  EXPECT_EQ(Field(Canonicalization::kSimple, "B ", " Y\t\r\n\tZ  "), "B : Y\t\r\n\tZ  ");
}

TEST(CanonicalField, ReducesUnfoldsAndLowersInRelaxed) {
  constexpr auto kRelaxed = Canonicalization::kRelaxed;
  EXPECT_EQ(Field(kRelaxed, "A", " X"), "a:X");
  EXPECT_EQ(Field(kRelaxed, "B ", " Y\t\r\n\tZ  "), "b:Y Z");  // RFC 6376 §3.4.5
  EXPECT_EQ(Field(kRelaxed, "SUBJect\t", ""), "subject:");
  EXPECT_EQ(Field(kRelaxed, "Subject", " \r\n "), "subject:");
  EXPECT_EQ(Field(kRelaxed, "Subject", "a\r\n b\r\n\t \r\n c "), "subject:a b c");
  EXPECT_EQ(Field(kRelaxed, "Subject",
                  " Gr\xC3\xBC\xC3\x9F"
                  "e  X"),
            "subject:Gr\xC3\xBC\xC3\x9F"
            "e X");
  EXPECT_EQ(Field(kRelaxed, "X", " a: B"), "x:a: B");
}

}  // namespace
}  // namespace volley::engine::dkim
