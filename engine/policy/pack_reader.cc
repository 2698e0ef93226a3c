#include "engine/policy/pack_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "engine/base/nearest_name.h"
#include "engine/message/utf8.h"
#include "engine/policy/reply_reader.h"
#include "engine/policy/toml_table.h"
#include "engine/policy/values.h"

namespace volley::engine::policy {
namespace {

constexpr size_t kTitleBytesMax = 200;
constexpr size_t kUrlBytesMax = 500;
constexpr size_t kNoteBytesMax = 1'000;
constexpr std::string_view kOrNone = ", or \"none\"";

// What a limit in pipeline/throttle can hold.
struct CountPerBounds {
  uint64_t count_max;
  absl::Duration per_min, per_max;
  std::string_view allowed;
};
constexpr CountPerBounds kRateBounds = {
    10'000'000, absl::Milliseconds(1), absl::Hours(24),
    "write 1 to 10000000 in 1ms to 24h, such as \"10/s\", or \"none\" (over days: quota)"};
constexpr CountPerBounds kQuotaBounds = {
    (uint64_t{1} << 28) - 1, absl::Hours(1), absl::Hours(24 * 31),
    "write 1 to 268435455 in 1h to 31d, such as \"10000/24h\", or \"none\""};

bool IsUrl(std::string_view url) {
  const bool scheme = url.starts_with("https://") || url.starts_with("http://");
  return scheme && url.size() <= kUrlBytesMax &&
         url.substr(url.find("//") + 2).find('.') != url.npos &&
         std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool IsNone(const toml::node& node) { return node.value_exact<std::string>() == "none"; }

class PackReader {
 public:
  PackReader(const PackFile& file, bool own, std::deque<Source>* sources, Faults* faults)
      : file_(file), in_(&file_.name, faults), faults_(*faults), sources_(*sources) {
    layer_.own = own;
    if (own) {
      own_source_ = &sources_.emplace_back(
          Source{.name = "", .title = file.name, .url = "", .date = "", .kind = SourceKind::kOwn});
    }
  }

  PackLayer Read();

 private:
  using Node = toml::node;

  void ReadRoot(const toml::table& root);
  void ReadVersion(const toml::table& root);
  void ReadSources(const toml::table& sources);
  void ReadSource(std::string_view name, const toml::table& table);
  void ReadProviders(const Node& node);
  void ReadProvider(const toml::table& table);
  void ReadReplies(const Node& node, Provider* to);

  // What `key` says, without who says it, which goes to `origin`. nullptr: the fault is noted.
  const Node* ReadOrigin(std::string_view key, const Node& node, Origin* origin);
  const Source* FindSource(const Node& node);
  void ReadCount(std::string_view key, const Node& node, Setting<uint32_t>* to);
  void ReadCountPer(std::string_view key, const Node& node, const CountPerBounds& bounds,
                    Setting<CountPer>* to);
  void ReadNames(std::string_view key, const Node& node, bool wildcard, Setting<Names>* to);
  void ReadTls(const Node& node, Setting<TlsNeed>* to);
  void ReadRetry(const Node& node, Setting<RetrySchedule>* to);

  const PackFile& file_;
  TableReader in_;
  Faults& faults_;
  std::deque<Source>& sources_;
  const Source* own_source_ = nullptr;
  PackLayer layer_;
};

// --- Sources ---

void PackReader::ReadSource(std::string_view name, const toml::table& table) {
  Source source{
      .name = std::string(name), .title = "", .url = "", .date = "", .kind = SourceKind::kFolklore};
  const TableReader::Key keys[] = {
      {"title",
       [&](const Node& n) { source.title = in_.Text("title", n, kTitleBytesMax).value_or(""); }},
      {"url",
       [&](const Node& n) {
         source.url = n.value_exact<std::string>().value_or("");
         if (!IsUrl(source.url)) in_.BadValue("url", n, "write https://...");
       }},
      {"date",
       [&](const Node& n) {
         if (const auto date = n.value_exact<toml::date>()) {
           source.date = fmt::format("{:04}-{:02}-{:02}", date->year, date->month, date->day);
         } else {
           in_.BadValue("date", n, "write a date without quotes, such as 2026-11-24");
         }
       }},
      {"kind", [&](const Node& n) {
         const auto kind = n.value_exact<std::string>();
         if (kind == "published") {
           source.kind = SourceKind::kPublished;
         } else if (kind != "folklore") {
           in_.BadValue("kind", n, "write published or folklore");
         }
       }}};
  in_.Read(table, fmt::format("source {}", message::Quoted(name)), keys);
  if (!IsPackName(name)) in_.Fault(table, kPackNameAllowed);
  for (const char* key : {"title", "date", "kind"}) {
    if (!table.contains(key)) in_.Fault(table, fmt::format("needs \"{}\"", key));
  }
  in_.set_where("");
  sources_.push_back(std::move(source));
}

void PackReader::ReadSources(const toml::table& sources) {
  for (const auto& [name, node] : sources) {
    if (const toml::table* table = node.as_table()) {
      ReadSource(name.str(), *table);
    } else {
      in_.Fault(node, fmt::format("write a table: [source.{}]", name.str()));
    }
  }
}

// The last of a name counts: a file may have its own source of a name that the pack uses.
const Source* PackReader::FindSource(const Node& node) {
  const auto name = node.value_exact<std::string>();
  const auto found = std::find_if(sources_.rbegin(), sources_.rend(), [&](const Source& s) {
    return name && !s.name.empty() && s.name == *name;
  });
  if (found != sources_.rend()) return &*found;
  std::vector<std::string> known;
  for (const Source& source : sources_) known.push_back(source.name);
  in_.BadValue("source", node,
               fmt::format("no such source{}; describe it in [source.NAME]",
                           name ? DidYouMean(*name, known) : ""));
  return nullptr;
}

// --- Settings ---

const toml::node* PackReader::ReadOrigin(std::string_view key, const Node& node, Origin* origin) {
  origin->place = in_.Place(node);
  origin->source = own_source_;
  const toml::table* table = node.as_table();
  if (table == nullptr || !(table->contains("value") || table->contains("source"))) {
    if (layer_.own) return &node;
    in_.BadValue(
        key, node,
        fmt::format("nobody says so; write {} = {{ value = ..., source = \"NAME\" }}", key));
    return nullptr;
  }
  const Node* value = nullptr;
  const TableReader::Key keys[] = {
      {"value", [&](const Node& n) { value = &n; }},
      {"source", [&](const Node& n) { origin->source = FindSource(n); }},
      {"note",
       [&](const Node& n) { origin->note = in_.Text("note", n, kNoteBytesMax).value_or(""); }}};
  const std::string outer = in_.where();
  in_.Read(*table, fmt::format("{}, {}", outer, key), keys);
  if (value == nullptr) in_.Fault(node, "needs \"value\"");
  if (!layer_.own && !table->contains("source")) in_.Fault(node, "needs \"source\"");
  in_.set_where(outer);
  return value;
}

void PackReader::ReadCount(std::string_view key, const Node& node, Setting<uint32_t>* to) {
  const Node* value = ReadOrigin(key, node, to);
  if (value == nullptr || IsNone(*value)) return;
  to->value = in_.Count(key, *value, kOrNone);
}

void PackReader::ReadCountPer(std::string_view key, const Node& node, const CountPerBounds& bounds,
                              Setting<CountPer>* to) {
  const Node* value = ReadOrigin(key, node, to);
  if (value == nullptr || IsNone(*value)) return;
  const auto text = value->value_exact<std::string>();
  const auto count = text ? ParseCountPer(*text) : std::nullopt;
  if (!count) {
    in_.BadValue(key, *value, fmt::format("{}, or \"none\"", kCountPerAllowed));
  } else if (count->count < 1 || count->count > bounds.count_max || count->per < bounds.per_min ||
             count->per > bounds.per_max) {
    in_.BadValue(key, *value, fmt::format("not possible; {}", bounds.allowed));
  } else {
    to->value = count;
  }
}

void PackReader::ReadNames(std::string_view key, const Node& node, bool wildcard,
                           Setting<Names>* to) {
  const Node* value = ReadOrigin(key, node, to);
  if (value == nullptr) return;
  to->value = Names();
  for (const std::string& name : in_.Texts(key, *value).value_or(Names{})) {
    auto canonical = CanonicalName(name, wildcard);
    if (!canonical.ok()) {
      in_.Fault(*value, fmt::format("{}: {}: {}", key, message::Quoted(name),
                                    std::string(canonical.status().message())));
      continue;
    }
    to->value->push_back(*std::move(canonical));
  }
}

void PackReader::ReadTls(const Node& node, Setting<TlsNeed>* to) {
  const Node* value = ReadOrigin("tls", node, to);
  if (value == nullptr) return;
  const auto text = value->value_exact<std::string>();
  for (const TlsNeed need : {TlsNeed::kOpportunistic, TlsNeed::kRequired}) {
    if (text == TlsNeedName(need)) to->value = need;
  }
  if (!to->value) in_.BadValue("tls", *value, "write opportunistic or required");
}

void PackReader::ReadRetry(const Node& node, Setting<RetrySchedule>* to) {
  const Node* value = ReadOrigin("retry", node, to);
  if (value == nullptr) return;
  const toml::table* table = value->as_table();
  if (table == nullptr) {
    in_.BadValue("retry", *value,
                 "write { first = \"30min\", longest = \"4h\", give_up_after = \"5d\" }");
    return;
  }
  std::optional<absl::Duration> first, longest, give_up;
  const TableReader::Key keys[] = {
      {"first", [&](const Node& n) { first = in_.Time("first", n); }},
      {"longest", [&](const Node& n) { longest = in_.Time("longest", n); }},
      {"give_up_after", [&](const Node& n) { give_up = in_.Time("give_up_after", n); }}};
  const std::string outer = in_.where();
  in_.Read(*table, outer + ", retry", keys);
  for (const auto& key : keys) {
    if (!table->contains(key.name)) in_.Fault(*table, fmt::format("needs \"{}\"", key.name));
  }
  if (first && longest && *first > *longest) {
    in_.Fault(*table, "\"first\" is longer than \"longest\"");
  }
  in_.set_where(outer);
  if (first && longest && give_up) {
    to->value = RetrySchedule{.first = *first, .longest = *longest, .give_up_after = *give_up};
  }
}

// --- Providers ---

void PackReader::ReadReplies(const Node& node, Provider* to) {
  const toml::array* array = node.as_array();
  if (array == nullptr || array->size() > ProviderPack::kRepliesMax) {
    in_.BadValue("reply", node,
                 fmt::format("write [[provider.reply]] for each rule, at most {}",
                             ProviderPack::kRepliesMax));
    return;
  }
  const ReplyContext context{.provider = to->name,
                             .own = layer_.own,
                             .find_source = [this](const Node& n) { return FindSource(n); },
                             .own_source = own_source_};
  for (const Node& element : *array) {
    const toml::table* table = element.as_table();
    if (table == nullptr) {
      in_.BadValue("reply", element, "write [[provider.reply]] for each rule");
      continue;
    }
    auto rule = ReadReplyRule(*table, context, &in_);
    if (!rule) continue;
    const auto same = std::find_if(to->replies.begin(), to->replies.end(),
                                   [&](const ReplyRule& r) { return r.name == rule->name; });
    if (same != to->replies.end()) {
      in_.Fault(*table,
                fmt::format("two reply rules \"{}\", the first in {}", rule->name, same->place));
      continue;
    }
    to->replies.push_back(*std::move(rule));
  }
}

void PackReader::ReadProvider(const toml::table& table) {
  Provider provider;
  provider.name = table["name"].value_exact<std::string>().value_or("");
  if (!IsPackName(provider.name)) {
    in_.Fault(table, fmt::format("a provider's name is {}: {}", message::Quoted(provider.name),
                                 kPackNameAllowed));
    return;
  }
  provider.place = in_.Place(table);
  const Node* replies = nullptr;
  const auto names = [&](const char* key, bool wildcard, Setting<Names>* to) {
    return TableReader::Key{key, [=, this](const Node& n) { ReadNames(key, n, wildcard, to); }};
  };
  const auto count = [&](const char* key, Setting<uint32_t>* to) {
    return TableReader::Key{key, [=, this](const Node& n) { ReadCount(key, n, to); }};
  };
  const TableReader::Key keys[] = {
      {"name", [](const Node&) {}},
      {"title",
       [&](const Node& n) { provider.title = in_.Text("title", n, kTitleBytesMax).value_or(""); }},
      names("mx_suffixes", false, &provider.mx_suffixes),
      names("domains", false, &provider.domains),
      names("relays", true, &provider.relays),
      {"examples",
       [&](const Node& n) { provider.examples = in_.Texts("examples", n).value_or(Names{}); }},
      count("connections", &provider.connections),
      count("messages_per_connection", &provider.messages_per_connection),
      count("recipients_per_transaction", &provider.recipients_per_transaction),
      {"rate", [&](const Node& n) { ReadCountPer("rate", n, kRateBounds, &provider.rate); }},
      {"quota", [&](const Node& n) { ReadCountPer("quota", n, kQuotaBounds, &provider.quota); }},
      {"tls", [&](const Node& n) { ReadTls(n, &provider.tls); }},
      {"retry", [&](const Node& n) { ReadRetry(n, &provider.retry); }},
      {"reply", [&](const Node& n) { replies = &n; }}};
  in_.Read(table, fmt::format("provider \"{}\"", provider.name), keys);
  if (replies != nullptr) ReadReplies(*replies, &provider);
  in_.set_where("");
  const auto same = std::find_if(layer_.providers.begin(), layer_.providers.end(),
                                 [&](const Provider& p) { return p.name == provider.name; });
  if (same != layer_.providers.end()) {
    in_.Fault(table, fmt::format("provider \"{}\" is twice in this file", provider.name));
    return;
  }
  layer_.providers.push_back(std::move(provider));
}

void PackReader::ReadProviders(const Node& node) {
  const toml::array* array = node.as_array();
  if (array == nullptr || array->size() > ProviderPack::kProvidersMax) {
    in_.Fault(node,
              fmt::format("write [[provider]] with name = \"...\" for each provider, at most {}",
                          ProviderPack::kProvidersMax));
    return;
  }
  for (const Node& element : *array) {
    if (const toml::table* table = element.as_table()) {
      ReadProvider(*table);
    } else {
      in_.Fault(element, "write [[provider]] with name = \"...\" for each provider");
    }
  }
}

// --- The file ---

void PackReader::ReadVersion(const toml::table& root) {
  const Node* node = root.get("version");
  if (node == nullptr) {
    if (!layer_.own) in_.Fault(root, "needs \"version\"");
    return;
  }
  const auto version = node->value_exact<int64_t>();
  if (version == ProviderPack::kFormat) return;
  in_.BadValue(
      "version", *node,
      version && *version > ProviderPack::kFormat
          ? fmt::format("made for a newer volley; this one reads version {}", ProviderPack::kFormat)
          : fmt::format("write {}", ProviderPack::kFormat));
}

void PackReader::ReadRoot(const toml::table& root) {
  ReadVersion(root);
  // First, as everything else names them.
  if (const Node* sources = root.get("source")) {
    if (const toml::table* table = sources->as_table()) {
      ReadSources(*table);
    } else {
      in_.Fault(*sources, "write [source.NAME] for each source");
    }
  }
  const TableReader::Key keys[] = {
      {"version", [](const Node&) {}},
      {"released",
       [&](const Node& n) {
         if (const auto date = n.value_exact<toml::date>()) {
           layer_.released = fmt::format("{:04}-{:02}-{:02}", date->year, date->month, date->day);
         } else {
           in_.BadValue("released", n, "write a date without quotes, such as 2026-11-24");
         }
       }},
      {"source", [](const Node&) {}},
      {"provider", [&](const Node& n) { ReadProviders(n); }}};
  in_.Read(root, "", keys);
  if (!layer_.own && layer_.released.empty()) in_.Fault(root, "needs \"released\"");
}

PackLayer PackReader::Read() {
  if (file_.text.size() > ProviderPack::kFileBytesMax) {
    faults_.Add(file_.name + ":1",
                fmt::format("longer than {} bytes", ProviderPack::kFileBytesMax));
    return std::move(layer_);
  }
  try {
    // toml++ reports by exception; it ends here.
    const toml::table root = toml::parse(file_.text, file_.name);
    ReadRoot(root);
  } catch (const toml::parse_error& e) {
    faults_.Add(fmt::format("{}:{}", file_.name, e.source().begin.line),
                fmt::format("not TOML: {}", e.description()));
  }
  return std::move(layer_);
}

}  // namespace

void Faults::Add(std::string_view place, std::string_view what) {
  faults_.push_back(fmt::format("{}: {}", place, what));
}

absl::Status Faults::ToStatus() const {
  if (faults_.empty()) return absl::OkStatus();
  // "FILE:LINE: ...": by file as they came, then by line as a number.
  const auto key = [](const std::string& fault) {
    const size_t end = fault.find(": ");
    const size_t colon = fault.rfind(':', end == fault.npos ? fault.npos : end - 1);
    int64_t line = 0;
    if (colon != fault.npos && end != fault.npos) {
      std::from_chars(fault.data() + colon + 1, fault.data() + end, line);
    }
    return std::pair(fault.substr(0, colon), line);
  };
  std::vector<std::string> shown = faults_;
  std::stable_sort(shown.begin(), shown.end(),
                   [&](const auto& a, const auto& b) { return key(a) < key(b); });
  if (shown.size() > ProviderPack::kErrorsMax) {
    const size_t more = shown.size() - ProviderPack::kErrorsMax;
    shown.resize(ProviderPack::kErrorsMax);
    shown.push_back(fmt::format("and {} more", more));
  }
  return absl::InvalidArgumentError(fmt::format("{}", fmt::join(shown, "\n")));
}

PackLayer ReadPackFile(const PackFile& file, bool own, std::deque<Source>* sources,
                       Faults* faults) {
  return PackReader(file, own, sources, faults).Read();
}

}  // namespace volley::engine::policy
