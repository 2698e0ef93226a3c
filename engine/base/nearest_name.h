// NearestName: the known name a person most likely meant, for error messages ("did you mean ...?").
#ifndef VOLLEY_ENGINE_BASE_NEAREST_NAME_H_
#define VOLLEY_ENGINE_BASE_NEAREST_NAME_H_

#include <span>
#include <string>
#include <string_view>

namespace volley::engine {

// The name with the smallest edit distance (Levenshtein, ASCII case folded; first one wins), or ""
// when none is close enough to be a typing error: over a third of the longer name's length, rounded
// up. Long inputs are cut at 64 bytes, so hostile ones cost little.
std::string NearestName(std::string_view name, std::span<const std::string> known);

// " (did you mean \"x\"?)" or "".
std::string DidYouMean(std::string_view name, std::span<const std::string> known);

}  // namespace volley::engine

#endif  // VOLLEY_ENGINE_BASE_NEAREST_NAME_H_
