#include "engine/dkim/dns_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "engine/sasl/base64.h"
#include "tests/engine/dkim/test_keys.h"

namespace volley::engine::dkim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

DkimRecord Parsed(std::string_view txt) {
  auto record = ParseDkimRecord(txt);
  EXPECT_TRUE(record.ok()) << record.status();
  return record.ok() ? *std::move(record) : DkimRecord{};
}

std::string Why(std::string_view txt) {
  const auto record = ParseDkimRecord(txt);
  return record.ok() ? "accepted" : record.status().ToString();
}

RecordMatch Compare(std::string_view txt, const SigningKey& key) {
  return CompareRecord(Parsed(txt), key);
}

std::string With(std::string_view record, std::string_view from, std::string_view to) {
  std::string out(record);
  out.replace(out.find(from), from.size(), to);
  return out;
}

TEST(ParseDkimRecord, ReadsAllTags) {
  const DkimRecord record = Parsed(
      "v=DKIM1; h=sha1 : sha256; k=ed25519; n=a note, with = signs; s=email:other;"
      "t=y:s; g=ignored; p=AA AA\r\n\tAA==;");
  EXPECT_EQ(record.key_type, "ed25519");
  EXPECT_EQ(record.public_key, "AAAAAA==");
  EXPECT_TRUE(record.testing);
  EXPECT_TRUE(record.strict_domain);
  EXPECT_THAT(record.hash_algorithms, ElementsAre("sha1", "sha256"));
  EXPECT_THAT(record.service_types, ElementsAre("email", "other"));
}

TEST(ParseDkimRecord, HasTheDefaultsOfTheStandard) {
  const DkimRecord record = Parsed("p=");
  EXPECT_EQ(record.key_type, "rsa");
  EXPECT_EQ(record.public_key, "");
  EXPECT_FALSE(record.testing);
  EXPECT_FALSE(record.strict_domain);
  EXPECT_THAT(record.hash_algorithms, IsEmpty());
  EXPECT_THAT(record.service_types, IsEmpty());
}

TEST(ParseDkimRecord, PassesOverUnknownFlagsAndEmptyTags) {
  const DkimRecord record = Parsed(";v=DKIM1;; t=yes:x ; p=AAAA ; ;");
  EXPECT_FALSE(record.testing);
  EXPECT_EQ(record.public_key, "AAAA");
}

TEST(ParseDkimRecord, RefusesWhatIsNoRecordAndSaysWhy) {
  EXPECT_THAT(Why(""), HasSubstr("no p="));
  EXPECT_THAT(Why("v=DKIM1; k=rsa"), HasSubstr("no p="));
  EXPECT_THAT(Why("v=spf1 -all"), HasSubstr("\"spf1 -all\""));
  EXPECT_THAT(Why("v=dkim1; p=AAAA"), HasSubstr("not DKIM1"));
  EXPECT_THAT(Why("p=AAAA; v=DKIM1"), HasSubstr("first"));
  EXPECT_THAT(Why("v=DKIM1; p=AAAA; p=AAAA"), HasSubstr("twice"));
  EXPECT_THAT(Why("v=DKIM1; x=1; x=1; p="), HasSubstr("twice"));
  EXPECT_THAT(Why("v=DKIM1; hello; p=AAAA"), HasSubstr("\"hello\" is no tag"));
  EXPECT_THAT(Why("v=DKIM1; =1; p=AAAA"), HasSubstr("no tag"));
  EXPECT_THAT(Why("v=DKIM1; 1a=1; p=AAAA"), HasSubstr("no tag"));
}

TEST(ParseDkimRecord, SaysWhatADnsPanelDidToTheKey) {
  EXPECT_THAT(Why("v=DKIM1; p=AAA"), HasSubstr("not base64"));
  EXPECT_THAT(Why("v=DKIM1; p=AA=AAAAA"), HasSubstr("not base64"));
  EXPECT_THAT(Why("v=DKIM1; p=AAAA\" \"AAAA"), HasSubstr("quotation mark"));
  EXPECT_THAT(Why("\"v=DKIM1; p=AAAA"), HasSubstr("no tag"));
}

