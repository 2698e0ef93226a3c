// The header of a finished message as DKIM reads it: its fields, and which of them a signature
// covers, in which order.
//
// Threading: functions without state. LIFETIME: the views point into the text that was parsed.
#ifndef VOLLEY_ENGINE_DKIM_HEADER_H_
#define VOLLEY_ENGINE_DKIM_HEADER_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/dkim/canonical.h"

namespace volley::engine::dkim {

struct HeaderField {
  std::string_view name;   // before the colon, with white space there, if any
  std::string_view value;  // behind it, with its folding, without the last CRLF
};

// Field names are compared without regard to case (RFC 5322 §1.2.2) and to white space at the end.
bool SameFieldName(std::string_view a, std::string_view b);

// Replaces what is in `fields`. `header`: whole lines; the empty line that ends it may be there.
// InvalidArgument: a line that is no field, a CR or LF of its own or a NUL (a receiver may take it
// for a line's end and see other fields than were signed), no CRLF at the end.
[[nodiscard]] absl::Status ParseHeader(std::string_view header, std::vector<HeaderField>* fields);

// Appends the canonical form of the fields that `names` (an h= tag, in its order) selects, each
// with its CRLF. A name that comes again means the next field of that name further up, and none
// once they are used up (RFC 6376 §5.4.2).
void AppendSignedFields(Canonicalization canonicalization, std::span<const HeaderField> fields,
                        std::span<const std::string_view> names, std::string* out);

}  // namespace volley::engine::dkim

#endif  // VOLLEY_ENGINE_DKIM_HEADER_H_
