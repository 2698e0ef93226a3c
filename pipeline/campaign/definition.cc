#include "pipeline/campaign/definition.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "engine/base/nearest_name.h"
#include "engine/compliance/list_headers.h"
#include "engine/compliance/unsubscribe_url.h"
#include "engine/dkim/signer.h"
#include "engine/message/utf8.h"
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

// A string key and where it goes: one list for reading, writing and laying one definition over
// another.
struct TextKey {
  std::string_view table, name;
  std::string* target;
  bool is_path = false;
  absl::Status (*check)(const std::string& value) = nullptr;  // where only the file has the line
};

absl::Status CheckUrl(const std::string& value) {
  return engine::compliance::UnsubscribeUrl::Parse(value).status();
}

absl::Status CheckMailto(const std::string& value) {
  engine::compliance::ListHeaderOptions options;
  options.mailto = value;
  return engine::compliance::MakeListHeaders(options).status();
}

absl::Status CheckListId(const std::string& value) {
  return engine::compliance::ParseListId(value).status();
}

absl::Status CheckFeedbackId(const std::string& value) {
  return engine::compliance::CheckFeedbackId(value);
}

Setter Checked(const Place& place, const TextKey& key) {
  return [&place, key](const toml::node& node) -> absl::Status {
    if (absl::Status s = String(place, std::string(key.name), key.target)(node); !s.ok()) return s;
    const std::string& value = *key.target;
    absl::Status status = value.empty() ? absl::OkStatus() : key.check(value);
    if (status.ok()) return status;
    return place.At(
        node, fmt::format("{}: {}", engine::message::Quoted(value), std::string(status.message())));
  };
}

std::vector<TextKey> TextKeys(CampaignDefinition* d) {
  return {{"campaign", "name", &d->name},
          {"campaign", "from", &d->from},
          {"campaign", "reply_to", &d->reply_to},
          {"campaign", "to_name", &d->to_name},
          {"campaign", "subject", &d->subject},
          {"campaign", "text", &d->text_path, true},
          {"campaign", "html", &d->html_path, true},
          {"campaign", "amp", &d->amp_path, true},
          {"campaign", "eml", &d->eml_path, true},
          {"campaign", "partials", &d->partials_folder, true},
          {"campaign", "postal_address", &d->postal_address},
          {"campaign", "bounces", &d->bounces},
          {"campaign", "feedback_id", &d->feedback_id, false, CheckFeedbackId},
          {"campaign", "recipients", &d->recipients_path, true},
          {"campaign", "address_column", &d->address_column},
          {"campaign", "kind", &d->kind},
          {"unsubscribe", "url", &d->unsubscribe.url, false, CheckUrl},
          {"unsubscribe", "mailto", &d->unsubscribe.mailto, false, CheckMailto},
          {"unsubscribe", "key", &d->unsubscribe.key_path, true},
          {"unsubscribe", "list_id", &d->unsubscribe.list_id, false, CheckListId},
          {"attachments", "column", &d->attachments.column},
          {"attachments", "folder", &d->attachments.folder, true},
          {"policy", "providers", &d->policy.providers_path, true},
          {"policy", "rules", &d->policy.rules_path, true},
          {"schedule", "start", &d->schedule.start},
          {"schedule", "not_after", &d->schedule.not_after},
          {"schedule", "window", &d->schedule.window},
          {"schedule", "days", &d->schedule.days},
          {"schedule", "time_zone", &d->schedule.time_zone}};
}

struct TableSpec {
  std::string title;
  std::vector<KeySpec> keys;
};

std::vector<KeySpec> OtherKeys(const Place& place, std::string_view table, CampaignDefinition* d) {
  if (table == "campaign") {
    return {{"headers", Headers(place, &d->headers)},
            {"dkim_expires_days",
             Count(place, "dkim_expires_days", 1, kDkimExpiresDaysMax, &d->dkim_expires_days)}};
  }
  if (table == "limits") {
    return {{"connections", Count(place, "connections", 1, kMaxConnections, &d->connections)},
            {"weight", Count(place, "weight", 1, kWeightMax, &d->weight)},
            {"messages_per_connection",
             Count(place, "messages_per_connection", 0, UINT32_MAX, &d->messages_per_connection)},
            {"rate", Rate(place, "rate", CheckRate, &d->rate)},
            {"quota", Rate(place, "quota", CheckQuota, &d->quota)}};
  }
  if (table == "attachments") {
    AttachmentsDefinition& a = d->attachments;
    return {
        {"files", Paths(place, "files", &a.files)},
        {"inline", Paths(place, "inline", &a.inline_files)},
        {"message_mb_max", Count(place, "message_mb_max", 1, kMessageMbMax, &a.message_mb_max)}};
  }
  return {};
}

