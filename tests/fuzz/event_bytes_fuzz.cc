// A compressed file of events.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "io/base/check.h"
#include "pipeline/report/event_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> file(data, data + size);
  auto bytes = volley::pipeline::EventBytes::Of(fmemopen(file.data(), file.size(), "r"), "x.zst");
  std::vector<char> room(65536);
  for (int i = 0; i < 1000; ++i) {
    const auto n = bytes->Read(room.data(), room.size());
    if (!n.ok() || *n == 0) break;
    VOLLEY_CHECK(*n <= room.size());
  }
  return 0;
}
