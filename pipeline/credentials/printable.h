// Printable: foreign words in a message for people, without what a terminal or a log would take for
// a command, and not longer than they are worth.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_PRINTABLE_H_
#define VOLLEY_PIPELINE_CREDENTIALS_PRINTABLE_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace volley::pipeline {

// Printable ASCII as it is, everything else '?'; cut to `bytes_max`, with "..." when it was longer.
inline std::string Printable(std::string_view text, size_t bytes_max) {
  std::string out(text.substr(0, bytes_max));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  if (text.size() > bytes_max) out += "...";
  return out;
}

inline bool HasControl(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

// All a bearer token may be made of. RFC 6750 §2.1 allows less; providers' tokens are opaque, so
// only what would break out of a SASL message is refused.
inline bool IsVisibleAscii(std::string_view text) {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f) return false;
  }
  return true;
}

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_PRINTABLE_H_
