// A line of events.jsonl.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "io/base/check.h"
#include "pipeline/report/event_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  size_t bytes = 0;
  volley::pipeline::ParseEvent(line, [&bytes](const volley::pipeline::Event& event) {
    VOLLEY_CHECK(!event.name.empty());
    for (const char c : event.recipient) bytes += c == '@';
    for (const char c : event.reply) bytes += c == '@';
  });
  return 0;
}
