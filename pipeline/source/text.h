// Small helpers for the lists' text.
#ifndef VOLLEY_PIPELINE_SOURCE_TEXT_H_
#define VOLLEY_PIPELINE_SOURCE_TEXT_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace volley::pipeline {

// At most `max_bytes` of `text`, not ending inside a UTF-8 sequence.
std::string_view CutAtCodePoint(std::string_view text, size_t max_bytes);

// Without the spaces and tabs around it.
std::string_view TrimBlanks(std::string_view text);

// ASCII letters in lower case; `out` is overwritten.
void AsciiLower(std::string_view text, std::string* out);

// `"email", "name", "city"`, for errors; a long list is cut.
std::string QuotedList(std::span<const std::string> names);

// Index of the first name that is there before it too; names.size() if there is none. Empty names
// do not count.
size_t FindRepeated(std::span<const std::string> names);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_TEXT_H_
