// Client: the sending side of SMTP (RFC 5321) and LMTP (RFC 2033) as a sans-I/O state machine.
// Bytes in by Receive(); bytes out by TakeOutput(); verdicts by the observer; "want" flags say what
// it could use. It opens nothing, reads no clock and allocates nothing per message once warm.
//
// A driver does, after each event: Receive(bytes) -> while (wants_transaction()) Add(next job) ->
// if no send is in flight: TakeOutput() and send -> if (closed()) close the connection.
//
// Pipelining (RFC 2920 §3.1, and smtp-rules D): when the reply to DATA (354) is there, the output
// is one flight: content, final dot, RSET, MAIL, RCPT..., DATA of the *next* transaction, if the
// driver added one. With CHUNKING (RFC 3030, mode B1): BDAT n LAST + content, RSET, MAIL, RCPT...
// of the next; BDAT only after at least one RCPT was accepted. Without PIPELINING: one command at a
// time. wants_transaction() turns true at just the moment when a next transaction would ride along
// for free; the driver may also leave it (then the flight ends with the dot) and Add() later.
//
// STARTTLS (RFC 3207) and AUTH (RFC 4954) have their place between EHLO and ready(), one command at
// a time. When wants_tls() turns true the driver starts TLS on the connection and calls
// OnTlsEstablished() or OnTlsFailed(); until then not one byte may come to Receive(), because TLS
// has a server wait for the client: what comes was put there by somebody else. With
// TlsPolicy::kImplicit the driver has TLS before the first Receive() and calls neither.
//
// Secrets: none is in error(), also when a server repeats one, and our own buffers are overwritten
// after OnOutputSent(). The text of a verdict is the server's, unchanged.
//
// Threading: one thread. Lifetime: see Transaction. Errors: everything a peer sends is a verdict or
// ends the session with a CloseReason; nothing a peer sends trips a check.
#ifndef VOLLEY_ENGINE_SMTP_CLIENT_H_
#define VOLLEY_ENGINE_SMTP_CLIENT_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "engine/sasl/client.h"
#include "engine/sasl/mechanism.h"
#include "engine/sasl/reply.h"
#include "engine/smtp/capabilities.h"
#include "engine/smtp/types.h"

