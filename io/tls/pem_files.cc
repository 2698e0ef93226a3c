#include "io/tls/pem_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "io/tls/limits.h"
#include "io/tls/openssl_ptr.h"

namespace volley::io {
namespace {

// Bytes of a file that may be a secret: overwritten when it goes.
class SecretBytes {
 public:
  explicit SecretBytes(size_t bytes) : bytes_(bytes, '\0') {}
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  ~SecretBytes() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }
  std::string& get() { return bytes_; }

 private:
  std::string bytes_;
};

class Descriptor {
 public:
  explicit Descriptor(const std::string& file) : fd_(open(file.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status CannotRead(std::string_view what, const std::string& file, int error) {
  const std::string message =
      fmt::format("{} {} cannot be read: {}", what, file, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::InvalidArgumentError(message);
}

absl::Status CheckReadable(std::string_view what, const std::string& file) {
  const Descriptor descriptor(file);
  if (descriptor.get() < 0) return CannotRead(what, file, errno);
  struct stat info {};
  if (fstat(descriptor.get(), &info) != 0) return CannotRead(what, file, errno);
  if (S_ISDIR(info.st_mode)) return CannotRead(what, file, EISDIR);
  return absl::OkStatus();
}

// Looks at the file that is open, not at its name: that may be another one a moment later.
absl::Status CheckNotExposed(const std::string& file, mode_t mode) {
  if ((mode & S_IROTH) != 0) {
    return absl::PermissionDeniedError(fmt::format(
        "key {} can be read by everybody (mode {:04o}): chmod 600 it", file, mode & 07777u));
  }
  if ((mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::PermissionDeniedError(fmt::format(
        "key {} can be written by others (mode {:04o}): chmod 600 it", file, mode & 07777u));
  }
  return absl::OkStatus();
}

absl::StatusOr<SecretBytes> ReadKeyFile(const std::string& file, bool allow_exposed) {
  const Descriptor descriptor(file);
  if (descriptor.get() < 0) return CannotRead("key", file, errno);
  struct stat info {};
  if (fstat(descriptor.get(), &info) != 0) return CannotRead("key", file, errno);
  if (S_ISDIR(info.st_mode)) return CannotRead("key", file, EISDIR);
  if (!allow_exposed) {
    if (absl::Status status = CheckNotExposed(file, info.st_mode); !status.ok()) return status;
  }
  SecretBytes bytes(kTlsKeyFileBytesMax + 1);
  size_t have = 0;
  while (have < bytes.get().size()) {
    const ssize_t n = read(descriptor.get(), bytes.get().data() + have, bytes.get().size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return CannotRead("key", file, errno);
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  if (have > kTlsKeyFileBytesMax) return CannotRead("key", file, EFBIG);
  bytes.get().resize(have);
  return bytes;
}

// OpenSSL would ask at the terminal.
int RefusePassword(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

absl::StatusOr<PkeyPtr> ReadKey(const std::string& file, bool allow_exposed) {
  absl::StatusOr<SecretBytes> bytes = ReadKeyFile(file, allow_exposed);
  if (!bytes.ok()) return bytes.status();
  const BioPtr bio(BIO_new_mem_buf(bytes->get().data(), static_cast<int>(bytes->get().size())));
  bool asked = false;
  PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &RefusePassword, &asked));
  const std::string reason = TakeOpenSslReason();
  if (key != nullptr) return key;
  if (asked) {
    return absl::InvalidArgumentError(
        fmt::format("key {} is encrypted: decrypt it first (openssl pkey -in ... -out ...)", file));
  }
  return absl::InvalidArgumentError(
      fmt::format("key {} is not a private key in PEM form: {}", file, reason));
}

}  // namespace

std::string TakeOpenSslReason() {
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(error);
  return reason == nullptr ? "unknown reason" : reason;
}

absl::Status UseCertificate(const TlsCertificateFiles& files, SSL_CTX* ctx) {
  const std::string& certificate = files.certificate_file;
  const std::string& key_file = files.key_file.empty() ? certificate : files.key_file;
  if (absl::Status status = CheckReadable("certificate", certificate); !status.ok()) return status;
  if (SSL_CTX_use_certificate_chain_file(ctx, certificate.c_str()) != 1) {
    return absl::InvalidArgumentError(fmt::format(
        "certificate {} is not a certificate in PEM form: {}", certificate, TakeOpenSslReason()));
  }
  absl::StatusOr<PkeyPtr> key = ReadKey(key_file, files.allow_exposed_key);
  if (!key.ok()) return key.status();
  // This also compares the public halves.
  if (SSL_CTX_use_PrivateKey(ctx, key->get()) != 1) {
    return absl::InvalidArgumentError(fmt::format("key {} does not belong to certificate {}: {}",
                                                  key_file, certificate, TakeOpenSslReason()));
  }
  return absl::OkStatus();
}

absl::Status TrustFile(const std::string& file, SSL_CTX* ctx) {
  if (absl::Status status = CheckReadable("CA file", file); !status.ok()) return status;
  if (SSL_CTX_load_verify_file(ctx, file.c_str()) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("CA file {} holds no certificate in PEM form: {}", file, TakeOpenSslReason()));
  }
  return absl::OkStatus();
}

}  // namespace volley::io
