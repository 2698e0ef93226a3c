#include "engine/sasl/base64.h"

#include <string>

#include "gtest/gtest.h"

namespace volley::engine::sasl {
namespace {

struct Pair {
  const char* bytes;
  const char* text;
};
// RFC 4648 §10.
constexpr Pair kPairs[] = {{"", ""},
                           {"f", "Zg=="},
                           {"fo", "Zm8="},
                           {"foo", "Zm9v"},
                           {"foob", "Zm9vYg=="},
                           {"fooba", "Zm9vYmE="},
                           {"foobar", "Zm9vYmFy"}};

TEST(Base64, HasTheRfcsVectors) {
  for (const Pair& pair : kPairs) {
    EXPECT_EQ(EncodeBase64(std::string_view(pair.bytes)), pair.text);
    EXPECT_EQ(EncodeBase64(Secret::Concat({pair.bytes})).reveal(), pair.text);
    EXPECT_EQ(DecodeBase64(pair.text), pair.bytes);
  }
}

TEST(Base64, KeepsEveryByte) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  for (size_t n = 0; n <= all.size(); ++n) {
    EXPECT_EQ(DecodeBase64(EncodeBase64(std::string_view(all).substr(0, n))), all.substr(0, n));
  }
  EXPECT_EQ(DecodeBase64("++//"), "\xfb\xef\xff");
}

// RFC 4954 §4: reject, not ignore.
TEST(Base64, RefusesWhatIsNotBase64) {
  for (const char* text :
       {"=",        "==",    "====", "=AAA",  "AAA=BBB",  "AAA=BBB=", "AA=A",  "A===",
        "A",        "AA",    "AAA",  "AAAA=", "AA==AAAA", "Zm9v ",    " Zm9v", "Zm 9v",
        "Zm9v\r\n", "Zm9\n", "Zm9-", "Zm9_",  "Zm9\xc3",  "Username:"}) {
    EXPECT_EQ(DecodeBase64(text), std::nullopt) << text;
  }
  EXPECT_EQ(DecodeBase64(std::string_view("Zm\0v", 4)), std::nullopt);
}

TEST(Base64, RefusesBitsThatNoByteUses) {
  EXPECT_EQ(DecodeBase64("Zh=="), std::nullopt);
  EXPECT_EQ(DecodeBase64("Zm9="), std::nullopt);
}

TEST(Base64, HasABound) {
  EXPECT_TRUE(DecodeBase64(std::string(kBase64BytesMax, 'A')).has_value());
  EXPECT_FALSE(DecodeBase64(std::string(kBase64BytesMax + 4, 'A')).has_value());
}

}  // namespace
}  // namespace volley::engine::sasl
