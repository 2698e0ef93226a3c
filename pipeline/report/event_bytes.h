// EventBytes: the bytes of an events file, plain or compressed (zstd), in order.
//
// Threading: one thread. Errors: NotFound, Unavailable: cannot be opened or read; DataLoss: what is
// compressed is damaged or cut off. Bounds: what a frame makes the decoder keep, 32 MiB.
#ifndef VOLLEY_PIPELINE_REPORT_EVENT_BYTES_H_
#define VOLLEY_PIPELINE_REPORT_EVENT_BYTES_H_

#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace volley::pipeline {

class EventBytes {
 public:
  // Compressed when the name ends so.
  static absl::StatusOr<std::unique_ptr<EventBytes>> Open(const std::string& path);
  // The same of an open file, which it closes.
  static std::unique_ptr<EventBytes> Of(std::FILE* file, const std::string& path);
  virtual ~EventBytes() = default;
  virtual absl::StatusOr<size_t> Read(char* to, size_t room) = 0;  // 0: the end
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_REPORT_EVENT_BYTES_H_
