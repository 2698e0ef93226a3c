#include "engine/base/nearest_name.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/strings/ascii.h"

namespace volley::engine {
namespace {

constexpr size_t kMaxCompared = 64;

size_t EditDistance(std::string_view a, std::string_view b) {
  std::array<size_t, kMaxCompared + 1> row;
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = absl::ascii_tolower(static_cast<unsigned char>(a[i - 1])) ==
                        absl::ascii_tolower(static_cast<unsigned char>(b[j - 1]));
      const size_t replaced = diagonal + (same ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string NearestName(std::string_view name, std::span<const std::string> known) {
  name = name.substr(0, kMaxCompared);
  size_t best = SIZE_MAX;
  std::string nearest;
  for (const std::string& candidate : known) {
    const std::string_view cut = std::string_view(candidate).substr(0, kMaxCompared);
    const size_t distance = EditDistance(name, cut);
    const size_t allowed = (std::max(name.size(), cut.size()) + 2) / 3;
    if (distance <= allowed && distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string DidYouMean(std::string_view name, std::span<const std::string> known) {
  const std::string nearest = NearestName(name, known);
  return nearest.empty() ? "" : " (did you mean \"" + nearest + "\"?)";
}

}  // namespace volley::engine
