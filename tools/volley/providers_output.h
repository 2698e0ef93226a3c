// Providers, their values and reply rules, for people and as JSON.
//
// Threading: functions without state. LIFETIME: what is shown belongs to the pack.
#ifndef VOLLEY_TOOLS_VOLLEY_PROVIDERS_OUTPUT_H_
#define VOLLEY_TOOLS_VOLLEY_PROVIDERS_OUTPUT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/policy/provider_pack.h"

namespace volley::tools {

// One value of a provider, of whatever type.
struct ShownSetting {
  std::string_view key;                  // as in the file: "messages_per_connection"
  const engine::policy::Origin* origin;  // place empty: nobody says anything
  std::string text;                      // "500/min"; "not limited"
  nlohmann::ordered_json value;          // null: not limited
  bool is_name = false;                  // who it is, not what it allows
};
std::vector<ShownSetting> SettingsOf(const engine::policy::Provider& provider);

// From a file of the user's, whatever source it names.
bool IsOwn(std::string_view place);

// "421 or 4.7.28, /unusual rate/, at rcpt"
std::string RuleWhen(const engine::policy::ReplyRule& rule);
// "after 5 in 1h: suspend for 10min, then go on with 1 connection"
std::string RuleDoes(const engine::policy::ReplyRule& rule);

// The table of all; as JSON lines or for people.
void PrintProviders(const engine::policy::ProviderPack& pack, bool json);
void PrintProvider(const engine::policy::Provider& provider);
nlohmann::ordered_json ProviderJson(const engine::policy::Provider& provider);

// NotFound, with the nearest name.
absl::Status NoProvider(const engine::policy::ProviderPack& pack, std::string_view name);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PROVIDERS_OUTPUT_H_
