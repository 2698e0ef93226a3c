// Mailbox addresses: RFC 5321 §4.1.2 Mailbox for the envelope, and the "Name <mailbox>" of headers.
// Domains with other scripts become A-labels (IDNA 2008 by libidn2); a non-ASCII local part needs
// SMTPUTF8 (RFC 6531). No comments, folding or obsolete forms (RFC 5321 does not have them).
#ifndef VOLLEY_ENGINE_MESSAGE_ADDRESS_H_
#define VOLLEY_ENGINE_MESSAGE_ADDRESS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace volley::engine::message {

// Appends the canonical form to `out` and leaves what was there: local part as given (an unneeded
// quoting is removed), domain in lower case A-labels. Limits of RFC 5321 §4.5.3.1.1-3: local part
// 64 octets, domain 255, path 256 with its angle brackets. Address literals ([192.0.2.1]) are
// refused unless `allow_literal`; a top-level domain of digits only (an IP without brackets) and an
// empty quoted local part always. On an error `out` is unchanged and the message says what is wrong
// in a few words ("no @", "local part is longer than 64 bytes", ...). Fast for plain ASCII: no
// allocation.
struct AddressOptions {
  bool allow_literal = false;
  bool require_dot = true;       // a domain with one label is hardly ever a person's
  bool trim_white_space = true;  // drop spaces and tabs around it, as lists have them
};
struct AddressInfo {
  size_t local_part_bytes = 0;  // of the canonical form
  bool needs_smtputf8 = false;  // the local part is not ASCII
};
absl::StatusOr<AddressInfo> AppendCanonicalAddress(std::string_view text,
                                                   const AddressOptions& options, std::string* out);

// A domain in A-labels (IDNA 2008, non-transitional: "ß" stays itself and does not become "ss").
// InvalidArgument says why it has none. A domain that is ASCII is not checked further.
absl::StatusOr<std::string> ToALabels(std::string_view domain);

// One mailbox of a header: `Ann Example <ann@example.org>`, `"Example, Ann" <ann@…>`, `ann@…`.
// Refuses a list of mailboxes, control characters and invalid UTF-8. The address may have a
// one-label domain or an address literal: it is the sender's own. Not on a hot path.
struct HeaderMailbox {
  std::string display_name;  // UTF-8, unquoted; empty: none
  std::string address;       // canonical
  bool needs_smtputf8 = false;
};
absl::StatusOr<HeaderMailbox> ParseHeaderMailbox(std::string_view text);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_ADDRESS_H_
