#include "tools/volley/providers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/bounce/rules.h"
#include "engine/message/utf8.h"
#include "engine/policy/provider_pack.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/own_policy.h"
#include "tools/volley/providers_output.h"
#include "tools/volley/suppress_common.h"

namespace volley::tools {
namespace {

using engine::policy::Provider;
using engine::policy::ProviderPack;
using engine::policy::ReplyRule;
using Json = nlohmann::ordered_json;

constexpr const char* kFooter = R"(Examples:
  volley providers                                  all of them, a line each
  volley providers show google
  volley providers match ann@gmail.com
  volley providers check ours.toml                  what your own file changes
  volley providers --providers ours.toml            all, with your own file laid over
  volley send newsletter.toml --via mx --providers ours.toml

docs/providers.md has the keys, and says how a provider is found.)";

constexpr const char* kShowFooter = R"(Examples:
  volley providers show google
  volley providers show default                     who nobody has described
  volley providers show google --providers ours.toml --json

Exit code: 0, 2 when there is no such provider or the file is wrong.)";

constexpr const char* kMatchFooter = R"(Examples:
  volley providers match gmail.com                  a recipient's domain
  volley providers match ann@gmail.com
  volley providers match aspmx.l.google.com         an MX host
  volley providers match email-smtp.eu-west-1.amazonaws.com   a relay

Nothing is asked of DNS: for a company's domain give the MX host it has (dig +short MX example.com).
Exit code: 0 found, 1 nobody has described it, 2 an error.)";

constexpr const char* kCheckFooter = R"(Examples:
  volley providers check ours.toml
  volley providers check ours.toml --json

Exit code: 0, 2 when the file is wrong: each fault with FILE:LINE.)";

constexpr const char* kCheckRulesFooter = R"(Examples:
  volley providers check-rules our-rules.toml
  volley providers check-rules our-rules.toml --providers ours.toml --json
  volley bounce reply --rules our-rules.toml '554 refused by our rule'

Exit code: 0, 2 when the file is wrong: FILE:LINE, rule and value.)";

struct ProviderFlags {
  std::string providers, name, file;
  bool json = false;
};

// --- match ---

struct Match {
  std::string_view as;
  const Provider* provider;
};

std::vector<Match> Matches(const ProviderPack& pack, std::string_view host, bool is_address) {
  std::vector<Match> found;
  if (const Provider* p = pack.ByDomain(host); p != &pack.fallback())
    found.push_back({"domain", p});
  if (is_address) return found;
  if (const Provider* p = pack.ByMx(host); p != &pack.fallback()) found.push_back({"mx", p});
  if (const Provider* p = pack.ByRelay(host); p != &pack.relay_fallback()) {
    found.push_back({"relay", p});
  }
  return found;
}

std::string_view Words(std::string_view as) {
  return as == "domain" ? "as a recipient's domain" : as == "mx" ? "as an MX host" : "as a relay";
}

void PrintLimits(const Provider& provider) {
  for (const ShownSetting& s : SettingsOf(provider)) {
    if (s.is_name || s.value.is_null()) continue;
    fmt::print("  {:<27} {}\n", s.key, s.text);
  }
}

void PrintMatches(const ProviderPack& pack, std::string_view host,
                  const std::vector<Match>& found) {
  for (const Match& m : found) {
    fmt::print("{}: {}, {} ({})\n", host, m.provider->name, Words(m.as),
               engine::message::Quoted(m.provider->title));
    PrintLimits(*m.provider);
  }
  if (!found.empty()) return;
  fmt::print("{}: nobody has described it; \"{}\" applies, unless its MX host is known:\n", host,
             pack.fallback().name);
  PrintLimits(pack.fallback());
  if (pack.ByName(host) != nullptr) {
    fmt::print("\"{0}\" is the name of a provider: volley providers show {0}\n", host);
  } else {
    fmt::print(
        "volley providers match MXHOST tells (dig +short MX {}); docs/providers.md says how "
        "to describe a provider of your own\n",
        host);
  }
}

int RunMatch(const ProviderFlags& flags) {
  const auto pack = LoadProviders(flags.providers);
  if (!pack.ok()) return ReportError(pack.status());
  const size_t at = flags.name.rfind('@');
  const bool is_address = at != std::string::npos;
  const auto host =
      engine::policy::CanonicalName(is_address ? flags.name.substr(at + 1) : flags.name, false);
  if (!host.ok()) {
    return ReportError(absl::InvalidArgumentError(
        fmt::format("{}: {}; give a domain, an address, an MX host or a relay, such as gmail.com",
                    engine::message::Quoted(flags.name), std::string(host.status().message()))));
  }
  const auto found = Matches(**pack, *host, is_address);
  if (flags.json) {
    Json json = {{"name", *host}, {"matches", Json::array()}};
    for (const Match& m : found) {
      json["matches"].push_back({{"as", m.as}, {"provider", ProviderJson(*m.provider)}});
    }
    if (found.empty()) json["fallback"] = ProviderJson((*pack)->fallback());
    fmt::print("{}\n", Dump(json));
  } else {
    PrintMatches(**pack, *host, found);
  }
  return found.empty() ? 1 : 0;
}

