// DMARC policy records (RFC 7489 §6.3, §6.4). Pure.
#ifndef VOLLEY_ENGINE_PREFLIGHT_DMARC_H_
#define VOLLEY_ENGINE_PREFLIGHT_DMARC_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace volley::engine::preflight {

inline constexpr size_t kDmarcRecordBytesMax = 8 * 1024;

enum class DmarcPolicy : uint8_t { kNone, kQuarantine, kReject };
std::string_view DmarcPolicyName(DmarcPolicy policy);  // as in p=

struct DmarcRecord {
  DmarcPolicy policy = DmarcPolicy::kNone;            // p=
  DmarcPolicy subdomain_policy = DmarcPolicy::kNone;  // sp=, or p= where there is none
  bool strict_dkim = false;                           // adkim=s
  bool strict_spf = false;                            // aspf=s
  int percent = 100;                                  // pct=
  bool has_reports = false;                           // rua=
};

// A text that was meant to be a DMARC record, well written or not.
bool LooksLikeDmarc(std::string_view txt);

// `txt`: a TXT record's strings joined. InvalidArgument, with what is wrong: a tag list that is
// none, v= that is not first or not exactly DMARC1, no p=, a value that the tag does not have.
// Receivers forgive some of it (§6.6.3), each in its own way; a sender should not rely on that.
// Tags that are not known are passed over.
[[nodiscard]] absl::StatusOr<DmarcRecord> ParseDmarcRecord(std::string_view txt);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_DMARC_H_
