#include "tools/volley/providers_output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "engine/base/nearest_name.h"
#include "engine/message/utf8.h"
#include "tools/volley/suppress_common.h"

namespace volley::tools {
namespace {

using engine::policy::CountPer;
using engine::policy::DurationText;
using engine::policy::Names;
using engine::policy::Origin;
using engine::policy::Provider;
using engine::policy::ProviderPack;
using engine::policy::ReplyAction;
using engine::policy::ReplyRule;
using engine::policy::RetrySchedule;
using engine::policy::Setting;
using engine::policy::Source;
using engine::policy::SourceKind;
using engine::policy::TlsNeed;
using Json = nlohmann::ordered_json;

// Texts are of files that somebody else may have written: no control character gets to a terminal.
template <typename... Args>
void Say(fmt::format_string<Args...> format, Args&&... args) {
  std::string text = fmt::format(format, std::forward<Args>(args)...);
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return (c >= 0 && c < ' ' && c != '\n') || c == 0x7f; }, '?');
  fmt::print("{}", text);
}

std::string TextOf(uint32_t count) { return std::to_string(count); }
std::string TextOf(const CountPer& count) { return CountPerText(count); }
std::string TextOf(TlsNeed need) { return std::string(TlsNeedName(need)); }
std::string TextOf(const Names& names) { return fmt::format("{}", fmt::join(names, ", ")); }
std::string TextOf(const RetrySchedule& retry) {
  return fmt::format("after {}, then up to {} apart, for {}", DurationText(retry.first),
                     DurationText(retry.longest), DurationText(retry.give_up_after));
}

Json JsonOf(uint32_t count) { return count; }
Json JsonOf(const CountPer& count) { return CountPerText(count); }
Json JsonOf(TlsNeed need) { return std::string(TlsNeedName(need)); }
Json JsonOf(const Names& names) { return names; }
Json JsonOf(const RetrySchedule& retry) {
  return {{"first", DurationText(retry.first)},
          {"longest", DurationText(retry.longest)},
          {"give_up_after", DurationText(retry.give_up_after)}};
}

template <typename T>
ShownSetting Shown(std::string_view key, const Setting<T>& setting, bool is_name = false) {
  ShownSetting shown{
      .key = key, .origin = &setting, .text = "", .value = nullptr, .is_name = is_name};
  if (setting.value) {
    shown.text = TextOf(*setting.value);
    shown.value = JsonOf(*setting.value);
  }
  if (shown.text.empty()) shown.text = is_name ? "none" : "not limited";
  return shown;
}

std::string_view KindOf(const Source* source) {
  return source == nullptr ? std::string_view() : SourceKindName(source->kind);
}

// What a value's trustworthiness is at a glance.
std::string Mark(const Origin& origin) {
  if (origin.source == nullptr) return "";
  switch (origin.source->kind) {
    case SourceKind::kPublished:
      return "";
    case SourceKind::kFolklore:
      return "~";
    case SourceKind::kOwn:
      return "+";
  }
  return "";
}

std::string Cell(const ShownSetting& shown) {
  if (shown.origin->place.empty() || shown.value.is_null()) return "-";
  const std::string text = shown.text + Mark(*shown.origin);
  return shown.origin->inherited ? fmt::format("({})", text) : text;
}

const ShownSetting& Find(const std::vector<ShownSetting>& settings, std::string_view key) {
  return *std::find_if(settings.begin(), settings.end(),
                       [&](const ShownSetting& s) { return s.key == key; });
}

