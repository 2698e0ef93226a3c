#include "pipeline/campaign/toml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <vector>

#include "engine/base/nearest_name.h"

namespace volley::pipeline {

namespace fs = std::filesystem;

absl::Status Place::At(const toml::node& node, std::string_view what) const {
  return absl::InvalidArgumentError(fmt::format("{}:{}: {}", file, node.source().begin.line, what));
}

Setter String(const Place& place, const std::string& name, std::string* target) {
  return [&place, name, target](const toml::node& node) -> absl::Status {
    const auto value = node.value_exact<std::string>();
    if (!value) return place.At(node, fmt::format("\"{}\" must be a string in quotes", name));
    *target = *value;
    return absl::OkStatus();
  };
}

// A path: relative ones are relative to the campaign file.
Setter Path(const Place& place, const std::string& name, std::string* target) {
  return [&place, name, target](const toml::node& node) -> absl::Status {
    if (absl::Status s = String(place, name, target)(node); !s.ok()) return s;
    if (target->empty()) return place.At(node, fmt::format("\"{}\" is an empty path", name));
    if (*target != "-" && fs::path(*target).is_relative()) {
      *target = (fs::path(place.file).parent_path() / *target).string();
    }
    return absl::OkStatus();
  };
}

Setter Paths(const Place& place, const std::string& name, std::vector<std::string>* target) {
  return [&place, name, target](const toml::node& node) -> absl::Status {
    const toml::array* paths = node.as_array();
    if (paths == nullptr) {
      return place.At(node, fmt::format("\"{0}\" must be a list: {0} = [\"a.pdf\"]", name));
    }
    for (const toml::node& element : *paths) {
      std::string path;
      if (absl::Status s = Path(place, name, &path)(element); !s.ok()) return s;
      target->push_back(std::move(path));
    }
    return absl::OkStatus();
  };
}

Setter Count(const Place& place, const std::string& name, uint32_t min, uint32_t max,
             std::optional<uint32_t>* target) {
  return [&place, name, min, max, target](const toml::node& node) -> absl::Status {
    const auto value = node.value_exact<int64_t>();
    if (!value || *value < min || *value > max) {
      return place.At(node,
                      fmt::format("\"{}\" must be a whole number from {} to {}", name, min, max));
    }
    *target = static_cast<uint32_t>(*value);
    return absl::OkStatus();
  };
}

Setter Rate(const Place& place, const std::string& name, absl::Status (*check)(const RateSpec&),
            std::optional<RateSpec>* target) {
  return [&place, name, check, target](const toml::node& node) -> absl::Status {
    const auto text = node.value_exact<std::string>();
    if (!text) return place.At(node, fmt::format("\"{}\" must be text such as \"500/min\"", name));
    const auto rate = ParseRate(*text);
    const absl::Status status = rate.ok() ? check(*rate) : rate.status();
    if (!status.ok()) {
      return place.At(node, fmt::format("\"{}\": {}", name, std::string(status.message())));
    }
    *target = *rate;
    return absl::OkStatus();
  };
}

Setter Flag(const Place& place, const std::string& name, std::optional<bool>* target) {
  return [&place, name, target](const toml::node& node) -> absl::Status {
    const auto value = node.value_exact<bool>();
    if (!value) return place.At(node, fmt::format("\"{}\" must be true or false", name));
    *target = *value;
    return absl::OkStatus();
  };
}

absl::Status ReadTable(const Place& place, const toml::table& table, std::string_view title,
                       std::span<const KeySpec> keys) {
  for (const auto& [key, node] : table) {
    const KeySpec* spec = nullptr;
    for (const KeySpec& candidate : keys) {
      if (candidate.name == key.str()) spec = &candidate;
    }
    if (spec == nullptr) {
      std::vector<std::string> known;
      for (const KeySpec& candidate : keys) known.push_back(candidate.name);
      return place.At(node,
                      fmt::format("unknown key \"{}\" in [{}]{}; known keys: {}", key.str(), title,
                                  engine::DidYouMean(key.str(), known), fmt::join(known, ", ")));
    }
    if (absl::Status s = spec->set(node); !s.ok()) return s;
  }
  return absl::OkStatus();
}

}  // namespace volley::pipeline
