// RecipientFiles: the one folder that recipients' own attachments come from. A row names a file in
// it; nothing outside it can be named, not by "..", not by a symbolic link.
//
// Threading: immutable; any thread may read. Reading blocks the thread: such mail is bound by these
// files anyway.
#ifndef VOLLEY_PIPELINE_COMPOSE_RECIPIENT_FILES_H_
#define VOLLEY_PIPELINE_COMPOSE_RECIPIENT_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace volley::pipeline {

class RecipientFiles {
 public:
  static absl::StatusOr<std::shared_ptr<const RecipientFiles>> Open(const std::string& folder,
                                                                    uint64_t bytes_max);
  ~RecipientFiles();
  RecipientFiles(const RecipientFiles&) = delete;
  RecipientFiles& operator=(const RecipientFiles&) = delete;

  // Replaces `bytes`. False: the name is empty, so this recipient gets none. Errors name the file:
  // it is not there, is no plain file, is too big, changes while it is read, or the name is none of
  // a file in the folder.
  absl::StatusOr<bool> Read(std::string_view name, std::string* bytes) const;

 private:
  RecipientFiles(int fd, std::string folder, uint64_t bytes_max)
      : fd_(fd), folder_(std::move(folder)), bytes_max_(bytes_max) {}

  const int fd_;
  const std::string folder_;
  const uint64_t bytes_max_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_COMPOSE_RECIPIENT_FILES_H_
