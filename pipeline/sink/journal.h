// EnvelopeJournal: one JSON line a message, in a file. Lines are gathered and written out at 64
// KiB, by Flush(), and at the end. Always valid UTF-8: what is not becomes U+FFFD. One thread.
// Errors are sticky: after a failed write nothing more is taken.
#ifndef VOLLEY_PIPELINE_SINK_JOURNAL_H_
#define VOLLEY_PIPELINE_SINK_JOURNAL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace volley::pipeline {

struct Envelope {
  absl::Time time;
  std::string_view peer, helo, mail_from;
  const std::vector<std::string>& rcpt_to;
  uint64_t size = 0;  // bytes of content
};

class EnvelopeJournal {
 public:
  // Appends to `path`, which is made if it is missing.
  static absl::StatusOr<std::unique_ptr<EnvelopeJournal>> Open(const std::string& path);
  ~EnvelopeJournal();
  EnvelopeJournal(const EnvelopeJournal&) = delete;
  EnvelopeJournal& operator=(const EnvelopeJournal&) = delete;

  absl::Status Append(const Envelope& envelope);
  absl::Status Flush();
  bool empty() const { return lines_.empty(); }
  absl::Status status() const { return status_; }

 private:
  EnvelopeJournal() = default;

  std::string path_;
  int fd_ = -1;
  std::string lines_;
  absl::Status status_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SINK_JOURNAL_H_
