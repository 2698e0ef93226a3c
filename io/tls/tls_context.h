// TLS contexts: what is common to many TLS streams.
//
//   TlsClientConfig, TlsServerConfig   certificates, trust store, versions, ciphers: made once,
//       immutable, shared by all threads (loading a CA bundle takes some 50 ms and 2 MB).
//   TlsClientContext, TlsServerContext   one a reactor thread: buffers and, for clients, the cache
//       of sessions to resume. Not thread-safe.
//
// LIFETIME: a context outlives the channels that use it; it keeps its config alive.
#ifndef VOLLEY_IO_TLS_TLS_CONTEXT_H_
#define VOLLEY_IO_TLS_TLS_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

using SSL_CTX = struct ssl_ctx_st;

namespace volley::io {

class TlsBuffers;
class TlsSessionCache;

enum class TlsVersion : uint8_t { kTls12, kTls13 };

// A certificate (chain, leaf first) and its key, PEM.
struct TlsCertificateFiles {
  std::string certificate_file;
  std::string key_file;  // empty: the key is in certificate_file
  // A key that others than owner and group can read, or that group or others can write, is refused
  // unless this is set.
  bool allow_exposed_key = false;
};

struct TlsClientOptions {
  // Trusted authorities (PEM), instead of the system's store. A server's own certificate may stand
  // here too (pinning). Empty: the system's, as OpenSSL finds it (SSL_CERT_FILE, SSL_CERT_DIR).
  std::string ca_file;
  // Shown to servers that ask for it. An empty certificate_file: none.
  TlsCertificateFiles certificate;
  TlsVersion min_version = TlsVersion::kTls12;  // 1.0 and 1.1 are not spoken: RFC 8996
  TlsVersion max_version = TlsVersion::kTls13;
  std::string cipher_list;   // TLS 1.2, OpenSSL's syntax; empty: good ones
  std::string ciphersuites;  // TLS 1.3, colon-separated; empty: good ones, AES-128 first
};

struct TlsServerOptions {
  TlsCertificateFiles certificate;  // required
  TlsVersion min_version = TlsVersion::kTls12;
  TlsVersion max_version = TlsVersion::kTls13;
  std::string cipher_list;
  std::string ciphersuites;
  int tickets = 2;  // TLS 1.3 tickets after each handshake; 0: no resumption in either version
  // Asks clients for a certificate signed by one of these and refuses those without. Empty: no.
  std::string client_ca_file;
};

enum class TlsVerify : uint8_t {
  kNone,      // opportunistic (RFC 7435): any certificate; TlsInfo says what is wrong with it
  kRequired,  // chain and name must be good
};

// One connection of a client.
struct TlsConnectOptions {
  // Name (A-labels) or IP literal of the peer. Names are sent as SNI; both are what the certificate
  // is checked against: dNSName or iPAddress only, never the common name (RFC 9525 §6.3).
  // REQUIRES: not empty for kRequired.
  std::string server_name;
  // Also acceptable in the certificate (a mail domain for RFC 6186 §6 and RFC 7817 §3).
  std::vector<std::string> also_accept;
  TlsVerify verify = TlsVerify::kRequired;
  // What sessions are kept under, together with the three above: the destination, for instance
  // "mx1.example.com:25". Empty: no resumption.
  std::string session_key;
  absl::Duration handshake_timeout = absl::Seconds(30);
};

struct TlsAcceptOptions {
  absl::Duration handshake_timeout = absl::Seconds(30);
};

class TlsClientConfig {
 public:
  // Errors: NotFound, PermissionDenied or InvalidArgument, with the file or option and the reason.
  static absl::StatusOr<std::shared_ptr<const TlsClientConfig>> Create(
      const TlsClientOptions& options);
  ~TlsClientConfig();
  TlsClientConfig(const TlsClientConfig&) = delete;
  TlsClientConfig& operator=(const TlsClientConfig&) = delete;

  SSL_CTX* ssl_ctx() const { return ctx_; }
  // Where trust comes from, for messages: a file's name or "the system's certificates (...)".
  const std::string& trust_source() const { return trust_source_; }
  bool default_ciphers() const { return default_ciphers_; }

 private:
  TlsClientConfig() = default;
  absl::Status Init(const TlsClientOptions& options);

  SSL_CTX* ctx_ = nullptr;
  std::string trust_source_;
  bool default_ciphers_ = true;
};

class TlsServerConfig {
 public:
  static absl::StatusOr<std::shared_ptr<const TlsServerConfig>> Create(
      const TlsServerOptions& options);
  ~TlsServerConfig();
  TlsServerConfig(const TlsServerConfig&) = delete;
  TlsServerConfig& operator=(const TlsServerConfig&) = delete;

  SSL_CTX* ssl_ctx() const { return ctx_; }

 private:
  TlsServerConfig() = default;
  absl::Status Init(const TlsServerOptions& options);

  SSL_CTX* ctx_ = nullptr;
};

struct TlsSessionStats {
  uint64_t handshakes = 0;  // finished, full and resumed
  uint64_t resumed = 0;
  uint64_t offered = 0;  // handshakes begun with a session from the cache
  size_t kept = 0;       // sessions in the cache now
};

class TlsClientContext {
 public:
  explicit TlsClientContext(std::shared_ptr<const TlsClientConfig> config);
  ~TlsClientContext();  // REQUIRES: no TLS stream of it is left

  const TlsClientConfig& config() const { return *config_; }
  TlsSessionCache& sessions() { return *sessions_; }
  TlsBuffers& buffers() { return *buffers_; }
  const TlsSessionStats& stats() const;

 private:
  std::shared_ptr<const TlsClientConfig> config_;
  std::unique_ptr<TlsBuffers> buffers_;
  std::unique_ptr<TlsSessionCache> sessions_;
};

class TlsServerContext {
 public:
  explicit TlsServerContext(std::shared_ptr<const TlsServerConfig> config);
  ~TlsServerContext();  // REQUIRES: no TLS stream of it is left

  const TlsServerConfig& config() const { return *config_; }
  TlsBuffers& buffers() { return *buffers_; }

 private:
  std::shared_ptr<const TlsServerConfig> config_;
  std::unique_ptr<TlsBuffers> buffers_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_TLS_CONTEXT_H_
