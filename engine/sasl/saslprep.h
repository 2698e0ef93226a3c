// SASLprep (RFC 4013): the form in which SCRAM hashes user names and passwords, so that "ﬁ" and
// "fi" or two ways to write an accent are one password. By libidn's stringprep; plain ASCII, which
// it leaves alone, does not get that far.
//
// Threading: functions without state. Errors: InvalidArgument, with words that hold nothing of the
// text. libidn does not clear its working memory: of a password that is not ASCII a copy may stay
// in freed memory.
#ifndef VOLLEY_ENGINE_SASL_SASLPREP_H_
#define VOLLEY_ENGINE_SASL_SASLPREP_H_

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/base/secret.h"

namespace volley::engine::sasl {

// RFC 3454 §7: code points that Unicode 3.2 had not assigned (emoji, among others) are let through
// in a query and refused in what is stored. RFC 5802 §5.1: user names are queries; §2.2: passwords
// are stored strings.
enum class PrepKind : uint8_t { kQuery, kStored };

[[nodiscard]] absl::StatusOr<Secret> SaslPrep(std::string_view text, PrepKind kind);

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_SASLPREP_H_
