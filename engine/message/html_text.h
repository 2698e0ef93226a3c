// HtmlToText: the plain text of an HTML template, for readers that show no HTML. It works on the
// template's source, before Mustache compiles it: tags go through as they are, {{name}} and
// {{{name}}} become the same thing because text is not escaped.
//
// What becomes of it: blocks are lines, with an empty one between paragraphs; list items begin with
// "- "; a table's row is a line; links are "text (https://...)"; images are their alternative text;
// head, style, script, comments and what is hidden (display:none) go, but sections keep their tags
// wherever they begin and end. Lines are broken at 76 characters between words; a Mustache tag
// counts as its own length and is never broken.
//
// Pure; the input may be anything: time and space are linear in it, nesting is counted, not
// recursed.
#ifndef VOLLEY_ENGINE_MESSAGE_HTML_TEXT_H_
#define VOLLEY_ENGINE_MESSAGE_HTML_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace volley::engine::message {

std::string HtmlToText(std::string_view html);

// The text of a character reference at the front of `text` ("&eacute;", "&#233;", "&amp" without
// its semicolon as old pages have it) and how many bytes it takes; nullopt: there is none.
// References to controls and to no character become U+FFFD.
struct CharacterReference {
  std::string text;
  size_t bytes = 0;
};
std::optional<CharacterReference> DecodeReference(std::string_view text);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_HTML_TEXT_H_
