// What dialogues cannot say about TLS and AUTH: memory, options that change between sessions, and
// the cache of SCRAM keys. The conversations are in tests/dialogues/client-auth-*,
// client-starttls-*.
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sasl/scram.h"
#include "engine/smtp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

using testing::HasSubstr;

class NoObserver final : public ClientObserver {
 public:
  void OnVerdict(const Verdict&) override {}
  void OnTransactionEnd(uint64_t) override {}
};

// RFC 5802 §5: fyko+d2lbbFgONRv9qkxdawL.
class RfcRandom final : public sasl::RandomSource {
 public:
  bool Fill(std::span<unsigned char> out) override {
    static constexpr std::array<unsigned char, 18> kBytes = {0x7f, 0x29, 0x28, 0xf9, 0xdd, 0xa5,
                                                             0x6d, 0xb1, 0x60, 0x38, 0xd4, 0x6f,
                                                             0xf6, 0xa9, 0x31, 0x75, 0xac, 0x0b};
    std::copy(kBytes.begin(), kBytes.end(), out.begin());
    return out.size() == kBytes.size();
  }
};

sasl::Credentials Of(std::string user, std::string_view password) {
  sasl::Credentials credentials;
  credentials.user = std::move(user);
  credentials.password = *Secret::Make(password);
  return credentials;
}

class ClientAuth : public testing::Test {
 protected:
  void Say(std::string_view text) { client_.Receive(std::span(text.data(), text.size())); }

  std::vector<iovec> TakeAll() {
    std::vector<iovec> pieces(8);
    pieces.resize(client_.TakeOutput(pieces));
    return pieces;
  }
  static std::string Text(const std::vector<iovec>& pieces) {
    std::string text;
    for (const iovec& p : pieces) text.append(static_cast<const char*>(p.iov_base), p.iov_len);
    return text;
  }
  std::string Sent() {
    std::string text = Text(TakeAll());
    client_.OnOutputSent();
    return text;
  }
  void Open(std::string_view mechanisms) {
    Say("220 hi\r\n");
    Sent();
    Say("250-mx\r\n250 AUTH " + std::string(mechanisms) + "\r\n");
  }
  void Fail() {
    Say("535 5.7.8 no\r\n");
    EXPECT_EQ(Sent(), "QUIT\r\n");
    Say("221 bye\r\n");
    EXPECT_EQ(client_.close_reason(), CloseReason::kAuthFailed);
  }

  ClientOptions Options() {
    ClientOptions options;
    options.helo_name = "client.example";
    options.tls = TlsPolicy::kImplicit;
    options.credentials = &credentials_;
    options.scram_keys = &cache_;
    options.random = &random_;
    return options;
  }

  sasl::Credentials credentials_ = Of("user", "pencil");
  sasl::ScramKeyCache cache_;
  RfcRandom random_;
  NoObserver observer_;
  const ClientOptions options_ = Options();
  Client client_{&options_, &observer_};
};

TEST_F(ClientAuth, TheLoginIsWipedFromTheOutputOnceSent) {
  Open("PLAIN");
  const std::vector<iovec> pieces = TakeAll();
  EXPECT_EQ(Text(pieces), "AUTH PLAIN AHVzZXIAcGVuY2ls\r\n");
  client_.OnOutputSent();
  EXPECT_EQ(Text(pieces).find_first_not_of('\0'), std::string::npos);
}

TEST_F(ClientAuth, OtherCredentialsAreTakenFromTheNextLoginOn) {
  Open("PLAIN");
  EXPECT_EQ(Sent(), "AUTH PLAIN AHVzZXIAcGVuY2ls\r\n");
  Fail();
  EXPECT_EQ(client_.auth_failure(), sasl::AuthFailure::kRejected);
  const sasl::Credentials renewed = Of("user", "crayon");
  client_.UseCredentials(&renewed);
  client_.Reset();
  EXPECT_EQ(client_.auth_failure(), sasl::AuthFailure::kNone);
  EXPECT_EQ(client_.auth_mechanism(), std::nullopt);
  Open("PLAIN");
  EXPECT_EQ(Sent(), "AUTH PLAIN AHVzZXIAY3JheW9u\r\n");
  Say("235 ok\r\n");
  EXPECT_TRUE(client_.authenticated());
  EXPECT_TRUE(client_.ready());
}

TEST_F(ClientAuth, NoCredentialsMeanNoLogin) {
  client_.UseCredentials(nullptr);
  Open("PLAIN");
  EXPECT_TRUE(client_.ready());
  EXPECT_FALSE(client_.has_output());
}

TEST_F(ClientAuth, SessionsShareScramKeysAndAnotherPasswordHasItsOwn) {
  constexpr std::string_view kChallenge =
      "334 cj1meWtvK2QybGJiRmdPTlJ2OXFreGRhd0wzcmZjTkhZSlkxWlZ2V1ZzN2oscz1RU1hDUitRNnNlazhiZjkyLGk9"
      "NDA5Ng==\r\n";
  for (int session = 0; session < 3; ++session) {
    Open("SCRAM-SHA-1");
    EXPECT_THAT(Sent(), HasSubstr("AUTH SCRAM-SHA-1 biwsbj11c2VyLHI9"));
    Say(kChallenge);
    EXPECT_THAT(Sent(), testing::StartsWith("Yz1iaXdz"));
    EXPECT_EQ(cache_.size(), 1U);
    Fail();
    client_.Reset();
  }
  const sasl::Credentials renewed = Of("user", "crayon");
  client_.UseCredentials(&renewed);
  Open("SCRAM-SHA-1");
  Sent();
  Say(kChallenge);
  EXPECT_EQ(cache_.size(), 2U);
}

TEST_F(ClientAuth, AReplyBeforeTheSendIsReportedIsTaken) {
  Open("LOGIN");
  TakeAll();
  Say("334 \r\n");  // the receive completes before the send does
  client_.OnOutputSent();
  const std::vector<iovec> user = TakeAll();
  EXPECT_EQ(Text(user), "dXNlcg==\r\n");
  Say("334 \r\n");
  client_.OnOutputSent();
  EXPECT_EQ(Sent(), "cGVuY2ls\r\n");
  Say("235 ok\r\n");
  EXPECT_TRUE(client_.authenticated());
}

TEST_F(ClientAuth, AClientMayGoInTheMiddleOfALogin) {
  Open("LOGIN");
  Sent();
  Say("334 \r\n");
  TakeAll();
  client_.OnConnectionClosed(0, "reset");
  EXPECT_EQ(client_.close_reason(), CloseReason::kPeerClosed);
  client_.OnOutputSent();
}

}  // namespace
}  // namespace volley::engine::smtp
