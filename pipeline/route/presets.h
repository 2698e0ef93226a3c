// Presets: relays by name, from presets.toml (compiled in).
//
// Threading: the list is read once, by the first caller, and never changes.
#ifndef VOLLEY_PIPELINE_ROUTE_PRESETS_H_
#define VOLLEY_PIPELINE_ROUTE_PRESETS_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace volley::pipeline {

struct Preset {
  std::string name;
  std::string url;  // "{}" for the argument
  std::string argument, example;
  std::string user;
  std::string note;
  std::string token_url, scope;
  std::string source;
};

// Sorted by name.
std::span<const Preset> Presets();

// "gmail", "ses:eu-west-1", in any case: the preset, its URL with the argument filled in.
// InvalidArgument: no such name (with the nearest one), argument missing, malformed or not wanted.
absl::StatusOr<Preset> FindPreset(std::string_view text);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_PRESETS_H_
