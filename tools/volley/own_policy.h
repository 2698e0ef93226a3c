// The user's own files about receivers of mail: providers laid over the built-in pack, rules that
// go before the built-in ones (docs/providers.md, docs/bounces.md).
//
// A campaign keeps a copy of each in its folder, so that going on with it means the same; one that
// is given anew takes the copy's place.
//
// Threading: functions without state; what they give is immutable. Errors: InvalidArgument or
// NotFound that begin with FILE or FILE:LINE.
#ifndef VOLLEY_TOOLS_VOLLEY_OWN_POLICY_H_
#define VOLLEY_TOOLS_VOLLEY_OWN_POLICY_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/bounce/classify.h"
#include "engine/policy/provider_pack.h"
#include "pipeline/campaign/definition.h"

namespace volley::tools {

struct OwnPolicy {
  std::shared_ptr<const engine::policy::ProviderPack> providers;  // never null
  std::shared_ptr<const engine::bounce::Classifier> rules;        // null: the built-in ones
  // The files' bytes; none: not given.
  std::optional<std::string> providers_text, rules_text;
};

// Empty path: the built-in pack.
absl::StatusOr<std::shared_ptr<const engine::policy::ProviderPack>> LoadProviders(
    const std::string& path);
// Empty path: null, for the built-in rules. Also InvalidArgument: an example that another rule
// decides.
absl::StatusOr<std::shared_ptr<const engine::bounce::Classifier>> LoadRules(
    const std::string& path);

absl::StatusOr<OwnPolicy> ReadOwnPolicy(const pipeline::PolicyDefinition& files);

// What was not given is what the campaign keeps in its folder, if it has `begun`. Writes nothing.
absl::Status TakeKeptPolicy(const std::string& folder, bool begun, OwnPolicy* policy);
// As above; and what was given is kept there from now on.
absl::Status KeepOwnPolicy(const std::string& folder, bool begun, OwnPolicy* policy);

// How a file is called in a pack: never as the built-in one, also where that is its name.
std::string PackFileName(const std::string& path);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_OWN_POLICY_H_
