#include "pipeline/store/unsubscribe_key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "engine/base/secret.h"
#include "pipeline/credentials/secret_file.h"

namespace volley::pipeline {
namespace {

using engine::Secret;
using engine::compliance::KeyRing;

constexpr std::string_view kFileHead =
    "# volley: signs unsubscribe links and bounce addresses. Keep it as long as people may click\n"
    "# on old mail. A line: id from 1 to 255, key; the first line signs, all of them check.\n"
    "1 ";

absl::Status CannotMake(const std::string& path, int error) {
  return absl::PermissionDeniedError(
      fmt::format("cannot make the key file {}: {}", path, std::strerror(error)));
}

absl::StatusOr<Secret> NewFileText() {
  constexpr char kDigits[] = "0123456789abcdef";
  Secret key = Secret::Sized(KeyRing::kKeyBytes);
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(key.bytes()),
                      static_cast<int>(key.size())) != 1) {
    return absl::InternalError("OpenSSL has no random bytes for a key");
  }
  Secret hex = Secret::Sized(2 * key.size());
  for (size_t i = 0; i < key.size(); ++i) {
    const auto byte = static_cast<unsigned char>(key.reveal()[i]);
    hex.bytes()[2 * i] = kDigits[byte >> 4];
    hex.bytes()[2 * i + 1] = kDigits[byte & 15];
  }
  return Secret::Concat({kFileHead, hex.reveal(), "\n"});
}

absl::Status WriteSynced(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return CannotMake(path, errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
  return fsync(fd) == 0 ? absl::OkStatus() : CannotMake(path, errno);
}

absl::Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  return synced ? absl::OkStatus() : CannotMake(folder, error);
}

// Under another name first, then linked: the name never stands for a part of a key, and the second
// of two processes finds it taken (EEXIST) and reads the first one's. A key that signed mail must
// not be lost by a power failure afterwards, so file and folder are synced.
absl::Status Create(const std::string& state_dir, const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(state_dir, error);
  const absl::StatusOr<Secret> text = NewFileText();
  if (!text.ok()) return text.status();
  std::string temporary = path + ".XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);  // 0600
  if (fd < 0) return CannotMake(path, errno);
  absl::Status status = WriteSynced(fd, text->reveal(), path);
  close(fd);
  if (status.ok() && link(temporary.c_str(), path.c_str()) != 0 && errno != EEXIST) {
    status = CannotMake(path, errno);
  }
  unlink(temporary.c_str());
  return status.ok() ? SyncFolder(state_dir) : status;
}

}  // namespace

std::string UnsubscribeKeyPath(const std::string& state_dir, const std::string& key_path) {
  return key_path.empty() ? state_dir + "/unsubscribe.key" : key_path;
}

bool HasUnsubscribeKey(const std::string& state_dir) {
  struct stat info {};
  return stat(UnsubscribeKeyPath(state_dir, "").c_str(), &info) == 0;
}

absl::StatusOr<std::shared_ptr<const KeyRing>> LoadUnsubscribeKey(const std::string& path) {
  const absl::StatusOr<Secret> text =
      ReadSecretFile(path, fmt::format("the unsubscribe key {}", path), ModeRule::kPrivate, {});
  if (!text.ok()) return text.status();
  absl::StatusOr<KeyRing> ring = KeyRing::Parse(text->reveal());
  if (!ring.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("the unsubscribe key {}: {}", path, std::string(ring.status().message())));
  }
  return std::make_shared<const KeyRing>(*std::move(ring));
}

absl::StatusOr<std::shared_ptr<const KeyRing>> LoadOrCreateUnsubscribeKey(
    const std::string& state_dir, const std::string& key_path) {
  const std::string path = UnsubscribeKeyPath(state_dir, key_path);
  if (key_path.empty() && !HasUnsubscribeKey(state_dir)) {
    if (absl::Status s = Create(state_dir, path); !s.ok()) return s;
  }
  return LoadUnsubscribeKey(path);
}

}  // namespace volley::pipeline
