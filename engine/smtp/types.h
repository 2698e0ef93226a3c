// Words shared by the client and the server machine: protocols, commands, codes.
#ifndef VOLLEY_ENGINE_SMTP_TYPES_H_
#define VOLLEY_ENGINE_SMTP_TYPES_H_

#include <compare>
#include <cstdint>
#include <string_view>

namespace volley::engine::smtp {

enum class Protocol : uint8_t { kSmtp, kLmtp };

// What a reply answers. kContent is the end of the message: the final dot, or BDAT ... LAST.
enum class CommandKind : uint8_t {
  kGreeting,
  kEhlo,
  kHelo,
  kLhlo,
  kStartTls,
  kAuth,
  kMail,
  kRcpt,
  kData,
  kContent,
  kRset,
  kNoop,
  kQuit,
};
std::string_view CommandName(CommandKind kind);  // "MAIL", "end of data", ...

// Three digits, RFC 5321 §4.2.1. 0: there was no reply.
class ReplyCode {
 public:
  constexpr ReplyCode() = default;
  constexpr explicit ReplyCode(uint16_t value) : value_(value) {}
  constexpr uint16_t value() const { return value_; }
  constexpr int first_digit() const { return value_ / 100; }
  constexpr bool positive() const { return first_digit() == 2; }
  constexpr bool intermediate() const { return first_digit() == 3; }
  constexpr bool transient() const { return first_digit() == 4; }
  constexpr bool permanent() const { return first_digit() == 5; }
  constexpr auto operator<=>(const ReplyCode&) const = default;

 private:
  uint16_t value_ = 0;
};

// class.subject.detail, RFC 3463. class 0: there was none.
struct EnhancedCode {
  uint8_t klass = 0;
  uint16_t subject = 0;
  uint16_t detail = 0;
  constexpr bool present() const { return klass != 0; }
  constexpr auto operator<=>(const EnhancedCode&) const = default;
};

// A whole reply as the parser gives it. `text` is the lines joined by single spaces, without codes;
// LIFETIME: the parser's buffer, until its next call.
struct ReplyView {
  ReplyCode code;
  EnhancedCode enhanced;
  std::string_view text;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_TYPES_H_
