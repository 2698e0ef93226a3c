// OnOpeningReply: what an observer hears of a session's opening.
#include <string>
#include <string_view>
#include <vector>

#include "engine/sasl/base64.h"
#include "engine/smtp/client.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Listener final : public ClientObserver {
 public:
  void OnVerdict(const Verdict&) override {}
  void OnTransactionEnd(uint64_t) override {}
  void OnOpeningReply(CommandKind command, const ReplyView& reply) override {
    heard.push_back(fmt::format("{}: {} {}", CommandName(command), reply.code.value(), reply.text));
  }
  std::vector<std::string> heard;
};

class ClientOpening : public testing::Test {
 protected:
  ClientOpening() {
    credentials_.user = "ann";
    credentials_.password = *Secret::Make("hunter2 and more");
    options_.helo_name = "client.example";
    options_.tls = TlsPolicy::kRequired;
    options_.credentials = &credentials_;
  }
  void Say(Client* client, std::string_view text) {
    client->Receive(std::span(text.data(), text.size()));
    std::array<iovec, 8> pieces;
    if (client->TakeOutput(pieces) > 0) client->OnOutputSent();
  }
  void OpenUntilAuth(Client* client) {
    Say(client, "220 hi\r\n");
    Say(client, "250-mx\r\n250 STARTTLS\r\n");
    Say(client, "220 go ahead\r\n");
    client->OnTlsEstablished();
    Say(client, "");
    Say(client, "250-mx\r\n250 AUTH PLAIN\r\n");
  }

  sasl::Credentials credentials_;
  ClientOptions options_;
  Listener listener_;
};

TEST_F(ClientOpening, TellsEachReplyUntilTheSessionIsReadyAndNoneAfter) {
  Client client(&options_, &listener_);
  OpenUntilAuth(&client);
  Say(&client, "235 2.7.0 welcome\r\n");
  ASSERT_TRUE(client.ready());
  client.Quit();
  Say(&client, "");
  Say(&client, "221 bye\r\n");
  EXPECT_THAT(listener_.heard,
              ElementsAre("greeting: 220 hi", "EHLO: 250 mx STARTTLS", "STARTTLS: 220 go ahead",
                          "EHLO: 250 mx AUTH PLAIN", "AUTH: 235 welcome"));
}

TEST_F(ClientOpening, TellsA421Too) {
  Client client(&options_, &listener_);
  Say(&client, "421 4.3.2 not now\r\n");
  EXPECT_THAT(listener_.heard, ElementsAre("greeting: 421 not now"));
}

TEST_F(ClientOpening, HidesWordsThatRepeatTheLogin) {
  for (const std::string& repeated :
       {std::string("hunter2 and more"),
        sasl::EncodeBase64(std::string("\0ann\0hunter2 and more", 21))}) {
    Client client(&options_, &listener_);
    OpenUntilAuth(&client);
    Say(&client, "535 5.7.8 wrong: " + repeated + "\r\n");
    EXPECT_THAT(listener_.heard.back(), Not(HasSubstr(repeated)));
    EXPECT_THAT(listener_.heard.back(), HasSubstr("AUTH: 535 (the server's words repeat"));
  }
}

}  // namespace
}  // namespace volley::engine::smtp
