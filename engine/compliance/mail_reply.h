// Finds the tokens in a message to the unsubscribe mailbox: in the subject, where the mailto URI of
// List-Unsubscribe puts it ("unsubscribe-TOKEN", also behind "Re:" and folded), or behind the "+"
// of the address it was sent to (unsubscribe+TOKEN@example.org).
//
// Threading: a function without state. Bounds: only the header is read, at most
// kReplyHeaderBytesMax of it. Errors: none; what is no message has no tokens.
#ifndef VOLLEY_ENGINE_COMPLIANCE_MAIL_REPLY_H_
#define VOLLEY_ENGINE_COMPLIANCE_MAIL_REPLY_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace volley::engine::compliance {

inline constexpr size_t kReplyHeaderBytesMax = 64 * 1024;
inline constexpr size_t kReplyTokensMax = 8;

// In the order of the header, each once; not checked (OpenUnsubscribeToken does). Reads Subject,
// To, Delivered-To, X-Original-To and Envelope-To.
std::vector<std::string> FindReplyTokens(std::string_view message);

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_MAIL_REPLY_H_
