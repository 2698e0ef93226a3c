// Strict mode: every name a template uses outside JSON contexts must be a column of the list.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "engine/message/template.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// Levenshtein distance without regard to case.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substitute = diagonal + (Lower(a[i]) == Lower(b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substitute, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string Advice(std::string_view name, std::span<const std::string> columns) {
  constexpr size_t kLongestCompared = 100;
  constexpr size_t kShownColumns = 10;
  if (columns.empty()) return "the list has no columns";
  const std::string* nearest = nullptr;
  size_t best = std::max<size_t>(name.size() / 3, 2) + 1;
  for (const std::string& column : columns) {
    if (name.size() > kLongestCompared || column.size() > kLongestCompared) continue;
    const size_t distance = Distance(name, column);
    if (distance < best && distance < name.size()) {
      best = distance;
      nearest = &column;
    }
  }
  if (nearest != nullptr) return fmt::format("did you mean {{{{{}}}}}?", *nearest);
  std::string all = "the columns are ";
  for (size_t i = 0; i < columns.size() && i < kShownColumns; ++i) {
    all += (i == 0 ? "" : ", ") + columns[i];
  }
  return columns.size() > kShownColumns ? all + ", ..." : all;
}

class Checker {
 public:
  Checker(std::span<const std::string> columns, Template* compiled)
      : columns_(columns), compiled_(compiled) {}

  // In a section a name may come from the JSON object that is the context there, so it is known
  // only when rendering. `conditional`: inside any section, so a value may never be asked for.
  absl::Status Range(uint32_t body, size_t begin, size_t end, bool in_section, bool conditional) {
    for (size_t i = begin; i < end;) {
      const TemplateOp& op = compiled_->bodies[body][i];
      if (absl::Status s = CheckOp(op, in_section, conditional); !s.ok()) return s;
      if (op.kind == OpKind::kSection || op.kind == OpKind::kInvertedSection) {
        const bool context = in_section || op.kind == OpKind::kSection;
        if (absl::Status s = Range(body, i + 1, op.end, context, true); !s.ok()) return s;
        i = op.end;
      } else {
        ++i;
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckOp(const TemplateOp& op, bool in_section, bool conditional) {
    switch (op.kind) {
      case OpKind::kLiteral:
      case OpKind::kTooDeep:
        return absl::OkStatus();
      case OpKind::kPartial:
        if (!seen_.insert({op.arg, in_section, conditional}).second) return absl::OkStatus();
        return Range(op.arg, 0, compiled_->bodies[op.arg].size(), in_section, conditional);
      default:
        return CheckName(op, in_section, conditional);
    }
  }

  absl::Status CheckName(const TemplateOp& op, bool in_section, bool conditional) {
    const TemplateName& name = compiled_->names[op.arg];
    if (name.column < 0 && !in_section) return Unknown(op, name);
    const bool required = op.kind == OpKind::kValue && op.fallback < 0 && !conditional;
    if (required) Require(static_cast<size_t>(name.column), op.at);
    return absl::OkStatus();
  }

  absl::Status Unknown(const TemplateOp& op, const TemplateName& name) const {
    const std::string where = compiled_->Where(op.at);
    if (name.parts.empty()) {
      return absl::InvalidArgumentError(fmt::format("{}: {{{{.}}}} outside a section", where));
    }
    return absl::InvalidArgumentError(fmt::format("{}: there is no column {}; {}", where,
                                                  Quoted(name.parts[0]),
                                                  Advice(name.parts[0], columns_)));
  }

  void Require(size_t column, const TemplatePosition& at) {
    for (const Template::Required& known : compiled_->required) {
      if (known.column == column) return;
    }
    compiled_->required.push_back({column, at});
  }

  std::span<const std::string> columns_;
  Template* compiled_;
  std::set<std::tuple<uint32_t, bool, bool>> seen_;
};

}  // namespace

absl::Status CheckNames(std::span<const std::string> columns, Template* compiled) {
  return Checker(columns, compiled).Range(0, 0, compiled->bodies[0].size(), false, false);
}

}  // namespace volley::engine::message
