#include "engine/policy/reply_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "engine/base/nearest_name.h"
#include "engine/message/utf8.h"
#include "engine/policy/values.h"

namespace volley::engine::policy {
namespace {

constexpr size_t kNameBytesMax = 64;
constexpr size_t kExampleBytesMax = 1'000;
constexpr size_t kNoteBytesMax = 1'000;
constexpr int64_t kRegexBytesMax = 1 << 20;  // of memory, each
constexpr uint64_t kThresholdMax = 1'000'000;
constexpr uint64_t kRatePerSecondMax = 1'000'000;

constexpr std::array kActions = {ReplyAction::kSlow, ReplyAction::kSuspend,
                                 ReplyAction::kLimitConnections, ReplyAction::kClose,
                                 ReplyAction::kIgnore};

class RuleReader {
 public:
  RuleReader(const toml::table& table, const ReplyContext& context, TableReader* reader)
      : table_(table), context_(context), in_(*reader) {}

  std::optional<ReplyRule> Read();

 private:
  void ReadAction(const toml::node& node);
  void ReadPattern(const toml::node& node);
  void ReadStages(const toml::node& node);
  void ReadCodes(std::string_view key, const toml::node& node, bool (*is_pattern)(std::string_view),
                 std::string_view allowed, std::vector<std::string>* to);
  std::optional<CountPer> ReadCountPer(std::string_view key, const toml::node& node,
                                       uint64_t count_max);
  void ReadText(std::string_view key, const toml::node& node, size_t bytes_max, std::string* to);

  void CheckWhatIsThere();
  // Keys that the action needs (`must`) or has no use for.
  void CheckKeyOfAction(std::string_view key, bool may, bool must);
  void Fault(std::string_view what) {
    in_.Fault(table_, what);
    ok_ = false;
  }

