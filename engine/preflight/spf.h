// SPF: may this address send for this domain? check_host() of RFC 7208 §4, with the DNS through
// DnsAnswers, so that it runs without a network: where an answer is missing, the evaluation goes on
// as if the term did not match, notes the question and says `pending`.
//
// Threading: a function without state. Bounds: 10 terms that look something up, 2 of them in vain,
// 10 hosts of an MX or PTR (§4.6.4), so hostile records end soon.
#ifndef VOLLEY_ENGINE_PREFLIGHT_SPF_H_
#define VOLLEY_ENGINE_PREFLIGHT_SPF_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/preflight/dns_answers.h"
#include "engine/preflight/ip_address.h"

namespace volley::engine::preflight {

inline constexpr int kSpfLookupsMax = 10;
inline constexpr int kSpfVoidLookupsMax = 2;
inline constexpr size_t kSpfHostsMax = 10;

enum class SpfResult : uint8_t {
  kNone,
  kNeutral,
  kPass,
  kFail,
  kSoftFail,
  kTempError,
  kPermError,
};
std::string_view SpfResultName(SpfResult result);

// Why it is a kPermError.
enum class SpfFault : uint8_t { kNone, kSeveralRecords, kSyntax, kTooManyLookups, kNoTarget };

struct SpfQuery {
  // nullopt: an address that no term names, so that the whole record is walked through: what it
  // costs at most, and what becomes of strangers.
  std::optional<IpAddress> ip;
  std::string sender;  // the reverse-path; empty: postmaster at the HELO name (§2.4)
  std::string helo;
};

struct SpfVerdict {
  SpfResult result = SpfResult::kNone;
  SpfFault fault = SpfFault::kNone;
  std::string detail;    // what decided: the term and whose record it is in; or what is wrong
  std::string record;    // of the domain itself, where it has exactly one
  int lookups = 0;       // terms that cost a lookup, as far as it was evaluated
  bool pending = false;  // there are open questions: nothing here is final
};

SpfVerdict EvaluateSpf(const SpfQuery& query, std::string_view domain, DnsAnswers* dns);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_SPF_H_
