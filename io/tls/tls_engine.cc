#include "io/tls/tls_engine.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/strip.h"
#include "io/base/check.h"
#include "io/tls/pem_files.h"
#include "io/tls/tls_callbacks.h"
#include "io/tls/tls_errors.h"
#include "io/tls/tls_session_cache.h"

namespace volley::io {

// The BIO between OpenSSL and the engine's two sides. Its data is the engine.
struct TlsBio {
  static TlsEngine* Engine(BIO* bio) { return static_cast<TlsEngine*>(BIO_get_data(bio)); }

  static int Read(BIO* bio, char* into, size_t most, size_t* count) {
    BIO_clear_retry_flags(bio);
    std::span<const char>& input = Engine(bio)->input_;
    *count = std::min(most, input.size());
    if (*count == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    std::memcpy(into, input.data(), *count);
    input = input.subspan(*count);
    return 1;
  }

  static int Write(BIO* bio, const char* bytes, size_t count, size_t* written) {
    BIO_clear_retry_flags(bio);
    TlsEngine* engine = Engine(bio);
    if (!engine->output_.Append(bytes, count)) {
      engine->output_full_ = true;  // no retry flag: this is fatal
      return 0;
    }
    *written = count;
    return 1;
  }

  static long Control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;  // nothing is held back; all else is unknown here
  }

  static BIO_METHOD* MakeMethod() {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "volley");
    VOLLEY_CHECK(method != nullptr);
    BIO_meth_set_read_ex(method, &Read);
    BIO_meth_set_write_ex(method, &Write);
    BIO_meth_set_ctrl(method, &Control);
    return method;
  }

  static const BIO_METHOD* Method() {
    static const BIO_METHOD* const method = MakeMethod();  // for the life of the process
    return method;
  }
};

// --- what an SSL_CTX calls -----------------------------------------------------------------------

struct TlsCallbacks {
  static TlsEngine* Engine(const SSL* ssl) {
    return static_cast<TlsEngine*>(SSL_get_app_data(ssl));
  }

  static int VerifyCertificate(X509_STORE_CTX* store, void*) {
    auto* ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    TlsEngine* engine = Engine(ssl);
    engine->verdict_ = std::make_unique<CertificateVerdict>();
    if (engine->verdict_->Verify(store)) return 1;
    // OpenSSL ignores the answer for TlsVerify::kNone (SSL_VERIFY_NONE); else it forgets the
    // certificate with it, which we still have to describe.
    X509* certificate = X509_STORE_CTX_get0_cert(store);
    X509_up_ref(certificate);
    engine->faulty_.reset(certificate);
    return 0;
  }

  static int NewSession(SSL* ssl, SSL_SESSION* session) {
    Engine(ssl)->KeepSession(SslSessionPtr(session));
    return 1;  // the reference is ours
  }

  static int ServerName(SSL*, int*, void*) { return SSL_TLSEXT_ERR_OK; }
};

void InstallClientCallbacks(SSL_CTX* ctx) {
  SSL_CTX_set_cert_verify_callback(ctx, &TlsCallbacks::VerifyCertificate, nullptr);
  SSL_CTX_sess_set_new_cb(ctx, &TlsCallbacks::NewSession);
}

void InstallServerCallbacks(SSL_CTX* ctx) {
  // Taking any name is what makes OpenSSL acknowledge and remember it (RFC 6066 §3).
  SSL_CTX_set_tlsext_servername_callback(ctx, &TlsCallbacks::ServerName);
}

// --- setting up ----------------------------------------------------------------------------------

TlsEngine::TlsEngine(TlsClientContext* context, const TlsConnectOptions& options)
    : client_(context),
      buffers_(&context->buffers()),
      ssl_(SSL_new(context->config().ssl_ctx())),
      output_(buffers_) {
  VOLLEY_CHECK(ssl_ != nullptr);  // out of memory
  AttachBio();
  SSL_set_connect_state(ssl_.get());
  if (const absl::Status status = SetUpClient(options); !status.ok()) {
    error_ = {TlsFailure::kHandshakeFailed, std::string(status.message()), {}};
  }
}

TlsEngine::TlsEngine(TlsServerContext* context)
    : buffers_(&context->buffers()), ssl_(SSL_new(context->config().ssl_ctx())), output_(buffers_) {
  VOLLEY_CHECK(ssl_ != nullptr);
  AttachBio();
  SSL_set_accept_state(ssl_.get());
}

