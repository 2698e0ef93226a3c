// What it costs to say what a refusal means: the built-in rules over replies of all kinds, and over
// one reply of each kind by itself.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "engine/bounce/classify.h"

namespace {

using namespace volley::engine::bounce;

struct Reply {
  std::string bytes;
  ReplyFacts facts;  // of `bytes`
};

std::vector<Reply> TypicalReplies() {
  std::vector<Reply> replies;
  for (const Classifier::Example& example : Classifier::BuiltIn().Examples()) {
    replies.push_back({.bytes = example.reply, .facts = {.stage = example.stage}});
  }
  // After the vector has grown: facts are views into its strings.
  for (Reply& reply : replies) {
    const Stage stage = reply.facts.stage;
    reply.facts = ParseReply(&reply.bytes);
    reply.facts.stage = stage == Stage::kUnknown ? Stage::kRcpt : stage;
    reply.facts.provider = "google";
  }
  return replies;
}

// An item is one reply: the examples of all built-in rules, in turn.
void ClassifyExamplesOfAllRules(benchmark::State& state) {
  const auto replies = TypicalReplies();
  const Classifier& classifier = Classifier::BuiltIn();
  size_t next = 0, bytes = 0;
  for (auto unused : state) {
    const Reply& reply = replies[next];
    benchmark::DoNotOptimize(classifier.Classify(reply.facts));
    bytes += reply.bytes.size();
    next = next + 1 == replies.size() ? 0 : next + 1;
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(ClassifyExamplesOfAllRules);

void ClassifyOne(benchmark::State& state, const ReplyFacts& facts) {
  const Classifier& classifier = Classifier::BuiltIn();
  for (auto unused : state) benchmark::DoNotOptimize(classifier.Classify(facts));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(ClassifyOne, unknown_user,
                  {.provider = "yahoo",
                   .stage = Stage::kRcpt,
                   .code = 550,
                   .enhanced = "5.1.1",
                   .text = "<ann@example.com>: Recipient address rejected: User unknown"});
BENCHMARK_CAPTURE(
    ClassifyOne, too_fast_for_google,
    {.provider = "google",
     .stage = Stage::kBody,
     .code = 421,
     .enhanced = "4.7.28",
     .text = "Gmail has detected an unusual rate of unsolicited mail originating from "
             "your IP address. To protect our users from spam, mail sent from your IP "
             "address has been temporarily rate limited."});
// No rule matches: the code says it.
BENCHMARK_CAPTURE(ClassifyOne, nothing_but_a_code,
                  {.provider = "", .stage = Stage::kRcpt, .code = 451, .text = "zzz"});
// The longest text that is looked at.
const std::string& Essay() {
  static const std::string text(Classifier::kTextBytesMax, 'x');
  return text;
}
void ClassifyAnEssay(benchmark::State& state) {
  ClassifyOne(state, {.stage = Stage::kBody, .code = 554, .text = Essay()});
}
BENCHMARK(ClassifyAnEssay);

// Once a campaign: the rules become one automaton.
void CompileBuiltInRules(benchmark::State& state) {
  for (auto unused : state) {
    auto classifier = Classifier::WithOwnRules({"own.toml", "version = 1\n"});
    benchmark::DoNotOptimize(classifier);
  }
}
BENCHMARK(CompileBuiltInRules)->Unit(benchmark::kMillisecond);

}  // namespace
