#include "engine/bounce/classify.h"

#include <fmt/format.h>
#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <vector>

#include "engine/base/nearest_name.h"
#include "engine/bounce/rules.h"
#include "engine/bounce/rules_toml.h"
#include "engine/bounce/status_codes.h"

namespace volley::engine::bounce {
namespace {

constexpr std::array<std::string_view, 9> kStages = {
    "unknown", "connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body"};

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// What stands in every other refusal of one provider and says nothing about this one.
std::string WithoutPhrases(std::string text) {
  static const RE2 kPhrases("(?i)to (best )?(protect|reduce)[^,.]{0,60}spam[^,.]{0,20}, ?");
  RE2::GlobalReplace(&text, kPhrases, "");
  return text;
}

// White space is one blank; control characters are blanks, too.
std::string Normalized(std::string_view text) {
  std::string out;
  text = text.substr(0, Classifier::kTextBytesMax);
  out.reserve(text.size());
  for (const char c : text) {
    const bool blank = IsSpace(c) || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    if (!blank) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return WithoutPhrases(std::move(out));
}

// "550 5.1.1": patterns may have x for any digit or number.
bool CodeMatches(std::string_view pattern, uint16_t code) {
  const std::string text = fmt::format("{:03}", code);
  return pattern.size() == text.size() &&
         std::equal(pattern.begin(), pattern.end(), text.begin(),
                    [](char p, char c) { return p == 'x' || p == c; });
}

bool EnhancedMatches(std::string_view pattern, std::string_view code) {
  while (!pattern.empty() && !code.empty()) {
    const auto take = [](std::string_view* from) {
      const size_t end = std::min(from->find('.'), from->size());
      const std::string_view part = from->substr(0, end);
      from->remove_prefix(std::min(from->size(), end + 1));
      return part;
    };
    const std::string_view p = take(&pattern), c = take(&code);
    if (p != "x" && p != c) return false;
  }
  return pattern.empty() && code.empty();
}

// One that the text holds: servers put it anywhere, "(#5.1.1)".
std::string FindEnhanced(std::string_view text) {
  static const RE2 kCode(R"((?:^|[^\d.])([45]\.\d{1,3}\.\d{1,3})(?:[^\d.]|\.?$|\.\D))");
  std::string code;
  RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), kCode, &code);
  return code;
}

RE2::Options TextOptions() {
  RE2::Options options;
  options.set_case_sensitive(false);
  options.set_encoding(RE2::Options::EncodingLatin1);  // any bytes are text
  options.set_dot_nl(true);
  options.set_log_errors(false);
  options.set_max_mem(int64_t{256} << 20);
  return options;
}

}  // namespace

struct Classifier::Rules {
  std::vector<Rule> rules;  // in order
  std::unique_ptr<RE2::Set> texts;
  int64_t version = 0;
};

std::string_view StageName(Stage stage) { return kStages[static_cast<size_t>(stage)]; }

std::optional<Stage> StageByName(std::string_view name) {
  const auto found = std::find(kStages.begin(), kStages.end(), name);
  if (found == kStages.end()) return std::nullopt;
  return static_cast<Stage>(found - kStages.begin());
}

Classifier::Classifier(std::unique_ptr<const Rules> rules) : rules_(std::move(rules)) {}
Classifier::~Classifier() = default;
Classifier::Classifier(Classifier&&) noexcept = default;
Classifier& Classifier::operator=(Classifier&&) noexcept = default;

int64_t Classifier::version() const { return rules_->version; }
size_t Classifier::rules() const { return rules_->rules.size(); }

absl::StatusOr<Classifier> Classifier::Parse(std::span<const RuleFile> files) {
  auto all = std::make_unique<Rules>();
  for (const RuleFile& file : files) {
    auto parsed = ParseRules(file);
    if (!parsed.ok()) return parsed.status();
    all->version = parsed->version;
    // Those that know the provider go first, but never before another file's.
    std::stable_partition(parsed->rules.begin(), parsed->rules.end(),
                          [](const Rule& rule) { return !rule.providers.empty(); });
    std::move(parsed->rules.begin(), parsed->rules.end(), std::back_inserter(all->rules));
  }
  if (all->rules.size() > kRulesMax) {
    return absl::InvalidArgumentError(
        fmt::format("{} rules are more than {}", all->rules.size(), kRulesMax));
  }
  all->texts = std::make_unique<RE2::Set>(TextOptions(), RE2::UNANCHORED);
  std::map<std::string_view, std::string_view> ids;  // and where each is
  for (const Rule& rule : all->rules) {
    std::string error;
    if (all->texts->Add(rule.text, &error) < 0) {
      return absl::InvalidArgumentError(
          fmt::format("{}: rule \"{}\": text does not compile: {}", rule.place, rule.id, error));
    }
    const auto [first, is_new] = ids.try_emplace(rule.id, rule.place);
    if (!is_new) {
      return absl::InvalidArgumentError(
          fmt::format("{}: there are two rules \"{}\", the other is {}; "
                      "take another id",
                      first->second, rule.id, rule.place));
    }
  }
  if (!all->texts->Compile()) {
    return absl::InvalidArgumentError("the rules' texts need too much memory together");
  }
  return Classifier(std::move(all));
}

