#include "engine/sasl/mechanism.h"

#include <algorithm>
#include <array>

#include "fmt/format.h"

namespace volley::engine::sasl {
namespace {

constexpr std::string_view kNames[] = {
    "OAUTHBEARER", "XOAUTH2", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN",
};
static_assert(std::size(kNames) == std::size(kMechanisms));

// What a server can make us repeat in an error.
constexpr size_t kOfferedShown = 20;

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool IsOffered(const MechanismQuery& query, Mechanism mechanism) {
  return std::find(query.offered.begin(), query.offered.end(), MechanismName(mechanism)) !=
         query.offered.end();
}

bool HasSecretFor(const MechanismQuery& query, Mechanism mechanism) {
  return UsesToken(mechanism) ? query.has_token : query.has_password;
}

bool IsSafeEnough(const MechanismQuery& query, Mechanism mechanism) {
  return query.tls || query.allow_insecure || !NeedsTls(mechanism);
}

bool IsWanted(const MechanismQuery& query, Mechanism mechanism) {
  return (!query.only || *query.only == mechanism) && HasSecretFor(query, mechanism);
}

void AppendWord(std::string_view word, std::string* list) {
  if (!list->empty()) list->append(", ");
  list->append(word);
}

// A mechanism name is upper case letters, digits, '-' and '_' (RFC 4422 §3.1). What else a server
// puts there is not repeated: it may be there to be printed.
bool IsMechanismName(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

std::string OfferedWords(std::span<const std::string> offered) {
  std::string words;
  size_t shown = 0;
  for (const std::string& name : offered) {
    if (!IsMechanismName(name)) continue;
    if (shown++ == kOfferedShown) return words += ", ...";
    AppendWord(name, &words);
  }
  return words.empty() ? "nothing" : words;
}

std::string CouldWords(const MechanismQuery& query) {
  std::string words;
  for (const Mechanism mechanism : kMechanisms) {
    if (IsWanted(query, mechanism)) AppendWord(MechanismName(mechanism), &words);
  }
  return words.empty() ? "nothing" : words;
}

// What stands between us and the mechanisms that are offered and that we know. Empty: none is.
std::string ObstacleWords(const MechanismQuery& query, AuthFailure* failure) {
  std::string need_tls, need_token, need_password;
  for (const Mechanism mechanism : kMechanisms) {
    if (!IsOffered(query, mechanism) || (query.only && *query.only != mechanism)) continue;
    if (!HasSecretFor(query, mechanism)) {
      AppendWord(MechanismName(mechanism), UsesToken(mechanism) ? &need_token : &need_password);
    } else {
      AppendWord(MechanismName(mechanism), &need_tls);
    }
  }
  std::string words;
  if (!need_tls.empty()) {
    *failure = AuthFailure::kEncryptionRequired;
    words += fmt::format("; {} needs TLS (auth_insecure=true sends it in clear)", need_tls);
  }
  if (!need_token.empty()) {
    if (need_tls.empty() && need_password.empty()) *failure = AuthFailure::kOauthRequired;
    words += fmt::format("; {} needs an OAuth2 token", need_token);
  }
  if (!need_password.empty()) words += fmt::format("; {} needs a password", need_password);
  return words;
}

}  // namespace

std::string_view MechanismName(Mechanism mechanism) {
  return kNames[static_cast<size_t>(mechanism)];
}

std::optional<Mechanism> ParseMechanism(std::string_view name) {
  for (const Mechanism mechanism : kMechanisms) {
    const std::string_view known = MechanismName(mechanism);
    if (std::equal(name.begin(), name.end(), known.begin(), known.end(),
                   [](char a, char b) { return Upper(a) == b; })) {
      return mechanism;
    }
  }
  return std::nullopt;
}

bool UsesToken(Mechanism mechanism) {
  return mechanism == Mechanism::kOauthBearer || mechanism == Mechanism::kXoauth2;
}

bool NeedsTls(Mechanism mechanism) {
  return UsesToken(mechanism) || mechanism == Mechanism::kPlain || mechanism == Mechanism::kLogin;
}

MechanismChoice ChooseMechanism(const MechanismQuery& query) {
  for (const Mechanism mechanism : kMechanisms) {
    if (IsWanted(query, mechanism) && IsOffered(query, mechanism) &&
        IsSafeEnough(query, mechanism)) {
      return {.mechanism = mechanism, .failure = AuthFailure::kNone, .why = {}};
    }
  }
  MechanismChoice none;
  none.failure = AuthFailure::kMechanismMissing;
  const std::string obstacles = ObstacleWords(query, &none.failure);
  none.why = fmt::format("no login mechanism fits: offered: {}; we could: {}{}{}",
                         OfferedWords(query.offered), CouldWords(query),
                         query.only ? fmt::format(" (auth={})", MechanismName(*query.only)) : "",
                         obstacles);
  return none;
}

}  // namespace volley::engine::sasl
