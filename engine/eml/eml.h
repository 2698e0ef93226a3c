// ReadEml: a finished message (RFC 5322 with MIME), as a mail program saves it, to a MessageSpec.
//
// Text, HTML and AMP parts become templates, decoded to UTF-8: Mustache tags in them work, also in
// the subject and in further headers. Files that the HTML shows by cid: become inline parts, all
// others attachments. Left out are what belongs to the copy that was saved: the recipients, date
// and message id, what transport and signers wrote, and MIME's own headers, which are written anew.
//
// Threading: any. Pure but for GMime's one-time initialisation. The bytes may be anything.
#ifndef VOLLEY_ENGINE_EML_EML_H_
#define VOLLEY_ENGINE_EML_EML_H_

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/message/composer.h"

namespace volley::engine::eml {

inline constexpr size_t kMaxEmlBytes = 25 << 20;
inline constexpr size_t kMaxEmlDepth = 20;  // multiparts in each other
inline constexpr size_t kMaxEmlParts = 100;
inline constexpr size_t kMaxEmlHeaders = 200;  // of the message itself

// `name` is for error messages and for the names of the templates ("welcome.eml html").
// InvalidArgument, naming what cannot be carried: no or several From mailboxes, several reply
// addresses, a header twice, signed or encrypted parts, attached messages, a second text or HTML
// part, no text at all, a cid: without its part, a bound above.
// The spec still lacks what a campaign adds: message_id_key, date, boundary_seed.
absl::StatusOr<message::MessageSpec> ReadEml(std::string_view bytes, std::string_view name);

}  // namespace volley::engine::eml

#endif  // VOLLEY_ENGINE_EML_EML_H_
