// HTML to text: any bytes, in bounded time and space; and a template that compiles as HTML still
// does as text when no section begins or ends in an attribute that text does without.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/message/html_text.h"
#include "engine/message/template.h"
#include "engine/message/utf8.h"

namespace {

using namespace volley::engine::message;

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 65536) return 0;
  const std::string_view html(reinterpret_cast<const char*>(data), size);
  const std::string text = HtmlToText(html);
  Require(text.size() <= size * 16 + 64);
  if (IsUtf8(html)) Require(IsUtf8(text));
  const bool tags = html.find("{{") != html.npos;
  if (!tags)
    Require(Template::Compile("t", text, {.strict = false}).ok() || !IsUtf8(html) ||
            html.find('\0') != html.npos);
  return 0;
}
