// Secrets in files: read with care for who else can, and watched for changes.
//
// Threading: functions without state. ReadSecretFile blocks on a FIFO until its writer is done.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_SECRET_FILE_H_
#define VOLLEY_PIPELINE_CREDENTIALS_SECRET_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/base/secret.h"
#include "pipeline/credentials/secret_reader.h"

namespace volley::pipeline {

enum class ModeRule : uint8_t {
  kPrivate,  // not to be read by others, nor written by group or others
  kAny,      // systemd sets the mode of its credentials itself
};

// At most kSourceBytesMax bytes of a regular file or a FIFO. `name` begins every error. NotFound;
// PermissionDenied: not ours to read, or open to others, with the chmod that cures it;
// InvalidArgument: a folder, a device, too big; DeadlineExceeded, Cancelled: a FIFO without a
// writer.
absl::StatusOr<engine::Secret> ReadSecretFile(const std::string& path, std::string_view name,
                                              ModeRule rule, const WaitLimits& limits);

// What tells one content of a file from the next without reading it. A folder in between that is
// exchanged (Kubernetes' ..data link) shows as another inode. Of what is not a regular file, and of
// what is not there, all stamps are alike.
struct FileStamp {
  uint64_t device = 0, inode = 0;
  int64_t size = 0, mtime_ns = 0;
  bool operator==(const FileStamp&) const = default;
  bool present() const { return inode != 0; }
};
FileStamp StampOf(const std::string& path);

// The file was written so lately that a second writing may leave the same stamp: the kernel's file
// times move on with its timer tick, some milliseconds, on some file systems two seconds.
bool MayChangeUnseen(const FileStamp& stamp);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_SECRET_FILE_H_
