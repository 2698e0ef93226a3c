// Template: a Mustache template compiled to a flat list of operations. Full Mustache core
// (comments, delimiters, interpolation, sections, inverted sections, partials, dotted names,
// standalone lines), and one extension: {{name|text}} renders `text` when the value is empty or
// missing.
//
// Static text stays apart from the operations, so that whoever renders can encode it once, ahead of
// time (composer.h); template_render.h walks the operations over a row.
// Threading: immutable after Compile. Source: mustache(5), https://github.com/mustache/spec.
#ifndef VOLLEY_ENGINE_MESSAGE_TEMPLATE_H_
#define VOLLEY_ENGINE_MESSAGE_TEMPLATE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace volley::engine::message {

inline constexpr size_t kMaxTemplateBytes = 8 << 20;
inline constexpr size_t kMaxSectionDepth = 32;
// A partial that includes itself is one instance as long as its indentation stays the same; when it
// grows with every level, this many levels exist and deeper ones are an error when rendered.
inline constexpr size_t kMaxPartialInstances = 100;

// The text of a partial by its name; nullopt: there is none.
using PartialLoader = std::function<std::optional<std::string>(std::string_view name)>;

struct TemplateOptions {
  std::span<const std::string> columns = {};  // used by Compile only
  PartialLoader partials = nullptr;
  // Names that are no column, and partials that do not exist, are errors. Off, they render as
  // nothing, which is what the Mustache specification says and what a campaign must not do.
  bool strict = true;
};

struct TemplatePosition {
  uint32_t source = 0;  // index into Template::sources
  uint32_t line = 1;
  uint32_t column = 1;  // in characters
};

struct TemplateName {
  std::string text;                // as written
  std::vector<std::string> parts;  // split at dots; empty for "."
  int32_t column = -1;             // that parts[0] names; -1: none
};

enum class OpKind : uint8_t { kLiteral, kValue, kSection, kInvertedSection, kPartial, kTooDeep };

struct TemplateOp {
  OpKind kind = OpKind::kLiteral;
  bool escape = false;    // kValue: {{name}}, not {{{name}}} or {{&name}}
  uint32_t arg = 0;       // kLiteral: literals; kPartial: bodies; else names
  uint32_t end = 0;       // sections: the operation after the section's last
  int32_t fallback = -1;  // kValue: index into fallbacks
  TemplatePosition at;
};

struct Template {
  // Errors: "welcome.html:3:15: ..." for an unclosed tag or section, a close that does not match,
  // an unknown name (with the nearest column), an unknown partial, text that is not UTF-8.
  static absl::StatusOr<Template> Compile(std::string_view source_name, std::string_view text,
                                          const TemplateOptions& options);

  // "welcome.html:3:15"
  std::string Where(const TemplatePosition& at) const;
  bool is_static() const;  // no operation but literals

  struct Required {
    size_t column;
    TemplatePosition at;
  };

  std::vector<std::vector<TemplateOp>> bodies;  // [0] the template, then its partials
  std::vector<std::string> literals;
  std::vector<TemplateName> names;
  std::vector<std::string> fallbacks;
  std::vector<std::string> sources;
  std::vector<Required> required;  // columns used outside every section without a default
};

// Strict mode's second look, over all operations: unknown names, and fills `required`.
absl::Status CheckNames(std::span<const std::string> columns, Template* compiled);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_TEMPLATE_H_
