// Explain: what a server offers and what TLS has agreed on, in words: what it means for speed and
// for what can be sent.
//
// Threading: functions without state. Peers' words go through ShownText, but for those that
// TlsInfo has made printable itself.
#ifndef VOLLEY_PIPELINE_CHECK_EXPLAIN_H_
#define VOLLEY_PIPELINE_CHECK_EXPLAIN_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/smtp/capabilities.h"
#include "io/tls/tls_info.h"
#include "pipeline/check/shown_text.h"

namespace volley::pipeline {

// "PIPELINING, SIZE 10485760, AUTH PLAIN LOGIN"; "nothing" for a server without extensions.
std::string ListCapabilities(const engine::smtp::Capabilities& capabilities,
                             const ShownText& shown);

// One line for each that matters, offered or not. `round_trip`: as measured here, for rates.
std::vector<std::string> ExplainCapabilities(const engine::smtp::Capabilities& capabilities,
                                             absl::Duration round_trip);

// Version, cipher, certificate and whether it is verified; one fact a line.
std::vector<std::string> ExplainTls(const io::TlsInfo& info, absl::Time now);

// "23.1 ms", "1.20 s".
std::string ShortTime(absl::Duration time);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_EXPLAIN_H_
