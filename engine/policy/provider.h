// Provider: what one receiver of mail (or one relay) allows and how its refusals are to be taken.
// Every value knows who says so.
//
// Threading: values, never changed once they are in a ProviderPack. Lifetime: a Provider, its rules
// and its sources live as long as the pack.
#ifndef VOLLEY_ENGINE_POLICY_PROVIDER_H_
#define VOLLEY_ENGINE_POLICY_PROVIDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "engine/bounce/classify.h"
#include "engine/policy/values.h"

namespace re2 {
class RE2;
}

namespace volley::engine::policy {

enum class SourceKind : uint8_t {
  kPublished,  // the provider's own page or standard says so
  kFolklore,   // senders have found out, or we think so
  kOwn,        // the user's own file
};
std::string_view SourceKindName(SourceKind kind);  // "published"

struct Source {
  std::string name;   // "kumo"; empty: the file that has the value
  std::string title;  // "KumoMTA, assets/community/shaping.toml"
  std::string url;    // empty: there is none
  std::string date;   // "2026-11-24": when the value was taken from it; empty for own files
  SourceKind kind = SourceKind::kOwn;
};

// Who says what a setting says.
struct Origin {
  const Source* source = nullptr;  // nullptr: nobody says anything
  std::string note;
  std::string place;       // "providers.toml:17"; empty: nobody says anything
  bool inherited = false;  // from the provider's base
};

template <typename T>
struct Setting : Origin {
  std::optional<T> value;  // none: not limited
};

enum class TlsNeed : uint8_t { kOpportunistic, kRequired };
std::string_view TlsNeedName(TlsNeed need);

struct RetrySchedule {
  absl::Duration first, longest, give_up_after;
  bool operator==(const RetrySchedule&) const = default;
};

enum class ReplyAction : uint8_t {
  kSlow,              // a lower rate for a while: `rate`, or half of the present one
  kSuspend,           // nothing for a while, then go on with `connections`, one more at a time
  kLimitConnections,  // at most `connections` for a while
  kClose,             // end this session; a new one may be opened at once
  kIgnore,            // nothing: the rule keeps later ones from matching
};
std::string_view ReplyActionName(ReplyAction action);  // "limit_connections"

struct ReplyRule {
  std::string name;
  std::string pattern;                // RE2, letters of any case; empty: any text
  std::vector<bounce::Stage> stages;  // empty: any
  std::vector<std::string> codes;     // "421", "4xx"; empty: any refusal
  std::vector<std::string> enhanced;  // "4.7.28", "x.7.x"; empty: any or none
  // The action is taken at the count-th match within `per`.
  CountPer threshold{.count = 1, .per = absl::ZeroDuration()};
  ReplyAction action = ReplyAction::kIgnore;
  absl::Duration duration = absl::ZeroDuration();  // zero for kClose and kIgnore
  // kLimitConnections: how many. kSuspend: how many to go on with; none: as many as before.
  std::optional<uint32_t> connections;
  std::optional<CountPer> rate;  // kSlow

  const Source* source = nullptr;
  std::string note;
  std::string example;  // "421 4.7.28 ...": the rule matches it; may be empty in own files
  std::string place;
  std::shared_ptr<const re2::RE2> regex;  // of `pattern`; nullptr: any text

  bool Matches(const bounce::ReplyFacts& reply) const;
};

using Names = std::vector<std::string>;

struct Provider {
  std::string name;   // "google": stable, also in rules for replies and in lanes' names
  std::string title;  // for people
  // Dense from 0 in the order of the pack: for tables beside it.
  size_t index = 0;
  std::string place;  // "providers.toml:17": where it was described last

  // Who it is. In lower case A-labels, without a dot at the end.
  Setting<Names> mx_suffixes;  // its MX hosts are these or below
  Setting<Names> domains;      // recipient domains that are known without DNS
  Setting<Names> relays;       // submission hosts; one label may be "*"
  Names examples;              // hosts and domains that lead here

  // What it allows: of one source address, or for a relay of one account.
  Setting<uint32_t> connections;
  Setting<uint32_t> messages_per_connection;
  Setting<uint32_t> recipients_per_transaction;
  Setting<CountPer> rate;
  Setting<CountPer> quota;  // rolling
  Setting<TlsNeed> tls;
  Setting<RetrySchedule> retry;

  // Its own rules, in order. After them those of `base` apply.
  std::vector<ReplyRule> replies;
  // Whose values stand where it has none: "default", or for relays "default-relay". nullptr: it is
  // one of these.
  const Provider* base = nullptr;

  bool is_relay() const;  // a relay only: nobody's MX
};

}  // namespace volley::engine::policy

#endif  // VOLLEY_ENGINE_POLICY_PROVIDER_H_
