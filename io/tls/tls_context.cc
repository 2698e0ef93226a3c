#include "io/tls/tls_context.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "io/base/check.h"
#include "io/tls/limits.h"
#include "io/tls/pem_files.h"
#include "io/tls/tls_buffers.h"
#include "io/tls/tls_callbacks.h"
#include "io/tls/tls_session_cache.h"

namespace volley::io {
namespace {

// AES-128 first: the bulk of our work is encrypting mail, and AES-256 costs a third more for it.
constexpr const char* kDefaultCiphersuites =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
// TLS 1.2: forward secrecy with AEAD first; then what old servers have, the weakest last.
constexpr const char* kDefaultCipherList =
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES:"
    "!aNULL:!eNULL:!PSK:!SRP:!MD5";

int Number(TlsVersion version) {
  return version == TlsVersion::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

struct Common {
  TlsVersion min_version, max_version;
  const std::string& cipher_list;
  const std::string& ciphersuites;
};

absl::Status SetCiphers(const Common& common, SSL_CTX* ctx) {
  const std::string& list = common.cipher_list;
  if (SSL_CTX_set_cipher_list(ctx, list.empty() ? kDefaultCipherList : list.c_str()) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("cipher list \"{}\": {}", list, TakeOpenSslReason()));
  }
  const std::string& suites = common.ciphersuites;
  // An empty rest is not an error to OpenSSL; it would be one at every handshake.
  if (SSL_CTX_set_ciphersuites(ctx, suites.empty() ? kDefaultCiphersuites : suites.c_str()) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("TLS 1.3 cipher suites \"{}\": {}", suites, TakeOpenSslReason()));
  }
  return absl::OkStatus();
}

absl::Status SetCommon(const Common& common, SSL_CTX* ctx) {
  if (common.min_version > common.max_version) {
    return absl::InvalidArgumentError("the least TLS version is above the highest");
  }
  SSL_CTX_set_min_proto_version(ctx, Number(common.min_version));
  SSL_CTX_set_max_proto_version(ctx, Number(common.max_version));
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // SSL_MODE_RELEASE_BUFFERS: 34 KB less for an idle session. MOVING_WRITE_BUFFER: small pieces lie
  // in a buffer that many streams use, so a record that is tried again comes from elsewhere.
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_max_cert_list(ctx, kTlsChainBytesMax);
  return SetCiphers(common, ctx);
}

bool HasHashedCertificates(const char* directory) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.size() == 10 && name.ends_with(".0")) return true;  // c_rehash: 8 hex digits
  }
  return false;
}

// The directory of hashed names is read as needed, one file a new authority. The bundle, the other
// half of OpenSSL's default, takes 50 ms and 2 MB to load whole, for the same authorities.
absl::Status TrustSystem(SSL_CTX* ctx, std::string* source) {
  const char* directory = std::getenv(X509_get_default_cert_dir_env());
  if (directory == nullptr) directory = X509_get_default_cert_dir();
  const bool own_file = std::getenv(X509_get_default_cert_file_env()) != nullptr;
  if (!own_file && HasHashedCertificates(directory)) {
    *source = fmt::format("the system's certificates ({})", directory);
    SSL_CTX_set_default_verify_dir(ctx);
    return absl::OkStatus();
  }
  const char* file =
      own_file ? std::getenv(X509_get_default_cert_file_env()) : X509_get_default_cert_file();
  if (own_file) {
    *source = file;
    return TrustFile(file, ctx);
  }
  // Without any every certificate is untrusted; the source says so in the message.
  SSL_CTX_set_default_verify_paths(ctx);
  ERR_clear_error();
  std::error_code error;
  *source = std::filesystem::exists(file, error)
                ? fmt::format("the system's certificates ({})", file)
                : fmt::format("the system's certificates (there are none: neither {} nor {})", file,
                              directory);
  return absl::OkStatus();
}

}  // namespace

// --- client --------------------------------------------------------------------------------------

