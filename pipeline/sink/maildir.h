// Maildir: one file a message, written in tmp/ and renamed into new/, so that a reader of new/ only
// ever sees whole ones (https://cr.yp.to/proto/maildir.html). The content is kept byte for byte; no
// header is added. Not synced: a crash of the machine may lose what was accepted.
// One thread.
#ifndef VOLLEY_PIPELINE_SINK_MAILDIR_H_
#define VOLLEY_PIPELINE_SINK_MAILDIR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace volley::pipeline {

class Maildir {
 public:
  // Makes `path` and its tmp, new and cur where they are missing.
  static absl::StatusOr<std::unique_ptr<Maildir>> Open(const std::string& path,
                                                       std::string_view hostname);
  ~Maildir();
  Maildir(const Maildir&) = delete;
  Maildir& operator=(const Maildir&) = delete;

 private:
  friend class MaildirMessage;
  Maildir() = default;
  std::string NextName(absl::Time now);

  std::string path_, hostname_;
  int tmp_fd_ = -1, new_fd_ = -1;
  uint64_t count_ = 0;
};

// One message on its way into a Maildir. Without Commit() nothing of it stays. Reusable: Start()
// again. LIFETIME: the Maildir outlives it.
class MaildirMessage {
 public:
  MaildirMessage() = default;
  ~MaildirMessage() { Abort(); }
  MaildirMessage(const MaildirMessage&) = delete;
  MaildirMessage& operator=(const MaildirMessage&) = delete;

  bool started() const { return fd_ >= 0; }
  // After an error the message is aborted.
  absl::Status Start(Maildir* maildir, absl::Time now);
  absl::Status Append(std::span<const char> bytes);
  absl::Status Commit();
  void Abort();

 private:
  absl::Status Fail(std::string_view what);

  Maildir* maildir_ = nullptr;
  std::string name_;
  int fd_ = -1;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SINK_MAILDIR_H_
