#include "engine/sasl/scram.h"

#include <string>
#include <utility>

#include "engine/sasl/base64.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::sasl {
namespace {

using testing::HasSubstr;

// RFC 5802 §5.
constexpr char kNonce1[] = "fyko+d2lbbFgONRv9qkxdawL";
constexpr char kServerFirst1[] =
    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
constexpr char kClientFinal1[] =
    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
constexpr char kServerFinal1[] = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=";
// RFC 7677 §3.
constexpr char kNonce256[] = "rOprNGfwEbeRWgbNEkqO";
constexpr char kServerFirst256[] =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr char kClientFinal256[] =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr char kServerFinal256[] = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

Credentials Pencil() {
  Credentials credentials;
  credentials.user = "user";
  credentials.password = *Secret::Make("pencil");
  return credentials;
}

std::unique_ptr<SaslClient> Client1(ScramKeyCache* cache = nullptr) {
  return *ScramClient::Make(ScramHash::kSha1, Pencil(), kNonce1, cache);
}

// Up to the server's last message.
std::unique_ptr<SaslClient> ClientBeforeProof() {
  auto client = Client1();
  (void)client->InitialResponse();
  EXPECT_TRUE(client->Step(kServerFirst1).ok());
  return client;
}

std::string Words(const absl::Status& status) { return std::string(status.message()); }

TEST(Scram, Sha1HasTheRfcsVector) {
  auto client = Client1();
  EXPECT_EQ(client->InitialResponse()->reveal(), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
  EXPECT_EQ(client->Step(kServerFirst1)->reveal(), kClientFinal1);
  EXPECT_FALSE(client->done());
  EXPECT_EQ(client->Step(kServerFinal1)->reveal(), "");
  EXPECT_TRUE(client->done());
  EXPECT_TRUE(client->Finished().ok());
}

TEST(Scram, Sha256HasTheRfcsVector) {
  auto client = *ScramClient::Make(ScramHash::kSha256, Pencil(), kNonce256, nullptr);
  EXPECT_EQ(client->InitialResponse()->reveal(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  EXPECT_EQ(client->Step(kServerFirst256)->reveal(), kClientFinal256);
  EXPECT_EQ(client->Step(kServerFinal256)->reveal(), "");
  EXPECT_TRUE(client->Finished().ok());
}

TEST(Scram, TheFirstMessageAnswersAnEmptyChallengeWhenItDidNotFit) {
  auto client = Client1();
  EXPECT_EQ(client->Step("")->reveal(), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
  EXPECT_EQ(client->Step(kServerFirst1)->reveal(), kClientFinal1);
}

TEST(Scram, AServerThatSpeaksFirstIsRefused) {
  EXPECT_THAT(Words(Client1()->Step(kServerFirst1).status()), HasSubstr("our turn"));
}

TEST(Scram, AWrongServerSignatureIsRefused) {
  for (const char* final :
       {"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "v=", "v=rmF9pqV8S7suAoZWja4dJRkFsA==", "v=!!!!",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ"}) {
    auto client = ClientBeforeProof();
    const absl::StatusOr<Secret> response = client->Step(final);
    EXPECT_EQ(response.status().code(), absl::StatusCode::kPermissionDenied) << final;
    EXPECT_EQ(client->Finished().code(), absl::StatusCode::kPermissionDenied) << final;
  }
}

TEST(Scram, AServerThatNeverProvesItselfIsNotBelieved) {
  auto client = Client1();
  EXPECT_EQ(client->Finished().code(), absl::StatusCode::kPermissionDenied);
  (void)client->InitialResponse();
  EXPECT_EQ(client->Finished().code(), absl::StatusCode::kPermissionDenied);
  (void)client->Step(kServerFirst1);
  EXPECT_EQ(client->Finished().code(), absl::StatusCode::kPermissionDenied);
}

TEST(Scram, AnErrorOfTheServersIsAnsweredAndIsNoSuccess) {
  auto client = ClientBeforeProof();
  const absl::StatusOr<Secret> response = client->Step("e=invalid-proof");
  ASSERT_TRUE(response.ok());
  EXPECT_TRUE(response->empty());
  EXPECT_TRUE(client->done());
  EXPECT_EQ(client->Finished().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(client->Step("e=invalid-proof").ok());
}

TEST(Scram, ExtensionsBehindTheLastMessageAreIgnored) {
  auto client = ClientBeforeProof();
  EXPECT_TRUE(client->Step(std::string(kServerFinal1) + ",x=y").ok());
  EXPECT_TRUE(client->Finished().ok());
}

TEST(Scram, AMessageAfterTheEndIsRefused) {
  auto client = ClientBeforeProof();
  (void)client->Step(kServerFinal1);
  EXPECT_FALSE(client->Step("").ok());
}

TEST(Scram, NamesAreEscapedAndPrepared) {
  Credentials credentials = Pencil();
  credentials.user = "a=b,c\xc2\xad";
  credentials.authorization_id = "boss,=";
  auto client = *ScramClient::Make(ScramHash::kSha1, credentials, "nonce", nullptr);
  EXPECT_EQ(client->InitialResponse()->reveal(), "n,a=boss=2C=3D,n=a=3Db=2Cc,r=nonce");
  const absl::StatusOr<Secret> final = client->Step("r=nonceX,s=QSXCR+Q6sek8bf92,i=4096");
  ASSERT_TRUE(final.ok());
  EXPECT_TRUE(final->reveal().starts_with("c=" + EncodeBase64("n,a=boss=2C=3D,") + ",r=nonceX,p="));
}

// RFC 5802 §2.2: the password is normalised, so its two spellings have one proof.
TEST(Scram, ThePasswordIsPrepared) {
  std::string proofs[2];
  const char* passwords[] = {"caf\xc3\xa9", "cafe\xcc\x81"};
  for (int i = 0; i < 2; ++i) {
    Credentials credentials = Pencil();
    credentials.password = *Secret::Make(passwords[i]);
    auto client = *ScramClient::Make(ScramHash::kSha1, credentials, kNonce1, nullptr);
    (void)client->InitialResponse();
    proofs[i] = client->Step(kServerFirst1)->reveal();
  }
  EXPECT_EQ(proofs[0], proofs[1]);
  EXPECT_NE(proofs[0], kClientFinal1);
}

TEST(Scram, CredentialsThatCannotBePreparedAreRefusedWithoutShowingThem) {
  Credentials credentials = Pencil();
  credentials.password = *Secret::Make("hunter2\xf0\x9f\x98\x80");
  absl::Status status = ScramClient::Make(ScramHash::kSha1, credentials, kNonce1, nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Words(status), HasSubstr("the password cannot be used with SCRAM"));
  EXPECT_EQ(Words(status).find("hunter2"), std::string::npos);
  credentials = Pencil();
  credentials.user = "\xc2\xad";  // nothing is left of it
  status = ScramClient::Make(ScramHash::kSha1, credentials, kNonce1, nullptr).status();
  EXPECT_THAT(Words(status), HasSubstr("user name is empty"));
}

std::string ChallengeFault(std::string_view message) {
  const absl::StatusOr<ScramChallenge> challenge = ParseScramChallenge(message, "abc");
  return challenge.ok() ? "" : Words(challenge.status());
}

TEST(ScramChallengeTest, GivesItsParts) {
  const absl::StatusOr<ScramChallenge> challenge =
      ParseScramChallenge("r=abcdef,s=Zm9v,i=5000,x=ignored,y=", "abc");
  ASSERT_TRUE(challenge.ok());
  EXPECT_EQ(challenge->nonce, "abcdef");
  EXPECT_EQ(challenge->salt, "foo");
  EXPECT_EQ(challenge->iterations, 5000U);
}

TEST(ScramChallengeTest, TheNonceExtendsOurs) {
  for (const char* message :
       {"r=abc,s=Zm9v,i=4096", "r=ab,s=Zm9v,i=4096", "r=xabc,s=Zm9v,i=4096", "r=,s=Zm9v,i=4096",
        "r=abcd\x01,s=Zm9v,i=4096", "r=abcd\xc3\xa9,s=Zm9v,i=4096"}) {
    EXPECT_THAT(ChallengeFault(message), HasSubstr("nonce")) << message;
  }
}

TEST(ScramChallengeTest, TheSaltIsBase64) {
  for (const char* message : {"r=abcd,s=,i=4096", "r=abcd,s=Zm9,i=4096", "r=abcd,s=Zm9v ,i=4096"}) {
    EXPECT_THAT(ChallengeFault(message), HasSubstr("salt")) << message;
  }
  const std::string long_salt = EncodeBase64(std::string(kScramSaltBytesMax + 1, 's'));
  EXPECT_THAT(ChallengeFault("r=abcd,s=" + long_salt + ",i=4096"), HasSubstr("salt"));
}

TEST(ScramChallengeTest, IterationsHaveTwoBounds) {
  EXPECT_EQ(ChallengeFault("r=abcd,s=Zm9v,i=4096"), "");
  EXPECT_EQ(ChallengeFault("r=abcd,s=Zm9v,i=1000000"), "");
  EXPECT_THAT(ChallengeFault("r=abcd,s=Zm9v,i=4095"), HasSubstr("asks for 4095 iterations"));
  EXPECT_THAT(ChallengeFault("r=abcd,s=Zm9v,i=1"), HasSubstr("fewer than 4096"));
  EXPECT_THAT(ChallengeFault("r=abcd,s=Zm9v,i=1000001"), HasSubstr("more than 1000000"));
  EXPECT_THAT(ChallengeFault("r=abcd,s=Zm9v,i=99999999999999999999"), HasSubstr("more than"));
  for (const char* count : {"", "0", "04096", "-4096", "4096 ", "+4096", "4e3", "0x1000"}) {
    EXPECT_THAT(ChallengeFault(std::string("r=abcd,s=Zm9v,i=") + count), HasSubstr("not a number"))
        << count;
  }
}

TEST(ScramChallengeTest, OrderIsFixedAndMandatoryExtensionsFail) {
  for (const char* message : {"", ",", "r=abcd", "s=Zm9v,r=abcd,i=4096", "r=abcd,i=4096,s=Zm9v",
                              "R=abcd,s=Zm9v,i=4096", "x=y,r=abcd,s=Zm9v,i=4096"}) {
    EXPECT_THAT(ChallengeFault(message), HasSubstr("first message")) << message;
  }
  EXPECT_THAT(ChallengeFault("m=x,r=abcd,s=Zm9v,i=4096"), HasSubstr("extension"));
  EXPECT_THAT(ChallengeFault("r=abcd,s=Zm9v,i=4096,m=x"), HasSubstr("extension"));
  EXPECT_THAT(ChallengeFault("r=abcd,s=Zm9v,i=4096,x=,m=x"), HasSubstr("extension"));
}

TEST(ScramKeyCacheTest, ASecondLoginFindsTheKeysOfTheFirst) {
  ScramKeyCache cache;
  for (int i = 0; i < 3; ++i) {
    auto client = Client1(&cache);
    (void)client->InitialResponse();
    EXPECT_EQ(client->Step(kServerFirst1)->reveal(), kClientFinal1);
    EXPECT_TRUE(client->Step(kServerFinal1).ok());
    EXPECT_EQ(cache.size(), 1U);
  }
}

TEST(ScramKeyCacheTest, AnotherPasswordSaltCountOrHashFindsNothing) {
  ScramKeyCache cache;
  const ScramKeyCache::Key key{ScramHash::kSha1, "pencil", "salt", 4096};
  cache.Insert(key, {.client_key = Secret::Concat({"c"}), .server_key = Secret::Concat({"s"})});
  ASSERT_NE(cache.Find(key), nullptr);
  EXPECT_EQ(cache.Find(key)->client_key.reveal(), "c");
  EXPECT_EQ(cache.Find({ScramHash::kSha1, "Pencil", "salt", 4096}), nullptr);
  EXPECT_EQ(cache.Find({ScramHash::kSha1, "pencil", "Salt", 4096}), nullptr);
  EXPECT_EQ(cache.Find({ScramHash::kSha1, "pencil", "salt", 4097}), nullptr);
  EXPECT_EQ(cache.Find({ScramHash::kSha256, "pencil", "salt", 4096}), nullptr);
}

TEST(ScramKeyCacheTest, AServerThatChangesItsSaltDoesNotFillMemory) {
  ScramKeyCache cache;
  for (uint32_t i = 0; i < 100; ++i) {
    cache.Insert({ScramHash::kSha1, "pencil", std::to_string(i), 4096}, {});
  }
  EXPECT_EQ(cache.size(), ScramKeyCache::kEntriesMax);
  EXPECT_NE(cache.Find({ScramHash::kSha1, "pencil", "99", 4096}), nullptr);
  EXPECT_EQ(cache.Find({ScramHash::kSha1, "pencil", "91", 4096}), nullptr);
}

}  // namespace
}  // namespace volley::engine::sasl