// --- check ---

struct Change {
  std::string provider, key, from, to, place;
};

const ReplyRule* FindRule(const Provider* provider, std::string_view name) {
  if (provider == nullptr) return nullptr;
  const auto found = std::find_if(provider->replies.begin(), provider->replies.end(),
                                  [&](const ReplyRule& r) { return r.name == name; });
  return found == provider->replies.end() ? nullptr : &*found;
}

// `was`: null: a new provider.
void AddChanges(const Provider& now, const Provider* was, std::vector<Change>* changes) {
  const auto settings = SettingsOf(now);
  std::vector<ShownSetting> old;
  if (was != nullptr) old = SettingsOf(*was);
  for (size_t i = 0; i < settings.size(); ++i) {
    const ShownSetting& s = settings[i];
    if (s.origin->inherited || !IsOwn(s.origin->place)) continue;
    changes->push_back(
        {now.name, std::string(s.key), old.empty() ? "" : old[i].text, s.text, s.origin->place});
  }
  for (const ReplyRule& rule : now.replies) {
    if (!IsOwn(rule.place)) continue;
    const ReplyRule* before = FindRule(was, rule.name);
    changes->push_back({now.name, fmt::format("reply {}", rule.name),
                        before == nullptr ? "" : RuleDoes(*before), RuleDoes(rule), rule.place});
  }
}

std::vector<Change> ChangesOf(const ProviderPack& pack) {
  std::vector<Change> changes;
  for (const Provider& p : pack.providers()) {
    AddChanges(p, ProviderPack::BuiltIn()->ByName(p.name), &changes);
  }
  return changes;
}

void PrintChanges(const std::string& file, const std::vector<Change>& changes) {
  if (changes.empty()) fmt::print("{}: changes nothing\n", file);
  std::string_view provider;
  for (const Change& c : changes) {
    if (c.provider != provider) {
      const bool is_new = ProviderPack::BuiltIn()->ByName(c.provider) == nullptr;
      fmt::print("{}{}\n", c.provider, is_new ? " (new)" : "");
      provider = c.provider;
    }
    fmt::print("  {}: {}\n", c.key,
               c.from.empty()   ? c.to
               : c.from == c.to ? fmt::format("{}, as it was", c.to)
                                : fmt::format("{} -> {}", c.from, c.to));
  }
}

// What is wrong, for programs too; 2.
int ReportFaults(const std::string& file, const absl::Status& status, bool json) {
  if (json) {
    Json out = {{"file", file}, {"ok", false}, {"errors", Json::array()}};
    std::string_view rest(status.message().data(), status.message().size());
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      out["errors"].push_back(std::string(rest.substr(0, end)));
      rest.remove_prefix(std::min(rest.size(), end + 1));
    }
    fmt::print("{}\n", Dump(out));
  }
  return ReportError(status);
}

int RunCheck(const ProviderFlags& flags) {
  const auto pack = LoadProviders(flags.file);
  if (!pack.ok()) return ReportFaults(flags.file, pack.status(), flags.json);
  const auto changes = ChangesOf(**pack);
  if (!flags.json) {
    PrintChanges(flags.file, changes);
    return 0;
  }
  Json out = {{"file", flags.file}, {"ok", true}, {"changes", Json::array()}};
  for (const Change& c : changes) {
    out["changes"].push_back({{"provider", c.provider},
                              {"key", c.key},
                              {"from", c.from.empty() ? Json(nullptr) : Json(c.from)},
                              {"to", c.to},
                              {"place", c.place}});
  }
  fmt::print("{}\n", Dump(out));
  return 0;
}

// --- check-rules ---

