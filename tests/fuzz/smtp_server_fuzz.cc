// Hostile bytes against the server machine. The input is split at 0xFE bytes: after each part the
// replies are taken, so that both early and patient clients come about. The first byte picks
// options. Checked: the same bytes give the same replies and messages however they are cut (run
// twice, whole and in small steps); handler calls come in an order that makes sense; replies are
// well-formed lines; what is kept in memory is bounded.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "engine/smtp/server.h"

namespace {

using namespace volley::engine::smtp;

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// Writes everything down; refuses every third recipient and every fifth message.
class Handler : public ServerHandler {
 public:
  ServerReply OnHello(std::string_view helo) override {
    Log("helo", helo);
    return {ReplyCode(250), {}, {}, false};
  }
  ServerReply OnMail(std::string_view reverse_path, const MailParameters&) override {
    Require(!open_, "OnMail inside a transaction");
    open_ = true;
    recipients_ = 0;
    Log("mail", reverse_path);
    return {ReplyCode(250), {}, {}, false};
  }
  ServerReply OnRcpt(std::string_view forward_path) override {
    Require(open_ && content_.empty(), "OnRcpt out of order");
    Log("rcpt", forward_path);
    if (++calls_ % 3 == 0) return {ReplyCode(550), {5, 1, 1}, forward_path, false};
    ++recipients_;
    return {ReplyCode(250), {}, {}, false};
  }
  void OnContent(std::span<const char> bytes) override {
    Require(open_ && recipients_ > 0 && !bytes.empty(), "OnContent out of order");
    content_.append(bytes.data(), bytes.size());
  }
  ServerReply OnContentEnd(uint32_t recipient) override {
    Require(recipient < recipients_ && (open_ || recipient > 0), "OnContentEnd out of order");
    if (recipient == 0) CheckContent();
    open_ = false;
    content_.clear();
    return {ReplyCode(++calls_ % 5 == 0 ? 452 : 250), {}, {}, false};
  }
  void OnReset() override {
    Require(open_, "OnReset without a transaction");
    open_ = false;
    content_.clear();
    log_ += "reset\n";
  }
  const std::string& log() const { return log_; }
  bool open() const { return open_; }

 private:
  // RFC 5321 §2.3.8: what is accepted has no bare CR or LF, and no NUL, whatever came in.
  void CheckContent() {
    Log("content", content_);
    for (size_t i = 0; i < content_.size(); ++i) {
      Require(content_[i] != '\0', "NUL accepted");
      if (content_[i] == '\n') Require(i > 0 && content_[i - 1] == '\r', "bare LF accepted");
      if (content_[i] == '\r') {
        Require(i + 1 < content_.size() && content_[i + 1] == '\n', "bare CR accepted");
      }
    }
  }
  void Log(const char* what, std::string_view value) {
    log_ += what;
    log_ += ' ';
    log_ += value;
    log_ += '\n';
  }
  std::string log_, content_;
  bool open_ = false;
  uint32_t recipients_ = 0;
  unsigned calls_ = 0;
};

void CheckReplies(std::string_view replies) {
  while (!replies.empty()) {
    const size_t end = replies.find("\r\n");
    Require(end != std::string_view::npos && end >= 4 && end <= 510, "reply line");
    const std::string_view line = replies.substr(0, end);
    Require(line[0] >= '2' && line[0] <= '5' && (line[3] == ' ' || line[3] == '-'), "reply code");
    for (char c : line) Require(c != '\r' && c != '\n' && c != '\0', "control in a reply");
    replies.remove_prefix(end + 2);
  }
}

std::string Run(std::string_view input, const ServerOptions& options, size_t step) {
  Handler handler;
  Server server(&options, &handler);
  server.Start();
  std::string replies;
  const auto take = [&] {
    Require(server.output_end() - server.output_taken() < (80u << 10), "replies pile up");
    replies += server.TakeOutput();
    server.OnOutputSent();
  };
  take();
  while (!input.empty()) {
    const size_t cut = input.find('\xFE');
    std::string_view part = input.substr(0, cut);
    input.remove_prefix(cut == std::string_view::npos ? input.size() : cut + 1);
    while (!part.empty()) {
      const std::string copy(part.substr(0, step));  // exact allocation: over-reads are seen
      server.Receive({copy.data(), copy.size()});
      part.remove_prefix(copy.size());
    }
    take();
  }
  server.OnConnectionClosed();
  Require(!handler.open(), "transaction left open");
  CheckReplies(replies);
  return handler.log() + replies + std::to_string(server.protocol_errors());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  ServerOptions options;
  options.protocol = data[0] & 1 ? Protocol::kLmtp : Protocol::kSmtp;
  options.pipelining = !(data[0] & 2);
  options.chunking = !(data[0] & 4);
  options.smtputf8 = !(data[0] & 8);
  if (data[0] & 16) options.size_max = 50;
  if (data[0] & 32) options.recipients_max = 2;
  if (data[0] & 64) options.mail_max = options.rcpt_max = 3;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = Run(input, options, SIZE_MAX);
  for (size_t step : {1, 7, 64})
    Require(Run(input, options, step) == whole, "cuts change the result");
  return 0;
}
