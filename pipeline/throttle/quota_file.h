// QuotaFile: a quota's state mapped from a file, so that a killed process forgets nothing; Sync()
// is for the machine that loses its power.
//
// One file a quota, kStateBytes long, made with its space allocated (no write to it can find a full
// disk), mode 0600. One process at a time: the file is locked while it is open, as two processes
// would each count on their own.
//
// Threading: Sync from any thread. Lifetime: the mapping lives as long as the object. Errors:
// FailedPrecondition: another process has it; DataLoss: not a quota's length; ResourceExhausted: no
// room on the disk; each names the file.
#ifndef VOLLEY_PIPELINE_THROTTLE_QUOTA_FILE_H_
#define VOLLEY_PIPELINE_THROTTLE_QUOTA_FILE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/throttle/quota.h"

namespace volley::pipeline {

class QuotaFile {
 public:
  // Makes it when there is none: all zero, which is a quota nothing was taken from.
  static absl::StatusOr<std::unique_ptr<QuotaFile>> Open(const std::string& path);
  ~QuotaFile();
  QuotaFile(const QuotaFile&) = delete;
  QuotaFile& operator=(const QuotaFile&) = delete;

  Quota::State state() const { return Quota::State(words_, Quota::kStateWords); }
  const std::string& path() const { return path_; }
  absl::Status Sync();

 private:
  QuotaFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  absl::Status Prepare();

  const std::string path_;
  const int fd_;
  uint64_t* words_ = nullptr;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_QUOTA_FILE_H_
