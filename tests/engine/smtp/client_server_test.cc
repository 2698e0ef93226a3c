// Our client against our server, over memory: what one says the other understands, in every mode
// and for any cut of the bytes. The server is strict about line ends, commands and BDAT, and counts
// what breaks the rules: the client may not break one.
#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/smtp/client.h"
#include "engine/smtp/server.h"
#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

constexpr int kMessages = 30;

// Takes every message; refuses each recipient whose name begins with "no".
class Mailbox : public ServerHandler {
 public:
  ServerReply OnHello(std::string_view) override { return Ok(); }
  ServerReply OnMail(std::string_view reverse_path, const MailParameters& parameters) override {
    sender = reverse_path;
    size = parameters.size;
    return Ok();
  }
  ServerReply OnRcpt(std::string_view forward_path) override {
    if (forward_path.starts_with("no")) return {ReplyCode(550), EnhancedCode{5, 1, 1}, "", false};
    ++recipients;
    return Ok();
  }
  void OnContent(std::span<const char> bytes) override {
    content.append(bytes.data(), bytes.size());
  }
  ServerReply OnContentEnd(uint32_t recipient) override {
    if (recipient == 0) messages.push_back({sender, content, recipients});
    EXPECT_TRUE(size == 0 || size == content.size());
    if (recipient + 1 == recipients || !per_recipient) Clear();
    return Ok();
  }
  void OnReset() override { Clear(); }

  struct Message {
    std::string sender, content;
    uint32_t recipients;
  };
  std::vector<Message> messages;
  bool per_recipient = false;  // LMTP

 private:
  static ServerReply Ok() { return {ReplyCode(250), EnhancedCode{2, 0, 0}, "", false}; }
  void Clear() {
    content.clear();
    recipients = 0;
  }
  std::string sender, content;
  uint64_t size = 0;
  uint32_t recipients = 0;
};

using Mode = std::tuple<Protocol, bool /*pipelining*/, bool /*chunking*/, uint32_t /*seed*/>;

class ClientAndServer : public testing::TestWithParam<Mode>, public ClientObserver {
 protected:
  ClientAndServer() : random_(std::get<3>(GetParam())) {
    const auto& [protocol, pipelining, chunking, seed] = GetParam();
    client_options_.protocol = server_options_.protocol = protocol;
    client_options_.helo_name = "client.example";
    server_options_.pipelining = pipelining;
    server_options_.chunking = chunking;
    mailbox_.per_recipient = protocol == Protocol::kLmtp;
  }

  void OnVerdict(const Verdict& verdict) override { ++verdicts_[verdict.kind]; }
  void OnTransactionEnd(uint64_t) override { ++ended_; }

  size_t Pick(size_t n) { return random_() % n; }

  // Up to `n` bytes of `from` for `to`, in one piece.
  template <typename Machine>
  void Carry(std::string* from, Machine* to) {
    const size_t n = std::min(from->size(), 1 + Pick(300));
    if (n == 0) return;
    const std::string bytes = from->substr(0, n);
    from->erase(0, n);
    to->Receive(bytes);
  }

  void AddNext(Client* client) {
    if (!client->wants_transaction() || Pick(3) == 0) return;
    if (added_ == kMessages) return client->Quit();
    std::string& content = contents_.emplace_back();
    for (size_t lines = Pick(40); lines > 0; --lines) {
      content += Pick(5) == 0 ? "." : "";
      content += std::string(Pick(90), 'x') + "\r\n";
    }
    pieces_.push_back({content.data(), content.size()});
    static constexpr std::string_view kTo[] = {"a@x.example", "nobody@x.example", "b@x.example"};
    const std::string from = std::to_string(added_) + "@c.example";
    Transaction transaction;
    transaction.tag = static_cast<uint64_t>(added_++);
    transaction.reverse_path = from;
    transaction.recipients = kTo;
    transaction.content = {&pieces_.back(), content.empty() ? 0u : 1u};
    transaction.content_bytes = content.size();
    client->Add(transaction);
  }

  void SendFrom(Client* client, std::string* wire) {
    std::vector<iovec> out(1 + Pick(8));
    if (!client->has_output()) return;
    out.resize(client->TakeOutput(out));
    for (const iovec& piece : out) {
      wire->append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    client->OnOutputSent();
  }

  std::mt19937 random_;
  ClientOptions client_options_;
  ServerOptions server_options_;
  Mailbox mailbox_;
  std::deque<std::string> contents_;
  std::deque<iovec> pieces_;
  int added_ = 0;
  int ended_ = 0;
  std::map<VerdictKind, int> verdicts_;
};

TEST_P(ClientAndServer, UnderstandEachOther) {
  Client client(&client_options_, this);
  Server server(&server_options_, &mailbox_);
  server.Start();
  std::string to_server, to_client;
  for (int step = 0; step < 200000 && !client.closed(); ++step) {
    AddNext(&client);
    SendFrom(&client, &to_server);
    Carry(&to_server, &server);
    if (server.has_output()) {
      to_client += server.TakeOutput();
      server.OnOutputSent();
    }
    Carry(&to_client, &client);
  }
  EXPECT_EQ(client.close_reason(), CloseReason::kQuit) << client.error();
  EXPECT_EQ(server.protocol_errors(), 0u);
  EXPECT_EQ(ended_, kMessages);
  EXPECT_EQ(verdicts_[VerdictKind::kDelivered], 2 * kMessages);
  EXPECT_EQ(verdicts_[VerdictKind::kFailed], kMessages);
  ASSERT_EQ(mailbox_.messages.size(), static_cast<size_t>(kMessages));
  for (size_t i = 0; i < mailbox_.messages.size(); ++i) {
    EXPECT_EQ(mailbox_.messages[i].sender, std::to_string(i) + "@c.example");
    EXPECT_EQ(mailbox_.messages[i].recipients, 2u);
    EXPECT_EQ(mailbox_.messages[i].content, contents_[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ClientAndServer,
                         testing::Combine(testing::Values(Protocol::kSmtp, Protocol::kLmtp),
                                          testing::Bool(), testing::Bool(),
                                          testing::Range(1u, 11u)));

}  // namespace
}  // namespace volley::engine::smtp
