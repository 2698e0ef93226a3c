#include "engine/policy/toml_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/base/nearest_name.h"
#include "engine/message/utf8.h"
#include "engine/policy/values.h"

namespace volley::engine::policy {
namespace {

constexpr size_t kTextBytesMax = 1'000;

std::string Shown(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return message::Quoted(*text);
  if (const auto number = node.value_exact<int64_t>()) return fmt::format("{}", *number);
  if (const auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  if (node.is_table()) return "{...}";
  if (node.is_array()) return "[...]";
  return "that";
}

}  // namespace

std::string TableReader::Place(const toml::node& node) const {
  return fmt::format("{}:{}", *file_, node.source().begin.line);
}

void TableReader::Fault(const toml::node& node, std::string_view what) const {
  faults_->Add(Place(node),
               where_.empty() ? std::string(what) : fmt::format("{}: {}", where_, what));
}

void TableReader::BadValue(std::string_view key, const toml::node& node,
                           std::string_view what) const {
  Fault(node, fmt::format("{} = {}: {}", key, Shown(node), what));
}

size_t TableReader::Read(const toml::table& table, std::string_view where,
                         std::span<const Key> keys) {
  where_ = std::string(where);
  size_t unknown = 0;
  for (const auto& [name, node] : table) {
    const auto key =
        std::find_if(keys.begin(), keys.end(), [&](const Key& k) { return k.name == name.str(); });
    if (key != keys.end()) {
      key->read(node);
      continue;
    }
    ++unknown;
    std::vector<std::string> known;
    for (const Key& k : keys) known.push_back(k.name);
    Fault(node, fmt::format("unknown key {}{}; known keys: {}", message::Quoted(name.str()),
                            DidYouMean(name.str(), known), fmt::join(known, ", ")));
  }
  return unknown;
}

std::optional<std::string> TableReader::Text(std::string_view key, const toml::node& node,
                                             size_t bytes_max) const {
  auto text = node.value_exact<std::string>();
  if (!text || text->empty()) {
    BadValue(key, node, "must be text in quotes");
    return std::nullopt;
  }
  if (text->size() > bytes_max) {
    BadValue(key, node, fmt::format("longer than {} bytes", bytes_max));
    return std::nullopt;
  }
  return text;
}

std::optional<uint32_t> TableReader::Count(std::string_view key, const toml::node& node,
                                           std::string_view or_else) const {
  const auto count = node.value_exact<int64_t>();
  if (count && *count >= 1 && *count <= ProviderPack::kConnectionsMax) {
    return static_cast<uint32_t>(*count);
  }
  BadValue(key, node,
           fmt::format("{}write a whole number from 1 to {}{}",
                       count && *count < 1 ? "nothing could be sent; " : "",
                       ProviderPack::kConnectionsMax, or_else));
  return std::nullopt;
}

std::optional<Names> TableReader::Texts(std::string_view key, const toml::node& node) const {
  Names names;
  const toml::array* array = node.as_array();
  if (array == nullptr) {
    auto text = Text(key, node, kTextBytesMax);
    if (!text) return std::nullopt;
    names.push_back(*std::move(text));
    return names;
  }
  if (array->size() > ProviderPack::kNamesMax) {
    BadValue(key, node, fmt::format("more than {}", ProviderPack::kNamesMax));
    return std::nullopt;
  }
  for (const toml::node& element : *array) {
    auto text = Text(key, element, kTextBytesMax);
    if (!text) return std::nullopt;
    names.push_back(*std::move(text));
  }
  return names;
}

std::optional<absl::Duration> TableReader::Time(std::string_view key,
                                                const toml::node& node) const {
  const auto text = node.value_exact<std::string>();
  const auto duration = text ? ParseDuration(*text) : std::nullopt;
  if (duration && *duration > absl::ZeroDuration()) return duration;
  BadValue(key, node, kDurationAllowed);
  return std::nullopt;
}

}  // namespace volley::engine::policy