  const toml::table& table_;
  const ReplyContext& context_;
  TableReader& in_;
  ReplyRule rule_;
  bool ok_ = true;
};

void RuleReader::ReadText(std::string_view key, const toml::node& node, size_t bytes_max,
                          std::string* to) {
  if (auto text = in_.Text(key, node, bytes_max)) {
    *to = *std::move(text);
  } else {
    ok_ = false;
  }
}

void RuleReader::ReadAction(const toml::node& node) {
  const auto text = node.value_exact<std::string>();
  std::vector<std::string> known;
  for (const ReplyAction action : kActions) {
    known.emplace_back(ReplyActionName(action));
    if (text == known.back()) {
      rule_.action = action;
      return;
    }
  }
  in_.BadValue(
      "action", node,
      fmt::format("write {}{}", fmt::join(known, ", "), text ? DidYouMean(*text, known) : ""));
  ok_ = false;
}

void RuleReader::ReadPattern(const toml::node& node) {
  ReadText("pattern", node, ProviderPack::kPatternBytesMax, &rule_.pattern);
  if (rule_.pattern.empty()) return;
  re2::RE2::Options options;
  options.set_case_sensitive(false);
  options.set_log_errors(false);
  options.set_max_mem(kRegexBytesMax);
  auto regex = std::make_shared<re2::RE2>(rule_.pattern, options);
  if (!regex->ok()) {
    in_.BadValue("pattern", node, fmt::format("no regular expression (RE2): {}", regex->error()));
    ok_ = false;
  } else if (re2::RE2::FullMatch("", *regex)) {
    in_.BadValue("pattern", node, "matches every text; leave it out if that is meant");
    ok_ = false;
  }
  rule_.regex = std::move(regex);
}

void RuleReader::ReadStages(const toml::node& node) {
  const auto names = in_.Texts("stage", node);
  for (const std::string& name : names.value_or(Names{})) {
    const auto stage = bounce::StageByName(name);
    if (stage && *stage != bounce::Stage::kUnknown) {
      rule_.stages.push_back(*stage);
      continue;
    }
    in_.Fault(node, fmt::format("stage {}: write connect, ehlo, starttls, auth, mail, rcpt, data "
                                "or body (the end of the message)",
                                message::Quoted(name)));
    ok_ = false;
  }
  if (names && names->empty()) in_.BadValue("stage", node, "empty: nothing would match");
  if (!names || names->empty()) ok_ = false;
}

void RuleReader::ReadCodes(std::string_view key, const toml::node& node,
                           bool (*is_pattern)(std::string_view), std::string_view allowed,
                           std::vector<std::string>* to) {
  auto codes = in_.Texts(key, node);
  for (const std::string& code : codes.value_or(Names{})) {
    if (is_pattern(code)) continue;
    in_.Fault(node, fmt::format("{} {}: {}", key, message::Quoted(code), allowed));
    ok_ = false;
  }
  if (codes && codes->empty()) in_.BadValue(key, node, "empty: nothing would match");
  if (!codes || codes->empty()) {
    ok_ = false;
  } else {
    *to = *std::move(codes);
  }
}

std::optional<CountPer> RuleReader::ReadCountPer(std::string_view key, const toml::node& node,
                                                 uint64_t count_max) {
  const auto text = node.value_exact<std::string>();
  const auto value = text ? ParseCountPer(*text) : std::nullopt;
  if (value && value->count >= 1 && value->count <= count_max) return value;
  in_.BadValue(
      key, node,
      value ? fmt::format("write a count from 1 to {}", count_max) : std::string(kCountPerAllowed));
  ok_ = false;
  return std::nullopt;
}

void RuleReader::CheckKeyOfAction(std::string_view key, bool may, bool must) {
  const toml::node* node = table_.get(key);
  if (node != nullptr && !may) {
    in_.BadValue(key, *node,
                 fmt::format("action \"{}\" has no use for it", ReplyActionName(rule_.action)));
    ok_ = false;
  } else if (node == nullptr && must) {
    Fault(fmt::format("action \"{}\" needs \"{}\"", ReplyActionName(rule_.action), key));
  }
}

void RuleReader::CheckWhatIsThere() {
  if (table_.get("action") == nullptr) {
    Fault("a reply rule needs \"action\": slow, suspend, limit_connections, close or ignore");
    return;
  }
  if (!table_.contains("pattern") && !table_.contains("codes") && !table_.contains("enhanced")) {
    Fault(
        "a reply rule needs \"pattern\", \"codes\" or \"enhanced\", or it would match everything");
  }
  const ReplyAction action = rule_.action;
  const bool lasts = action != ReplyAction::kClose && action != ReplyAction::kIgnore;
  CheckKeyOfAction("duration", lasts, lasts);
  CheckKeyOfAction("connections",
                   action == ReplyAction::kLimitConnections || action == ReplyAction::kSuspend,
                   action == ReplyAction::kLimitConnections);
  CheckKeyOfAction("rate", action == ReplyAction::kSlow, false);
  CheckKeyOfAction("threshold", action != ReplyAction::kIgnore, false);
  if (context_.own) return;
  for (const char* key : {"name", "source", "example"}) {
    if (!table_.contains(key)) Fault(fmt::format("a reply rule of the pack needs \"{}\"", key));
  }
}

std::optional<ReplyRule> RuleReader::Read() {
  using Node = toml::node;
  rule_.place = in_.Place(table_);
  rule_.name = fmt::format("line-{}", table_.source().begin.line);
  rule_.source = context_.own_source;
  const auto name = table_["name"].value_exact<std::string>();
  const std::string where = fmt::format("provider \"{}\", reply {}", context_.provider,
                                        message::Quoted(name.value_or(rule_.name)));
  const TableReader::Key keys[] = {
      {"name",
       [&](const Node& n) {
         ReadText("name", n, kNameBytesMax, &rule_.name);
         if (IsPackName(rule_.name)) return;
         in_.BadValue("name", n, kPackNameAllowed);
         ok_ = false;
       }},
      {"pattern", [&](const Node& n) { ReadPattern(n); }},
      {"stage", [&](const Node& n) { ReadStages(n); }},
      {"codes",
       [&](const Node& n) {
         ReadCodes("codes", n, IsCodePattern, "write 421, 45x or 4xx", &rule_.codes);
       }},
      {"enhanced",
       [&](const Node& n) {
         ReadCodes("enhanced", n, IsEnhancedPattern, "write 4.7.28 or x.7.x", &rule_.enhanced);
       }},
      {"threshold",
       [&](const Node& n) {
         if (const auto v = ReadCountPer("threshold", n, kThresholdMax)) rule_.threshold = *v;
       }},
      {"action", [&](const Node& n) { ReadAction(n); }},
      {"duration",
       [&](const Node& n) {
         const auto time = in_.Time("duration", n);
         rule_.duration = time.value_or(absl::ZeroDuration());
         ok_ = ok_ && time.has_value();
       }},
      {"connections",
       [&](const Node& n) {
         rule_.connections = in_.Count("connections", n, "");
         ok_ = ok_ && rule_.connections.has_value();
       }},
      {"rate", [&](const Node& n) { rule_.rate = ReadCountPer("rate", n, kRatePerSecondMax); }},
      {"source",
       [&](const Node& n) {
         rule_.source = context_.find_source(n);
         ok_ = ok_ && rule_.source != nullptr;
       }},
      {"note", [&](const Node& n) { ReadText("note", n, kNoteBytesMax, &rule_.note); }},
      {"example", [&](const Node& n) { ReadText("example", n, kExampleBytesMax, &rule_.example); }},
  };
  const std::string outer = in_.where();
  const size_t unknown = in_.Read(table_, where, keys);
  CheckWhatIsThere();
  in_.set_where(outer);
  if (!ok_ || unknown > 0) return std::nullopt;
  return std::move(rule_);
}

}  // namespace

std::optional<ReplyRule> ReadReplyRule(const toml::table& table, const ReplyContext& context,
                                       TableReader* reader) {
  return RuleReader(table, context, reader).Read();
}

}  // namespace volley::engine::policy
