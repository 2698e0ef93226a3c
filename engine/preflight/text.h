// Small text functions that the rules share: ASCII case, tag lists, and what strangers wrote made
// fit to be shown. Pure.
#ifndef VOLLEY_ENGINE_PREFLIGHT_TEXT_H_
#define VOLLEY_ENGINE_PREFLIGHT_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace volley::engine::preflight {

std::string ToLower(std::string_view text);
bool EqualsNoCase(std::string_view a, std::string_view b);
bool StartsWithNoCase(std::string_view text, std::string_view prefix);
bool ContainsNoCase(std::string_view text, std::string_view part);
std::string_view Trim(std::string_view text);  // space, tab, CR and LF
std::vector<std::string_view> Split(std::string_view text, char separator);
std::string Join(const std::vector<std::string>& parts, std::string_view separator);

// "a=1; b=2": the tag list of DKIM and DMARC (RFC 6376 §3.2). Names and values without white space
// around them. InvalidArgument: a part without "=", an empty name, a name that comes twice.
struct Tag {
  std::string_view name, value;
};
absl::StatusOr<std::vector<Tag>> ParseTagList(std::string_view text);

// What follows the last "@", in lower case; empty when there is none.
std::string DomainOf(std::string_view address);
// One DNS name below or equal to another, without regard to case.
bool IsWithin(std::string_view name, std::string_view parent);

// Foreign text in quotes on one line: control and non-ASCII bytes as "?", cut.
inline constexpr size_t kShownBytesMax = 300;
std::string Shown(std::string_view text);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_TEXT_H_
