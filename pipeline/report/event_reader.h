// EventReader: the events of a campaign, from its events.jsonl and the files that were moved away
// before it, compressed or not, oldest first; line by line, so that any number of them needs little
// memory. Reading while another process writes is fine: the half line at the end is left for
// another time.
//
// Threading: one thread. Errors: Unavailable for a file that cannot be read; a line that is no
// event is counted and passed over. Bounds: lines over kLineMax count as such.
#ifndef VOLLEY_PIPELINE_REPORT_EVENT_READER_H_
#define VOLLEY_PIPELINE_REPORT_EVENT_READER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace volley::pipeline {

// LIFETIME: the views are good during the call.
struct Event {
  absl::Time time;
  std::string_view name;  // "delivered"
  std::string_view recipient, relay, stage, enhanced, category, reply;
  std::string_view lane, what, from, to, cause;  // of "throttled"
  uint32_t millis = 0;
  uint16_t code = 0;
};

struct EventsRead {
  uint64_t events = 0;
  uint64_t bad_lines = 0;
  std::vector<std::string> damaged;  // compressed files whose end could not be read, and how
};

inline constexpr size_t kEventLineMax = 16 * 1024;

// Calls `on_event` for each. NotFound: there are none.
absl::Status ReadEvents(const std::string& folder,
                        const std::function<void(const Event&)>& on_event, EventsRead* read);
// One line without its end; false: it is no event.
bool ParseEvent(std::string_view line, const std::function<void(const Event&)>& on_event);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_REPORT_EVENT_READER_H_
