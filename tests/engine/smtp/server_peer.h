// Test helpers for the server machine: a handler that decides by the address and remembers
// everything, and a peer that feeds bytes and collects replies. Used by server_test,
// server_dialogue_test.
#ifndef VOLLEY_TESTS_ENGINE_SMTP_SERVER_PEER_H_
#define VOLLEY_TESTS_ENGINE_SMTP_SERVER_PEER_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/smtp/server.h"

namespace volley::engine::smtp {

struct ReceivedMessage {
  std::string reverse_path;
  std::vector<std::string> recipients;
  std::string content;
  MailParameters parameters;
  bool operator==(const ReceivedMessage& other) const {
    return reverse_path == other.reverse_path && recipients == other.recipients &&
           content == other.content;
  }
};

// Local-parts decide: reject@ 550, defer@ 450, full@ 452 at the message's end (LMTP: for that one),
// bye@ 421 and close; a reverse-path of refuse@ is refused, one of spam@ is refused at the end.
class RecordingHandler : public ServerHandler {
 public:
  ServerReply OnHello(std::string_view name) override {
    helos.emplace_back(name);
    if (name == "refused.example") return {ReplyCode(550), {5, 7, 1}, "not you", false};
    return {ReplyCode(250), {}, {}, false};
  }
  ServerReply OnMail(std::string_view reverse_path, const MailParameters& parameters) override {
    if (reverse_path.starts_with("refuse@")) return {ReplyCode(550), {5, 7, 1}, "no", false};
    if (reverse_path.starts_with("odd@")) return {ReplyCode(999), {}, "what\r\n250 ok", false};
    open = true;
    current = ReceivedMessage{std::string(reverse_path), {}, {}, parameters};
    return {ReplyCode(250), {}, {}, false};
  }
  ServerReply OnRcpt(std::string_view forward_path) override {
    if (forward_path.starts_with("reject@")) return {ReplyCode(550), {5, 1, 1}, "unknown", false};
    if (forward_path.starts_with("defer@")) return {ReplyCode(450), {4, 2, 1}, "later", false};
    if (forward_path.starts_with("bye@")) return {ReplyCode(421), {4, 3, 2}, "bye", true};
    if (forward_path.starts_with("inject@")) return {ReplyCode(550), {}, "a\r\n250 b", false};
    current.recipients.emplace_back(forward_path);
    return {ReplyCode(250), {}, {}, false};
  }
  void OnContent(std::span<const char> bytes) override {
    content_without_transaction += !open;
    ++content_calls;
    current.content.append(bytes.data(), bytes.size());
  }
  ServerReply OnContentEnd(uint32_t recipient) override {
    if (recipient == 0) ends += 1;
    open = false;
    const std::string& to = current.recipients[recipient];
    if (current.reverse_path.starts_with("spam@"))
      return {ReplyCode(554), {5, 7, 1}, "spam", false};
    if (to.starts_with("full@")) return {ReplyCode(452), {4, 2, 2}, "mailbox full", false};
    if (recipient == 0 || messages.empty() || messages.back().content != current.content) {
      messages.push_back(current);
    }
    return {ReplyCode(250), {}, {}, false};
  }
  void OnReset() override {
    ++resets;
    resets_without_transaction += !open;
    open = false;
    current = {};
  }

  std::vector<std::string> helos;
  std::vector<ReceivedMessage> messages;
  ReceivedMessage current;
  bool open = false;
  int resets = 0, ends = 0, content_calls = 0;
  int resets_without_transaction = 0, content_without_transaction = 0;  // must stay 0
};

// Drives one session. The options may be changed before Connect().
class ServerPeer {
 public:
  // The greeting is made, not taken.
  void Start() {
    server = std::make_unique<Server>(&options, &handler);
    server->Start();
  }
  // The greeting is taken and returned.
  std::string Connect() {
    Start();
    return Take();
  }
  std::string Take() {
    std::string taken(server->TakeOutput());
    server->OnOutputSent();
    return taken;
  }
  // Gives all bytes in one piece, then takes the replies.
  std::string Say(std::string_view bytes) {
    server->Receive({bytes.data(), bytes.size()});
    return Take();
  }
  // In pieces of `step` bytes, without taking replies in between.
  std::string SayInSteps(std::string_view bytes, size_t step) {
    for (size_t i = 0; i < bytes.size(); i += step) {
      const std::string copy(bytes.substr(i, step));  // exact allocation: sanitizers see over-reads
      server->Receive({copy.data(), copy.size()});
    }
    return Take();
  }
  void ConnectAndGreet(std::string_view hello = "EHLO client.example\r\n") {
    Connect();
    Say(hello);
  }
  // Through MAIL and RCPT.
  void OpenTransaction() { Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"); }

  ServerOptions options;
  RecordingHandler handler;
  std::unique_ptr<Server> server;
};

// The codes of all replies, "250 250 354"; the middle lines of a multiline reply are left out.
inline std::string Codes(std::string_view replies) {
  std::string codes;
  while (replies.size() >= 4) {
    if (replies[3] == ' ') {
      if (!codes.empty()) codes += ' ';
      codes += replies.substr(0, 3);
    }
    const size_t end = replies.find("\r\n");
    if (end == std::string_view::npos) break;
    replies.remove_prefix(end + 2);
  }
  return codes;
}

}  // namespace volley::engine::smtp

#endif  // VOLLEY_TESTS_ENGINE_SMTP_SERVER_PEER_H_