// Who says what the provider itself has: "google, kumo".
std::string SourcesOf(const Provider& provider) {
  std::set<std::string> names;
  for (const ShownSetting& s : SettingsOf(provider)) {
    if (s.is_name || s.origin->inherited || s.origin->source == nullptr) continue;
    names.insert(s.origin->source->name.empty() ? s.origin->source->title : s.origin->source->name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string SourceWords(const Source* source, std::string_view place) {
  if (source == nullptr) return "";
  std::string words(SourceKindName(source->kind));
  if (!source->name.empty()) words += ", " + source->name;
  if (!source->date.empty()) words += " " + source->date;
  if (IsOwn(place)) words += fmt::format(" ({})", place);
  return words;
}

Json OriginJson(const Source* source, const std::string& note, const std::string& place) {
  Json json = {{"kind", nullptr}, {"source", nullptr}, {"title", nullptr}, {"url", nullptr},
               {"date", nullptr}, {"note", note},      {"place", place},   {"own", IsOwn(place)}};
  if (source == nullptr) return json;
  const auto put = [&](const char* key, std::string_view text) {
    if (!text.empty()) json[key] = std::string(text);
  };
  put("kind", KindOf(source));
  put("source", source->name);
  put("title", source->title);
  put("url", source->url);
  put("date", source->date);
  return json;
}

std::vector<std::string> StageNames(const ReplyRule& rule) {
  std::vector<std::string> names;
  for (const auto stage : rule.stages) names.emplace_back(engine::bounce::StageName(stage));
  return names;
}

bool HasThreshold(const ReplyRule& rule) { return rule.threshold.count > 1; }

Json RuleJson(const ReplyRule& rule) {
  Json json = {{"name", rule.name},
               {"pattern", rule.pattern},
               {"stage", StageNames(rule)},
               {"codes", rule.codes},
               {"enhanced", rule.enhanced},
               {"threshold", nullptr},
               {"action", std::string(ReplyActionName(rule.action))},
               {"duration", nullptr},
               {"connections", nullptr},
               {"rate", nullptr},
               {"example", rule.example}};
  if (HasThreshold(rule)) json["threshold"] = CountPerText(rule.threshold);
  if (rule.duration > absl::ZeroDuration()) json["duration"] = DurationText(rule.duration);
  if (rule.connections) json["connections"] = *rule.connections;
  if (rule.rate) json["rate"] = CountPerText(*rule.rate);
  json.update(OriginJson(rule.source, rule.note, rule.place));
  return json;
}

void PrintRule(const ReplyRule& rule) {
  Say("\n  {}: {}\n", rule.name, RuleWhen(rule));
  Say("      {}\n      {}\n", RuleDoes(rule), SourceWords(rule.source, rule.place));
  if (!rule.note.empty()) Say("      {}\n", rule.note);
  if (!rule.example.empty()) Say("      e.g. {}\n", rule.example);
}

// What stands for itself in the table above, by name.
void PrintSources(const std::set<const Source*>& sources) {
  if (sources.empty()) return;
  std::vector<const Source*> sorted(sources.begin(), sources.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const Source* a, const Source* b) { return a->name < b->name; });
  Say("\nSources:\n");
  for (const Source* s : sorted) {
    Say("  {}: {}{}\n", s->name, s->title, s->url.empty() ? "" : "\n      " + s->url);
  }
}

void PrintTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i + 1 == row.size() ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
    }
    Say("{}\n", line);
  }
}

}  // namespace

bool IsOwn(std::string_view place) {
  return !place.empty() && !place.starts_with(ProviderPack::BuiltInFile().name + ":");
}

std::vector<ShownSetting> SettingsOf(const Provider& p) {
  return {Shown("mx_suffixes", p.mx_suffixes, true),
          Shown("domains", p.domains, true),
          Shown("relays", p.relays, true),
          Shown("connections", p.connections),
          Shown("messages_per_connection", p.messages_per_connection),
          Shown("recipients_per_transaction", p.recipients_per_transaction),
          Shown("rate", p.rate),
          Shown("quota", p.quota),
          Shown("tls", p.tls),
          Shown("retry", p.retry)};
}

