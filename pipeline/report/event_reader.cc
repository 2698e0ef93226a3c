#include "pipeline/report/event_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "pipeline/report/event_bytes.h"
#include "pipeline/settle/event_compressor.h"

namespace volley::pipeline {
namespace {

namespace ondemand = simdjson::ondemand;

class LineParser {
 public:
  // `line` has SIMDJSON_PADDING bytes behind it that may be read.
  bool Parse(const char* line, size_t bytes, Event* event) {
    if (bytes == 0) return false;
    if (parser_.iterate(line, bytes, bytes + simdjson::SIMDJSON_PADDING).get(document_))
      return false;
    ondemand::object object;
    if (document_.get_object().get(object)) return false;
    *event = Event();
    bool has_time = false;
    for (auto entry : object) {
      std::string_view key;
      ondemand::value value;
      if (entry.unescaped_key().get(key) || entry.value().get(value)) return false;
      if (!Take(key, value, event, &has_time)) return false;
    }
    return has_time && !event->name.empty() && line[bytes - 1] == '}';
  }

 private:
  static bool Take(std::string_view key, ondemand::value value, Event* event, bool* has_time) {
    const auto text = [&value](std::string_view* out) { return !value.get_string().get(*out); };
    uint64_t number = 0;
    if (key == "time") {
      std::string_view time;
      *has_time = text(&time) &&
                  absl::ParseTime(absl::RFC3339_full, absl::string_view(time.data(), time.size()),
                                  &event->time, nullptr);
      return *has_time;
    }
    if (key == "event") return text(&event->name);
    if (key == "recipient") return text(&event->recipient);
    if (key == "relay") return text(&event->relay);
    if (key == "stage") return text(&event->stage);
    if (key == "enhanced") return text(&event->enhanced);
    if (key == "category") return text(&event->category);
    if (key == "reply") return text(&event->reply);
    if (key == "lane") return text(&event->lane);
    if (key == "what") return text(&event->what);
    if (key == "from") return text(&event->from);
    if (key == "to") return text(&event->to);
    if (key == "cause") return text(&event->cause);
    if (key != "ms" && key != "code") return true;  // newer volleys may say more
    if (value.get_uint64().get(number)) return false;
    if (key == "ms") event->millis = static_cast<uint32_t>(std::min<uint64_t>(number, UINT32_MAX));
    if (key == "code") event->code = static_cast<uint16_t>(std::min<uint64_t>(number, 999));
    return true;
  }

  ondemand::parser parser_;
  ondemand::document document_;
};

// Where there are both, the plain one is the older and whole.
absl::StatusOr<std::unique_ptr<EventBytes>> OpenEither(const std::string& path) {
  auto plain = EventBytes::Open(path);
  if (!absl::IsNotFound(plain.status())) return plain;
  auto compressed = EventBytes::Open(path + std::string(kZstdSuffix));
  return absl::IsNotFound(compressed.status()) ? std::move(plain) : std::move(compressed);
}

absl::Status ReadFile(const std::string& path, LineParser* parser,
                      const std::function<void(const Event&)>& on_event, EventsRead* read) {
  auto file = OpenEither(path);
  if (!file.ok()) return file.status();
  std::vector<char> buffer((size_t{1} << 20) + simdjson::SIMDJSON_PADDING);
  const size_t room = buffer.size() - simdjson::SIMDJSON_PADDING;
  size_t kept = 0;        // bytes of a line that is not whole yet
  bool too_long = false;  // the line at hand: passed over up to its end
  Event event;
  for (;;) {
    const auto n = (*file)->Read(buffer.data() + kept, room - kept);
    if (absl::IsDataLoss(n.status())) {
      read->damaged.emplace_back(n.status().message());
      return absl::OkStatus();
    }
    if (!n.ok()) return n.status();
    if (*n == 0) return absl::OkStatus();
    const size_t end = kept + *n;
    size_t begin = 0;
    while (const void* found = std::memchr(buffer.data() + begin, '\n', end - begin)) {
      const auto at = static_cast<size_t>(static_cast<const char*>(found) - buffer.data());
      const size_t bytes = at - begin;
      if (too_long || bytes > kEventLineMax ||
          !parser->Parse(buffer.data() + begin, bytes, &event)) {
        read->bad_lines += bytes > 0 || too_long ? 1 : 0;
      } else {
        ++read->events;
        on_event(event);
      }
      too_long = false;
      begin = at + 1;
    }
    kept = end - begin;
    if (kept > kEventLineMax) {
      too_long = true;
      kept = 0;
    }
    std::memmove(buffer.data(), buffer.data() + begin, kept);
  }
}

}  // namespace

bool ParseEvent(std::string_view line, const std::function<void(const Event&)>& on_event) {
  if (line.size() > kEventLineMax) return false;
  const simdjson::padded_string padded(line);
  LineParser parser;
  Event event;
  if (!parser.Parse(padded.data(), padded.size(), &event)) return false;
  on_event(event);
  return true;
}

absl::Status ReadEvents(const std::string& folder,
                        const std::function<void(const Event&)>& on_event, EventsRead* read) {
  std::error_code ec;
  uint32_t oldest = 0;
  const auto moved = [&folder](uint32_t n) { return fmt::format("{}/events.{}.jsonl", folder, n); };
  while (std::filesystem::exists(moved(oldest + 1), ec) ||
         std::filesystem::exists(moved(oldest + 1) + std::string(kZstdSuffix), ec)) {
    ++oldest;
  }
  const std::string newest = folder + "/events.jsonl";
  if (oldest == 0 && !std::filesystem::exists(newest, ec)) {
    return absl::NotFoundError(fmt::format("{} is missing: nothing has been tried yet", newest));
  }
  LineParser parser;
  for (uint32_t n = oldest; n > 0; --n) {
    if (absl::Status s = ReadFile(moved(n), &parser, on_event, read); !s.ok()) return s;
  }
  if (!std::filesystem::exists(newest, ec)) return absl::OkStatus();
  return ReadFile(newest, &parser, on_event, read);
}

}  // namespace volley::pipeline