TEST(ParseDkimRecord, IsBounded) {
  EXPECT_THAT(Why("p=" + std::string(kRecordBytesMax, 'A')), HasSubstr("too long"));
  std::string many = "p=;";
  for (int i = 0; i < 200; ++i) many += "a" + std::to_string(i) + "=;";
  EXPECT_THAT(Why(many), HasSubstr("more than"));
}

TEST(ParseDkimRecord, NeverShowsControlCharacters) {
  for (const char c : Why(std::string("v=DKIM1; \x1b[2J\0\x80=1; p=", 22))) {
    EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
  }
}

TEST(CompareRecord, MatchesItsOwnRecordForEveryTypeOfKey) {
  EXPECT_EQ(Compare(kRsaRecord, *RsaKey()), RecordMatch::kMatches);
  EXPECT_EQ(Compare(kEd25519Record, *Ed25519Key()), RecordMatch::kMatches);
  const std::string allowed = "v=DKIM1; h=sha1:sha256; s=other:*; t=y;" + std::string(kRsaRecord);
  EXPECT_EQ(Compare(With(allowed, "v=DKIM1; k=rsa; ", ""), *RsaKey()), RecordMatch::kMatches);
}

TEST(CompareRecord, ComparesKeysAndNotTheirText) {
  // The same bytes with white space in between.
  EXPECT_EQ(Compare(With(kRsaRecord, "MIGf", "M I\tGf "), *RsaKey()), RecordMatch::kMatches);
  // The same key without the algorithm's NULL parameters, as some tools write it: other bytes.
  std::string der = *sasl::DecodeBase64(RsaKey()->public_key());
  const size_t null_at = der.find(std::string_view("\x05\x00", 2));
  ASSERT_EQ(null_at, 16u);
  der.erase(null_at, 2);
  der[2] = static_cast<char>(der[2] - 2);  // the length of all
  der[4] = static_cast<char>(der[4] - 2);  // and of the algorithm
  EXPECT_TRUE(RsaKey()->HasPublicKey(der));
  EXPECT_FALSE(RsaKey()->HasPublicKey(der + "x"));
  EXPECT_FALSE(RsaKey()->HasPublicKey(""));
  EXPECT_EQ(Compare(With(kRsaRecord, "AQAB", "AQAD"), *RsaKey()), RecordMatch::kOtherKey);
}

TEST(CompareRecord, SaysWhatIsWrong) {
  EXPECT_EQ(Compare("v=DKIM1; p=", *RsaKey()), RecordMatch::kRevoked);
  EXPECT_EQ(Compare(kEd25519Record, *RsaKey()), RecordMatch::kOtherType);
  EXPECT_EQ(Compare("v=DKIM1; k=x; p=AAAA", *RsaKey()), RecordMatch::kOtherType);
  EXPECT_EQ(Compare("v=DKIM1; p=AAAA", *RsaKey()), RecordMatch::kOtherKey);
  EXPECT_EQ(Compare("v=DKIM1; k=ed25519; p=AAAA", *Ed25519Key()), RecordMatch::kOtherKey);
  const auto other = SigningKey::Generate(KeyAlgorithm::kRsa, 1024);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(Compare((*other)->DnsRecord(), *RsaKey()), RecordMatch::kOtherKey);
  EXPECT_EQ(Compare(With(kRsaRecord, "k=rsa", "h=sha1"), *RsaKey()), RecordMatch::kForbidsUse);
  EXPECT_EQ(Compare(With(kRsaRecord, "k=rsa", "s=tlsrpt"), *RsaKey()), RecordMatch::kForbidsUse);
}

}  // namespace
}  // namespace volley::engine::dkim
