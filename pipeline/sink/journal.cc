#include "pipeline/sink/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace volley::pipeline {
namespace {

constexpr size_t kFlushBytes = 64 << 10;

std::string ToRfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<std::unique_ptr<EnvelopeJournal>> EnvelopeJournal::Open(const std::string& path) {
  std::unique_ptr<EnvelopeJournal> journal(new EnvelopeJournal);
  journal->path_ = path;
  journal->fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (journal->fd_ < 0) {
    return absl::FailedPreconditionError(
        fmt::format("cannot open the file {}: {}; choose a file you may write to, in a folder that "
                    "exists",
                    path, std::strerror(errno)));
  }
  return journal;
}

EnvelopeJournal::~EnvelopeJournal() {
  (void)Flush();  // whoever must know of an error calls Flush() before
  if (fd_ >= 0) close(fd_);
}

absl::Status EnvelopeJournal::Append(const Envelope& envelope) {
  if (!status_.ok()) return status_;
  nlohmann::ordered_json line;
  line["time"] = ToRfc3339(envelope.time);
  line["peer"] = std::string(envelope.peer);
  line["helo"] = std::string(envelope.helo);
  line["mail_from"] = std::string(envelope.mail_from);
  line["rcpt_to"] = envelope.rcpt_to;
  line["size"] = envelope.size;
  lines_ += line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  lines_ += '\n';
  return lines_.size() < kFlushBytes ? absl::OkStatus() : Flush();
}

absl::Status EnvelopeJournal::Flush() {
  size_t done = 0;
  while (status_.ok() && done < lines_.size()) {
    const ssize_t written = write(fd_, lines_.data() + done, lines_.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      status_ = absl::UnavailableError(
          fmt::format("cannot write to {}: {}", path_, std::strerror(errno)));
      break;
    }
    done += static_cast<size_t>(written);
  }
  lines_.erase(0, done);
  return status_;
}

}  // namespace volley::pipeline
