// Times as the exports of mail providers write them, and as ours are written. Foreign bytes: any
// input gives a time or none.
#ifndef VOLLEY_PIPELINE_SUPPRESS_TIME_TEXT_H_
#define VOLLEY_PIPELINE_SUPPRESS_TIME_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace volley::pipeline {

// Milliseconds since 1970, of years 1970 to 9999:
//   1443651125, 1443651125.077, 1443651125077          seconds (up to 11 digits), ms, µs, ns
//   2015-09-30T22:12:05.077Z, ... +02:00, 2015-09-30 22:12:05 UTC, 2015-09-30, 2015/09/30
//   Wed, 30 Sep 2015 22:12:05 +0000, 30 Sep 2015 22:12 GMT       RFC 5322 §3.3
// Without a zone it is UTC. None for anything else: 09/10/2015 is two days.
std::optional<int64_t> ParseTimeText(std::string_view text);

// "2015-09-30T22:12:05.077Z".
std::string FormatTimeText(int64_t unix_ms);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SUPPRESS_TIME_TEXT_H_
