// Base64 (RFC 4648 §4) as RFC 4954 §4 wants it: anything outside the alphabet, and padding anywhere
// but at the end, is refused and not skipped. So is an encoding that is not the canonical one (bits
// set that no byte uses; RFC 5802 §2.1).
//
// Threading: functions without state. What is encoded is most often a password: no table look-up is
// data-independent here, the server at the other end of the line is the one who would have to time
// it.
#ifndef VOLLEY_ENGINE_SASL_BASE64_H_
#define VOLLEY_ENGINE_SASL_BASE64_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/secret.h"

namespace volley::engine::sasl {

// RFC 4954 §4: "12288 octets is considered to be a sufficient line length limit".
inline constexpr size_t kBase64BytesMax = 12288;

std::string EncodeBase64(std::string_view bytes);
Secret EncodeBase64(const Secret& bytes);
// nullopt: not base64, or longer than kBase64BytesMax.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_BASE64_H_
