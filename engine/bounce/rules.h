// Rules of a rule file, parsed and checked but for their texts, which the classifier compiles.
//
// Threading: values. Errors: InvalidArgument with file, line, rule and value.
#ifndef VOLLEY_ENGINE_BOUNCE_RULES_H_
#define VOLLEY_ENGINE_BOUNCE_RULES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/bounce/category.h"
#include "engine/bounce/classify.h"

namespace volley::engine::bounce {

struct Rule {
  std::string place;  // "rules.toml:17"
  std::string id;
  Category category = Category::kUnknown;
  std::string text;  // RE2
  std::vector<std::string> providers, codes, enhanced;
  std::vector<Stage> stages;
  std::vector<std::string> examples;
};

struct ParsedRules {
  int64_t version = 0;
  std::vector<Rule> rules;
};

absl::StatusOr<ParsedRules> ParseRules(const RuleFile& file);

}  // namespace volley::engine::bounce

#endif  // VOLLEY_ENGINE_BOUNCE_RULES_H_
