// Client::Impl: the state of one session. client.cc has the session (greeting, EHLO, RSET, QUIT,
// how it ends), client_auth.cc STARTTLS and AUTH between the two, client_transaction.cc a
// transaction's way from MAIL to its last verdict.
//
// How it works: every command whose reply is due has an entry in a queue; a reply is handed to the
// method of the entry at its front. Nothing else decides what a reply means (RFC 2920 §3.1:
// matching by code or text is forbidden). At most two transactions are open: the one whose content
// is being judged and the next, riding behind it.
#ifndef VOLLEY_ENGINE_SMTP_CLIENT_IMPL_H_
#define VOLLEY_ENGINE_SMTP_CLIENT_IMPL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/secret.h"
#include "engine/sasl/client.h"
#include "engine/sasl/mechanism.h"
#include "engine/sasl/reply.h"
#include "engine/smtp/capabilities.h"
#include "engine/smtp/check.h"
#include "engine/smtp/client.h"
#include "engine/smtp/client_output.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/types.h"

namespace volley::engine::smtp {

inline constexpr std::string_view kWordsHidden =
    "(the server's words repeat the login and are not shown)";

// A reply that is due, or several in a row of the same kind.
struct DueReply {
  uint64_t text_end = 0;  // text position of the command's end: not due before that was taken
  uint32_t count = 1;
  CommandKind kind = CommandKind::kGreeting;
  uint8_t slot = 0;  // of the transaction, where there is one
};

// First in, first out. The longest possible row is content, RSET, MAIL, RCPT and DATA of the next
// transaction, and a QUIT or a second RSET: runs of RCPT are one entry, so sixteen are plenty.
class DueReplies {
 public:
  bool empty() const { return begin_ == end_; }
  const DueReply& front() const { return entries_[begin_ % kCapacity]; }
  // REQUIRES: due.count > 0.
  void Push(const DueReply& due) {
    Require(end_ - begin_ < kCapacity, "the row of due replies is bounded");
    entries_[end_++ % kCapacity] = due;
  }
  // Takes one reply off the front entry.
  DueReply Take() {
    DueReply& due = entries_[begin_ % kCapacity];
    if (--due.count == 0) ++begin_;
    return due;
  }
  void DropAll(bool but_front) { end_ = begin_ + (but_front ? 1 : 0); }
  // The kind of the first entry of `slot`.
  std::optional<CommandKind> FirstOf(uint8_t slot) const {
    for (uint32_t i = begin_; i != end_; ++i) {
      const DueReply& due = entries_[i % kCapacity];
      if (due.slot == slot && due.kind != CommandKind::kRset) return due.kind;
    }
    return std::nullopt;
  }

 private:
  static constexpr uint32_t kCapacity = 16;
  std::array<DueReply, kCapacity> entries_;
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
};

// A transaction between Add() and OnTransactionEnd().
struct OpenTransaction {
  enum class Phase : uint8_t {
    kFree,
    kCommands,  // MAIL, RCPT, DATA: not all answered
    kContent,   // content is in the output or sent; its replies are due
    kLoneDot,   // RFC 2920 §3.1: a dot for a DATA that nobody was accepted for
    kDrain,     // judged before its end was sent; the rest must still go out
  };
  enum class Recipient : uint8_t {
    kNotSent,   // judged here, no RCPT went out
    kSent,      // awaits its RCPT reply
    kAccepted,  // awaits the content's
    kJudged,
  };

  Phase phase = Phase::kFree;
  uint8_t slot = 0;
  bool first_in_session = false;
  bool mail_accepted = false;
  bool rcpt_without_mail = false;  // a RCPT was accepted although MAIL was refused
  bool dot_free = false;
  uint64_t tag = 0;
  std::span<const iovec> content;
  uint64_t content_bytes = 0;
  uint64_t commands_begin = 0;  // text position of MAIL
  uint64_t terminator = 0;      // text position the end of the content is known by
  uint32_t unjudged = 0;
  uint32_t accepted = 0;
  uint32_t rcpts_sent = 0;   // RCPT commands made
  uint32_t rcpts_due = 0;    // of them not yet answered
  uint32_t content_due = 0;  // replies to the content: one, or in LMTP one a recipient
  uint32_t cursor = 0;       // next recipient to be answered
  std::vector<Recipient> recipients;
};

class Client::Impl {
 public:
  Impl(const ClientOptions* options, ClientObserver* observer);

