// What a dialogue cannot say: memory, bounds, words for people, broken requirements. The protocol
// itself is in tests/dialogues/*.smtp.
#include "engine/smtp/client.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

using testing::ElementsAre;

struct Seen {
  uint32_t recipient;
  VerdictKind kind;
  std::string text;
};

class SmtpClient : public testing::Test, public ClientObserver {
 protected:
  SmtpClient() {
    options_.helo_name = "client.example";
    client_ = std::make_unique<Client>(&options_, this);
  }

  void OnVerdict(const Verdict& verdict) override {
    seen_.push_back({verdict.recipient, verdict.kind, std::string(verdict.reply.text)});
  }
  void OnTransactionEnd(uint64_t tag) override { ended_.push_back(tag); }

  void Say(std::string_view bytes) { client_->Receive(bytes); }

  std::string Send() {
    std::string sent;
    while (client_->has_output()) {
      iovec out[64];
      const size_t n = client_->TakeOutput(out);
      for (size_t i = 0; i < n; ++i) {
        sent.append(static_cast<const char*>(out[i].iov_base), out[i].iov_len);
      }
      client_->OnOutputSent();
    }
    return sent;
  }

  void Open(std::string_view ehlo_reply = "250-mx.example hello\r\n250 PIPELINING\r\n") {
    Say("220 mx.example\r\n");
    Send();
    Say(ehlo_reply);
    ASSERT_TRUE(client_->ready());
  }

  void Add(const std::vector<std::string>& to, uint64_t tag = 1) {
    const std::vector<std::string_view> views(to.begin(), to.end());
    Transaction transaction;
    transaction.tag = tag;
    transaction.reverse_path = "s@client.example";
    transaction.recipients = views;
    transaction.content = {&piece_, 1};
    transaction.content_bytes = piece_.iov_len;
    client_->Add(transaction);
  }

  ClientOptions options_;
  std::unique_ptr<Client> client_;
  std::vector<Seen> seen_;
  std::vector<uint64_t> ended_;
  std::string content_ = "Subject: x\r\n\r\nbody\r\n";
  iovec piece_ = {content_.data(), content_.size()};
};

TEST_F(SmtpClient, KeepsThePeersCapabilitiesAndName) {
  Open("250-mx.example hello [192.0.2.1]\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 AUTH PLAIN\r\n");
  EXPECT_EQ(client_->capabilities().greeting_name, "mx.example");
  EXPECT_EQ(client_->capabilities().size_max, 1000u);
  EXPECT_THAT(client_->capabilities().auth, ElementsAre("PLAIN"));
}

// RFC 5321 §4.5.3.2.
TEST_F(SmtpClient, HasTheRfcsTimeouts) {
  EXPECT_EQ(client_->reply_timeout(), absl::Minutes(5));
  Open();
  EXPECT_EQ(client_->reply_timeout(), std::nullopt);
  Add({"a@x"});
  EXPECT_EQ(client_->reply_timeout(), absl::Minutes(5));
  Send();
  Say("250 ok\r\n250 ok\r\n");
  EXPECT_EQ(client_->reply_timeout(), absl::Minutes(2));
  Say("354 go\r\n");
  EXPECT_EQ(client_->reply_timeout(), absl::Minutes(3));
  iovec out[8];
  client_->TakeOutput(out);
  EXPECT_EQ(client_->reply_timeout(), absl::Minutes(3)) << "taken is not yet sent";
  client_->OnOutputSent();
  EXPECT_EQ(client_->reply_timeout(), absl::Minutes(10));
  Say("250 ok\r\n");
}

TEST_F(SmtpClient, GivesTheTextOfRepliesWithoutCodes) {
  Open();
  Add({"a@x", "b@x"});
  Send();
  Say("250 ok\r\n550-5.1.1 The account\r\n550 5.1.1 does not exist\r\n450 4.2.1\r\n503 none\r\n");
  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_EQ(seen_[0].text, "The account does not exist");
  EXPECT_EQ(seen_[1].text, "");
}

TEST_F(SmtpClient, SaysWhyATransactionWasLost) {
  Open();
  Add({"a@x"});
  Send();
  client_->OnConnectionClosed(0, "connection reset by peer");
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].text, "connection reset by peer (waiting for the reply to MAIL)");
}

TEST_F(SmtpClient, SaysBothSizesOfAMessageThatIsTooBig) {
  Open("250-x\r\n250 SIZE 10\r\n");
  Add({"a@x"});
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].text, "20 bytes are over the peer's SIZE limit of 10");
  EXPECT_THAT(ended_, ElementsAre(1u));
}