std::vector<TableSpec> Tables(const Place& place, CampaignDefinition* d) {
  std::vector<TableSpec> tables;
  for (const char* title :
       {"campaign", "unsubscribe", "attachments", "limits", "policy", "schedule"}) {
    TableSpec table{title, {}};
    for (const TextKey& key : TextKeys(d)) {
      if (key.table != title) continue;
      const std::string name(key.name);
      table.keys.push_back({name, name == "kind"         ? Kind(place, key.target)
                                  : key.check != nullptr ? Checked(place, key)
                                  : key.is_path          ? Path(place, name, key.target)
                                                         : String(place, name, key.target)});
    }
    for (KeySpec& key : OtherKeys(place, title, d)) table.keys.push_back(std::move(key));
    tables.push_back(std::move(table));
  }
  return tables;
}

absl::Status ReadDkim(const Place& place, const toml::node& node,
                      std::vector<DkimDefinition>* dkim) {
  const auto read = [&](const toml::node& element) -> absl::Status {
    if (!element.is_table()) return place.At(element, "\"dkim\" must be a table: [[dkim]]");
    DkimDefinition& d = dkim->emplace_back();
    const KeySpec keys[] = {{"domain", String(place, "domain", &d.domain)},
                            {"selector", String(place, "selector", &d.selector)},
                            {"key", Path(place, "key", &d.key_path)}};
    if (absl::Status s = ReadTable(place, *element.as_table(), "dkim", keys); !s.ok()) return s;
    if (d.domain.empty() || d.selector.empty() || d.key_path.empty()) {
      return place.At(element,
                      "[[dkim]] needs domain, selector and key (a PEM file): volley keys dkim new "
                      "makes them");
    }
    const auto record = engine::dkim::RecordName(d.domain, d.selector);
    return record.ok() ? absl::OkStatus()
                       : place.At(element, "[[dkim]] " + std::string(record.status().message()));
  };
  const toml::array* many = node.as_array();
  if (many == nullptr) return read(node);
  for (const toml::node& element : *many) {
    if (absl::Status s = read(element); !s.ok()) return s;
  }
  return absl::OkStatus();
}

