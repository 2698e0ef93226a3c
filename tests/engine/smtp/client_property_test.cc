// Whole sessions against a server that refuses, hangs up and talks nonsense by a seeded coin, over
// a wire that cuts everything anywhere. What has to hold is in the checks of class Session.
#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/smtp/client.h"
#include "gtest/gtest.h"
#include "tests/engine/smtp/model_server.h"

namespace volley::engine::smtp {
namespace {

using Mood = ModelServer::Mood;

class Session : public ClientObserver {
 public:
  explicit Session(uint32_t seed) : random_(seed), server_options_(ChooseServer()) {
    options_.helo_name = "client.example";
    options_.protocol = server_options_.lmtp ? Protocol::kLmtp : Protocol::kSmtp;
    jobs_left_ = 1 + Pick(8);
    trouble_ = Pick(3) == 0 ? 0 : Pick(30);
    client_ = std::make_unique<Client>(&options_, this);
    server_ = std::make_unique<ModelServer>(server_options_, [this] { return Toss(); });
  }

  // Empty when every property held.
  std::string Run() {
    for (int step = 0; step < 20000 && !client_->closed(); ++step) {
      Step();
      if (!fault_.empty()) return fault_;
      if (!server_->fault().empty()) return "server: " + server_->fault();
    }
    if (!client_->closed()) return "the session does not end";
    return CheckEnd();
  }

  size_t delivered() const { return server_->delivered().size(); }
  size_t recipients() const { return recipients_; }

 private:
  struct Job {
    std::string content;
    std::vector<iovec> pieces;
    std::vector<int> verdicts;  // -1: none yet
    bool added = false;
    bool ended = false;
  };

