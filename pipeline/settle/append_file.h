// OpenToAppend: a file of lines that one process after the other goes on with. One that was killed,
// or whose disk was full, may have left half a line: it is cut off, so that every line is whole.
//
// Threading: none. Errors: that of the system, with the path.
#ifndef VOLLEY_PIPELINE_SETTLE_APPEND_FILE_H_
#define VOLLEY_PIPELINE_SETTLE_APPEND_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace volley::pipeline {

// A half line longer than this is none of ours: it is ended instead of cut off.
inline constexpr uint64_t kHalfLineMax = 64 * 1024;

struct AppendFile {
  int fd = -1;         // the caller's to close; every write goes to the end
  uint64_t bytes = 0;  // in the file
};

// Made, readable by its owner only, if it is not there.
absl::StatusOr<AppendFile> OpenToAppend(const std::string& path);
// Takes half a line off the end again, after a write that failed in the middle; returns what is
// left. `bytes`: in the file now.
uint64_t CutHalfLine(int fd, uint64_t bytes);
// ResourceExhausted for a full disk, else Internal.
absl::Status FileError(std::string_view what, const std::string& path, int error);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_APPEND_FILE_H_
