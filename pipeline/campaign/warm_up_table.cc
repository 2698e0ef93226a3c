#include "pipeline/campaign/warm_up_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "engine/message/utf8.h"

namespace volley::pipeline {
namespace {

std::optional<absl::CivilDay> ParseDay(const std::string& text) {
  absl::CivilDay day;
  if (text.size() != 10 || !absl::ParseCivilTime(text, &day)) return std::nullopt;
  return day;
}

absl::StatusOr<WarmUp> Make(const WarmUpDefinition& d, absl::TimeZone zone) {
  const auto start = ParseDay(d.start);
  if (!start) {
    return absl::InvalidArgumentError(
        fmt::format("start \"{}\" is no day: write it as 2026-12-01", d.start));
  }
  return WarmUp::Make(*start, zone, d.days);
}

absl::StatusOr<uint64_t> Messages(const Place& place, const toml::node& node) {
  const auto value = node.value_exact<int64_t>();
  if (value && *value >= 0) return static_cast<uint64_t>(*value);
  return place.At(node, "\"days\": messages of a day are a whole number");
}

absl::Status ReadDays(const Place& place, const toml::node& node, std::vector<WarmUp::Step>* days) {
  if (const toml::array* list = node.as_array()) {
    for (const toml::node& element : *list) {
      const auto messages = Messages(place, element);
      if (!messages.ok()) return messages.status();
      days->push_back({static_cast<uint32_t>(days->size() + 1), *messages});
    }
    return absl::OkStatus();
  }
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    return place.At(node, "\"days\" must be a list, [50, 100, 200], or { 1 = 50, 5 = 200 }");
  }
  std::map<uint32_t, uint64_t> by_day;  // a table's keys come in the order of their letters
  for (const auto& [key, value] : *table) {
    const std::string_view name = key.str();
    uint32_t day = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), day);
    if (error != std::errc() || end != name.data() + name.size() || day == 0) {
      return place.At(value, fmt::format("\"days\": \"{}\" is no day: 1, 2, ...", name));
    }
    const auto messages = Messages(place, value);
    if (!messages.ok()) return messages.status();
    by_day[day] = *messages;
  }
  for (const auto& [day, messages] : by_day) days->push_back({day, messages});
  return absl::OkStatus();
}

LimitKey KeyOf(const WarmUpDefinition& d) { return {.source = d.source, .provider = d.provider}; }

}  // namespace

absl::Status ReadWarmUps(const Place& place, const toml::node& node,
                         std::vector<WarmUpDefinition>* warm_ups) {
  const auto read = [&](const toml::node& element) -> absl::Status {
    if (!element.is_table()) return place.At(element, "\"warm_up\" must be a table: [[warm_up]]");
    WarmUpDefinition& d = warm_ups->emplace_back();
    const KeySpec keys[] = {
        {"source", String(place, "source", &d.source)},
        {"provider", String(place, "provider", &d.provider)},
        {"start", String(place, "start", &d.start)},
        {"days", [&](const toml::node& days) { return ReadDays(place, days, &d.days); }}};
    if (absl::Status s = ReadTable(place, *element.as_table(), "warm_up", keys); !s.ok()) return s;
    if (d.start.empty() || d.days.empty()) {
      return place.At(element,
                      "[[warm_up]] needs start (\"2026-12-01\") and days ([50, 100, 200, ...])");
    }
    const absl::Status made = Make(d, absl::UTCTimeZone()).status();
    return made.ok() ? made : place.At(element, "[[warm_up]] " + std::string(made.message()));
  };
  const toml::array* many = node.as_array();
  if (many == nullptr) return read(node);
  for (const toml::node& element : *many) {
    if (absl::Status s = read(element); !s.ok()) return s;
  }
  return absl::OkStatus();
}

toml::array FormatWarmUps(const std::vector<WarmUpDefinition>& warm_ups) {
  toml::array all;
  for (const WarmUpDefinition& d : warm_ups) {
    toml::table one{{"start", d.start}}, days;
    if (!d.source.empty()) one.insert_or_assign("source", d.source);
    if (!d.provider.empty()) one.insert_or_assign("provider", d.provider);
    for (const WarmUp::Step& step : d.days) {
      days.insert_or_assign(fmt::format("{}", step.day), static_cast<int64_t>(step.messages));
    }
    one.insert_or_assign("days", std::move(days));
    all.push_back(std::move(one));
  }
  return all;
}

absl::StatusOr<std::vector<KeyedWarmUp>> MakeWarmUps(const std::vector<WarmUpDefinition>& warm_ups,
                                                     absl::TimeZone zone) {
  std::vector<KeyedWarmUp> made;
  for (const WarmUpDefinition& d : warm_ups) {
    auto plan = Make(d, zone);
    if (!plan.ok()) return plan.status();
    if (WarmUpOf(made, KeyOf(d)) != nullptr) {
      return absl::InvalidArgumentError(fmt::format("two [[warm_up]] for {}", Describe(KeyOf(d))));
    }
    made.push_back({KeyOf(d), *std::move(plan)});
  }
  return made;
}

}  // namespace volley::pipeline
