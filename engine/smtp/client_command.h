// The client's command lines, and which addresses may stand in them. A control character in a path
// would let a list row write commands of its own, so nothing is formatted that was not checked.
#ifndef VOLLEY_ENGINE_SMTP_CLIENT_COMMAND_H_
#define VOLLEY_ENGINE_SMTP_CLIENT_COMMAND_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/smtp/types.h"

namespace volley::engine::smtp {

// RFC 5321 §4.5.3.1.4, with CRLF. Each extension raises it by what its parameters need, so the
// bound is on the command without them.
inline constexpr size_t kCommandBytesMax = 512;

enum class PathFault : uint8_t {
  kNone,
  kUnsafe,         // a control character; outside quotes a space, '<' or '>'; a source route
  kTooLong,        // the command would exceed kCommandBytesMax
  kNeedsSmtputf8,  // not ASCII, and the transaction does not ask for SMTPUTF8 (RFC 6531 §3.4)
};

// `path` is without the angle brackets.
PathFault CheckReversePath(std::string_view path, bool smtputf8);  // empty is the null path
PathFault CheckForwardPath(std::string_view path, bool smtputf8);  // empty is kUnsafe
// An EHLO argument: not empty, printable ASCII without a space, and short enough.
bool IsSafeHelo(std::string_view name);

// What follows the last '@', lower case; empty when there is none.
std::string DomainKey(std::string_view path);

struct MailCommand {
  std::string_view reverse_path;
  bool with_size = false;  // RFC 1870 §6
  uint64_t size = 0;
  bool eight_bit = false;  // RFC 6152 §2
  bool smtputf8 = false;   // RFC 6531 §3.4
};

void AppendMail(const MailCommand& mail, std::string* out);
void AppendRcpt(std::string_view forward_path, std::string* out);
void AppendBdatLast(uint64_t bytes, std::string* out);  // RFC 3030 §2

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_CLIENT_COMMAND_H_
