// Any bytes as a time and as a reason of a suppression file: a time is in range and is written and
// read back the same; a reason is one of ours or none.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "pipeline/suppress/columns.h"
#include "pipeline/suppress/time_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace pipeline = volley::pipeline;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto ms = pipeline::ParseTimeText(text)) {
    constexpr int64_t kYear10000 = 253'402'300'800'000;
    if (*ms < 0 || *ms >= kYear10000 + 24 * 3600 * 1000) std::abort();
    if (*ms < kYear10000 && pipeline::ParseTimeText(pipeline::FormatTimeText(*ms)) != ms) {
      std::abort();
    }
  }
  const std::string_view reason = pipeline::KnownReason(text);
  if (reason.size() > 20) std::abort();
  (void)pipeline::SaysSubscribed(text);
  return 0;
}
