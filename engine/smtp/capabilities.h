// Capabilities: what a peer's last EHLO or LHLO reply offers. The last EHLO wins (RFC 5321 §4.1.4).
#ifndef VOLLEY_ENGINE_SMTP_CAPABILITIES_H_
#define VOLLEY_ENGINE_SMTP_CAPABILITIES_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace volley::engine::smtp {

struct Capabilities {
  bool pipelining = false;             // RFC 2920
  bool chunking = false;               // RFC 3030
  bool binarymime = false;             // RFC 3030; only with CHUNKING
  bool eight_bit_mime = false;         // RFC 6152
  bool smtputf8 = false;               // RFC 6531
  bool dsn = false;                    // RFC 3461
  bool enhanced_status_codes = false;  // RFC 2034
  bool starttls = false;               // RFC 3207
  bool requiretls = false;             // RFC 8689
  bool size = false;                   // RFC 1870
  uint64_t size_max = 0;               // 0: no limit known
  std::vector<std::string> auth;       // mechanisms, upper case
  // RFC 9422 LIMITS; a malformed value is as if that limit was not there (§3.6).
  std::optional<uint32_t> mail_max, rcpt_max, rcpt_domain_max;
  std::string greeting_name;  // the name in the first line

  // One line of the reply after the first, without code and separator: "SIZE 1000". Keywords are
  // case-insensitive. Unknown ones are left alone; those in `discard` (upper case) are skipped.
  void ParseLine(std::string_view line, std::span<const std::string> discard);
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_CAPABILITIES_H_
