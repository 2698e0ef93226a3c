// The TXT record of a DKIM key as it is found in the DNS (RFC 6376 §3.6.1), and whether it is the
// one that a private key needs.
//
// Threading: functions without state. Bounds: a record of more than kRecordBytesMax bytes is
// refused. What is found comes from strangers: messages show it quoted and cut.
#ifndef VOLLEY_ENGINE_DKIM_DNS_RECORD_H_
#define VOLLEY_ENGINE_DKIM_DNS_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/dkim/key.h"

namespace volley::engine::dkim {

// Twenty times what a key of 4096 bits needs; its base64 is under sasl::kBase64BytesMax.
inline constexpr size_t kRecordBytesMax = 16 * 1024;

struct DkimRecord {
  std::string key_type;    // k=, as it is there: "rsa" (also when there is no k=), "ed25519", other
  std::string public_key;  // p= without white space; empty: the key was revoked
  bool testing = false;    // t=y: receivers are asked to treat a bad signature like none
  bool strict_domain = false;                // t=s: i= may not be in a subdomain of d=
  std::vector<std::string> hash_algorithms;  // h=; empty: any
  std::vector<std::string> service_types;    // s=; empty: any
};

// `txt`: a TXT record's strings joined without anything between them (§3.6.2.2). InvalidArgument,
// with what is wrong in words for the domain's owner: no tag list, a tag twice (§3.2), v= that is
// not first or not DKIM1, no p=, p= that is not base64, too long. Tags that are not known are
// passed over (§3.2).
[[nodiscard]] absl::StatusOr<DkimRecord> ParseDkimRecord(std::string_view txt);

enum class RecordMatch : uint8_t {
  kMatches,
  kOtherKey,    // of this type, but not this key's public half
  kRevoked,     // p= is empty (§3.6.1)
  kOtherType,   // k= is not this key's
  kForbidsUse,  // this key, but h= is without sha256 or s= without email
};

// What receivers will find when they verify what `key` signs. Keys are compared as what they
// decode to, not as text: an RSA key may be encoded in more ways than one.
[[nodiscard]] RecordMatch CompareRecord(const DkimRecord& record, const SigningKey& key);

}  // namespace volley::engine::dkim

#endif  // VOLLEY_ENGINE_DKIM_DNS_RECORD_H_
