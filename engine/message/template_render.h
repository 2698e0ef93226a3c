// RenderTemplate: walks a compiled template over one recipient's row and tells a sink what comes:
// which literal, which value. The sink owns the encoding.
//
// Threading: pure but for the scratch, which belongs to one thread. Nothing is allocated once the
// scratch is warm, except in error messages. Source: https://github.com/mustache/spec.
#ifndef VOLLEY_ENGINE_MESSAGE_TEMPLATE_RENDER_H_
#define VOLLEY_ENGINE_MESSAGE_TEMPLATE_RENDER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/message/field.h"
#include "engine/message/template.h"

namespace volley::engine::message {

inline constexpr size_t kMaxContextDepth = 64;  // sections and partials entered at one time
// Section rounds and partial calls in one rendering, plus one for each KiB of JSON walked: what a
// list row can make us do, however its lists and the template's sections are nested.
inline constexpr uint64_t kMaxRenderSteps = 1'000'000;
inline constexpr uint64_t kMaxRenderedBytes = 64 << 20;

struct TemplateRow {
  std::span<const FieldView> fields;       // as many as the template was compiled for
  FieldView dot{{}, FieldKind::kMissing};  // what {{.}} is outside sections
  bool strict = true;                      // an empty column without a default is an error
};

struct RenderScratch {
  std::string decoded;
  std::vector<uint8_t> json_checked;  // for each column
};

class TemplateSink {
 public:
  virtual ~TemplateSink() = default;
  virtual void Literal(uint32_t index) = 0;
  // Returns why the value cannot be taken, in words that follow "it "; empty: it was taken.
  // LIFETIME: bytes are good for this call only.
  virtual std::string_view Value(std::string_view bytes, bool escape) = 0;
  virtual uint64_t bytes() const = 0;  // so far; to stop a rendering that explodes
};

// InvalidArgument, naming position, name and value: the sink's reason, an empty required value,
// JSON that is none, a list used as a variable, a limit. The sink has then seen a part.
absl::Status RenderTemplate(const Template& compiled, const TemplateRow& row,
                            RenderScratch* scratch, TemplateSink* sink);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_TEMPLATE_RENDER_H_
