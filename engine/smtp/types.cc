#include "engine/smtp/types.h"

namespace volley::engine::smtp {

std::string_view CommandName(CommandKind kind) {
  switch (kind) {
    case CommandKind::kGreeting:
      return "greeting";
    case CommandKind::kEhlo:
      return "EHLO";
    case CommandKind::kHelo:
      return "HELO";
    case CommandKind::kLhlo:
      return "LHLO";
    case CommandKind::kStartTls:
      return "STARTTLS";
    case CommandKind::kAuth:
      return "AUTH";
    case CommandKind::kMail:
      return "MAIL";
    case CommandKind::kRcpt:
      return "RCPT";
    case CommandKind::kData:
      return "DATA";
    case CommandKind::kContent:
      return "end of data";
    case CommandKind::kRset:
      return "RSET";
    case CommandKind::kNoop:
      return "NOOP";
    case CommandKind::kQuit:
      return "QUIT";
  }
  return "unknown command";
}

}  // namespace volley::engine::smtp
