#include "engine/compliance/token.h"

#include <algorithm>
#include <string>

#include "engine/compliance/bounce_path.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::compliance {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kHex1[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr char kHex2[] = "F0E1D2C3B4A5968778695A4B3C2D1E0F00112233445566778899AABBCCDDEEFF";

std::string Line(int id, const char* key) { return std::to_string(id) + " " + key + "\n"; }

KeyRing Ring(const std::string& file) {
  absl::StatusOr<KeyRing> ring = KeyRing::Parse(file);
  EXPECT_TRUE(ring.ok()) << ring.status();
  return *std::move(ring);
}

KeyRing Ring1() { return Ring(Line(1, kHex1)); }

UnsubscribeClaim Claim() { return {"news", "november", "ann@example.org"}; }

std::string EncodeBase64Url(const std::string& bytes) {
  std::string text;
  AppendBase64Url(bytes, &text);
  return text;
}

std::string Words(const absl::Status& status) { return std::string(status.message()); }

TEST(KeyRing, TakesHexBase64AndComments) {
  const KeyRing ring = Ring("# keys\r\n\n 2\t" + std::string(kHex2) +
                            " # new\r\n"
                            "1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
  EXPECT_EQ(ring.size(), 2u);
  EXPECT_EQ(ring.signing_id(), 2);
  // The base64 key is the hex one.
  EXPECT_EQ(*OpenUnsubscribeToken(ring, *MakeUnsubscribeToken(Ring1(), Claim())), Claim());
}

TEST(KeyRing, RefusalsNameTheLineAndNeverTheKey) {
  const std::string good = Line(1, kHex1);
  const std::string cases[] = {
      good + "0 " + kHex2,
      good + "256 " + kHex2,
      good + kHex2,
      good + "1 " + kHex2,
      good + "2 " + kHex2 + "00",
      good + "2",
      good + "2 x" + (kHex2 + 1),
      good + "2 " + std::string(64, '0'),
  };
  for (const std::string& file : cases) {
    const absl::Status status = KeyRing::Parse(file).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Words(status), HasSubstr("line 2: "));
    EXPECT_THAT(Words(status), Not(HasSubstr(std::string(kHex2 + 1, 8))));
  }
  EXPECT_FALSE(KeyRing::Parse("").ok());
  EXPECT_FALSE(KeyRing::Parse("# nothing\n").ok());
  EXPECT_FALSE(KeyRing::Parse(std::string(KeyRing::kFileBytesMax + 1, '\n')).ok());
}

TEST(UnsubscribeToken, ComesBackAndIsTheSameEachTime) {
  const KeyRing ring = Ring1();
  const std::string token = *MakeUnsubscribeToken(ring, Claim());
  EXPECT_EQ(token, *MakeUnsubscribeToken(Ring1(), Claim()));
  EXPECT_EQ(*OpenUnsubscribeToken(ring, token), Claim());
  EXPECT_EQ(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789-_"),
            std::string::npos);
  const std::string bytes = *DecodeBase64Url(token);
  for (const char* word : {"news", "november", "ann", "example"}) {
    EXPECT_THAT(bytes, Not(HasSubstr(word)));
  }
}

TEST(UnsubscribeToken, EverySingleBitChangeAndEveryCutIsRefused) {
  const KeyRing ring = Ring(Line(1, kHex1) + Line(2, kHex2));
  const std::string bytes = *DecodeBase64Url(*MakeUnsubscribeToken(ring, Claim()));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(OpenUnsubscribeToken(ring, EncodeBase64Url(changed)).ok()) << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(OpenUnsubscribeToken(ring, EncodeBase64Url(bytes.substr(0, size))).ok()) << size;
  }
  EXPECT_FALSE(OpenUnsubscribeToken(ring, EncodeBase64Url(bytes + '\0')).ok());
}

TEST(UnsubscribeToken, NoTwoTextsAreOneToken) {
  const KeyRing ring = Ring1();
  for (const char* recipient : {"a@b.c", "ab@b.c", "abc@b.c"}) {  // every length modulo 3
    const std::string token = *MakeUnsubscribeToken(ring, {"", "c", recipient});
    for (size_t i = 0; i < token.size(); ++i) {
      for (int c = 0; c < 256; ++c) {
        std::string changed = token;
        changed[i] = static_cast<char>(c);
        EXPECT_EQ(OpenUnsubscribeToken(ring, changed).ok(), changed == token) << i << " " << c;
      }
    }
    EXPECT_FALSE(OpenUnsubscribeToken(ring, token + "=").ok());
  }
}

TEST(UnsubscribeToken, ScopeRefusesAnotherListOrCampaign) {
  const KeyRing ring = Ring1();
  const std::string token = *MakeUnsubscribeToken(ring, Claim());
  EXPECT_TRUE(OpenUnsubscribeToken(ring, token, {"news", "november"}).ok());
  EXPECT_FALSE(OpenUnsubscribeToken(ring, token, {"offers", ""}).ok());
  EXPECT_FALSE(OpenUnsubscribeToken(ring, token, {"", "december"}).ok());
  // Where one field ends is part of what is signed.
  EXPECT_NE(*MakeUnsubscribeToken(ring, {"ab", "c", "d@e.f"}),
            *MakeUnsubscribeToken(ring, {"a", "bc", "d@e.f"}));
}

