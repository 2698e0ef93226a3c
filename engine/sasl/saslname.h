// EscapeSaslname: a name as a GS2 header and SCRAM write it: ',' as "=2C" and '=' as "=3D" (RFC
// 5801 §4, RFC 5802 §5.1).
#ifndef VOLLEY_ENGINE_SASL_SASLNAME_H_
#define VOLLEY_ENGINE_SASL_SASLNAME_H_

#include <string>
#include <string_view>

namespace volley::engine::sasl {

inline std::string EscapeSaslname(std::string_view name) {
  std::string escaped;
  for (const char c : name) {
    if (c == ',') {
      escaped += "=2C";
    } else if (c == '=') {
      escaped += "=3D";
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_SASLNAME_H_
