#include "engine/bounce/rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>

#include "engine/base/nearest_name.h"

namespace volley::engine::bounce {
namespace {

constexpr int64_t kVersion = 1;
constexpr std::array<std::string_view, 8> kKeys = {"id",    "category", "text",     "providers",
                                                   "codes", "stages",   "enhanced", "example"};

class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  absl::Status At(const toml::node& node, std::string_view what) const {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}", file_, node.source().begin.line, what));
  }
  std::string Place(const toml::node& node) const {
    return fmt::format("{}:{}", file_, node.source().begin.line);
  }

  absl::Status Text(const toml::table& table, std::string_view key, std::string* to) const {
    const toml::node* node = table.get(key);
    const auto value = node == nullptr ? std::nullopt : node->value_exact<std::string>();
    if (node == nullptr) return At(table, fmt::format("a rule needs \"{}\"", key));
    if (!value || value->empty()) return At(*node, fmt::format("\"{}\" must be text", key));
    *to = *value;
    return absl::OkStatus();
  }

  absl::Status Texts(const toml::table& table, std::string_view key,
                     std::vector<std::string>* to) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return absl::OkStatus();
    const toml::array* array = node->as_array();
    if (array == nullptr) return At(*node, fmt::format("\"{}\" must be a list of texts", key));
    for (const toml::node& element : *array) {
      const auto value = element.value_exact<std::string>();
      if (!value) return At(element, fmt::format("\"{}\" must be a list of texts", key));
      to->push_back(*value);
    }
    if (to->empty()) return At(*node, fmt::format("\"{}\" is empty: nothing would match", key));
    return absl::OkStatus();
  }

  absl::Status CheckKeys(const toml::table& table, std::span<const std::string_view> known,
                         std::string_view where) const {
    std::vector<std::string> names(known.begin(), known.end());
    for (const auto& [key, value] : table) {
      if (std::find(names.begin(), names.end(), key.str()) != names.end()) continue;
      return At(value,
                fmt::format("unknown key \"{}\" in {}{}; known keys: {}", key.str(), where,
                            DidYouMean(std::string(key.str()), names), fmt::join(names, ", ")));
    }
    return absl::OkStatus();
  }

 private:
  const std::string& file_;
};

bool IsCodePattern(std::string_view code) {
  const auto is = [](char c, std::string_view digits) { return digits.find(c) != digits.npos; };
  return code.size() == 3 && is(code[0], "45x") && is(code[1], "0123456789x") &&
         is(code[2], "0123456789x");
}

bool IsEnhancedPattern(std::string_view code) {
  int parts = 1;
  size_t digits = 0;
  for (const char c : code) {
    if (c == '.') {
      if (digits == 0) return false;
      ++parts;
      digits = 0;
    } else if ((c >= '0' && c <= '9') || c == 'x') {
      if (++digits > 3) return false;
    } else {
      return false;
    }
  }
  return parts == 3 && digits > 0 && (code[0] == '4' || code[0] == '5' || code[0] == 'x') &&
         code[1] == '.';
}

absl::Status ReadCategory(const Reader& reader, const toml::table& table, Rule* rule) {
  std::string name;
  if (absl::Status s = reader.Text(table, "category", &name); !s.ok()) return s;
  const auto category = CategoryByName(name);
  if (category) {
    rule->category = *category;
    return absl::OkStatus();
  }
  std::vector<std::string> known;
  for (const CategoryInfo& info : AllCategories()) known.emplace_back(info.name);
  return reader.At(*table.get("category"), fmt::format("rule \"{}\": unknown category \"{}\"{}",
                                                       rule->id, name, DidYouMean(name, known)));
}