namespace volley::engine::smtp {

// RFC 5321 §4.5.3.2 and its minimum values; the driver keeps the clock.
struct ClientTimeouts {
  absl::Duration greeting = absl::Minutes(5);
  absl::Duration ehlo = absl::Minutes(5);  // the RFC has none: as the others
  absl::Duration starttls = absl::Minutes(5);
  absl::Duration tls_handshake = absl::Minutes(1);  // RFC 3207 §4.1 has none
  absl::Duration auth = absl::Minutes(2);           // each step; servers delay refusals on purpose
  absl::Duration mail = absl::Minutes(5);
  absl::Duration rcpt = absl::Minutes(5);
  absl::Duration data = absl::Minutes(2);
  absl::Duration data_block = absl::Minutes(3);  // each write of content that must progress
  absl::Duration content = absl::Minutes(10);  // §4.5.3.2.6: or the peer delivers and we send again
  absl::Duration rset = absl::Minutes(1);
  absl::Duration quit = absl::Seconds(10);  // bounded: the mail is safe by then
};

enum class TlsPolicy : uint8_t {
  kOff,            // never, also where STARTTLS is offered
  kOpportunistic,  // STARTTLS where it is offered and not refused, else in clear
  kRequired,       // STARTTLS, or the session ends with kTlsUnavailable
  kImplicit,       // TLS from the first byte (RFC 8314 §3.3)
};

// LIFETIME: outlives every Client made with it; shared by all sessions of a lane.
struct ClientOptions {
  Protocol protocol = Protocol::kSmtp;
  std::string helo_name;       // FQDN or address literal; checked by the caller
  bool use_pipelining = true;  // false: as if the peer did not offer it
  bool use_chunking = true;    // false: always DATA
  // EHLO keywords to disregard, upper case (as Postfix' smtp_discard_ehlo_keywords).
  std::vector<std::string> discard_ehlo_keywords;
  ClientTimeouts timeouts;
  TlsPolicy tls = TlsPolicy::kOff;
  // Null: no AUTH. Else the session authenticates or ends; UseCredentials() changes it.
  const sasl::Credentials* credentials = nullptr;
  std::optional<sasl::Mechanism> auth_mechanism;  // auth=; nullopt: the strongest there is
  bool auth_insecure = false;                     // PLAIN, LOGIN and tokens also without TLS
  std::string server_name;  // that we connect to, and its port: OAUTHBEARER tells them
  uint16_t server_port = 0;
  // Of the thread that runs the clients. Null: every session derives its SCRAM keys anew.
  sasl::ScramKeyCache* scram_keys = nullptr;
  sasl::RandomSource* random = sasl::SystemRandom();
};

// One message for one or several recipients.
// LIFETIME: reverse_path and recipients are copied by Add(). The bytes behind `content` and the
// array
//   itself stay valid until OnTransactionEnd for this tag, *and* until the driver's own send of the
//   output that held them is over (the kernel may still read them).
// REQUIRES: content is in canonical form: every line ends in CRLF, no bare CR or LF, the last line
//   included (CheckCanonical in content.h); addresses hold no control character or space.
struct Transaction {
  uint64_t tag = 0;                              // the driver's; comes back in verdicts
  std::string_view reverse_path;                 // without <>; empty: the null path
  std::span<const std::string_view> recipients;  // without <>; 1 to kMaxRecipients
  std::span<const iovec> content;                // no empty piece
  uint64_t content_bytes = 0;                    // sum of the pieces
  bool eight_bit = false;                        // has bytes over 127: needs 8BITMIME
  bool smtputf8 = false;                         // needs SMTPUTF8
  bool dot_free = false;                         // no line begins with a dot: no stuffing needed
};

enum class VerdictKind : uint8_t {
  kDelivered,  // the peer took responsibility
  kRetry,      // not delivered, may be tried again
  kFailed,     // not delivered, permanently refused (or cannot be sent to this peer at all)
  kUnknown,  // all of it was sent but the final reply was not read: delivered or not, nobody knows
};

// What became of one recipient of one transaction. Exactly one comes for each.
struct Verdict {
  uint64_t tag = 0;
  uint32_t recipient = 0;  // index in Transaction::recipients
  VerdictKind kind = VerdictKind::kRetry;
  // false: this try says nothing about the recipient and costs no attempt: a reused session was
  // closed or said 421 before the message was judged, the peer said "too many recipients" (452 or
  // 552 on RCPT, RFC 5321 §4.5.3.1.10), or the transaction never went out.
  bool counts_as_attempt = true;
  CommandKind command = CommandKind::kContent;  // what the reply answered
  ReplyView reply;  // code 0 when the session ended without a reply; text then says why
};

// REQUIRES: no call back into the client but to its const functions.
class ClientObserver {
 public:
  virtual ~ClientObserver() = default;
  virtual void OnVerdict(const Verdict& verdict) = 0;
  // The content of `tag` goes out with the next TakeOutput(): from now on it may arrive, whether or
  // not its reply is ever read.
  virtual void OnContentBegins(uint64_t tag) { (void)tag; }
  // Every recipient of `tag` has its verdict and the client will not touch its content again.
  virtual void OnTransactionEnd(uint64_t tag) = 0;
  // A reply to the greeting, EHLO, STARTTLS or AUTH, before it is acted on: for whoever shows how a
  // session opens. Words that repeat the login are replaced.
  virtual void OnOpeningReply(CommandKind command, const ReplyView& reply) {
    (void)command;
    (void)reply;
  }
};

enum class CloseReason : uint8_t {
  kNone,
  kQuit,      // QUIT was answered (or its time is over): all is well
  kRejected,  // greeting or EHLO/HELO refused with 4yz or 5yz: see close_code() and error().
              // closed() turns true once QUIT is answered too (§4.1.1.10), or its time is over
  kServiceClosing,  // 421 (RFC 5321 §3.8)
  kPeerClosed,      // the connection ended before QUIT
  kProtocolError,   // nonsense, desync, over-long reply; error() says what
  kTimeout,
  kTlsUnavailable,   // TLS is required: not offered ("starttls_missing", close_code() 0), refused,
                     // or OnTlsFailed()
  kAuthUnavailable,  // AUTH is not offered, or no mechanism that fits: see auth_failure()
  kAuthFailed,  // see auth_failure(); sasl::IsTemporary() of it: later with the same credentials
};

class Client {
 public:
  static constexpr size_t kMaxRecipients = 1000;

