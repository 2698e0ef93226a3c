// The keyed hashes of SCRAM and CRAM-MD5, by OpenSSL, with results that clear themselves.
//
// Threading: functions without state. Errors: an empty result means that OpenSSL could not (a FIPS
// configuration has no MD5).
#ifndef VOLLEY_ENGINE_SASL_DIGEST_H_
#define VOLLEY_ENGINE_SASL_DIGEST_H_

#include <cstdint>
#include <string_view>

#include "engine/base/secret.h"

namespace volley::engine::sasl {

enum class Hash : uint8_t { kMd5, kSha1, kSha256 };

Secret Hmac(Hash hash, std::string_view key, std::string_view data);  // RFC 2104
Secret Digest(Hash hash, std::string_view data);
// Hi() of RFC 5802 §2.2: as long as the hash's output.
Secret Pbkdf2(Hash hash, std::string_view password, std::string_view salt, uint32_t iterations);

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_DIGEST_H_