TlsEngine::~TlsEngine() {
  // Without a shutdown OpenSSL marks the session of a finished handshake as not resumable, also in
  // our cache. How TCP ended says nothing about the session (RFC 5246 §7.2.1 took that rule out).
  if (error_.failure != TlsFailure::kBadRecord) {
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
  buffers_->StreamGone();
}

void TlsEngine::AttachBio() {
  buffers_->StreamBorn();
  BIO* bio = BIO_new(TlsBio::Method());
  VOLLEY_CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
}

absl::Status TlsEngine::SetUpClient(const TlsConnectOptions& options) {
  const bool required = options.verify == TlsVerify::kRequired;
  SSL_set_verify(ssl_.get(), required ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!required && client_->config().default_ciphers()) {
    // RFC 7435 §3: weak encryption is better than none, and none is what comes otherwise. Level 2,
    // Debian's default, refuses SHA-1 signatures and RSA and DH keys under 2048 bits.
    SSL_set_security_level(ssl_.get(), 0);
  }
  if (absl::Status status = SetExpectedNames(options); !status.ok()) return status;
  if (options.session_key.empty()) return absl::OkStatus();
  session_key_ = fmt::format("{}\n{}\n{}\n", required, server_name_, options.session_key);
  for (const std::string& name : options.also_accept) session_key_ += name + '\n';
  if (const SslSessionPtr session = client_->sessions().Take(session_key_)) {
    offered_ = SSL_set_session(ssl_.get(), session.get()) == 1;
    client_->sessions().stats().offered += offered_ ? 1 : 0;
    // A copy: OpenSSL marks one that was resumed from as not resumable.
    used_.reset(SSL_SESSION_dup(session.get()));
  }
  return absl::OkStatus();
}

absl::Status TlsEngine::SetExpectedNames(const TlsConnectOptions& options) {
  server_name_ = std::string(options.server_name);
  if (server_name_.ends_with('.')) server_name_.pop_back();  // the root's dot is no part of SNI
  if (server_name_.empty()) {
    if (options.verify == TlsVerify::kNone) return absl::OkStatus();
    return absl::InvalidArgumentError("there is no name to verify the certificate against");
  }
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl_.get());
  // An IP address is taken for one here, and matched with iPAddress entries only.
  const bool is_ip = X509_VERIFY_PARAM_set1_ip_asc(param, server_name_.c_str()) == 1;
  ERR_clear_error();
  if (is_ip) return absl::OkStatus();
  X509_VERIFY_PARAM_set_hostflags(
      param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  bool good = X509_VERIFY_PARAM_set1_host(param, server_name_.data(), server_name_.size()) == 1 &&
              SSL_set_tlsext_host_name(ssl_.get(), server_name_.c_str()) == 1;
  for (const std::string& name : options.also_accept) {
    good = good && X509_VERIFY_PARAM_add1_host(param, name.data(), name.size()) == 1;
  }
  if (good) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError(fmt::format("\"{}\" is not a name that TLS can ask for",
                                                ShownText(server_name_, kTlsTextShownMax)));
}

// --- the handshake -------------------------------------------------------------------------------

// RFC 8446 §5.1: a record begins with its type and version 3.x. The first of a server is a
// handshake message or an alert; of a client, a handshake message (or SSLv2's hello, which OpenSSL
// refuses in its own words).
bool TlsEngine::LooksPlain() const {
  const auto type = static_cast<unsigned char>(input_[0]);
  if (type == SSL3_RT_HANDSHAKE || type == SSL3_RT_ALERT) return false;
  return client_ != nullptr || type < 0x80;
}

TlsEngine::Step TlsEngine::FailPlain() {
  const std::string_view text(input_.data(), input_.size());
  const std::string_view line = text.substr(0, text.find_first_of("\r\n"));
  return Fail(TlsFailure::kPlaintextPeer,
              fmt::format("the peer spoke plaintext: \"{}\"", ShownText(line, kTlsBannerShownMax)));
}

TlsEngine::Step TlsEngine::Handshake() {
  if (error_.failure != TlsFailure::kNone) return Step::kFailed;
  if (!heard_ && !input_.empty()) {
    if (LooksPlain()) return FailPlain();
    heard_ = true;
  }
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    OnHandshakeDone();
    return Step::kDone;
  }
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return Step::kWantsInput;
  return FailByOpenSsl();
}

void TlsEngine::OnHandshakeDone() {
  done_ = true;
  record_bytes_max_ = kTlsRecordBytesMax;
  const SSL_SESSION* session = SSL_get_session(ssl_.get());
  if (const uint8_t code = SSL_SESSION_get_max_fragment_length(session); code != 0) {
    record_bytes_max_ = size_t{256} << code;  // RFC 6066 §4: 1 is 2^9
  }
  if (client_ == nullptr) return;
  TlsSessionStats& stats = client_->sessions().stats();
  ++stats.handshakes;
  if (SSL_session_reused(ssl_.get()) == 1) {
    ++stats.resumed;
  } else {
    used_.reset();
  }
}

void TlsEngine::KeepSession(SslSessionPtr session) {
  if (session_key_.empty()) return;
  used_.reset();
  client_->sessions().Keep(session_key_, std::move(session));
}

// Data without a ticket before it: this server (Postfix, and others that manage their ticket keys)
// gives none on a resumed connection but takes the old one again. RFC 8446 Appendix C.4 has clients
// use one once so that listeners cannot link connections; ours to one relay, from one address, are
// linked anyhow.
void TlsEngine::KeepUsedSession() {
  if (client_ != nullptr && SSL_version(ssl_.get()) >= TLS1_3_VERSION) {
    client_->sessions().Keep(session_key_, std::move(used_));
  }
  used_.reset();
}

