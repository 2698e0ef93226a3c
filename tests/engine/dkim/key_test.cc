#include "engine/dkim/key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>

#include <string>
#include <string_view>

#include "tests/engine/dkim/test_keys.h"

namespace volley::engine::dkim {
namespace {

using testing::HasSubstr;

std::string Why(std::string_view pem) {
  const auto key = SigningKey::ParsePem(pem);
  if (key.ok()) return "accepted";
  return std::string(key.status().message().data(), key.status().message().size());
}

// `key` (owned) as PEM; with a cipher the password is "x".
std::string Pem(EVP_PKEY* key, bool pkcs1 = false, const EVP_CIPHER* cipher = nullptr) {
  BIO* out = BIO_new(BIO_s_mem());
  const auto* password = reinterpret_cast<const unsigned char*>("x");
  const int size = cipher == nullptr ? 0 : 1;
  if (pkcs1) {
    PEM_write_bio_PrivateKey_traditional(out, key, cipher, password, size, nullptr, nullptr);
  } else {
    PEM_write_bio_PrivateKey(out, key, cipher, password, size, nullptr, nullptr);
  }
  char* text = nullptr;
  const auto bytes = static_cast<size_t>(BIO_get_mem_data(out, &text));
  std::string pem(text, bytes);
  BIO_free(out);
  EVP_PKEY_free(key);
  return pem;
}

EVP_PKEY* NewRsa(size_t bits) { return EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", bits); }

TEST(SigningKey, MakesTheDnsRecordsOfRfc8463) {
  EXPECT_EQ(RsaKey()->DnsRecord(), kRsaRecord);
  EXPECT_EQ(Ed25519Key()->DnsRecord(), kEd25519Record);
}

TEST(SigningKey, ReadsPkcs1AndPkcs8AsTheSameKey) {
  const Secret pkcs8 = RsaKey()->ToPem();
  EXPECT_TRUE(pkcs8.reveal().starts_with("-----BEGIN PRIVATE KEY-----"));
  const auto again = SigningKey::ParsePem(pkcs8.reveal());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->public_key(), RsaKey()->public_key());
}

TEST(SigningKey, GeneratesKeysThatReadBack) {
  for (const KeyAlgorithm algorithm : {KeyAlgorithm::kRsa, KeyAlgorithm::kEd25519}) {
    const auto key = SigningKey::Generate(algorithm);
    ASSERT_TRUE(key.ok()) << key.status();
    if (algorithm == KeyAlgorithm::kRsa) {
      EXPECT_EQ((*key)->bits(), 2048);
    }
    const auto again = SigningKey::ParsePem((*key)->ToPem().reveal());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ((*again)->algorithm(), algorithm);
    EXPECT_EQ((*again)->DnsRecord(), (*key)->DnsRecord());
  }
}

TEST(SigningKey, RefusesSizesOutsideTheBounds) {
  EXPECT_THAT(Why(Pem(NewRsa(1023))), HasSubstr("1023 bits"));
  EXPECT_THAT(Why(Pem(NewRsa(512), true)), HasSubstr("512 bits"));
  EXPECT_FALSE(SigningKey::Generate(KeyAlgorithm::kRsa, 1023).ok());
  EXPECT_FALSE(SigningKey::Generate(KeyAlgorithm::kRsa, 4097).ok());
  EXPECT_TRUE(SigningKey::Generate(KeyAlgorithm::kRsa, 1024).ok());
}

TEST(SigningKey, RefusesEncryptedKeysWithoutAskingForAPassword) {
  EXPECT_THAT(Why(Pem(NewRsa(1024), false, EVP_aes_256_cbc())), HasSubstr("encrypted"));
  EXPECT_THAT(Why(Pem(NewRsa(1024), true, EVP_aes_256_cbc())), HasSubstr("encrypted"));
}

TEST(SigningKey, SaysWhatElseAFileIs) {
  EXPECT_THAT(Why(""), HasSubstr("no private key"));
  EXPECT_THAT(Why("hello"), HasSubstr("no private key"));
  EXPECT_THAT(Why("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"),
              HasSubstr("public key"));
  EXPECT_THAT(Why("-----BEGIN OPENSSH PRIVATE KEY-----\n"), HasSubstr("OpenSSH"));
  EXPECT_THAT(Why(kRsaPem.substr(0, 400)), HasSubstr("damaged"));
  EXPECT_THAT(Why(std::string(kRsaPem) + std::string(kEd25519Pem)), HasSubstr("more than one"));
  EXPECT_THAT(Why(std::string(SigningKey::kPemBytesMax + 1, 'x')), HasSubstr("too long"));
  EXPECT_THAT(Why(Pem(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"))), HasSubstr("type EC"));
}

TEST(SigningKey, RefusesAKeyWhosePartsDoNotFit) {
  std::string pem(kRsaPem);
  pem.replace(pem.find("Y/J16"), 5, "Y/J26");  // in the modulus
  EXPECT_THAT(Why(pem), HasSubstr("do not fit"));
}

TEST(SplitTxtRecord, CutsAt255BytesAndJoinsToTheSame) {
  const auto key = SigningKey::Generate(KeyAlgorithm::kRsa);
  ASSERT_TRUE(key.ok());
  const std::string record = (*key)->DnsRecord();
  const auto parts = SplitTxtRecord(record);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].size(), 255u);
  EXPECT_EQ(std::string(parts[0]) + std::string(parts[1]), record);
  EXPECT_EQ(SplitTxtRecord(kEd25519Record).size(), 1u);
  EXPECT_EQ(SplitTxtRecord(std::string(255, 'x')).size(), 1u);
}

}  // namespace
}  // namespace volley::engine::dkim