  void Reset();
  void Receive(std::span<const char> bytes);
  void OnOutputSent();
  void OnConnectionClosed(uint64_t unsent_bytes, std::string_view why);
  void OnTimeout();
  void OnTlsEstablished();
  void OnTlsFailed(std::string_view why);
  void UseCredentials(const sasl::Credentials* credentials) { credentials_ = credentials; }
  bool wants_tls() const { return wants_tls_; }
  bool tls() const { return tls_; }
  bool authenticated() const { return authenticated_; }
  std::optional<sasl::Mechanism> auth_mechanism() const { return auth_mechanism_; }
  sasl::AuthFailure auth_failure() const { return auth_failure_; }
  bool token_renewal_may_help() const {
    return auth_failure_ == sasl::AuthFailure::kTokenExpired && token_renewal_may_help_;
  }
  bool auth_required() const { return auth_required_; }
  bool wants_transaction() const;
  void Add(const Transaction& transaction);
  void Quit();
  bool has_output() const { return output_.has_output(); }
  size_t TakeOutput(std::span<iovec> out) { return output_.Take(out); }
  bool ready() const { return state_ == State::kReady; }
  bool idle() const { return ready() && !AnyOpen() && due_.empty(); }
  bool closed() const { return state_ == State::kClosed; }
  CloseReason close_reason() const { return close_reason_; }
  std::optional<absl::Duration> reply_timeout() const;
  const Capabilities& capabilities() const { return capabilities_; }
  uint32_t transactions_done() const { return transactions_done_; }
  ReplyCode close_code() const { return close_code_; }
  std::string_view error() const { return error_; }

 private:
  enum class State : uint8_t {
    kOpening,  // greeting, EHLO, STARTTLS, EHLO, AUTH
    kReady,
    kQuitting,  // QUIT is in the output or sent; replies before its own may still be due
    kClosed,
  };
  using Phase = OpenTransaction::Phase;
  using Recipient = OpenTransaction::Recipient;

  // --- The session: client.cc ---
  void HandleReply(const ReplyView& reply);
  void Dispatch(const DueReply& due, const ReplyView& reply);
  void OnUnsolicited(const ReplyView& reply);
  void OnServiceClosing(const ReplyView& reply);
  void TellOpeningReply(const ReplyView& reply);
  void OnGreeting(const ReplyView& reply);
  void OnHello(CommandKind kind, const ReplyView& reply);
  void OnRset(const ReplyView& reply);
  void OnQuit();
  void SendHello(CommandKind kind);
  void TakeCapabilities(CommandKind kind);
  void BecomeReady();
  void Reject(CommandKind kind, const ReplyView& reply);
  void GiveUp(CloseReason reason, std::string words);
  void MaybeQuit();
  void QueueQuit();
  void QueueReset();
  void QueueCommand(CommandKind kind, std::string_view line);
  void OnLost(CloseReason reason, uint64_t unsent_bytes, std::string_view why);
  void ProtocolError(std::string_view what);
  void UnexpectedReply(CommandKind kind, const ReplyView& reply);
  // Gives every open transaction its verdicts with `reply`, and closes. Nothing happens after it.
  void EndSession(CloseReason reason, uint64_t unsent_bytes, const ReplyView& reply);
  static VerdictKind KindOf(ReplyCode code) {
    return code.permanent() ? VerdictKind::kFailed : VerdictKind::kRetry;
  }

  // --- STARTTLS and AUTH: client_auth.cc ---
  void AfterHello();
  bool WantsStartTls() const;
  void OnStartTls(const ReplyView& reply);
  void StartAuth();
  void NoMechanism(const sasl::MechanismChoice& choice);
  void SendAuth();
  void SendResponse(const Secret& response);
  void OnAuth(const ReplyView& reply);
  void OnChallenge(const ReplyView& reply);
  void CancelAuth(sasl::AuthFailure failure, std::string_view why);
  void OnAuthCancelled(const ReplyView& reply);
  void OnAuthAccepted();
  void OnAuthRefused(const ReplyView& reply);
  void NoteAuthRequired(const ReplyView& reply);
  std::string AuthWords(std::string_view words) const;
  sasl::AuthFailure Classify(const ReplyView& reply) const;
  bool RepeatsSecret(std::string_view text) const;
  std::string ForPeople(CommandKind kind, const ReplyView& reply) const;
  void ForgetSecrets();