// A rule of a provider that there is not would never match.
absl::Status CheckProviders(const std::vector<engine::bounce::Rule>& rules,
                            const ProviderPack& pack) {
  for (const auto& rule : rules) {
    for (const std::string& name : rule.providers) {
      if (pack.ByName(name) != nullptr) continue;
      return absl::InvalidArgumentError(fmt::format("{}: rule {}: {}", rule.place,
                                                    engine::message::Quoted(rule.id),
                                                    std::string(NoProvider(pack, name).message())));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<engine::bounce::Rule>> ReadAndCheckRules(const ProviderFlags& flags) {
  const auto pack = LoadProviders(flags.providers);
  if (!pack.ok()) return pack.status();
  const auto policy = ReadOwnPolicy({.providers_path = "", .rules_path = flags.file});
  if (!policy.ok()) return policy.status();
  auto parsed = engine::bounce::ParseRules({flags.file, *policy->rules_text});
  if (!parsed.ok()) return parsed.status();
  if (absl::Status s = CheckProviders(parsed->rules, **pack); !s.ok()) return s;
  return std::move(parsed->rules);
}

int RunCheckRules(const ProviderFlags& flags) {
  const auto rules = ReadAndCheckRules(flags);
  if (!rules.ok()) return ReportFaults(flags.file, rules.status(), flags.json);
  Json out = {{"file", flags.file}, {"ok", true}, {"rules", Json::array()}};
  if (!flags.json) {
    fmt::print("{}: {} rule{}, before the {} of volley\n", flags.file, rules->size(),
               rules->size() == 1 ? "" : "s", engine::bounce::Classifier::BuiltIn().rules());
  }
  for (const auto& rule : *rules) {
    const std::string_view category = engine::bounce::InfoOf(rule.category).name;
    if (flags.json) {
      out["rules"].push_back({{"id", rule.id}, {"category", category}, {"place", rule.place}});
    } else {
      fmt::print("  {}: {}{}\n", engine::message::Quoted(rule.id), category,
                 rule.examples.empty() ? " (no example: nothing shows that it can match)" : "");
    }
  }
  if (flags.json) fmt::print("{}\n", Dump(out));
  return 0;
}

// --- list, show ---

int RunList(const ProviderFlags& flags) {
  const auto pack = LoadProviders(flags.providers);
  if (!pack.ok()) return ReportError(pack.status());
  PrintProviders(**pack, flags.json);
  return 0;
}

int RunShow(const ProviderFlags& flags) {
  const auto pack = LoadProviders(flags.providers);
  if (!pack.ok()) return ReportError(pack.status());
  const Provider* provider = (*pack)->ByName(flags.name);
  if (provider == nullptr) return ReportError(NoProvider(**pack, flags.name));
  if (flags.json) {
    fmt::print("{}\n", Dump(ProviderJson(*provider)));
  } else {
    PrintProvider(*provider);
  }
  return 0;
}

void AddProviderFlags(CLI::App* command, ProviderFlags* flags, bool own_file = true) {
  if (own_file) {
    command->add_option("--providers", flags->providers,
                        "Your own provider file (TOML), laid over the built-in pack");
  }
  command->add_flag("--json", flags->json, "JSON");
}

CLI::App* AddCommand(CLI::App* parent, const char* name, const char* what, const char* footer,
                     const std::shared_ptr<ProviderFlags>& flags, bool own_file,
                     int (*run)(const ProviderFlags&), int* exit_code) {
  CLI::App* command = parent->add_subcommand(name, what);
  command->footer(footer);
  AddProviderFlags(command, flags.get(), own_file);
  command->callback([flags, run, exit_code] { *exit_code = run(*flags); });
  return command;
}

}  // namespace

void AddProvidersCommand(CLI::App& app, int* exit_code) {
  CLI::App* providers =
      app.add_subcommand("providers", "Show what each receiver of mail allows, and who says so");
  const auto flags = std::make_shared<ProviderFlags>();
  providers->footer(kFooter);
  providers->require_subcommand(0, 1);
  AddProviderFlags(providers, flags.get());
  providers->callback([providers, flags, exit_code] {
    if (providers->get_subcommands().empty()) *exit_code = RunList(*flags);
  });
  AddCommand(providers, "show", "One provider: each value, its source and date, the reply rules",
             kShowFooter, flags, true, RunShow, exit_code)
      ->add_option("NAME", flags->name, "As volley providers lists it: google")
      ->required();
  AddCommand(providers, "match", "Which provider a domain, an MX host or a relay is of",
             kMatchFooter, flags, true, RunMatch, exit_code)
      ->add_option("NAME", flags->name, "Domain, address, MX host or relay")
      ->required();
  AddCommand(providers, "check", "Check a provider file of your own, and say what it changes",
             kCheckFooter, flags, false, RunCheck, exit_code)
      ->add_option("FILE", flags->file, "Your own provider file (TOML)")
      ->required();
  AddCommand(providers, "check-rules", "Check a file of your own rules for what refusals mean",
             kCheckRulesFooter, flags, true, RunCheckRules, exit_code)
      ->add_option("FILE", flags->file, "Your own rule file (TOML)")
      ->required();
}

}  // namespace volley::tools
