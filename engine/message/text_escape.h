// HTML escaping of values, which the writers of body parts do while they encode.
#ifndef VOLLEY_ENGINE_MESSAGE_TEXT_ESCAPE_H_
#define VOLLEY_ENGINE_MESSAGE_TEXT_ESCAPE_H_

#include <cstdint>
#include <string_view>

namespace volley::engine::message {

enum class TextEscape : uint8_t { kNone, kHtml };  // kHtml: & < > " ' become entities first

inline constexpr std::string_view kHtmlSpecials = "&<>\"'";

// The entity of one of kHtmlSpecials.
constexpr std::string_view HtmlEntity(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    default:
      return "&#39;";
  }
}

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_TEXT_ESCAPE_H_
