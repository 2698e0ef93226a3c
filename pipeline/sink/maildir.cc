#include "pipeline/sink/maildir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace volley::pipeline {
namespace {

int OpenFolder(const std::string& path) { return open(path.c_str(), O_DIRECTORY | O_CLOEXEC); }

}  // namespace

absl::StatusOr<std::unique_ptr<Maildir>> Maildir::Open(const std::string& path,
                                                       std::string_view hostname) {
  std::unique_ptr<Maildir> maildir(new Maildir);
  maildir->path_ = path;
  maildir->hostname_ = std::string(hostname);
  for (const char* sub : {"tmp", "new", "cur"}) {
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path) / sub, error);
    if (error) {
      return absl::FailedPreconditionError(
          fmt::format("cannot make the folder {}/{}: {}; choose one you may write to", path, sub,
                      error.message()));
    }
  }
  maildir->tmp_fd_ = OpenFolder(path + "/tmp");
  maildir->new_fd_ = OpenFolder(path + "/new");
  if (maildir->tmp_fd_ < 0 || maildir->new_fd_ < 0 || access((path + "/tmp").c_str(), W_OK) != 0) {
    return absl::FailedPreconditionError(fmt::format(
        "cannot write to the Maildir {}: {}; check its permissions", path, std::strerror(errno)));
  }
  return maildir;
}

Maildir::~Maildir() {
  if (tmp_fd_ >= 0) close(tmp_fd_);
  if (new_fd_ >= 0) close(new_fd_);
}

// Unique by time, process and count, as the Maildir specification asks.
std::string Maildir::NextName(absl::Time now) {
  const int64_t micros = absl::ToUnixMicros(now);
  return fmt::format("{}.M{}P{}Q{}.{}", micros / 1'000'000, micros % 1'000'000, getpid(), ++count_,
                     hostname_);
}

absl::Status MaildirMessage::Start(Maildir* maildir, absl::Time now) {
  Abort();
  maildir_ = maildir;
  name_ = maildir->NextName(now);
  fd_ = openat(maildir_->tmp_fd_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  return fd_ < 0 ? Fail("create") : absl::OkStatus();
}

absl::Status MaildirMessage::Append(std::span<const char> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Fail("write");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status MaildirMessage::Commit() {
  // Some file systems tell of a full disk or quota only here.
  if (close(std::exchange(fd_, -1)) != 0) return Fail("close");
  if (renameat(maildir_->tmp_fd_, name_.c_str(), maildir_->new_fd_, name_.c_str()) != 0) {
    return Fail("rename");
  }
  name_.clear();
  return absl::OkStatus();
}

void MaildirMessage::Abort() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  if (!name_.empty()) unlinkat(maildir_->tmp_fd_, name_.c_str(), 0);
  name_.clear();
}

absl::Status MaildirMessage::Fail(std::string_view what) {
  const int error = errno;
  absl::Status status = absl::UnavailableError(
      fmt::format("{} {}/tmp/{}: {}", what, maildir_->path_, name_, std::strerror(error)));
  Abort();
  return status;
}

}  // namespace volley::pipeline
