// EventLog: events.jsonl, one JSON object a line for each try that ended, in the order in which the
// coordinator was told. docs/events.md has the keys; the names of events are those that mail
// services use:
//
//   delivered   the server took responsibility
//   deferred    not now; next_try says when, if it is tried again in this run
//   bounced     refused for good
//   expired     deferred for longer than we try
//   uncertain   all of it was sent, the answer was not read
//   dropped     not sent at all: suppressed, or its copy could not be made
//   throttled   no try: a limit was changed because of what a server said
//
// A file that has grown over `bytes_max` is moved to events.1.jsonl (and that one to .2, ...) and
// a new one begun: nothing is deleted. With `compress` those that were moved become .jsonl.zst, in
// another thread; while that works no further file is moved, and events.jsonl grows a little
// longer. What is in memory is written before Flush() returns; a line is whole or not there, but
// for a crash of the machine.
//
// Threading: one thread (the coordinator). Errors: the first one stays, and names the file.
#ifndef VOLLEY_PIPELINE_SETTLE_EVENT_LOG_H_
#define VOLLEY_PIPELINE_SETTLE_EVENT_LOG_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/settle/event_compressor.h"
#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

std::string_view EventName(const OutcomeNote& note);

struct EventLogOptions {
  static constexpr uint64_t kLeastBytes = 64 << 10;
  uint64_t bytes_max = uint64_t{1} << 30;
  bool compress = false;
};

class EventLog {
 public:
  // Goes on with the file in `folder` that is there. Readable by its owner only.
  static absl::StatusOr<std::unique_ptr<EventLog>> Open(const std::string& folder,
                                                        std::string_view campaign,
                                                        const EventLogOptions& options = {});
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // `relay`: the name of the note's lane. `category`: the name of the note's category, may be
  // empty.
  void Add(const OutcomeNote& note, std::string_view recipient, std::string_view relay,
           std::string_view category);
  // Something else that happened: `fields` are its keys and texts, in order.
  void AddOther(int64_t unix_millis, std::string_view event,
                std::span<const std::pair<std::string_view, std::string_view>> fields);
  // What Add and Flush met until now.
  const absl::Status& status() const { return status_; }
  absl::Status Flush();
  // What could not be compressed, once: it stays as it was, and nothing is lost.
  absl::Status TakeWarning();

 private:
  static constexpr size_t kBufferBytes = 256 * 1024;
  EventLog(std::string folder, std::string_view campaign, const EventLogOptions& options);
  void CompressMoved();
  absl::Status OpenFile();
  void WriteOut();
  void Rotate();
  std::string PathOf(uint32_t number) const;  // 0: the one being written
  void Fail(std::string_view what, int error);

  const std::string folder_;
  const std::string campaign_;  // as a JSON string
  const EventLogOptions options_;
  int fd_ = -1;
  uint64_t bytes_ = 0;  // in the file
  std::string buffer_;
  int64_t second_ = -1;      // whose text is in
  std::string second_text_;  // "2026-11-24T03:40:00."
  absl::Status status_;
  EventCompressor compressor_;
};

// `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_EVENT_LOG_H_
