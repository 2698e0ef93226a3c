// Replies of any bytes, and rule files of a user's: what is classified has a category and a rule,
// always the same; a file that is refused is refused with its place.
//
// The first byte is the stage, the next two the code. Then come, each ended by a line end: the
// provider, the enhanced code; the rest is the text. After a line "--" comes a rule file, which is
// laid before the built-in rules, and the same reply is classified by both together.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/bounce/classify.h"
#include "engine/bounce/rules.h"

namespace {

using namespace volley::engine::bounce;

// A rule file's texts are compiled, which costs time by their length.
constexpr size_t kRuleFileBytesMax = 4096;

void Require(bool condition) {
  if (!condition) std::abort();
}

std::string_view TakeLine(std::string_view* rest) {
  const size_t end = std::min(rest->find('\n'), rest->size());
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(std::min(rest->size(), end + 1));
  return line;
}

void CheckAnswer(const Classifier& classifier, const ReplyFacts& facts) {
  const Classification answer = classifier.Classify(facts);
  Require(answer.category != Category::kNone && !answer.rule.empty());
  Require(CategoryByName(InfoOf(answer.category).name) == answer.category);
  Require(!answer.retry_after || *answer.retry_after >= absl::ZeroDuration());
  const Classification again = classifier.Classify(facts);
  Require(again.category == answer.category && again.rule == answer.rule &&
          again.retry_after == answer.retry_after);
  // What stands behind the bound is not looked at.
  std::string longer(facts.text.substr(0, Classifier::kTextBytesMax));
  if (longer.size() < Classifier::kTextBytesMax) return;
  longer += " user unknown";
  ReplyFacts more = facts;
  more.text = longer;
  Require(classifier.Classify(more).rule == answer.rule);
}

void CheckRuleFile(std::string_view text, const ReplyFacts& facts) {
  if (text.size() > kRuleFileBytesMax) return;
  const RuleFile file{"own.toml", text};
  const auto parsed = ParseRules(file);
  const auto classifier = Classifier::WithOwnRules(file);
  if (!parsed.ok()) {
    Require(!classifier.ok());
    Require(std::string_view(parsed.status().message().data(), parsed.status().message().size())
                .starts_with("own.toml:"));
    return;
  }
  for (const Rule& rule : parsed->rules) {
    Require(!rule.id.empty() && !rule.text.empty() && rule.category != Category::kNone);
  }
  if (!classifier.ok()) return;
  Require(classifier->rules() == Classifier::BuiltIn().rules() + parsed->rules.size());
  CheckAnswer(*classifier, facts);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 3, size - 3);
  const size_t rules_at = rest.find("\n--\n");
  const std::string_view rules = rules_at == rest.npos ? "" : rest.substr(rules_at + 4);
  rest = rest.substr(0, rules_at);
  ReplyFacts facts;
  facts.stage = static_cast<Stage>(data[0] % (static_cast<int>(Stage::kBody) + 1));
  facts.code = static_cast<uint16_t>(data[1] << 8 | data[2]);
  facts.provider = TakeLine(&rest);
  facts.enhanced = TakeLine(&rest);
  facts.text = rest;
  CheckAnswer(Classifier::BuiltIn(), facts);

  std::string whole(rest);
  const ReplyFacts read = ParseReply(&whole);
  Require(read.code <= 999 && read.text.size() <= whole.size());
  CheckAnswer(Classifier::BuiltIn(), read);
  if (rules_at != std::string_view::npos) CheckRuleFile(rules, facts);
  return 0;
}
