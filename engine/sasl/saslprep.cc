#include "engine/sasl/saslprep.h"

#include <stringprep.h>

#include <algorithm>
#include <cstring>

namespace volley::engine::sasl {
namespace {

// RFC 4013 §2.3, C.2.1 of RFC 3454: control characters are prohibited; all else in ASCII is kept.
bool IsPlainAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

// NFKC makes some characters longer: U+FDFA becomes eighteen of two or three bytes.
constexpr size_t kGrowthMax = 18;

absl::Status WhyNot(int result) {
  switch (result) {
    case STRINGPREP_CONTAINS_UNASSIGNED:
      return absl::InvalidArgumentError(
          "it has a character that SASLprep does not know (RFC 4013; emoji are among them)");
    case STRINGPREP_CONTAINS_PROHIBITED:
      return absl::InvalidArgumentError(
          "it has a character that SASLprep prohibits (RFC 4013 §2.3; control characters, among "
          "others)");
    case STRINGPREP_BIDI_BOTH_L_AND_RAL:
    case STRINGPREP_BIDI_LEADTRAIL_NOT_RAL:
    case STRINGPREP_BIDI_CONTAINS_PROHIBITED:
      return absl::InvalidArgumentError(
          "it mixes writing directions in a way that SASLprep prohibits (RFC 4013 §2.4)");
    case STRINGPREP_ICONV_ERROR:
      return absl::InvalidArgumentError("it is not UTF-8");
    default:
      return absl::InvalidArgumentError("SASLprep (RFC 4013) refuses it");
  }
}

}  // namespace

absl::StatusOr<Secret> SaslPrep(std::string_view text, PrepKind kind) {
  if (IsPlainAscii(text)) return Secret::Concat({text});
  // libidn works in place on a C string.
  if (text.find('\0') != std::string_view::npos) return WhyNot(STRINGPREP_CONTAINS_PROHIBITED);
  Secret work = Secret::Sized(text.size() * kGrowthMax + 1);
  std::copy(text.begin(), text.end(), work.bytes());
  const auto flags = static_cast<Stringprep_profile_flags>(
      kind == PrepKind::kStored ? STRINGPREP_NO_UNASSIGNED : 0);
  const int result = stringprep(work.bytes(), work.size(), flags, stringprep_saslprep);
  if (result != STRINGPREP_OK) return WhyNot(result);
  return Secret::Concat({std::string_view(work.bytes(), std::strlen(work.bytes()))});
}

}  // namespace volley::engine::sasl
