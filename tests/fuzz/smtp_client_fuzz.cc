// The client machine against a peer and a driver that do anything: the input is a program of
// events. Whatever happens, every recipient has exactly one verdict and every transaction one end.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/smtp/client.h"

namespace {

using namespace volley::engine::smtp;  // the whole file is about it
using volley::engine::Secret;
using volley::engine::sasl::Credentials;

void Check(bool condition) {
  if (!condition) std::abort();
}

constexpr std::string_view kReplies[] = {
    "220 hi\r\n",
    "250-x\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000\r\n",
    "250-x\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 LIMITS MAILMAX=3 RCPTMAX=2 RCPTDOMAINMAX=1\r\n",
    "250 ok\r\n",
    "250 ok\r\n250 ok\r\n354 go\r\n",
    "250 ok\r\n250 ok\r\n250 ok\r\n",
    "354 go\r\n",
    "452 4.5.3 many\r\n",
    "550 5.1.1 no\r\n",
    "451 later\r\n",
    "421 closing\r\n",
    "503-a\r\n503 b\r\n",
    "500 what\r\n",
    "221 bye\r\n",
    "2500 x\r\n",
    "250",
};

// For a session that asks for TLS and AUTH.
constexpr std::string_view kAuthReplies[] = {
    "250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
    "250-x\r\n250 AUTH CRAM-MD5 SCRAM-SHA-1 XOAUTH2\r\n",
    "220 go ahead\r\n",
    "220 go ahead\r\n250 early\r\n",
    "334 \r\n",
    "334 PDEyQHg+\r\n",
    "334 not base64\r\n",
    "334-\r\n334 \r\n",
    "235 ok\r\n",
    "535 5.7.8 hunter2-and-more\r\n",
    "454 4.7.0 later\r\n",
    "501 cancelled\r\n",
    "530 5.7.0 authenticate\r\n",
    "334 eyJzdGF0dXMiOiI0MDEifQ==\r\n",
    "334 cj1mb28scz1ab28saT00MDk2\r\n",
    "500 AUTH PLAIN AHUAaHVudGVyMi1hbmQtbW9yZQ==\r\n",
};
constexpr std::string_view kSecret = "hunter2-and-more";

class Fuzz : public ClientObserver {
 public:
  explicit Fuzz(std::span<const uint8_t> program) : program_(program) {
    const uint8_t flags = Next();
    options_.helo_name = "client.example";
    options_.protocol = (flags & 1) != 0 ? Protocol::kLmtp : Protocol::kSmtp;
    options_.use_pipelining = (flags & 2) == 0;
    options_.use_chunking = (flags & 4) == 0;
    options_.tls = static_cast<TlsPolicy>(flags >> 3 & 3);
    options_.auth_insecure = (flags & 64) != 0;
    if ((flags & 32) != 0) {
      credentials_.user = "u";
      Secret* secret = (flags & 128) != 0 ? &credentials_.token : &credentials_.password;
      *secret = *Secret::Make(kSecret);
      options_.credentials = &credentials_;
    }
    client_ = std::make_unique<Client>(&options_, this);
  }

  void Run() {
    while (at_ < program_.size()) Step();
    client_->OnConnectionClosed(0, "the end");
    Check(client_->closed() && !client_->has_output() && !client_->wants_transaction());
    for (const Job& job : jobs_) Check(job.ended);
  }

 private:
  struct Job {
    std::vector<bool> judged;
    bool ended = false;
  };

  uint8_t Next() { return at_ < program_.size() ? program_[at_++] : 0; }

  void Step() {
    const uint8_t op = Next();
    switch (op >> 4) {
      case 0:
        return ReceiveRaw(op & 15);
      case 1:
        return ReceiveText(kAuthReplies[op & 15]);
      case 2:
      case 3:
      case 4:
        return ReceiveText(kReplies[op & 15]);
      case 5:
      case 6:
        return Add(op & 15);
      case 7:
      case 8:
        return Take(1 + (op & 15));
      case 9:
        return Sent();
      case 10:
        Take(64);
        return Sent();
      case 11:
        return client_->Quit();
      case 12:
        return (op & 15) == 0 ? client_->OnTimeout() : Take(64);
      case 13:
        if ((op & 15) == 1) return Tls(true);
        if ((op & 15) == 2) return Tls(false);
        return (op & 15) == 0 ? client_->OnConnectionClosed(Next(), "reset") : Sent();
      case 14:
        return Reset();
      default:
        Take(64);
        Sent();
        return Add(op & 15);
    }
  }