TableSpec FrozenTable(const Place& place, FrozenFacts* facts) {
  const auto number = [&place](const char* key, uint64_t* to) -> KeySpec {
    return {key, [&place, key, to](const toml::node& node) -> absl::Status {
              const auto value = node.value_exact<int64_t>();
              if (!value) return place.At(node, fmt::format("\"{}\" must be a whole number", key));
              *to = static_cast<uint64_t>(*value);
              return absl::OkStatus();
            }};
  };
  const Setter version = [&place](const toml::node& node) -> absl::Status {
    if (node.value_exact<int64_t>() == 1) return absl::OkStatus();
    return place.At(node, "this campaign was made by a newer volley: use that version");
  };
  return {"frozen",
          {{"version", version},
           {"key", String(place, "key", &facts->key)},
           {"date", String(place, "date", &facts->date_rfc3339)},
           number("boundary_seed", &facts->boundary_seed),
           number("rejected", &facts->rejected),
           number("duplicates", &facts->duplicates),
           number("suppressed", &facts->suppressed)}};
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
  std::vector<std::string> titles = {"relay", "dkim", "warm_up"};
  for (const TableSpec& t : tables) titles.push_back(t.title);
  for (const auto& [key, node] : *root) {
    if (key.str() == "relay") {
      if (absl::Status s = ReadRelays(place, node, &definition.relays); !s.ok()) return s;
      continue;
    }
    if (key.str() == "dkim") {
      if (absl::Status s = ReadDkim(place, node, &definition.dkim); !s.ok()) return s;
      continue;
    }
    if (key.str() == "warm_up") {
      if (absl::Status s = ReadWarmUps(place, node, &definition.warm_ups); !s.ok()) return s;
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

toml::array Strings(const std::vector<std::string>& values) {
  toml::array out;
  for (const std::string& value : values) out.push_back(value);
  return out;
}

toml::array FormatDkim(const std::vector<DkimDefinition>& dkim) {
  toml::array out;
  for (const DkimDefinition& d : dkim) {
    out.push_back(toml::table{{"domain", d.domain}, {"selector", d.selector}, {"key", d.key_path}});
  }
  return out;
}

toml::table FrozenTableOf(const FrozenFacts& facts) {
  return toml::table{{"version", 1},
                     {"key", facts.key},
                     {"date", facts.date_rfc3339},
                     {"boundary_seed", static_cast<int64_t>(facts.boundary_seed)},
                     {"rejected", static_cast<int64_t>(facts.rejected)},
                     {"duplicates", static_cast<int64_t>(facts.duplicates)},
                     {"suppressed", static_cast<int64_t>(facts.suppressed)}};
}

void PutCount(toml::table* table, std::string_view key, std::optional<uint32_t> value) {
  if (value) table->insert_or_assign(key, int64_t{*value});
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

std::string FormatCampaignFile(const CampaignDefinition& definition, const FrozenFacts& facts) {
  CampaignDefinition d = definition;
  std::map<std::string, toml::table, std::less<>> tables;
  for (const TextKey& key : TextKeys(&d)) {
    if (!key.target->empty()) {
      tables[std::string(key.table)].insert_or_assign(key.name, *key.target);
    }
  }
  toml::table headers;
  for (const auto& [name, value] : d.headers) headers.insert_or_assign(name, value);
  if (!headers.empty()) tables["campaign"].insert_or_assign("headers", headers);
  PutCount(&tables["campaign"], "dkim_expires_days", d.dkim_expires_days);
  PutCount(&tables["limits"], "connections", d.connections);
  PutCount(&tables["limits"], "weight", d.weight);
  PutCount(&tables["limits"], "messages_per_connection", d.messages_per_connection);
  if (d.rate) tables["limits"].insert_or_assign("rate", FormatRate(*d.rate));
  if (d.quota) tables["limits"].insert_or_assign("quota", FormatRate(*d.quota));
  toml::table& attachments = tables["attachments"];
  PutCount(&attachments, "message_mb_max", d.attachments.message_mb_max);
  if (!d.attachments.files.empty()) {
    attachments.insert_or_assign("files", Strings(d.attachments.files));
  }
  if (!d.attachments.inline_files.empty()) {
    attachments.insert_or_assign("inline", Strings(d.attachments.inline_files));
  }
  toml::table file{{"frozen", FrozenTableOf(facts)}};
  for (auto& [name, table] : tables) {
    if (!table.empty()) file.insert_or_assign(name, table);
  }
  if (!d.relays.empty()) file.insert_or_assign("relay", FormatRelays(d.relays));
  if (!d.dkim.empty()) file.insert_or_assign("dkim", FormatDkim(d.dkim));
  if (!d.warm_ups.empty()) file.insert_or_assign("warm_up", FormatWarmUps(d.warm_ups));
  std::ostringstream out;
  out << file;
  return "# Made by volley: what was asked for when this campaign began. Not to be edited.\n" +
         out.str() + "\n";
}

CampaignDefinition Overlay(const CampaignDefinition& base, const CampaignDefinition& over) {
  CampaignDefinition d = base;
  CampaignDefinition given = over;
  const std::vector<TextKey> from = TextKeys(&given);
  const std::vector<TextKey> to = TextKeys(&d);
  for (size_t i = 0; i < from.size(); ++i) {
    if (!from[i].target->empty()) *to[i].target = *from[i].target;
  }
  d.headers.insert(d.headers.end(), over.headers.begin(), over.headers.end());
  if (!over.relays.empty()) d.relays = over.relays;
  if (!over.dkim.empty()) d.dkim = over.dkim;
  if (over.dkim_expires_days) d.dkim_expires_days = over.dkim_expires_days;
  if (!over.attachments.files.empty()) d.attachments.files = over.attachments.files;
  if (!over.attachments.inline_files.empty()) {
    d.attachments.inline_files = over.attachments.inline_files;
  }
  if (over.connections) d.connections = over.connections;
  if (over.weight) d.weight = over.weight;
  if (over.rate) d.rate = over.rate;
  if (over.quota) d.quota = over.quota;
  if (over.messages_per_connection) d.messages_per_connection = over.messages_per_connection;
  return d;
}

absl::Status CheckDefinition(const CampaignDefinition& d, bool to_send) {
  const auto missing = [](std::string_view what, std::string_view table, std::string_view key,
                          std::string_view flag) {
    return absl::InvalidArgumentError(fmt::format(
        "no {}: put {} into [{}] of the campaign file, or give {}", what, key, table, flag));
  };
  // A finished message brings these with it.
  if (d.eml_path.empty()) {
    if (d.from.empty()) return missing("sender", "campaign", "from", "--from");
    if (d.subject.empty()) return missing("subject", "campaign", "subject", "--subject");
    if (d.text_path.empty() && d.html_path.empty()) {
      return missing("message", "campaign", "text and html (template files)", "--text and --html");
    }
  } else if (!d.text_path.empty() || !d.html_path.empty() || !d.amp_path.empty()) {
    return absl::InvalidArgumentError(
        "a finished message (eml) and template files (text, html, amp): give one or the other");
  }
  if (d.attachments.column.empty() != d.attachments.folder.empty()) {
    return absl::InvalidArgumentError(
        "files of the recipients' own need both [attachments] column, which names the file, and "
        "folder, where they are");
  }
  if (d.recipients_path.empty()) {
    return missing("recipient list", "campaign", "recipients", "--to");
  }
  if (absl::Status schedule = Schedule::Parse(d.schedule).status(); !schedule.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("[schedule] {}", std::string(schedule.message())));
  }
  if (!to_send) return ParseCampaignKind(d.kind).status();
  if (d.relays.empty() ||
      std::any_of(d.relays.begin(), d.relays.end(), [](const auto& r) { return r.via.empty(); })) {
    return missing("relay", "relay", "via", "--via smtp://host:port");
  }
  return ParseCampaignKind(d.kind).status();
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, std::string_view what,
                                          uint64_t bytes_max) {
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

absl::StatusOr<engine::message::TemplateSource> ReadTemplate(const std::string& path,
                                                             std::string_view what) {
  auto bytes = ReadSmallFile(path, what, kMaxTemplateBytes);
  if (!bytes.ok()) return bytes.status();
  return engine::message::TemplateSource{fs::path(path).filename().string(), *std::move(bytes)};
}

}  // namespace volley::pipeline