absl::Status ReadStages(const Reader& reader, const toml::table& table, Rule* rule) {
  std::vector<std::string> names;
  if (absl::Status s = reader.Texts(table, "stages", &names); !s.ok()) return s;
  for (const std::string& name : names) {
    const auto stage = StageByName(name);
    if (!stage) {
      return reader.At(*table.get("stages"),
                       fmt::format("rule \"{}\": unknown stage \"{}\"; there are connect, ehlo, "
                                   "starttls, auth, mail, rcpt, data, body and unknown",
                                   rule->id, name));
    }
    rule->stages.push_back(*stage);
  }
  return absl::OkStatus();
}

absl::Status ReadCodes(const Reader& reader, const toml::table& table, Rule* rule) {
  if (absl::Status s = reader.Texts(table, "codes", &rule->codes); !s.ok()) return s;
  if (absl::Status s = reader.Texts(table, "enhanced", &rule->enhanced); !s.ok()) return s;
  for (const std::string& code : rule->codes) {
    if (IsCodePattern(code)) continue;
    return reader.At(*table.get("codes"),
                     fmt::format("rule \"{}\": code \"{}\" is no refusal; write 550, 45x or 4xx",
                                 rule->id, code));
  }
  for (const std::string& code : rule->enhanced) {
    if (IsEnhancedPattern(code)) continue;
    return reader.At(
        *table.get("enhanced"),
        fmt::format("rule \"{}\": enhanced code \"{}\": write 5.7.1 or x.7.28", rule->id, code));
  }
  return absl::OkStatus();
}

absl::StatusOr<Rule> ReadRule(const Reader& reader, const toml::table& table) {
  Rule rule;
  rule.place = reader.Place(table);
  if (absl::Status s = reader.Text(table, "id", &rule.id); !s.ok()) return s;
  if (absl::Status s = reader.CheckKeys(table, kKeys, fmt::format("rule \"{}\"", rule.id));
      !s.ok()) {
    return s;
  }
  if (absl::Status s = ReadCategory(reader, table, &rule); !s.ok()) return s;
  if (absl::Status s = reader.Text(table, "text", &rule.text); !s.ok()) return s;
  if (absl::Status s = reader.Texts(table, "providers", &rule.providers); !s.ok()) return s;
  if (absl::Status s = ReadStages(reader, table, &rule); !s.ok()) return s;
  if (absl::Status s = ReadCodes(reader, table, &rule); !s.ok()) return s;
  if (absl::Status s = reader.Texts(table, "example", &rule.examples); !s.ok()) return s;
  return rule;
}

absl::StatusOr<ParsedRules> Read(const Reader& reader, const toml::table& file) {
  constexpr std::array<std::string_view, 2> kTop = {"version", "rule"};
  if (absl::Status s = reader.CheckKeys(file, kTop, "a rule file"); !s.ok()) return s;
  ParsedRules parsed;
  const toml::node* version = file.get("version");
  if (version == nullptr || version->value_exact<int64_t>() != kVersion) {
    return version == nullptr
               ? reader.At(file, "a rule file begins with version = 1")
               : reader.At(*version, fmt::format("this volley reads version {}", kVersion));
  }
  parsed.version = kVersion;
  const toml::node* rules = file.get("rule");
  const toml::array* array = rules == nullptr ? nullptr : rules->as_array();
  if (rules != nullptr && array == nullptr) return reader.At(*rules, "write [[rule]]");
  for (size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const toml::table* table = array->get(i)->as_table();
    if (table == nullptr) return reader.At(*array->get(i), "write [[rule]]");
    auto rule = ReadRule(reader, *table);
    if (!rule.ok()) return rule.status();
    parsed.rules.push_back(*std::move(rule));
  }
  return parsed;
}

}  // namespace

// toml++ reports parse errors by exception; it ends here.
absl::StatusOr<ParsedRules> ParseRules(const RuleFile& file) {
  try {
    return Read(Reader(file.name), toml::parse(file.text, file.name));
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(fmt::format("{}:{}: {}", file.name, error.source().begin.line,
                                                  std::string(error.description())));
  }
}

}  // namespace volley::engine::bounce