TEST_F(SmtpClient, CopiesAddresses) {
  Open("250 x\r\n");  // without PIPELINING they are needed longest
  {
    auto to = std::make_unique<std::vector<std::string>>(2, "a-long-recipient@mx.example");
    Add(*to);
  }
  EXPECT_EQ(Send(), "MAIL FROM:<s@client.example>\r\n");
  Say("250 ok\r\n");
  EXPECT_EQ(Send(), "RCPT TO:<a-long-recipient@mx.example>\r\n");
  Say("250 ok\r\n");
  EXPECT_EQ(Send(), "RCPT TO:<a-long-recipient@mx.example>\r\n");
  client_->OnConnectionClosed(0, "end");
}

TEST_F(SmtpClient, SendsContentByReference) {
  Open();
  Add({"a@x"});
  Send();
  Say("250 ok\r\n250 ok\r\n354 go\r\n");
  iovec out[8];
  ASSERT_EQ(client_->TakeOutput(out), 2u);
  EXPECT_EQ(out[0].iov_base, content_.data());
  EXPECT_EQ(out[0].iov_len, content_.size());
  client_->OnOutputSent();
  Say("250 ok\r\n");
}

// What the kernel may still read stays where it is, whatever is said meanwhile.
TEST_F(SmtpClient, DoesNotTouchOutputThatIsBeingSent) {
  Open();
  Add({"a@x"});
  Send();
  Say("250 ok\r\n250 ok\r\n354 go\r\n");
  iovec out[8];
  ASSERT_EQ(client_->TakeOutput(out), 2u);
  Add(std::vector<std::string>(Client::kMaxRecipients, "recipient@mx.example"), 2);
  EXPECT_EQ(std::string_view(static_cast<const char*>(out[1].iov_base), out[1].iov_len), ".\r\n");
  client_->OnOutputSent();
  client_->OnConnectionClosed(0, "end");
}

TEST_F(SmtpClient, TakesAsManyRecipientsAsItSays) {
  Open();
  Add(std::vector<std::string>(Client::kMaxRecipients, "r@mx.example"));
  Send();
  Say("250 ok\r\n");
  for (size_t i = 0; i < Client::kMaxRecipients; ++i) Say(i % 2 == 0 ? "250 ok\r\n" : "550 no\r\n");
  Say("354 go\r\n");
  Send();
  Say("250 ok\r\n");
  ASSERT_EQ(seen_.size(), Client::kMaxRecipients);
  size_t delivered = 0;
  for (const Seen& seen : seen_) {
    EXPECT_EQ(seen.kind == VerdictKind::kDelivered, seen.recipient % 2 == 0);
    delivered += seen.kind == VerdictKind::kDelivered ? 1 : 0;
  }
  EXPECT_EQ(delivered, Client::kMaxRecipients / 2);
  EXPECT_THAT(ended_, ElementsAre(1u));
}

// A peer that never ends its line or its reply must not have our memory.
TEST_F(SmtpClient, EndsTheSessionOnAReplyThatNeverEnds) {
  Open();
  Add({"a@x"});
  Send();
  const std::string line = "250-" + std::string(96, 'x') + "\r\n";
  for (int i = 0; i < 1000 && !client_->closed(); ++i) Say(line);
  EXPECT_EQ(client_->close_reason(), CloseReason::kProtocolError);
  EXPECT_EQ(client_->error(), "a reply is too long");
  EXPECT_THAT(ended_, ElementsAre(1u));
}

TEST_F(SmtpClient, IgnoresWhatComesAfterTheEnd) {
  Open();
  Say("421 bye\r\n250 ok\r\n");
  ASSERT_TRUE(client_->closed());
  Say("250 ok\r\n");
  client_->OnTimeout();
  client_->OnConnectionClosed(0, "late");
  client_->OnOutputSent();
  client_->Quit();
  EXPECT_EQ(client_->close_reason(), CloseReason::kServiceClosing);
  EXPECT_EQ(client_->close_code(), ReplyCode(421));
  EXPECT_FALSE(client_->has_output());
}

TEST_F(SmtpClient, DiesOnABrokenRequirement) {
  EXPECT_DEATH(Add({"a@x"}), "no transaction is wanted");
  Open();
  EXPECT_DEATH(Add({}), "recipients");
  EXPECT_DEATH(Add(std::vector<std::string>(Client::kMaxRecipients + 1, "a@x")), "recipients");
  Add({"a@x"});
  EXPECT_DEATH(client_->Reset(), "open transaction");
  EXPECT_DEATH(Add({"a@x"}), "no transaction is wanted");
  client_->OnConnectionClosed(0, "end");
}

TEST(CommandNameTest, HasAWordForEachCommand) {
  EXPECT_EQ(CommandName(CommandKind::kContent), "end of data");
  for (int kind = 0; kind <= static_cast<int>(CommandKind::kQuit); ++kind) {
    EXPECT_NE(CommandName(static_cast<CommandKind>(kind)), "unknown command") << kind;
  }
}

}  // namespace
}  // namespace volley::engine::smtp
