// Header fields as bytes: dates, encoded words, folding, mailboxes. RFC 5322 §2.2.3, §3.3, §3.4 and
// RFC 2047. Pure functions that append to a string the caller reuses.
//
// ENSURES, for every field written here: lines end in CRLF and are at most 78 bytes without it
// wherever white space allows a fold (76 when they hold an encoded word), never over 998; no line
// is white space only; all bytes are ASCII unless the address itself is not (RFC 6532).
#ifndef VOLLEY_ENGINE_MESSAGE_HEADER_H_
#define VOLLEY_ENGINE_MESSAGE_HEADER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace volley::engine::message {

inline constexpr size_t kMaxHeaderLineBytes = 998;  // RFC 5322 §2.1.1, without CRLF
inline constexpr size_t kMaxHeaderValueBytes = 8192;

// "Mon, 03 Nov 2025 17:05:00 +0100". InvalidArgument outside the years 1900 to 9999.
absl::StatusOr<std::string> FormatDate(absl::Time time, const absl::TimeZone& zone);

// RFC 5322 §3.6.8 field-name: printable ASCII without ':'; at most 64 bytes here.
bool IsHeaderName(std::string_view name);

// Offset of the first byte a header value must not have (a control character other than tab, or
// invalid UTF-8); npos when there is none.
size_t FindForbiddenInHeader(std::string_view value);

// How a value beyond ASCII is treated: encoded words are for unstructured fields (RFC 2047 §5);
// inside a structured one they would be taken literally, so there non-ASCII is refused.
enum class FieldSyntax : uint8_t { kUnstructured, kStructured };

// Appends "Name: value\r\n". White space around the value is dropped. InvalidArgument: a forbidden
// byte, a word too long for a line, non-ASCII in a structured field. On an error `out` may have
// half a field.
absl::Status AppendField(std::string_view name, std::string_view value, FieldSyntax syntax,
                         std::string* out);

// Appends "Name: Display Name <address>\r\n", or the bare address when the name is empty or blank.
// The name becomes atoms, a quoted string or encoded words, whichever it needs.
// REQUIRES: address is canonical (address.h). InvalidArgument: a forbidden byte in the name, or a
// name over kMaxHeaderValueBytes.
absl::Status AppendMailboxField(std::string_view name, std::string_view display_name,
                                std::string_view address, std::string* out);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_HEADER_H_
