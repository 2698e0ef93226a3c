// Mustache templates and JSON rows. The input is the template, a zero byte, then the row's JSON;
// the template is its own partial as well.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/message/json_view.h"
#include "engine/message/template.h"
#include "engine/message/template_render.h"

namespace {

using namespace volley::engine::message;

const std::vector<std::string> kColumns = {"a", "b", "list"};

class CountingSink final : public TemplateSink {
 public:
  explicit CountingSink(const Template& compiled) : template_(compiled) {}
  void Literal(uint32_t index) override { bytes_ += template_.literals.at(index).size(); }
  std::string_view Value(std::string_view bytes, bool /*escape*/) override {
    // Reads every byte, so that the address sanitizer sees a view that points wrong.
    for (const char c : bytes) sum_ += static_cast<unsigned char>(c);
    bytes_ += bytes.size();
    return {};
  }
  uint64_t bytes() const override { return bytes_ + (sum_ == ~uint64_t{0} ? 1 : 0); }

 private:
  const Template& template_;
  uint64_t bytes_ = 0;
  uint64_t sum_ = 0;
};

void Render(std::string_view text, std::string_view json, bool strict) {
  const TemplateOptions options{
      .columns = kColumns,
      .partials = [text](std::string_view) { return std::optional<std::string>(text); },
      .strict = strict};
  const auto compiled = Template::Compile("t", text, options);
  if (!compiled.ok()) return;
  const FieldView fields[] = {{"text"}, {json, FieldKind::kText}, {json, FieldKind::kJson}};
  RenderScratch scratch;
  CountingSink sink(*compiled);
  const TemplateRow row{.fields = fields, .dot = {json, FieldKind::kJson}, .strict = strict};
  const absl::Status status = RenderTemplate(*compiled, row, &scratch, &sink);
  if (sink.bytes() > 2 * kMaxRenderedBytes) std::abort();
  static_cast<void>(status);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;  // longer inputs only find more of the same, slowly
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = std::min(input.find('\0'), input.size());
  const std::string text(input.substr(0, split));
  const std::string json(split < input.size() ? input.substr(split + 1) : "");
  Render(text, json, true);
  Render(text, json, false);
  return 0;
}
