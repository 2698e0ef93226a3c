#include "pipeline/route/presets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "engine/base/nearest_name.h"
#include "io/base/check.h"
#include "pipeline/route/presets_toml.h"

namespace volley::pipeline {
namespace {

constexpr size_t kMaxArgumentBytes = 40;  // the longest AWS region has 14

// The file is ours and tested: a fault in it is a fault of the program.
std::vector<Preset> ReadPresets() {
  std::vector<Preset> presets;
  const toml::table file = toml::parse(kPresetsToml);
  for (const auto& [name, node] : file) {
    const toml::table* table = node.as_table();
    if (table == nullptr) continue;  // version
    Preset preset;
    preset.name = std::string(name.str());
    for (const auto& [key, value] : *table) {
      static const std::pair<std::string_view, std::string Preset::*> kKeys[] = {
          {"url", &Preset::url},         {"argument", &Preset::argument},
          {"example", &Preset::example}, {"user", &Preset::user},
          {"note", &Preset::note},       {"token_url", &Preset::token_url},
          {"scope", &Preset::scope},     {"source", &Preset::source}};
      const std::string_view wanted = key.str();
      const auto* known = std::find_if(std::begin(kKeys), std::end(kKeys),
                                       [wanted](const auto& k) { return k.first == wanted; });
      const auto text = value.value_exact<std::string>();
      VOLLEY_CHECK(known != std::end(kKeys) && text);
      preset.*(known->second) = *text;
    }
    presets.push_back(std::move(preset));
  }
  std::sort(presets.begin(), presets.end(),
            [](const Preset& a, const Preset& b) { return a.name < b.name; });
  return presets;
}

bool IsArgument(std::string_view text) {
  if (text.empty() || text.size() > kMaxArgumentBytes) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-';
  });
}

}  // namespace

std::span<const Preset> Presets() {
  static const std::vector<Preset> presets = ReadPresets();
  return presets;
}

absl::StatusOr<Preset> FindPreset(std::string_view text) {
  const size_t colon = text.find(':');
  std::string name(text.substr(0, colon));
  absl::AsciiStrToLower(&name);
  std::vector<std::string> names;
  for (const Preset& preset : Presets()) {
    names.push_back(preset.name);
    if (preset.name != name) continue;
    Preset found = preset;
    if (preset.argument.empty()) {
      if (colon == std::string_view::npos) return found;
      return absl::InvalidArgumentError(fmt::format(
          "relay \"{}\": {} takes nothing behind \":\"; write just {}", text, name, name));
    }
    const std::string_view argument = colon == std::string_view::npos ? "" : text.substr(colon + 1);
    if (!IsArgument(argument)) {
      return absl::InvalidArgumentError(fmt::format("relay \"{}\": {} wants the {}: write {}:{}",
                                                    text, name, preset.argument, name,
                                                    preset.example));
    }
    found.url.replace(found.url.find("{}"), 2, argument);
    return found;
  }
  return absl::InvalidArgumentError(
      fmt::format("relay \"{}\": no URL such as smtp://{}, and no known name{}; known names: {}",
                  text, text, engine::DidYouMean(name, names), fmt::join(names, ", ")));
}

}  // namespace volley::pipeline