std::string RuleWhen(const ReplyRule& rule) {
  std::vector<std::string> parts;
  if (!rule.codes.empty()) parts.push_back(fmt::format("{}", fmt::join(rule.codes, " or ")));
  if (!rule.enhanced.empty()) parts.push_back(fmt::format("{}", fmt::join(rule.enhanced, " or ")));
  if (!rule.pattern.empty()) parts.push_back(fmt::format("/{}/", rule.pattern));
  if (!rule.stages.empty()) {
    parts.push_back(fmt::format("at {}", fmt::join(StageNames(rule), " or ")));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string RuleDoes(const ReplyRule& rule) {
  std::string text;
  if (HasThreshold(rule)) {
    text = fmt::format("after {} in {}: ", rule.threshold.count, DurationText(rule.threshold.per));
  }
  const std::string span = DurationText(rule.duration);
  const std::string some = rule.connections ? fmt::format("{} connection{}", *rule.connections,
                                                          *rule.connections == 1 ? "" : "s")
                                            : "as many connections as before";
  switch (rule.action) {
    case ReplyAction::kSlow:
      return text + fmt::format("{} for {}",
                                rule.rate ? "at most " + CountPerText(*rule.rate) : "half the rate",
                                span);
    case ReplyAction::kSuspend:
      return text + fmt::format("nothing for {}, then on with {}", span, some);
    case ReplyAction::kLimitConnections:
      return text + fmt::format("at most {} for {}", some, span);
    case ReplyAction::kClose:
      return text + "close the connection; a new one may be opened at once";
    case ReplyAction::kIgnore:
      return text + "nothing; no later rule matches either";
  }
  return text;
}

Json ProviderJson(const Provider& provider) {
  Json json = {{"name", provider.name},
               {"title", provider.title},
               {"base", provider.base == nullptr ? Json(nullptr) : Json(provider.base->name)},
               {"place", provider.place}};
  for (const ShownSetting& s : SettingsOf(provider)) {
    Json setting = {{"value", s.value}, {"inherited", s.origin->inherited}};
    setting.update(OriginJson(s.origin->source, s.origin->note, s.origin->place));
    json[std::string(s.key)] = std::move(setting);
  }
  json["replies"] = Json::array();
  for (const ReplyRule& rule : provider.replies) json["replies"].push_back(RuleJson(rule));
  return json;
}

void PrintProviders(const ProviderPack& pack, bool json) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "CONNECTIONS", "PER CONNECTION", "RATE", "QUOTA", "TLS", "RULES", "FROM"}};
  for (const Provider& p : pack.providers()) {
    if (json) {
      fmt::print("{}\n", Dump(ProviderJson(p)));
      continue;
    }
    const auto settings = SettingsOf(p);
    const auto cell = [&](std::string_view key) { return Cell(Find(settings, key)); };
    rows.push_back({p.name, cell("connections"), cell("messages_per_connection"), cell("rate"),
                    cell("quota"), cell("tls"), std::to_string(p.replies.size()), SourcesOf(p)});
  }
  if (json) return;
  PrintTable(rows);
  Say("\n{} providers, the pack of {}. ~ folklore, + your own, the rest published by the provider; "
      "(in brackets) of \"{}\" or \"{}\", - not limited.\n"
      "volley providers show NAME says who says what.\n",
      pack.providers().size(), pack.released(), pack.fallback().name, pack.relay_fallback().name);
}

void PrintProvider(const Provider& provider) {
  Say("{}: {}\n\n", provider.name, provider.title);
  std::set<const Source*> sources;
  for (const ShownSetting& s : SettingsOf(provider)) {
    const Origin& origin = *s.origin;
    if (s.is_name && s.value.is_null()) continue;
    if (origin.source != nullptr && !origin.source->name.empty()) sources.insert(origin.source);
    const std::string from = SourceWords(origin.source, origin.place);
    Say("  {:<27} {}\n", s.key, s.text);
    if (from.empty()) continue;
    Say("  {:<27}   {}{}{}\n", "", from,
        origin.inherited ? fmt::format(", of \"{}\"", provider.base->name) : "",
        origin.note.empty() ? "" : ": " + origin.note);
  }
  if (!provider.replies.empty()) Say("\nReply rules, the first that matches:\n");
  for (const ReplyRule& rule : provider.replies) {
    PrintRule(rule);
    if (rule.source != nullptr && !rule.source->name.empty()) sources.insert(rule.source);
  }
  if (provider.base != nullptr && !provider.base->replies.empty()) {
    Say("\n{} the {} of \"{}\".\n", provider.replies.empty() ? "Reply rules:" : "Then",
        provider.base->replies.size(), provider.base->name);
  }
  PrintSources(sources);
}

absl::Status NoProvider(const ProviderPack& pack, std::string_view name) {
  std::vector<std::string> known;
  for (const Provider& p : pack.providers()) known.push_back(p.name);
  return absl::NotFoundError(fmt::format(
      "no provider {}{}; volley providers lists them, volley providers match DOMAIN finds one",
      engine::message::Quoted(name), engine::DidYouMean(std::string(name), known)));
}

}  // namespace volley::tools