  void ReceiveRaw(size_t n) {
    n = std::min(n, program_.size() - at_);
    // An exact copy: a view that outlives the call is found.
    const std::vector<char> bytes(program_.begin() + static_cast<ptrdiff_t>(at_),
                                  program_.begin() + static_cast<ptrdiff_t>(at_ + n));
    at_ += n;
    client_->Receive(bytes);
    Look();
  }

  void ReceiveText(std::string_view text) {
    const std::vector<char> bytes(text.begin(), text.end());
    client_->Receive(bytes);
    Look();
  }

  void Look() {
    client_->reply_timeout();
    Check(!(client_->idle() && !client_->ready()));
    Check(!(client_->closed() && client_->has_output()));
    Check(!(client_->wants_tls() && (client_->closed() || client_->has_output())));
    Check(!client_->ready() || options_.credentials == nullptr || client_->authenticated());
    Check(!client_->ready() || client_->tls() || options_.tls != TlsPolicy::kRequired);
    const bool secret_is_out = client_->auth_mechanism().has_value();
    Check(!secret_is_out || client_->error().find(kSecret) == std::string_view::npos);
    Check(client_->closed() == (client_->close_reason() != CloseReason::kNone));
  }

  void Tls(bool works) {
    if (!client_->wants_tls()) return;
    works ? client_->OnTlsEstablished() : client_->OnTlsFailed("no");
    Look();
  }

  void Add(uint8_t op) {
    if (!client_->wants_transaction() || jobs_.size() > 200) return;
    static constexpr std::string_view kTo[] = {"a@x",     "b@x",   "c@y",
                                               "d\r\n@x", "e f@x", "g@\xc3\xa4"};
    std::vector<std::string_view> to;
    for (uint8_t i = 0, n = static_cast<uint8_t>(1 + op % 4); i < n; ++i) {
      to.push_back(kTo[Next() % 6]);
    }
    Transaction transaction;
    transaction.tag = jobs_.size();
    transaction.reverse_path = op == 15 ? "bad\n" : "s@x";
    transaction.recipients = to;
    transaction.content = std::span(kContent).first(op % 4);
    for (const iovec& piece : transaction.content) transaction.content_bytes += piece.iov_len;
    transaction.eight_bit = op == 7;
    transaction.smtputf8 = op == 11;
    jobs_.push_back({std::vector<bool>(to.size()), false});
    client_->Add(transaction);
  }

  void Take(size_t pieces) {
    if (sending_) return;
    std::vector<iovec> out(pieces);
    const bool had = client_->has_output();
    out.resize(client_->TakeOutput(out));
    Check(had == !out.empty());
    sending_ = had;
    in_send_ = std::move(out);
  }

  void Sent() {
    if (!sending_) return;
    sending_ = false;
    for (const iovec& piece : in_send_) {
      sent_.assign(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    client_->OnOutputSent();
    Look();
  }

  void Reset() {
    if (!client_->closed()) return;
    Sent();
    client_->Reset();
  }

  void OnVerdict(const Verdict& v) override {
    Check(v.tag < jobs_.size() && !jobs_[v.tag].ended);
    Check(v.recipient < jobs_[v.tag].judged.size() && !jobs_[v.tag].judged[v.recipient]);
    Check(v.kind != VerdictKind::kDelivered || v.reply.code.positive());
    Check(v.kind != VerdictKind::kFailed || v.counts_as_attempt);
    Check(v.kind != VerdictKind::kUnknown || v.command == CommandKind::kContent);
    jobs_[v.tag].judged[v.recipient] = true;
    sent_.assign(v.reply.text);  // read it
  }

  void OnTransactionEnd(uint64_t tag) override {
    Check(tag < jobs_.size() && !jobs_[tag].ended);
    const std::vector<bool>& judged = jobs_[tag].judged;
    Check(std::all_of(judged.begin(), judged.end(), [](bool b) { return b; }));
    jobs_[tag].ended = true;
  }

  static inline char kText[] = ".a\r\n.b\r\nc\r\n";
  static inline const std::array<iovec, 3> kContent = {iovec{kText, 4}, iovec{kText + 4, 3},
                                                       iovec{kText + 7, 4}};

  const std::span<const uint8_t> program_;
  size_t at_ = 0;
  Credentials credentials_;
  ClientOptions options_;
  std::unique_ptr<Client> client_;
  std::vector<Job> jobs_;
  bool sending_ = false;
  std::vector<iovec> in_send_;
  std::string sent_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Fuzz({data, size}).Run();
  return 0;
}