// --- data ----------------------------------------------------------------------------------------

TlsEngine::Step TlsEngine::Read(std::span<char> into, size_t* count) {
  *count = 0;
  while (*count < into.size()) {
    ERR_clear_error();
    size_t n = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data() + *count, into.size() - *count, &n);
    if (result == 1) {
      if (used_ != nullptr) KeepUsedSession();
      *count += n;
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ) return Step::kWantsInput;
    if (error == SSL_ERROR_ZERO_RETURN) return Step::kEnded;
    return FailByOpenSsl();
  }
  return Step::kDone;
}

TlsEngine::Step TlsEngine::Write(const char* bytes, size_t count) {
  ERR_clear_error();
  size_t written = 0;
  const int result = SSL_write_ex(ssl_.get(), bytes, count, &written);
  if (result == 1) {
    VOLLEY_CHECK(written == count);  // no SSL_MODE_ENABLE_PARTIAL_WRITE: all or nothing
    return Step::kDone;
  }
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return Step::kWantsInput;
  return FailByOpenSsl();
}

void TlsEngine::EndWrite() {
  ERR_clear_error();
  // Fails only in the middle of a post-handshake message of the peer: then there is no
  // close_notify.
  (void)SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

// --- what went wrong -----------------------------------------------------------------------------

TlsEngine::Step TlsEngine::Fail(TlsFailure failure, std::string message) {
  error_ = {failure, std::move(message), {}};
  return Step::kFailed;
}

TlsEngine::Step TlsEngine::FailByOpenSsl() {
  const OpenSslFailure openssl = TakeOpenSslFailure(ssl_.get(), done_);
  if (offered_ && !done_) client_->sessions().Forget(session_key_);
  if (output_full_) {
    return Fail(done_ ? TlsFailure::kBadRecord : TlsFailure::kHandshakeFailed,
                "the peer makes us write without end");
  }
  if (!done_ && verdict_ != nullptr && !verdict_->good() &&
      SSL_get_verify_mode(ssl_.get()) != SSL_VERIFY_NONE) {
    TlsInfo info;
    DescribePeer(&info);
    std::string words = info.why_not_verified;
    error_ = {verdict_->failure(), std::move(words), std::move(info)};
    return Step::kFailed;
  }
  return Fail(openssl.failure,
              fmt::format("{} ({})", TlsFailureWords(openssl.failure),
                          openssl.reason[0] == '\0' ? "no reason given" : openssl.reason));
}

TlsError TlsEngine::TakeError(TlsFailure failure, std::string message) {
  TlsError error = std::move(error_);
  error_.failure = error.failure;  // for the destructor
  if (error.failure == TlsFailure::kNone) {
    error.failure = failure;
    error.message = std::move(message);
  }
  if (error.info.version.empty()) DescribePeer(&error.info);
  return error;
}

// --- what it is ----------------------------------------------------------------------------------

TlsInfo TlsEngine::MakeInfo() {
  TlsInfo info;
  DescribePeer(&info);
  verdict_.reset();  // said once: an idle stream does not keep it
  faulty_.reset();
  return info;
}

void TlsEngine::DescribePeer(TlsInfo* info) {
  SSL* ssl = ssl_.get();
  if (SSL_get_current_cipher(ssl) != nullptr) {
    info->version = SSL_get_version(ssl);
    info->cipher = SSL_get_cipher_name(ssl);
    const int group = done_ ? static_cast<int>(SSL_get_negotiated_group(ssl)) : 0;
    const char* name = group == 0 ? nullptr : SSL_group_to_name(ssl, group);
    if (name != nullptr) info->key_exchange = name;
    ERR_clear_error();
  }
  info->resumed = SSL_session_reused(ssl) == 1;
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) {
    info->server_name = ShownText(name, kTlsTextShownMax);
  }
  const X509* certificate = faulty_ != nullptr ? faulty_.get() : SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return;
  DescribeCertificate(certificate, info);
  DescribeVerification(info);
}

void TlsEngine::DescribeVerification(TlsInfo* info) {
  CertificateVerdict known;  // a resumed session and the server's side have the code only
  if (verdict_ == nullptr) known.Add(static_cast<int>(SSL_get_verify_result(ssl_.get())));
  const CertificateVerdict& verdict = verdict_ == nullptr ? known : *verdict_;
  info->unverified_reason = verdict.failure();
  if (client_ == nullptr) {
    info->verified = verdict.good();
    info->why_not_verified = verdict.Words(*info, "", "the authorities for clients");
    return;
  }
  info->verified = verdict.good() && !server_name_.empty();
  info->why_not_verified = verdict.Words(*info, server_name_, client_->config().trust_source());
  if (verdict.good() && !info->verified) {
    info->why_not_verified = "there is no name to check the certificate against";
  }
}

}  // namespace volley::io