  // --- Transactions: client_transaction.cc ---
  bool RefuseWhole(const Transaction& transaction);
  void RefuseAll(const Transaction& transaction, EnhancedCode enhanced, std::string_view why);
  void RefuseOne(OpenTransaction* open, uint32_t recipient, VerdictKind kind, EnhancedCode enhanced,
                 std::string_view why);
  void Begin(OpenTransaction* open, const Transaction& transaction);
  void SelectRecipients(OpenTransaction* open, const Transaction& transaction);
  bool SelectOne(OpenTransaction* open, uint32_t recipient, std::string_view path, bool smtputf8);
  bool FitsDomainLimit(std::string_view recipient);
  void QueueCommands(OpenTransaction* open, const Transaction& transaction);
  void PushDue(const OpenTransaction& open, bool with_reset);
  void ReleaseHeld();
  void OnMail(OpenTransaction* open, const ReplyView& reply);
  void OnRcpt(OpenTransaction* open, const ReplyView& reply);
  void OnRcptRefused(OpenTransaction* open, uint32_t recipient, const ReplyView& reply);
  void OnData(OpenTransaction* open, const ReplyView& reply);
  void OnContent(OpenTransaction* open, const ReplyView& reply);
  void AfterEnvelopeReply(OpenTransaction* open);
  void EnvelopeAnswered(OpenTransaction* open);
  void QueueContent(OpenTransaction* open);
  void QueueLoneDot(OpenTransaction* open);
  void FinishWithoutContent(OpenTransaction* open);
  void OnEarlyRefusal(const OpenTransaction& open);
  void JudgeContent(OpenTransaction* open, const ReplyView& reply);
  void ContentAnswered(OpenTransaction* open, const ReplyView& reply);
  uint32_t NextRecipient(OpenTransaction* open, Recipient state) const;
  void JudgeAll(OpenTransaction* open, const Verdict& verdict);
  void JudgeOne(OpenTransaction* open, uint32_t recipient, Verdict verdict);
  void Abandon(OpenTransaction* open, uint64_t bytes_left, const ReplyView& reply);
  void FinishDrain();
  void Close(OpenTransaction* open);
  bool TerminatorTaken(const OpenTransaction& open) const;
  uint64_t TerminatorEnd() const { return output_.content_end() + (chunking_ ? 0 : 3); }

  bool lockstep() const { return !pipelining_; }
  bool lmtp() const { return options_->protocol == Protocol::kLmtp; }
  bool AnyOpen() const {
    return slots_[0].phase != Phase::kFree || slots_[1].phase != Phase::kFree;
  }
  OpenTransaction& latest() { return slots_[latest_]; }
  const OpenTransaction& latest() const { return slots_[latest_]; }
  // Whether a command may follow what has been queued: nothing in the way that must be last in its
  // group (RFC 2920 §3.1), and without PIPELINING nothing unanswered.
  bool FlightIsOpen() const;
  bool MailLimitReached() const {
    return capabilities_.mail_max.has_value() && mails_sent_ >= *capabilities_.mail_max;
  }

  const ClientOptions* const options_;
  ClientObserver* const observer_;
  ReplyParser parser_;
  ClientOutput output_;
  DueReplies due_;
  State state_ = State::kOpening;
  bool pipelining_ = false;
  bool chunking_ = false;
  bool quit_wanted_ = false;
  bool reset_needed_ = false;  // a MAIL went out after the last RSET
  Capabilities capabilities_;
  const sasl::Credentials* credentials_;
  bool wants_tls_ = false;
  bool tls_ = false;
  bool starttls_refused_ = false;
  bool authenticated_ = false;
  bool auth_cancelled_ = false;  // "*" was sent; what is awaited is its 501
  bool auth_required_ = false;
  bool token_renewal_may_help_ = true;
  std::optional<sasl::Mechanism> auth_mechanism_;
  sasl::AuthFailure auth_failure_ = sasl::AuthFailure::kNone;
  std::unique_ptr<sasl::SaslClient> sasl_;  // during AUTH
  std::vector<Secret> auth_lines_;          // base64 sent during AUTH: must not come back in words
  std::array<OpenTransaction, 2> slots_;
  uint8_t latest_ = 0;
  // Without PIPELINING: the commands of the open transaction that wait for the reply before them.
  std::string held_;
  size_t held_begin_ = 0;
  CommandKind held_kind_ = CommandKind::kRset;  // of the next line in held_
  uint32_t mails_sent_ = 0;
  uint32_t transactions_done_ = 0;
  std::set<std::string> domains_;  // RCPT domains of this session, with RCPTDOMAINMAX only
  CloseReason quit_reason_ = CloseReason::kQuit;
  CloseReason close_reason_ = CloseReason::kNone;
  ReplyCode close_code_;
  std::string error_;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_CLIENT_IMPL_H_
