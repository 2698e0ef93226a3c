#include "pipeline/compose/recipient_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/message/utf8.h"

namespace volley::pipeline {
namespace {

constexpr size_t kNameBytesMax = 255;  // NAME_MAX

bool IsPlainName(std::string_view name) {
  return name.size() <= kNameBytesMax && !name.starts_with('.') &&
         std::none_of(name.begin(), name.end(), [](char c) {
           return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
         });
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// False: the file does not have just as many bytes any more.
bool ReadAll(int fd, std::string* bytes) {
  size_t done = 0;
  while (done < bytes->size()) {
    const ssize_t n = read(fd, bytes->data() + done, bytes->size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  char more;
  return pread(fd, &more, 1, static_cast<off_t>(done)) == 0;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const RecipientFiles>> RecipientFiles::Open(
    const std::string& folder, uint64_t bytes_max) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return absl::NotFoundError(
        fmt::format("folder of the recipients' attachments {}: {}", folder, std::strerror(errno)));
  }
  return std::shared_ptr<const RecipientFiles>(new RecipientFiles(fd, folder, bytes_max));
}

RecipientFiles::~RecipientFiles() { close(fd_); }

absl::StatusOr<bool> RecipientFiles::Read(std::string_view name, std::string* bytes) const {
  bytes->clear();
  if (name.empty()) return false;
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        fmt::format("the attachment {} in {}: {}", engine::message::Quoted(name), folder_, why));
  };
  if (!IsPlainName(name)) return bad("is not the name of a file in this folder");
  const Descriptor file(
      openat(fd_, std::string(name).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0) return bad(errno == ELOOP ? "is a symbolic link" : std::strerror(errno));
  struct stat info {};
  if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return bad("is no plain file");
  if (static_cast<uint64_t>(info.st_size) > bytes_max_) {
    return bad(fmt::format("has {} bytes; at most {} go into a message", info.st_size, bytes_max_));
  }
  bytes->resize(static_cast<size_t>(info.st_size));
  if (!ReadAll(file.get(), bytes)) return bad("changed while it was read");
  return true;
}

}  // namespace volley::pipeline
