// What --mx-override and --source take.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "io/base/check.h"
#include "pipeline/route/direct.h"
#include "pipeline/route/mx_router.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto over = volley::pipeline::ParseMxOverride(text); over.ok()) {
    VOLLEY_CHECK(!over->domain.empty() && !over->host.empty() && over->port != 0);
    VOLLEY_CHECK(over->host.find_first_of("\r\n ") == std::string::npos);
  }
  if (const auto source = volley::pipeline::ParseSource(text); source.ok()) {
    VOLLEY_CHECK(!source->address.empty());
    VOLLEY_CHECK(source->helo.find_first_of("\r\n ") == std::string::npos);
  }
  return 0;
}