const Classifier& Classifier::BuiltIn() {
  static const Classifier* const kBuiltIn = [] {
    const RuleFile file{std::string(kBuiltInName), kRulesToml};
    return new Classifier(*Parse({&file, 1}));  // a test parses them
  }();
  return *kBuiltIn;
}

absl::StatusOr<Classifier> Classifier::WithOwnRules(const RuleFile& own) {
  const RuleFile files[] = {own, {std::string(kBuiltInName), kRulesToml}};
  return Parse(files);
}

Classification Classifier::Classify(const ReplyFacts& reply) const {
  const std::string text = Normalized(reply.text);
  const std::string enhanced =
      reply.enhanced.empty() ? FindEnhanced(text) : std::string(reply.enhanced);
  Classification result;
  result.retry_after = RetryHint(text);
  std::vector<int> matches;
  if (!text.empty()) rules_->texts->Match(text, &matches);
  std::sort(matches.begin(), matches.end());
  for (const int i : matches) {
    const Rule& rule = rules_->rules[static_cast<size_t>(i)];
    const auto has = [](const auto& list, const auto& matches_one) {
      return list.empty() || std::any_of(list.begin(), list.end(), matches_one);
    };
    if (has(rule.providers, [&](const std::string& p) { return p == reply.provider; }) &&
        has(rule.stages, [&](Stage s) { return s == reply.stage; }) &&
        has(rule.codes, [&](const std::string& c) { return CodeMatches(c, reply.code); }) &&
        has(rule.enhanced, [&](const std::string& e) { return EnhancedMatches(e, enhanced); })) {
      result.category = rule.category;
      result.rule = rule.id;
      return result;
    }
  }
  if (const auto category = CategoryOfEnhanced(enhanced)) {
    result.category = *category;
    result.rule = "enhanced:" + enhanced;
  } else {
    result.category = CategoryOfCode(reply.code, reply.stage);
    result.rule = fmt::format("code:{}", reply.code);
  }
  return result;
}

std::vector<Classifier::Example> Classifier::Examples() const {
  std::vector<Example> out;
  for (const Rule& rule : rules_->rules) {
    for (const std::string& example : rule.examples) {
      out.push_back({rule.id, example, rule.providers.empty() ? "" : rule.providers.front(),
                     rule.stages.empty() ? Stage::kUnknown : rule.stages.front(), rule.place});
    }
  }
  return out;
}

std::optional<absl::Duration> RetryHint(std::string_view text) {
  static const RE2 kSpan(
      R"((?i)(?:again|retry|come back|wait|after|within|for|in|delay(?:ed)? (?:of|for)|try)\W{1,3}(?:at least |about |another )?(\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b)");
  static const RE2 kClock(R"((?i)(?:in|after|for|wait)\W{1,3}(\d{1,2}):(\d\d):(\d\d)\b)");
  const re2::StringPiece piece(text.data(), text.size());
  int64_t n = 0, minutes = 0, seconds = 0;
  std::string unit;
  if (RE2::PartialMatch(piece, kSpan, &n, &unit)) {
    const char first = unit.front() | 0x20;
    return first == 's' ? absl::Seconds(n) : first == 'm' ? absl::Minutes(n) : absl::Hours(n);
  }
  if (RE2::PartialMatch(piece, kClock, &n, &minutes, &seconds)) {
    return absl::Hours(n) + absl::Minutes(minutes) + absl::Seconds(seconds);
  }
  return std::nullopt;
}

ReplyFacts ParseReply(std::string* reply) {
  // "550-5.1.1 no\n550 5.1.1 such user"
  static const RE2 kContinuation(R"((\s)[2-5]\d\d[- ](?:[245]\.\d{1,3}\.\d{1,3} )?)");
  RE2::GlobalReplace(reply, kContinuation, R"(\1)");
  ReplyFacts facts;
  std::string_view text = *reply;
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  if (text.size() >= 3 && std::all_of(text.begin(), text.begin() + 3, IsDigit) &&
      (text.size() == 3 || text[3] == ' ' || text[3] == '-')) {
    std::from_chars(text.data(), text.data() + 3, facts.code);
    text.remove_prefix(std::min<size_t>(text.size(), 4));
  }
  static const RE2 kEnhanced(R"(^#?([245]\.\d{1,3}\.\d{1,3})(?:\s+|$))");
  re2::StringPiece code;
  if (RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), kEnhanced, &code)) {
    facts.enhanced = {code.data(), code.size()};
    const auto after = static_cast<size_t>(code.data() + code.size() - text.data());
    text.remove_prefix(after);
    while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  }
  facts.text = text;
  return facts;
}

}  // namespace volley::engine::bounce
