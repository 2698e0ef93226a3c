// The client machine without a network: the reply parser, whole transactions over memory against a
// responder that always agrees, and dot-stuffing.
#include <sys/uio.h>

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/smtp/client.h"
#include "engine/smtp/content.h"
#include "engine/smtp/reply.h"

namespace volley::engine::smtp {
namespace {

void ParseReplies(benchmark::State& state, std::string_view reply) {
  constexpr int kReplies = 64;
  std::string bytes;
  for (int i = 0; i < kReplies; ++i) bytes += reply;
  ReplyParser parser;
  for (auto _ : state) {
    std::string_view input = bytes;
    while (!input.empty()) {
      if (parser.Next(&input) != ReplyParser::Result::kReply) std::abort();
      benchmark::DoNotOptimize(parser.reply().code);
    }
  }
  state.SetItemsProcessed(state.iterations() * kReplies);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}

void BM_ReplyParser_OneLine(benchmark::State& state) {
  ParseReplies(state, "250 2.0.0 Ok: queued as 4bX2kZ3wq9z7\r\n");
}
BENCHMARK(BM_ReplyParser_OneLine);

void BM_ReplyParser_Short(benchmark::State& state) { ParseReplies(state, "250 2.1.5 Ok\r\n"); }
BENCHMARK(BM_ReplyParser_Short);

void BM_ReplyParser_Ehlo(benchmark::State& state) {
  ParseReplies(state,
               "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n250-ETRN\r\n"
               "250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n"
               "250-SMTPUTF8\r\n250 CHUNKING\r\n");
}
BENCHMARK(BM_ReplyParser_Ehlo);

class CountingObserver : public ClientObserver {
 public:
  void OnVerdict(const Verdict& verdict) override {
    delivered += verdict.kind == VerdictKind::kDelivered ? 1 : 0;
  }
  void OnTransactionEnd(uint64_t) override { ++ended; }
  uint64_t delivered = 0;
  uint64_t ended = 0;
};

// A session in the steady state: the content of one transaction and the envelope of the next leave
// in one flight, and all replies to them come in one segment.
class Steady {
 public:
  Steady(bool chunking, size_t recipients, size_t content_bytes)
      : chunking_(chunking), client_(&options_, &observer_) {
    content_ = "Subject: benchmark\r\n\r\n";
    while (content_.size() + 78 < content_bytes) content_ += std::string(76, 'x') + "\r\n";
    piece_ = {content_.data(), content_.size()};
    for (size_t i = 0; i < recipients; ++i) to_.push_back("recipient@customer-domain.example");
    replies_ = "250 2.0.0 Ok: queued as 4bX2kZ3wq9z7\r\n250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n";
    for (size_t i = 0; i < recipients; ++i) replies_ += "250 2.1.5 Ok\r\n";
    if (!chunking) replies_ += "354 End data with <CR><LF>.<CR><LF>\r\n";
    Open();
  }

  void Round() {
    client_.Receive(replies_);
    Add();
    Send();
  }
  const CountingObserver& observer() const { return observer_; }

 private:
  void Open() {
    client_.Receive(std::string_view("220 mx.example ESMTP\r\n"));
    Send();
    client_.Receive(std::string_view(chunking_ ? "250-mx.example\r\n250-PIPELINING\r\n250-SIZE "
                                                 "10240000\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
                                               : "250-mx.example\r\n250-PIPELINING\r\n250-SIZE "
                                                 "10240000\r\n250 8BITMIME\r\n"));
    Add();
    Send();
    // The first envelope's replies: those of a steady round without content's and RSET's.
    size_t at = replies_.find('\n') + 1;
    at = replies_.find('\n', at) + 1;
    client_.Receive(std::string_view(replies_).substr(at));
    Add();
    Send();
  }

  void Add() {
    Transaction transaction;
    transaction.tag = ++tag_;
    transaction.reverse_path = "bounce+4711@news.example";
    transaction.recipients = to_;
    transaction.content = {&piece_, 1};
    transaction.content_bytes = piece_.iov_len;
    transaction.dot_free = true;
    if (!client_.wants_transaction()) std::abort();
    client_.Add(transaction);
  }

  void Send() {
    while (client_.has_output()) {
      benchmark::DoNotOptimize(client_.TakeOutput(out_));
      client_.OnOutputSent();
    }
  }

  const bool chunking_;
  const ClientOptions options_ = [] {
    ClientOptions options;
    options.helo_name = "sender.example";
    return options;
  }();
  CountingObserver observer_;
  Client client_;
  std::string content_, replies_;
  iovec piece_{};
  std::vector<std::string_view> to_;
  std::array<iovec, 16> out_;
  uint64_t tag_ = 0;
};

void RunTransactions(benchmark::State& state, bool chunking) {
  Steady steady(chunking, static_cast<size_t>(state.range(0)), 1024);
  const uint64_t before = steady.observer().delivered;
  for (auto _ : state) steady.Round();
  if (steady.observer().delivered - before !=
      static_cast<uint64_t>(state.iterations() * state.range(0))) {
    state.SkipWithError("not every message was delivered");
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_Transaction_Data(benchmark::State& state) { RunTransactions(state, false); }
BENCHMARK(BM_Transaction_Data)->Arg(1)->Arg(10)->Arg(100);

void BM_Transaction_Bdat(benchmark::State& state) { RunTransactions(state, true); }
BENCHMARK(BM_Transaction_Bdat)->Arg(1)->Arg(10)->Arg(100);

std::string HtmlLike(size_t bytes) {
  std::string text;
  for (size_t line = 0; text.size() < bytes; ++line) {
    text += line % 40 == 7
                ? ".leading dot, as CSS classes have it { margin: 0 }\r\n"
                : "<p>Some text in a paragraph. It has sentences, www.example.com.</p>\r\n";
  }
  return text;
}

std::string Base64Like(size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += std::string(76, 'Q') + "\r\n";
  return text;
}

void Stuff(benchmark::State& state, std::string text) {
  const iovec piece{text.data(), text.size()};
  DotStuffer stuffer;
  std::array<iovec, 64> out;
  for (auto _ : state) {
    stuffer.Start({&piece, 1}, true);
    while (!stuffer.done()) benchmark::DoNotOptimize(stuffer.Next(out));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

void BM_DotStuffing_Html(benchmark::State& state) {
  Stuff(state, HtmlLike(static_cast<size_t>(state.range(0))));
}
BENCHMARK(BM_DotStuffing_Html)->Arg(10 << 10)->Arg(100 << 10);

void BM_DotStuffing_Base64(benchmark::State& state) {
  Stuff(state, Base64Like(static_cast<size_t>(state.range(0))));
}
BENCHMARK(BM_DotStuffing_Base64)->Arg(10 << 10)->Arg(100 << 10);

void BM_CheckCanonical_Html(benchmark::State& state) {
  std::string text = HtmlLike(static_cast<size_t>(state.range(0)));
  const iovec piece{text.data(), text.size()};
  for (auto _ : state) benchmark::DoNotOptimize(CheckCanonical({&piece, 1}).ok());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}
BENCHMARK(BM_CheckCanonical_Html)->Arg(10 << 10);

}  // namespace
}  // namespace volley::engine::smtp