TEST(UnsubscribeToken, RotationKeepsOldTokensUntilTheirKeyIsGone) {
  const std::string token = *MakeUnsubscribeToken(Ring1(), Claim());
  const KeyRing both = Ring(Line(2, kHex2) + Line(1, kHex1));
  EXPECT_TRUE(OpenUnsubscribeToken(both, token).ok());
  const std::string newer = *MakeUnsubscribeToken(both, Claim());
  EXPECT_NE(newer, token);
  EXPECT_FALSE(OpenUnsubscribeToken(Ring1(), newer).ok());
  EXPECT_FALSE(OpenUnsubscribeToken(Ring(Line(2, kHex2)), token).ok());
  EXPECT_FALSE(OpenUnsubscribeToken(Ring(Line(1, kHex2)), token).ok());  // id used again
}

TEST(UnsubscribeToken, BoundsItsFields) {
  const KeyRing ring = Ring1();
  const UnsubscribeClaim longest{std::string(kListBytesMax, 'l'),
                                 std::string(kCampaignBytesMax, 'c'),
                                 std::string(kRecipientBytesMax, 'r')};
  const std::string token = *MakeUnsubscribeToken(ring, longest);
  EXPECT_EQ(token.size(), kTokenCharsMax);
  EXPECT_EQ(*OpenUnsubscribeToken(ring, token), longest);
  for (std::string UnsubscribeClaim::*field :
       {&UnsubscribeClaim::list, &UnsubscribeClaim::campaign, &UnsubscribeClaim::recipient}) {
    UnsubscribeClaim claim = longest;
    (claim.*field).push_back('x');
    EXPECT_FALSE(MakeUnsubscribeToken(ring, claim).ok());
  }
  EXPECT_FALSE(MakeUnsubscribeToken(ring, {"l", "", "r"}).ok());
  EXPECT_FALSE(MakeUnsubscribeToken(ring, {"l", "c", ""}).ok());
}

constexpr std::string_view kMailbox = "bounces@example.org";

TEST(BouncePath, FitsALocalPartAndSurvivesAnyCase) {
  const KeyRing ring = Ring1();
  const BounceClaim claim{BounceCampaign("november"), 0xFEDCBA9876543210};
  const std::string path = *MakeBouncePath(ring, kMailbox, claim);
  EXPECT_LE(path.find('@'), kLocalPartOctetsMax);
  EXPECT_EQ(path, *MakeBouncePath(ring, kMailbox, claim));
  std::string upper = path;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(toupper(c)); });
  EXPECT_EQ(*OpenBouncePath(ring, kMailbox, path), claim);
  EXPECT_EQ(*OpenBouncePath(ring, kMailbox, upper), claim);
}

TEST(BouncePath, EveryChangedCharacterIsRefused) {
  const KeyRing ring = Ring(Line(1, kHex1) + Line(2, kHex2));
  const std::string path = *MakeBouncePath(ring, kMailbox, {1, 2});
  for (size_t i = 0; i < path.size(); ++i) {
    for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz234567+@.=01")) {
      std::string changed = path;
      changed[i] = c;
      EXPECT_EQ(OpenBouncePath(ring, kMailbox, changed).ok(), changed == path) << i << " " << c;
    }
    EXPECT_FALSE(OpenBouncePath(ring, kMailbox, path.substr(0, i)).ok());
  }
  EXPECT_FALSE(OpenBouncePath(ring, "bounces@example.net", path).ok());
}

TEST(BouncePath, PurposesHaveKeysOfTheirOwn) {
  const KeyRing ring = Ring1();
  const SivKeys& unsubscribe = *ring.Find(1, TokenPurpose::kUnsubscribe);
  const SivKeys& bounce = *ring.Find(1, TokenPurpose::kBounce);
  std::string sealed;
  ASSERT_TRUE(Siv::Make(unsubscribe)->Seal("a", "text", &sealed));
  EXPECT_EQ(Siv::Make(unsubscribe)->Open("a", sealed), "text");
  EXPECT_EQ(Siv::Make(unsubscribe)->Open("b", sealed), std::nullopt);
  EXPECT_EQ(Siv::Make(bounce)->Open("a", sealed), std::nullopt);
  EXPECT_NE(unsubscribe.mac.reveal(), unsubscribe.encryption.reveal());
}

TEST(BouncePath, RefusesAMailboxWithoutRoomOrThatNeedsQuotes) {
  const KeyRing ring = Ring1();
  EXPECT_TRUE(MakeBouncePath(ring, std::string(kBounceMailboxOctetsMax, 'b') + "@e.org", {}).ok());
  EXPECT_FALSE(
      MakeBouncePath(ring, std::string(kBounceMailboxOctetsMax + 1, 'b') + "@e.org", {}).ok());
  for (const char* mailbox : {"", "@e.org", "b@", "b c@e.org", "\"b\"@e.org", ".b@e.org", "b\r\n@e",
                              "b@e.org\r\nX: y", "b@e>"}) {
    EXPECT_FALSE(MakeBouncePath(ring, mailbox, {}).ok()) << mailbox;
  }
}

}  // namespace
}  // namespace volley::engine::compliance