  // `options` and `observer` outlive the client.
  Client(const ClientOptions* options, ClientObserver* observer);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Ready for a fresh connection; keeps its buffers. REQUIRES: no transaction is open.
  void Reset();
  // For every AUTH that begins from now on. Null: none. LIFETIME: until replaced.
  void UseCredentials(const sasl::Credentials* credentials);

  // --- In ---
  void Receive(std::span<const char> bytes);
  // The whole output last taken has been handed to the transport.
  void OnOutputSent();
  // The connection is gone. `unsent_bytes`: how many bytes at the end of the output taken so far
  // certainly never left (0 when not known). Open transactions get their verdicts here.
  void OnConnectionClosed(uint64_t unsent_bytes, std::string_view why);
  // The reply did not come within reply_timeout(): as a closed connection, with the reason.
  void OnTimeout();
  // TLS is there: everything known of the peer is dropped and EHLO said again (RFC 3207 §4.2).
  // REQUIRES: wants_tls().
  void OnTlsEstablished();
  // There will be no TLS on this connection, so no session either. `why` is for people: the
  // certificate's fault. REQUIRES: wants_tls(), or with TlsPolicy::kImplicit no reply yet.
  void OnTlsFailed(std::string_view why);

  // --- Transactions ---
  // True when a transaction given now goes out in the next flight.
  bool wants_transaction() const;
  // Takes a transaction. A message this peer cannot take (over SIZE, RFC 1870 §6; needs 8BITMIME or
  // SMTPUTF8 the peer lacks) gets its verdicts at once, from inside the call, and OnTransactionEnd.
  // REQUIRES: wants_transaction().
  void Add(const Transaction& transaction);
  // No more transactions: QUIT after what is open (it may ride behind the dot, RFC 2920 §4).
  void Quit();

  // --- Out ---
  bool has_output() const;
  // Fills up to out.size() pieces, returns how many; call again after they are sent while
  // has_output(). LIFETIME: until OnOutputSent(). REQUIRES: what was taken before has been sent.
  size_t TakeOutput(std::span<iovec> out);

  // --- State ---
  bool ready() const;   // greeting and EHLO are done, transactions can run
  bool idle() const;    // ready, and nothing open or unanswered
  bool closed() const;  // the connection should be closed (or is)
  CloseReason close_reason() const;
  // How long to wait for the reply that is due next; nullopt: none is due.
  std::optional<absl::Duration> reply_timeout() const;
  const Capabilities& capabilities() const;
  bool wants_tls() const;      // STARTTLS was accepted: the driver's turn
  bool tls() const;            // the session is encrypted
  bool authenticated() const;  // by AUTH, and the server proved itself where the mechanism has that
  std::optional<sasl::Mechanism> auth_mechanism() const;  // that was tried in this session
  sasl::AuthFailure auth_failure() const;  // why AUTH failed in this session; kNone: it did not
  // kTokenExpired, and the server said nothing against a new token being of use.
  bool token_renewal_may_help() const;
  bool auth_required() const;          // a command was refused with 530 for want of AUTH
  uint32_t transactions_done() const;  // since Reset(), with a final verdict from the peer
  // The reply or the words that ended the session, for people. Valid until Reset().
  ReplyCode close_code() const;
  std::string_view error() const;

 private:
  class Impl;  // states, reply queue and buffers
  std::unique_ptr<Impl> impl_;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_CLIENT_H_