absl::StatusOr<std::shared_ptr<const TlsClientConfig>> TlsClientConfig::Create(
    const TlsClientOptions& options) {
  std::shared_ptr<TlsClientConfig> config(new TlsClientConfig);
  if (absl::Status status = config->Init(options); !status.ok()) return status;
  return std::shared_ptr<const TlsClientConfig>(std::move(config));
}

absl::Status TlsClientConfig::Init(const TlsClientOptions& options) {
  ctx_ = SSL_CTX_new(TLS_client_method());
  if (ctx_ == nullptr) return absl::InternalError("OpenSSL: " + TakeOpenSslReason());
  absl::Status status = SetCommon(
      {options.min_version, options.max_version, options.cipher_list, options.ciphersuites}, ctx_);
  if (!status.ok()) return status;
  default_ciphers_ = options.cipher_list.empty();
  InstallClientCallbacks(ctx_);
  SSL_CTX_set_session_cache_mode(ctx_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  // An intermediate or the server's own certificate in ca_file is trusted like a root: whoever puts
  // it there means it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx_), X509_V_FLAG_PARTIAL_CHAIN);
  if (!options.certificate.certificate_file.empty()) {
    status = UseCertificate(options.certificate, ctx_);
    if (!status.ok()) return status;
  }
  if (options.ca_file.empty()) return TrustSystem(ctx_, &trust_source_);
  trust_source_ = options.ca_file;
  return TrustFile(options.ca_file, ctx_);
}

TlsClientConfig::~TlsClientConfig() { SSL_CTX_free(ctx_); }

TlsClientContext::TlsClientContext(std::shared_ptr<const TlsClientConfig> config)
    : config_(std::move(config)),
      buffers_(std::make_unique<TlsBuffers>()),
      sessions_(std::make_unique<TlsSessionCache>()) {
  VOLLEY_CHECK(config_ != nullptr);
}

TlsClientContext::~TlsClientContext() = default;

const TlsSessionStats& TlsClientContext::stats() const { return sessions_->stats(); }

// --- server --------------------------------------------------------------------------------------

absl::StatusOr<std::shared_ptr<const TlsServerConfig>> TlsServerConfig::Create(
    const TlsServerOptions& options) {
  std::shared_ptr<TlsServerConfig> config(new TlsServerConfig);
  if (absl::Status status = config->Init(options); !status.ok()) return status;
  return std::shared_ptr<const TlsServerConfig>(std::move(config));
}

absl::Status TlsServerConfig::Init(const TlsServerOptions& options) {
  ctx_ = SSL_CTX_new(TLS_server_method());
  if (ctx_ == nullptr) return absl::InternalError("OpenSSL: " + TakeOpenSslReason());
  absl::Status status = SetCommon(
      {options.min_version, options.max_version, options.cipher_list, options.ciphersuites}, ctx_);
  if (!status.ok()) return status;
  InstallServerCallbacks(ctx_);
  SSL_CTX_set_session_cache_mode(ctx_, SSL_SESS_CACHE_OFF);  // tickets only: nothing is kept here
  SSL_CTX_set_num_tickets(ctx_, static_cast<size_t>(options.tickets < 0 ? 0 : options.tickets));
  if (options.tickets <= 0) SSL_CTX_set_options(ctx_, SSL_OP_NO_TICKET);
  static constexpr std::string_view kSessionContext = "volley";
  SSL_CTX_set_session_id_context(ctx_,
                                 reinterpret_cast<const unsigned char*>(kSessionContext.data()),
                                 static_cast<unsigned>(kSessionContext.size()));
  if (!options.client_ca_file.empty()) {
    SSL_CTX_set_verify(ctx_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    status = TrustFile(options.client_ca_file, ctx_);
    if (!status.ok()) return status;
  }
  return UseCertificate(options.certificate, ctx_);
}

TlsServerConfig::~TlsServerConfig() { SSL_CTX_free(ctx_); }

TlsServerContext::TlsServerContext(std::shared_ptr<const TlsServerConfig> config)
    : config_(std::move(config)), buffers_(std::make_unique<TlsBuffers>()) {
  VOLLEY_CHECK(config_ != nullptr);
}

TlsServerContext::~TlsServerContext() = default;

}  // namespace volley::io
