#include "pipeline/campaign/definition.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/base/nearest_name.h"
#include "pipeline/campaign/relay_table.h"
#include "pipeline/campaign/toml_reader.h"

namespace volley::pipeline {
namespace {

namespace fs = std::filesystem;
constexpr uintmax_t kMaxCampaignFileBytes = 1 << 20;  // a hand-written file is a few KB
constexpr uintmax_t kMaxTemplateBytes = 16 << 20;     // larger mails are refused everywhere

Setter Kind(const Place& place, std::string* target) {
  return [&place, target](const toml::node& node) -> absl::Status {
    if (absl::Status s = String(place, "kind", target)(node); !s.ok()) return s;
    const auto kind = ParseCampaignKind(*target);
    return kind.ok() ? absl::OkStatus() : place.At(node, std::string(kind.status().message()));
  };
}

Setter Headers(const Place& place, std::vector<std::pair<std::string, std::string>>* target) {
  return [&place, target](const toml::node& node) -> absl::Status {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      return place.At(node, "\"headers\" must be a table: headers = { X-Team = \"news\" }");
    }
    for (const auto& [key, value] : *table) {
      const auto text = value.value_exact<std::string>();
      if (!text) {
        return place.At(value, fmt::format("header \"{}\" must be a string in quotes", key.str()));
      }
      target->emplace_back(std::string(key.str()), *text);
    }
    return absl::OkStatus();
  };
}

struct TableSpec {
  std::string title;
  std::vector<KeySpec> keys;
};

std::vector<TableSpec> Tables(const Place& place, CampaignDefinition* d) {
  std::vector<TableSpec> tables;
  tables.push_back({"campaign",
                    {{"name", String(place, "name", &d->name)},
                     {"from", String(place, "from", &d->from)},
                     {"reply_to", String(place, "reply_to", &d->reply_to)},
                     {"to_name", String(place, "to_name", &d->to_name)},
                     {"subject", String(place, "subject", &d->subject)},
                     {"text", Path(place, "text", &d->text_path)},
                     {"html", Path(place, "html", &d->html_path)},
                     {"recipients", Path(place, "recipients", &d->recipients_path)},
                     {"address_column", String(place, "address_column", &d->address_column)},
                     {"kind", Kind(place, &d->kind)},
                     {"headers", Headers(place, &d->headers)}}});
  tables.push_back(
      {"limits",
       {{"connections", Count(place, "connections", 1, kMaxConnections, &d->connections)},
        {"messages_per_connection",
         Count(place, "messages_per_connection", 0, UINT32_MAX, &d->messages_per_connection)}}});
  return tables;
}

TableSpec FrozenTable(const Place& place, FrozenFacts* facts) {
  const Setter seed = [&place, facts](const toml::node& node) -> absl::Status {
    const auto value = node.value_exact<int64_t>();
    if (!value) return place.At(node, "\"boundary_seed\" must be a whole number");
    facts->boundary_seed = static_cast<uint64_t>(*value);
    return absl::OkStatus();
  };
  const Setter version = [&place](const toml::node& node) -> absl::Status {
    if (node.value_exact<int64_t>() == 1) return absl::OkStatus();
    return place.At(node, "this campaign was made by a newer volley: use that version");
  };
  return {"frozen",
          {{"version", version},
           {"key", String(place, "key", &facts->key)},
           {"date", String(place, "date", &facts->date_rfc3339)},
           {"boundary_seed", seed}}};
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, std::string_view what,
                                          uintmax_t bytes_max) {
  std::error_code ec;
  if (fs::is_directory(path, ec)) {
    return absl::InvalidArgumentError(fmt::format("{} {}: is a folder, not a file", what, path));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    const int error = errno;
    return absl::NotFoundError(fmt::format("{} {}: cannot be read: {}", what, path,
                                           std::strerror(error == 0 ? ENOENT : error)));
  }
  std::string bytes(bytes_max + 1, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  if (bytes.size() > bytes_max) {
    return absl::InvalidArgumentError(
        fmt::format("{} {}: is over {} MiB", what, path, bytes_max >> 20));
  }
  return bytes;
}

// toml++ reports parse errors by exception; it ends here.
absl::StatusOr<toml::table> ParseToml(const std::string& path) {
  auto bytes = ReadSmallFile(path, "campaign file", kMaxCampaignFileBytes);
  if (!bytes.ok()) return bytes.status();
  try {
    return toml::parse(std::string_view(*bytes), path);
  } catch (const toml::parse_error& e) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: not TOML: {}", path, e.source().begin.line, e.description()));
  }
}

absl::StatusOr<CampaignDefinition> Load(const std::string& path, FrozenFacts* facts) {
  auto root = ParseToml(path);
  if (!root.ok()) return root.status();
  CampaignDefinition definition;
  const Place place{path};
  std::vector<TableSpec> tables = Tables(place, &definition);
  if (facts != nullptr) tables.push_back(FrozenTable(place, facts));
  std::vector<std::string> titles = {"relay"};
  for (const TableSpec& t : tables) titles.push_back(t.title);
  for (const auto& [key, node] : *root) {
    if (key.str() == "relay") {
      if (absl::Status s = ReadRelays(place, node, &definition.relays); !s.ok()) return s;
      continue;
    }
    const TableSpec* spec = nullptr;
    for (const TableSpec& t : tables) {
      if (t.title == key.str()) spec = &t;
    }
    if (spec == nullptr || !node.is_table()) {
      return place.At(
          node, fmt::format("unknown table or key \"{}\"{}; known tables: [{}]", key.str(),
                            engine::DidYouMean(key.str(), titles), fmt::join(titles, "], [")));
    }
    if (absl::Status s = ReadTable(place, *node.as_table(), spec->title, spec->keys); !s.ok()) {
      return s;
    }
  }
  if (definition.name.empty()) definition.name = fs::path(path).stem().string();
  return definition;
}

void Put(toml::table* table, std::string_view key, const std::string& value) {
  if (!value.empty()) table->insert_or_assign(key, value);
}

}  // namespace

