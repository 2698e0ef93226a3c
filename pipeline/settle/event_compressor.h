// EventCompressor: makes NAME.zst of files that are no longer written, in a thread of its own: a
// gigabyte of events takes seconds that the coordinator has not got.
//
// At any moment a kill leaves the file, or its whole compressed copy, or both: the copy is written
// under another name, synced, renamed, and only then the file is removed. One that cannot be
// compressed (a full disk) stays as it is.
//
// Threading: one thread calls it. The destructor waits for the end. Errors: warning().
#ifndef VOLLEY_PIPELINE_SETTLE_EVENT_COMPRESSOR_H_
#define VOLLEY_PIPELINE_SETTLE_EVENT_COMPRESSOR_H_

#include <atomic>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace volley::pipeline {

inline constexpr std::string_view kZstdSuffix = ".zst";

// Replaces `path` by path.zst. Errors: ResourceExhausted, Unavailable; `path` is as it was.
absl::Status CompressFile(const std::string& path);

class EventCompressor {
 public:
  EventCompressor() = default;
  ~EventCompressor();
  EventCompressor(const EventCompressor&) = delete;
  EventCompressor& operator=(const EventCompressor&) = delete;

  // REQUIRES: not busy().
  void Start(std::vector<std::string> paths);
  // Files are being compressed: their names must not change.
  bool busy() const { return busy_.load(std::memory_order_acquire); }
  // Of the last Start, what went wrong. REQUIRES: not busy().
  absl::Status TakeWarning();

 private:
  std::thread thread_;
  std::atomic<bool> busy_{false};
  absl::Status warning_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_EVENT_COMPRESSOR_H_
