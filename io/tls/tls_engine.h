// TlsEngine: OpenSSL for one stream, without a socket: ciphertext in by Feed(), out by output().
//
// OpenSSL reads from the fed bytes and writes into output() through a BIO of ours; neither side
// ever waits. All fed bytes are consumed before a call asks for more, so none are kept here.
//
// Threading: its context's thread. LIFETIME: the context outlives it. It never calls back.
#ifndef VOLLEY_IO_TLS_TLS_ENGINE_H_
#define VOLLEY_IO_TLS_TLS_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "io/tls/certificate.h"
#include "io/tls/openssl_ptr.h"
#include "io/tls/tls_buffers.h"
#include "io/tls/tls_context.h"
#include "io/tls/tls_info.h"

namespace volley::io {

class TlsEngine {
 public:
  enum class Step : uint8_t {
    kDone,
    kWantsInput,  // all that was fed is used up
    kEnded,       // Read only: the peer's close_notify
    kFailed,      // error() says why; an alert may be in output(). Nothing more can be done.
  };

  TlsEngine(TlsClientContext* context, const TlsConnectOptions& options);
  explicit TlsEngine(TlsServerContext* context);
  ~TlsEngine();
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;

  // Ciphertext from the peer. LIFETIME: until the next Feed().
  void Feed(std::span<const char> bytes) { input_ = bytes; }

  // Goes on with the handshake as far as the input allows. Failed also when the options were bad.
  Step Handshake();
  // REQUIRES for all below: the handshake is done.
  TlsInfo MakeInfo();
  // Decrypts as much as `into` holds; *count bytes of it are good whatever the step is. kDone:
  // there may be more.
  Step Read(std::span<char> into, size_t* count);
  // One record. REQUIRES: 1 to record_bytes_max() bytes, room for it in output(). kWantsInput: not
  // now (the peer is in the middle of a post-handshake message); the same bytes again later.
  Step Write(const char* bytes, size_t count);
  size_t record_bytes_max() const { return record_bytes_max_; }
  // close_notify: nothing is written after it.
  void EndWrite();

  TlsOutput& output() { return output_; }
  const TlsOutput& output() const { return output_; }
  TlsBuffers& buffers() { return *buffers_; }
  const TlsError& error() const { return error_; }
  // The failure of a handshake that the outside ends (timeout, lost connection), or kNone to give
  // back what error() has; with what is known of the peer.
  TlsError TakeError(TlsFailure failure, std::string message);

 private:
  friend struct TlsBio;
  friend struct TlsCallbacks;

  absl::Status SetUpClient(const TlsConnectOptions& options);
  absl::Status SetExpectedNames(const TlsConnectOptions& options);
  void AttachBio();
  bool LooksPlain() const;
  Step FailPlain();
  Step FailByOpenSsl();
  Step Fail(TlsFailure failure, std::string message);
  void OnHandshakeDone();
  void DescribePeer(TlsInfo* info);
  void DescribeVerification(TlsInfo* info);
  void KeepSession(SslSessionPtr session);
  void KeepUsedSession();

  TlsClientContext* const client_ = nullptr;  // null: server side
  TlsBuffers* const buffers_;
  SslPtr ssl_;
  std::span<const char> input_;
  TlsOutput output_;
  size_t record_bytes_max_ = 0;
  std::string server_name_;                      // client: what is expected of the certificate
  std::string session_key_;                      // empty: sessions are not kept
  std::unique_ptr<CertificateVerdict> verdict_;  // during a full handshake
  X509Ptr faulty_;                               // the same: the certificate that did not pass
  TlsError error_;
  SslSessionPtr used_;        // resumed from, as long as no new one has come
  bool heard_ = false;        // the first bytes were TLS
  bool output_full_ = false;  // a write did not fit
  bool offered_ = false;      // a session of the cache
  bool done_ = false;         // handshake
};

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_TLS_ENGINE_H_