std::string_view CampaignKindName(CampaignKind kind) {
  return kind == CampaignKind::kBulk ? "bulk" : "transactional";
}

absl::StatusOr<CampaignKind> ParseCampaignKind(std::string_view text) {
  if (text.empty() || text == "bulk") return CampaignKind::kBulk;
  if (text == "transactional") return CampaignKind::kTransactional;
  return absl::InvalidArgumentError(
      fmt::format("kind \"{}\" is neither \"bulk\" nor \"transactional\"", text));
}

absl::StatusOr<CampaignDefinition> LoadCampaignFile(const std::string& path) {
  return Load(path, nullptr);
}

absl::StatusOr<CampaignDefinition> LoadFrozenCampaignFile(const std::string& path,
                                                          FrozenFacts* facts) {
  return Load(path, facts);
}

std::string FormatCampaignFile(const CampaignDefinition& d, const FrozenFacts& facts) {
  toml::table campaign, limits, headers;
  Put(&campaign, "name", d.name);
  Put(&campaign, "from", d.from);
  Put(&campaign, "reply_to", d.reply_to);
  Put(&campaign, "to_name", d.to_name);
  Put(&campaign, "subject", d.subject);
  Put(&campaign, "text", d.text_path);
  Put(&campaign, "html", d.html_path);
  Put(&campaign, "recipients", d.recipients_path);
  Put(&campaign, "address_column", d.address_column);
  Put(&campaign, "kind", d.kind);
  for (const auto& [name, value] : d.headers) headers.insert_or_assign(name, value);
  if (!headers.empty()) campaign.insert_or_assign("headers", headers);
  if (d.connections) limits.insert_or_assign("connections", int64_t{*d.connections});
  if (d.messages_per_connection) {
    limits.insert_or_assign("messages_per_connection", int64_t{*d.messages_per_connection});
  }
  const toml::table frozen{{"version", 1},
                           {"key", facts.key},
                           {"date", facts.date_rfc3339},
                           {"boundary_seed", static_cast<int64_t>(facts.boundary_seed)}};
  std::ostringstream out;
  toml::table file{{"campaign", campaign}, {"limits", limits}, {"frozen", frozen}};
  if (!d.relays.empty()) file.insert_or_assign("relay", FormatRelays(d.relays));
  out << file;
  return "# Made by volley: what was asked for when this campaign began. Not to be edited.\n" +
         out.str() + "\n";
}

CampaignDefinition Overlay(const CampaignDefinition& base, const CampaignDefinition& over) {
  CampaignDefinition d = base;
  constexpr std::string CampaignDefinition::*kStrings[] = {
      &CampaignDefinition::name,           &CampaignDefinition::from,
      &CampaignDefinition::reply_to,       &CampaignDefinition::to_name,
      &CampaignDefinition::subject,        &CampaignDefinition::text_path,
      &CampaignDefinition::html_path,      &CampaignDefinition::recipients_path,
      &CampaignDefinition::address_column, &CampaignDefinition::kind};
  for (auto field : kStrings) {
    if (!(over.*field).empty()) d.*field = over.*field;
  }
  d.headers.insert(d.headers.end(), over.headers.begin(), over.headers.end());
  if (!over.relays.empty()) d.relays = over.relays;
  if (over.connections) d.connections = over.connections;
  if (over.messages_per_connection) d.messages_per_connection = over.messages_per_connection;
  return d;
}

absl::Status CheckDefinition(const CampaignDefinition& d, bool to_send) {
  const auto missing = [](std::string_view what, std::string_view table, std::string_view key,
                          std::string_view flag) {
    return absl::InvalidArgumentError(fmt::format(
        "no {}: put {} into [{}] of the campaign file, or give {}", what, key, table, flag));
  };
  if (d.from.empty()) return missing("sender", "campaign", "from", "--from");
  if (d.subject.empty()) return missing("subject", "campaign", "subject", "--subject");
  if (d.text_path.empty() && d.html_path.empty()) {
    return missing("message", "campaign", "text and html (template files)", "--text and --html");
  }
  if (d.recipients_path.empty()) {
    return missing("recipient list", "campaign", "recipients", "--to");
  }
  if (!to_send) return ParseCampaignKind(d.kind).status();
  if (d.relays.empty() ||
      std::any_of(d.relays.begin(), d.relays.end(), [](const auto& r) { return r.via.empty(); })) {
    return missing("relay", "relay", "via", "--via smtp://host:port");
  }
  return ParseCampaignKind(d.kind).status();
}

absl::StatusOr<engine::message::TemplateSource> ReadTemplate(const std::string& path,
                                                             std::string_view what) {
  auto bytes = ReadSmallFile(path, what, kMaxTemplateBytes);
  if (!bytes.ok()) return bytes.status();
  return engine::message::TemplateSource{fs::path(path).filename().string(), *std::move(bytes)};
}

}  // namespace volley::pipeline
