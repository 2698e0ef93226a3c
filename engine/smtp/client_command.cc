#include "engine/smtp/client_command.h"

#include <array>
#include <charconv>

namespace volley::engine::smtp {
namespace {

constexpr std::string_view kMailVerb = "MAIL FROM:<";
constexpr std::string_view kRcptVerb = "RCPT TO:<";
constexpr std::string_view kPathEnd = ">\r\n";

enum CharClass : uint8_t {
  kControl = 1,     // never
  kQuotedOnly = 2,  // inside a quoted local part only (RFC 5321 §4.1.2)
  kQuote = 4,
  kNonAscii = 8,
};

constexpr std::array<uint8_t, 256> kCharClass = [] {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 0x20; ++c) classes[static_cast<size_t>(c)] = kControl;
  for (int c = 0x80; c < 0x100; ++c) classes[static_cast<size_t>(c)] = kNonAscii;
  classes[0x7f] = kControl;
  classes[' '] = classes['<'] = classes['>'] = kQuotedOnly;
  classes['"'] = kQuote;
  return classes;
}();

uint8_t ClassOf(char c) { return kCharClass[static_cast<unsigned char>(c)]; }

// Whether every space and angle bracket stands inside a quoted string that is closed.
bool QuotingIsSound(std::string_view path) {
  bool quoted = false;
  for (size_t i = 0; i < path.size(); ++i) {
    if (quoted && path[i] == '\\') {
      ++i;  // quoted-pair: whatever follows is literal
    } else if (path[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && ClassOf(path[i]) == kQuotedOnly) {
      return false;
    }
  }
  return !quoted;
}

PathFault CheckPath(std::string_view path, size_t verb_bytes, bool smtputf8) {
  if (verb_bytes + path.size() + kPathEnd.size() > kCommandBytesMax) return PathFault::kTooLong;
  uint8_t seen = 0;
  for (const char c : path) seen |= ClassOf(c);
  if ((seen & kControl) != 0) return PathFault::kUnsafe;
  if ((seen & (kQuote | kQuotedOnly)) != 0 && !QuotingIsSound(path)) return PathFault::kUnsafe;
  // RFC 5321 §3.6.1: source routes are never generated.
  if (!path.empty() && path.front() == '@') return PathFault::kUnsafe;
  if ((seen & kNonAscii) != 0 && !smtputf8) return PathFault::kNeedsSmtputf8;
  return PathFault::kNone;
}

void AppendNumber(uint64_t value, std::string* out) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
  out->append(digits, end);
}

}  // namespace

PathFault CheckReversePath(std::string_view path, bool smtputf8) {
  return CheckPath(path, kMailVerb.size(), smtputf8);
}

PathFault CheckForwardPath(std::string_view path, bool smtputf8) {
  if (path.empty()) return PathFault::kUnsafe;
  return CheckPath(path, kRcptVerb.size(), smtputf8);
}

bool IsSafeHelo(std::string_view name) {
  if (name.empty() || name.size() > kCommandBytesMax - 7) return false;  // "EHLO " and CRLF
  for (const char c : name) {
    if ((ClassOf(c) & (kControl | kNonAscii)) != 0 || c == ' ') return false;
  }
  return true;
}

std::string DomainKey(std::string_view path) {
  const size_t at = path.rfind('@');
  if (at == std::string_view::npos) return {};
  std::string domain(path.substr(at + 1));
  for (char& c : domain) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return domain;
}

void AppendMail(const MailCommand& mail, std::string* out) {
  out->append(kMailVerb).append(mail.reverse_path).push_back('>');
  if (mail.with_size) {
    out->append(" SIZE=");
    AppendNumber(mail.size, out);
  }
  if (mail.eight_bit) out->append(" BODY=8BITMIME");
  if (mail.smtputf8) out->append(" SMTPUTF8");
  out->append("\r\n");
}

void AppendRcpt(std::string_view forward_path, std::string* out) {
  out->append(kRcptVerb).append(forward_path).append(kPathEnd);
}

void AppendBdatLast(uint64_t bytes, std::string* out) {
  out->append("BDAT ");
  AppendNumber(bytes, out);
  out->append(" LAST\r\n");
}

}  // namespace volley::engine::smtp
