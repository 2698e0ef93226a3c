// What the tables of a campaign file have in common: setters for keys, and errors that name file,
// line and key. toml++ appears here and in definition.cc only.
#ifndef VOLLEY_PIPELINE_CAMPAIGN_TOML_READER_H_
#define VOLLEY_PIPELINE_CAMPAIGN_TOML_READER_H_

#include <toml++/toml.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "pipeline/throttle/limit_spec.h"

namespace volley::pipeline {

// Where an error is. LIFETIME: outlives the setters made with it.
struct Place {
  std::string file;
  absl::Status At(const toml::node& node, std::string_view what) const;
};

using Setter = std::function<absl::Status(const toml::node&)>;
struct KeySpec {
  std::string name;
  Setter set;
};

Setter String(const Place& place, const std::string& name, std::string* target);
// A path: relative ones are relative to the campaign file.
Setter Path(const Place& place, const std::string& name, std::string* target);
// An array of paths.
Setter Paths(const Place& place, const std::string& name, std::vector<std::string>* target);
Setter Count(const Place& place, const std::string& name, uint32_t min, uint32_t max,
             std::optional<uint32_t>* target);
// "500/min": see ParseRate. `check`: CheckRate or CheckQuota.
Setter Rate(const Place& place, const std::string& name, absl::Status (*check)(const RateSpec&),
            std::optional<RateSpec>* target);
Setter Flag(const Place& place, const std::string& name, std::optional<bool>* target);

// Every key by its setter; one that `keys` does not have is an error that names the nearest.
absl::Status ReadTable(const Place& place, const toml::table& table, std::string_view title,
                       std::span<const KeySpec> keys);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CAMPAIGN_TOML_READER_H_