  uint32_t Pick(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

  ModelServerOptions ChooseServer() {
    ModelServerOptions options;
    options.lmtp = Pick(4) == 0;
    options.pipelining = Pick(4) != 0;
    options.chunking = Pick(2) == 0;
    if (Pick(4) == 0)
      options.limits = "LIMITS MAILMAX=" + std::to_string(1 + Pick(4)) + " RCPTMAX=3";
    return options;
  }

  Mood Toss() {
    if (Pick(100) >= trouble_) return Mood::kFine;
    constexpr Mood kMoods[] = {Mood::kTransient, Mood::kTransient, Mood::kPermanent,
                               Mood::kPermanent, Mood::kTooMany,   Mood::kClosing,
                               Mood::kHangUp,    Mood::kNonsense};
    return kMoods[Pick(8)];
  }

  void Step() {
    switch (Pick(8)) {
      case 0:
        return Offer();
      case 1:
      case 2:
        return Send();
      case 3:
        return FinishSend();
      case 4:
        return CarryToServer();
      case 5:
      case 6:
        return CarryToClient();
      default:
        break;
    }
    if (trouble_ > 0 && Pick(400) == 0) return Cut("reset");
    if (trouble_ > 0 && Pick(60) == 0) server_->RefuseEarly();
    if (Stalled()) Unstall();
  }

  void Offer() {
    if (!client_->wants_transaction()) return;
    if (jobs_left_ == 0) return client_->Quit();
    --jobs_left_;
    const uint64_t tag = ++last_tag_;
    Job& job = jobs_[tag];
    const size_t lines = Pick(20);
    for (size_t i = 0; i < lines; ++i)
      job.content += Pick(4) == 0 ? ".dot\r\n" : "line of text\r\n";
    for (size_t at = 0; at < job.content.size();) {
      const size_t n = std::min<size_t>(1 + Pick(40), job.content.size() - at);
      job.pieces.push_back({job.content.data() + at, n});
      at += n;
    }
    server_->Expect(tag, job.content);
    AddJob(tag, &job);
  }

  void AddJob(uint64_t tag, Job* job) {
    const std::string from = "t" + std::to_string(tag) + "@c.example";
    std::vector<std::string> to;
    for (uint32_t i = 0, n = 1 + Pick(5); i < n; ++i) {
      to.push_back("r" + std::to_string(i) + ".t" + std::to_string(tag) + "@d.example");
      if (Pick(40) == 0) to.back() += "\r\nDATA";
    }
    job->verdicts.assign(to.size(), -1);
    job->added = true;
    recipients_ += to.size();
    const std::vector<std::string_view> views(to.begin(), to.end());
    Transaction transaction;
    transaction.tag = tag;
    transaction.reverse_path = from;
    transaction.recipients = views;
    transaction.content = job->pieces;
    transaction.content_bytes = job->content.size();
    transaction.eight_bit = Pick(30) == 0;
    client_->Add(transaction);
  }

  void Send() {
    if (sending_ || !client_->has_output()) return;
    std::vector<iovec> out(1 + Pick(6));
    out.resize(client_->TakeOutput(out));
    if (out.empty()) {
      fault_ = "has_output() but nothing to take";
      return;
    }
    in_send_.assign(out.begin(), out.end());
    sending_ = true;
  }

  // The bytes are read when the send is over: memory that moved or went away shows here.
  void FinishSend() {
    if (!sending_) return;
    for (const iovec& piece : in_send_) {
      wire_.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    in_send_.clear();
    sending_ = false;
    client_->OnOutputSent();
    ReleaseEnded();
  }

  void CarryToServer() {
    const size_t n = std::min<size_t>(wire_.size(), 1 + Pick(200));
    server_->Receive(wire_.substr(0, n));
    wire_.erase(0, n);
  }

  void CarryToClient() {
    replies_ += server_->TakeReplies();
    if (replies_.empty()) {
      if (server_->hung_up()) Cut("closed");
      return;
    }
    const size_t n = std::min<size_t>(replies_.size(), 1 + Pick(60));
    const std::string bytes = replies_.substr(0, n);
    replies_.erase(0, n);
    server_->OnRepliesDelivered(n);
    client_->Receive(bytes);
  }

  // What the server never got certainly counts as unsent or not, as a driver may know or not.
  void Cut(std::string_view why) {
    uint64_t unsent = 0;
    for (const iovec& piece : in_send_) unsent += piece.iov_len;
    unsent += wire_.size();
    if (Pick(2) == 0) unsent = Pick(static_cast<uint32_t>(unsent) + 1);
    client_->OnConnectionClosed(unsent, why);
    in_send_.clear();
    sending_ = false;
  }

  bool Stalled() const {
    return !sending_ && !client_->has_output() && wire_.empty() && replies_.empty() &&
           !server_->hung_up();
  }

  void Unstall() {
    replies_ += server_->TakeReplies();
    if (!replies_.empty() || client_->closed() || client_->wants_transaction()) return;
    if (client_->reply_timeout().has_value()) return client_->OnTimeout();
    fault_ = "nothing is due and nothing is wanted";
  }

  void OnVerdict(const Verdict& v) override {
    Job& job = jobs_[v.tag];
    if (!job.added || job.ended || v.recipient >= job.verdicts.size()) {
      fault_ = "a verdict out of place";
      return;
    }
    if (job.verdicts[v.recipient] != -1) fault_ = "a second verdict";
    job.verdicts[v.recipient] = static_cast<int>(v.kind);
    const bool taken = server_->delivered().contains({v.tag, v.recipient});
    if (v.kind == VerdictKind::kDelivered && !taken) fault_ = "delivered, says the client alone";
    if (v.kind == VerdictKind::kRetry && taken) fault_ = "to be sent again, but it was taken";
    if (v.kind == VerdictKind::kFailed && taken) fault_ = "failed, but it was taken";
    if (v.kind == VerdictKind::kFailed && !v.counts_as_attempt)
      fault_ = "a failure that does not count";
    if (v.kind == VerdictKind::kUnknown && v.reply.code.positive()) fault_ = "unknown with a reply";
  }

  void OnTransactionEnd(uint64_t tag) override {
    Job& job = jobs_[tag];
    if (job.ended) fault_ = "a second end";
    for (const int verdict : job.verdicts) {
      if (verdict == -1) fault_ = "an end before the last verdict";
    }
    job.ended = true;
    if (!sending_) ReleaseEnded();
  }

  // The client has promised not to touch the content again: the sanitizer holds it to that.
  void ReleaseEnded() {
    for (auto& [tag, job] : jobs_) {
      if (!job.ended) continue;
      job.content = std::string();
      job.pieces = {};
    }
  }

  std::string CheckEnd() {
    for (const auto& [tag, job] : jobs_) {
      if (!job.ended) return "transaction " + std::to_string(tag) + " never ended";
    }
    if (client_->has_output()) return "output after the end";
    if (client_->wants_transaction()) return "wants after the end";
    return fault_;
  }

  std::mt19937 random_;
  ModelServerOptions server_options_;
  ClientOptions options_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<ModelServer> server_;
  uint32_t trouble_ = 0;  // percent of the replies
  uint32_t jobs_left_ = 0;
  uint64_t last_tag_ = 0;
  size_t recipients_ = 0;
  std::map<uint64_t, Job> jobs_;
  bool sending_ = false;
  std::vector<iovec> in_send_;
  std::string wire_;     // sent, not yet at the server
  std::string replies_;  // said, not yet at the client
  std::string fault_;
};

TEST(SmtpClientProperty, HoldsAgainstAnyServer) {
  size_t delivered = 0;
  size_t recipients = 0;
  for (uint32_t seed = 1; seed <= 20000; ++seed) {
    Session session(seed);
    ASSERT_EQ(session.Run(), "") << "seed " << seed;
    delivered += session.delivered();
    recipients += session.recipients();
  }
  // The sessions are worth something only if mail gets through some and trouble through others.
  EXPECT_GT(delivered, recipients / 4);
  EXPECT_LT(delivered, recipients * 9 / 10);
}

}  // namespace
}  // namespace volley::engine::smtp
