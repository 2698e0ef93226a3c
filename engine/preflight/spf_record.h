// SPF records: their terms, and the macros in their domain names (RFC 7208 §4.6, §5, §6, §7, §12).
// Pure. Bounds: a record is at most kSpfRecordBytesMax bytes.
#ifndef VOLLEY_ENGINE_PREFLIGHT_SPF_RECORD_H_
#define VOLLEY_ENGINE_PREFLIGHT_SPF_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/preflight/ip_address.h"

namespace volley::engine::preflight {

inline constexpr size_t kSpfRecordBytesMax = 8 * 1024;

enum class SpfMechanism : uint8_t { kAll, kInclude, kA, kMx, kPtr, kIp4, kIp6, kExists };

struct SpfDirective {
  SpfMechanism mechanism = SpfMechanism::kAll;
  char qualifier = '+';  // "+-~?"
  std::string text;      // as it stands in the record
  std::string domain;    // domain-spec with its macros; empty: the domain that is checked
  IpAddress network;     // kIp4, kIp6
  int prefix4 = 32, prefix6 = 128;
};

struct SpfRecord {
  std::vector<SpfDirective> directives;
  std::string redirect;  // domain-spec with its macros; empty: none
};

// §4.5: "v=spf1" and then a space or nothing.
bool IsSpfRecord(std::string_view txt);

// REQUIRES: IsSpfRecord(txt). InvalidArgument: any term that the grammar does not have, wherever
// it stands (§4.6), with the term.
[[nodiscard]] absl::StatusOr<SpfRecord> ParseSpfRecord(std::string_view txt);

// What macros stand for.
struct SpfMacroValues {
  std::optional<IpAddress> ip;  // nullopt: not known
  std::string sender;           // "local@domain"
  std::string domain;           // that is checked now
  std::string helo;
};

// A domain-spec with its macros expanded, at most 253 bytes: labels are cut off at the left (§7.3).
// %{p} is "unknown", as for an address without a name. nullopt: it needs an address, and that is
// not known. REQUIRES: it comes from a record that was parsed.
std::optional<std::string> ExpandSpfMacros(std::string_view spec, const SpfMacroValues& values);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_SPF_RECORD_H_
