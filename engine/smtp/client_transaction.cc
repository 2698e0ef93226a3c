#include <algorithm>

#include "engine/smtp/client_command.h"
#include "engine/smtp/client_impl.h"
#include "fmt/format.h"

namespace volley::engine::smtp {
namespace {

constexpr std::string_view kDot = ".\r\n";
constexpr uint64_t kNotMade = UINT64_MAX;

// Verdicts reached without the peer (RFC 3463 codes).
constexpr EnhancedCode kBadRecipient{5, 1, 3};
constexpr EnhancedCode kBadSender{5, 1, 7};
constexpr EnhancedCode kTooBig{5, 3, 4};
constexpr EnhancedCode kConversionNeeded{5, 6, 3};
constexpr EnhancedCode kSmtputf8Needed{5, 6, 7};
constexpr EnhancedCode kTooManyRecipients{4, 5, 3};

// RFC 5321 §4.5.3.1.10: 452, and 552 from servers that follow RFC 821, on RCPT mean that this many
// recipients are enough. Not when the enhanced code says that it is about the mailbox (RFC 3463
// §3.3, "mailbox full"): that one would be refused again in every following transaction, and
// without counting attempts that never ends.
bool MeansTooManyRecipients(const ReplyView& reply) {
  const uint16_t code = reply.code.value();
  return (code == 452 || code == 552);
}

bool IsAboutTheMailbox(EnhancedCode enhanced) {
  return enhanced.present() && enhanced.subject == 2;
}

}  // namespace

// --- Taking a transaction ---

bool Client::Impl::wants_transaction() const {
  if (state_ != State::kReady || quit_wanted_ || MailLimitReached()) return false;
  if (lockstep()) return !AnyOpen();
  return FlightIsOpen() &&
         (latest().phase == Phase::kFree || slots_[latest_ ^ 1].phase == Phase::kFree);
}

void Client::Impl::Add(const Transaction& transaction) {
  Require(wants_transaction(), "Add() when no transaction is wanted");
  Require(!transaction.recipients.empty() && transaction.recipients.size() <= kMaxRecipients,
          "1 to kMaxRecipients recipients");
  if (RefuseWhole(transaction)) return;
  if (latest().phase != Phase::kFree) latest_ ^= 1;
  OpenTransaction* open = &latest();
  Begin(open, transaction);
  SelectRecipients(open, transaction);
  if (open->rcpts_sent == 0) {
    open->phase = Phase::kFree;
    observer_->OnTransactionEnd(transaction.tag);
    MaybeQuit();  // all of them may be over RCPTDOMAINMAX
    return;
  }
  QueueCommands(open, transaction);
}

// What this peer cannot take, or nobody should be sent.
bool Client::Impl::RefuseWhole(const Transaction& t) {
  switch (CheckReversePath(t.reverse_path, t.smtputf8)) {
    case PathFault::kNone:
      break;
    case PathFault::kUnsafe:
    case PathFault::kTooLong:
      RefuseAll(t, kBadSender, "the sender's address cannot be sent in a command");
      return true;
    case PathFault::kNeedsSmtputf8:
      RefuseAll(t, kSmtputf8Needed, "the sender's address is not ASCII and needs SMTPUTF8");
      return true;
  }
  // RFC 6152 §3: never send 8-bit content to a server that does not announce 8BITMIME.
  if (t.eight_bit && !capabilities_.eight_bit_mime) {
    RefuseAll(t, kConversionNeeded, "the peer does not offer 8BITMIME");
    return true;
  }
  if (t.smtputf8 && !capabilities_.smtputf8) {  // RFC 6531 §3.2
    RefuseAll(t, kSmtputf8Needed, "the peer does not offer SMTPUTF8");
    return true;
  }
  // RFC 1870 §6.1: do not try what the server said it will refuse. 0 is "no fixed limit".
  const uint64_t size_max = capabilities_.size ? capabilities_.size_max : 0;
  if (size_max != 0 && t.content_bytes > size_max) {
    RefuseAll(
        t, kTooBig,
        fmt::format("{} bytes are over the peer's SIZE limit of {}", t.content_bytes, size_max));
    return true;
  }
  return false;
}

void Client::Impl::RefuseAll(const Transaction& t, EnhancedCode enhanced, std::string_view why) {
  for (uint32_t i = 0; i < t.recipients.size(); ++i) {
    observer_->OnVerdict({.tag = t.tag,
                          .recipient = i,
                          .kind = VerdictKind::kFailed,
                          .counts_as_attempt = true,
                          .command = CommandKind::kMail,
                          .reply = {.code = {}, .enhanced = enhanced, .text = why}});
  }
  observer_->OnTransactionEnd(t.tag);
}

void Client::Impl::Begin(OpenTransaction* open, const Transaction& t) {
  open->phase = Phase::kCommands;
  open->first_in_session = mails_sent_ == 0;
  open->mail_accepted = open->rcpt_without_mail = false;
  open->dot_free = t.dot_free;
  open->tag = t.tag;
  open->content = t.content;
  open->content_bytes = t.content_bytes;
  open->commands_begin = kNotMade;
  open->terminator = kNotMade;
  open->unjudged = static_cast<uint32_t>(t.recipients.size());
  open->accepted = open->rcpts_sent = open->rcpts_due = open->content_due = open->cursor = 0;
  open->recipients.assign(t.recipients.size(), Recipient::kNotSent);
}

void Client::Impl::SelectRecipients(OpenTransaction* open, const Transaction& t) {
  for (uint32_t i = 0; i < t.recipients.size(); ++i) {
    if (!SelectOne(open, i, t.recipients[i], t.smtputf8)) continue;
    open->recipients[i] = Recipient::kSent;
    ++open->rcpts_sent;
  }
  open->rcpts_due = open->rcpts_sent;
}

// Whether a RCPT goes out; else the recipient has its verdict.
bool Client::Impl::SelectOne(OpenTransaction* open, uint32_t i, std::string_view path,
                             bool smtputf8) {
  switch (CheckForwardPath(path, smtputf8)) {
    case PathFault::kNone:
      break;
    case PathFault::kUnsafe:
    case PathFault::kTooLong:
      RefuseOne(open, i, VerdictKind::kFailed, kBadRecipient,
                "the recipient's address cannot be sent in a command");
      return false;
    case PathFault::kNeedsSmtputf8:
      RefuseOne(open, i, VerdictKind::kFailed, kSmtputf8Needed,
                "the recipient's address is not ASCII and needs SMTPUTF8");
      return false;
  }
  // RFC 9422 §4.2: RCPTMAX counts the RCPT commands, whatever becomes of them.
  if (capabilities_.rcpt_max && open->rcpts_sent >= *capabilities_.rcpt_max) {
    RefuseOne(open, i, VerdictKind::kRetry, kTooManyRecipients, "over the peer's RCPTMAX");
    return false;
  }
  if (!FitsDomainLimit(path)) {
    // The session is bound to the domains it has seen: only another one can take this recipient.
    quit_wanted_ = true;
    RefuseOne(open, i, VerdictKind::kRetry, kTooManyRecipients, "over the peer's RCPTDOMAINMAX");
    return false;
  }
  return true;
}

// RFC 9422 §4.3: counted over the whole session.
bool Client::Impl::FitsDomainLimit(std::string_view recipient) {
  if (!capabilities_.rcpt_domain_max) return true;
  std::string domain = DomainKey(recipient);
  if (domains_.contains(domain)) return true;
  if (domains_.size() >= *capabilities_.rcpt_domain_max) return false;
  domains_.insert(std::move(domain));
  return true;
}

void Client::Impl::RefuseOne(OpenTransaction* open, uint32_t recipient, VerdictKind kind,
                             EnhancedCode enhanced, std::string_view why) {
  JudgeOne(open, recipient,
           {.tag = open->tag,
            .recipient = recipient,
            .kind = kind,
            .counts_as_attempt = kind == VerdictKind::kFailed,
            .command = CommandKind::kRcpt,
            .reply = {.code = {}, .enhanced = enhanced, .text = why}});
  open->recipients[recipient] = Recipient::kNotSent;
}

// --- The envelope ---

// RSET stands before every MAIL but the first. RFC 5321 §4.1.4 asks for it unless the last
// transaction succeeded, which nobody knows yet when the next one rides behind its content; and
// Exim 4.96 took a second message under the first one's sender where it was missing after BDAT.
void Client::Impl::QueueCommands(OpenTransaction* open, const Transaction& t) {
  std::string* text = lockstep() ? &held_ : output_.text();
  const bool with_reset = reset_needed_;
  if (with_reset) text->append("RSET\r\n");
  if (!lockstep()) open->commands_begin = output_.text_end();
  AppendMail({.reverse_path = t.reverse_path,
              .with_size = capabilities_.size,
              .size = t.content_bytes,
              .eight_bit = t.eight_bit,
              .smtputf8 = t.smtputf8},
             text);
  for (uint32_t i = 0; i < t.recipients.size(); ++i) {
    if (open->recipients[i] == Recipient::kSent) AppendRcpt(t.recipients[i], text);
  }
  if (!chunking_) text->append("DATA\r\n");
  ++mails_sent_;
  reset_needed_ = true;
  if (lockstep()) {
    held_begin_ = 0;
    held_kind_ = with_reset ? CommandKind::kRset : CommandKind::kMail;
    ReleaseHeld();
  } else {
    PushDue(*open, with_reset);
  }
}

void Client::Impl::PushDue(const OpenTransaction& open, bool with_reset) {
  const uint64_t end = output_.text_end();
  if (with_reset) due_.Push({end, 1, CommandKind::kRset, open.slot});
  due_.Push({end, 1, CommandKind::kMail, open.slot});
  due_.Push({end, open.rcpts_sent, CommandKind::kRcpt, open.slot});
  if (!chunking_) due_.Push({end, 1, CommandKind::kData, open.slot});
}

// Without PIPELINING: the next line, once nothing is unanswered.
void Client::Impl::ReleaseHeld() {
  if (held_.empty() || !due_.empty()) return;
  OpenTransaction* open = &latest();
  const CommandKind kind = held_kind_;
  if (kind == CommandKind::kMail) open->commands_begin = output_.text_end();
  if (kind == CommandKind::kRset) held_kind_ = CommandKind::kMail;
  if (kind == CommandKind::kMail) held_kind_ = CommandKind::kRcpt;
  if (kind == CommandKind::kRcpt && open->rcpts_due == 1) held_kind_ = CommandKind::kData;
  const size_t end = held_.find('\n', held_begin_) + 1;
  output_.text()->append(held_, held_begin_, end - held_begin_);
  due_.Push({output_.text_end(), 1, kind, open->slot});
  held_begin_ = end;
  if (held_begin_ == held_.size()) held_.clear();
}

void Client::Impl::OnMail(OpenTransaction* open, const ReplyView& reply) {
  if (reply.code.intermediate()) return UnexpectedReply(CommandKind::kMail, reply);
  open->mail_accepted = reply.code.positive();
  if (!open->mail_accepted) {
    JudgeAll(open, {.tag = open->tag,
                    .recipient = 0,
                    .kind = KindOf(reply.code),
                    .counts_as_attempt = true,
                    .command = CommandKind::kMail,
                    .reply = reply});
  }
  AfterEnvelopeReply(open);
}

// 251 and 252 are success, 551 is a failure like any other: no redirect is followed (RFC 5321
// §3.4).
void Client::Impl::OnRcpt(OpenTransaction* open, const ReplyView& reply) {
  if (reply.code.intermediate()) return UnexpectedReply(CommandKind::kRcpt, reply);
  while (open->recipients[open->cursor] == Recipient::kNotSent) ++open->cursor;
  const uint32_t recipient = open->cursor++;
  if (!open->mail_accepted) {
    // Its verdict is MAIL's; the reply is only counted (RFC 2920 §3.1).
    open->rcpt_without_mail |= reply.code.positive();
  } else if (reply.code.positive()) {
    open->recipients[recipient] = Recipient::kAccepted;
    ++open->accepted;
  } else {
    OnRcptRefused(open, recipient, reply);
  }
  --open->rcpts_due;
  AfterEnvelopeReply(open);
}

void Client::Impl::OnRcptRefused(OpenTransaction* open, uint32_t recipient,
                                 const ReplyView& reply) {
  Verdict verdict{.tag = open->tag,
                  .recipient = recipient,
                  .kind = KindOf(reply.code),
                  .counts_as_attempt = true,
                  .command = CommandKind::kRcpt,
                  .reply = reply};
  if (MeansTooManyRecipients(reply)) {
    // RFC 5321 4.5.3.1.10: an old server's 552. One alone is not too many.
    if (open->rcpts_sent > 1) verdict.kind = VerdictKind::kRetry;
    // One alone is not too many: uncounted it would come back at once, for ever.
    const bool first = open->rcpts_due == open->rcpts_sent;
    verdict.counts_as_attempt = first || IsAboutTheMailbox(reply.enhanced);
  }
  JudgeOne(open, recipient, verdict);
}

// After a reply to MAIL or RCPT. With PIPELINING and DATA it is DATA's reply that decides.
void Client::Impl::AfterEnvelopeReply(OpenTransaction* open) {
  const bool answered = open->rcpts_due == 0;
  if (lockstep() && (!open->mail_accepted || (answered && open->accepted == 0))) {
    held_.clear();  // what is left of this transaction is not sent
    return FinishWithoutContent(open);
  }
  if (chunking_ && answered) EnvelopeAnswered(open);
}

// RFC 3030 §2: BDAT only after the replies to MAIL and RCPT are in, and only if one was accepted:
// there are servers that take the chunk of a refused BDAT for commands.
void Client::Impl::EnvelopeAnswered(OpenTransaction* open) {
  if (open->accepted == 0) return FinishWithoutContent(open);
  AppendBdatLast(open->content_bytes, output_.text());
  QueueContent(open);
}

void Client::Impl::OnData(OpenTransaction* open, const ReplyView& reply) {
  if (reply.code.positive()) return UnexpectedReply(CommandKind::kData, reply);
  if (reply.code.intermediate()) {
    if (open->accepted > 0) return QueueContent(open);
    // A server that wants content for an envelope it refused is out of step, and LMTP has no reply
    // to a dot for nobody (RFC 2033 §4.2): a dot could send an empty message to an older envelope.
    if (open->rcpt_without_mail || lmtp()) return UnexpectedReply(CommandKind::kData, reply);
    return QueueLoneDot(open);
  }
  JudgeAll(open, {.tag = open->tag,
                  .recipient = 0,
                  .kind = KindOf(reply.code),
                  .counts_as_attempt = true,
                  .command = CommandKind::kData,
                  .reply = reply});
  FinishWithoutContent(open);
}

// Clears what the server may hold of the envelope at once: a session may stay idle for long, and a
// MAIL inside a transaction would be refused (RFC 2920 §3.1, RFC 5321 §4.1.4).
void Client::Impl::FinishWithoutContent(OpenTransaction* open) {
  if (open->mail_accepted || open->rcpt_without_mail) QueueReset();
  Close(open);
}

// --- The content ---

void Client::Impl::QueueContent(OpenTransaction* open) {
  open->phase = Phase::kContent;
  open->cursor = 0;
  // RFC 2033 §4.2: one reply for each recipient that was accepted.
  open->content_due = lmtp() ? open->accepted : 1;
  output_.AppendContent(open->content, !chunking_ && !open->dot_free);
  observer_->OnContentBegins(open->tag);
  const uint64_t mark = output_.content_mark();
  if (!chunking_) output_.text()->append(kDot);
  open->terminator = output_.text_end();
  due_.Push({mark, open->content_due, CommandKind::kContent, open->slot});
}

void Client::Impl::QueueLoneDot(OpenTransaction* open) {
  open->phase = Phase::kLoneDot;
  QueueCommand(CommandKind::kContent, kDot);
}

bool Client::Impl::TerminatorTaken(const OpenTransaction& open) const {
  return !output_.content_pending() && output_.text_taken() >= open.terminator;
}

void Client::Impl::OnContent(OpenTransaction* open, const ReplyView& reply) {
  // RFC 2920 §3.1: a lone dot's reply, 250 included, delivers nothing to anybody.
  if (open->phase == Phase::kLoneDot) return Close(open);
  const bool early = !TerminatorTaken(*open);
  if (reply.code.intermediate() || (early && reply.code.positive())) {
    return UnexpectedReply(CommandKind::kContent, reply);
  }
  --open->content_due;
  if (early) OnEarlyRefusal(*open);
  JudgeContent(open, reply);
  if (open->content_due == 0) ContentAnswered(open, reply);
}

void Client::Impl::JudgeContent(OpenTransaction* open, const ReplyView& reply) {
  const Verdict verdict{
      .tag = open->tag,
      .recipient = 0,
      .kind = reply.code.positive() ? VerdictKind::kDelivered : KindOf(reply.code),
      .counts_as_attempt = reply.code.value() != 421 || open->first_in_session,
      .command = CommandKind::kContent,
      .reply = reply};
  if (!lmtp()) return JudgeAll(open, verdict);
  while (open->recipients[open->cursor] != Recipient::kAccepted) ++open->cursor;
  JudgeOne(open, open->cursor, verdict);
}

void Client::Impl::ContentAnswered(OpenTransaction* open, const ReplyView& reply) {
  if (!TerminatorTaken(*open)) {
    open->phase = Phase::kDrain;
    return;
  }
  // RFC 3030 §2: after a failed BDAT a RSET MUST come first. Where the next transaction or a QUIT
  // rides behind, it is there already.
  if (chunking_ && !reply.code.positive() && open == &latest()) QueueReset();
  Close(open);
}

// The peer refused the content before it had all of it. There is no way back to commands but
// through the final dot (or the last octet of the chunk), so the rest goes out; but whether the
// peer reads it as content or as commands is its secret, so nothing else follows on this session.
void Client::Impl::OnEarlyRefusal(const OpenTransaction& open) {
  output_.DropTextFrom(open.terminator);
  due_.DropAll(/*but_front=*/open.content_due > 0);
  OpenTransaction* rider = &slots_[open.slot ^ 1];
  latest_ = open.slot;
  quit_wanted_ = true;
  reset_needed_ = true;
  state_ = State::kReady;  // a QUIT that rode behind is dropped too, and made again
  Abandon(rider, output_.bytes_taken(),
          {.code = {},
           .enhanced = {},
           .text = "never sent: the peer refused the message before it in mid-content"});
}

void Client::Impl::FinishDrain() {
  for (OpenTransaction& open : slots_) {
    if (open.phase != Phase::kDrain || !TerminatorTaken(open)) continue;
    if (chunking_) QueueReset();
    Close(&open);
  }
}

// --- Verdicts ---

void Client::Impl::JudgeAll(OpenTransaction* open, const Verdict& verdict) {
  for (uint32_t i = 0; i < open->recipients.size() && open->unjudged > 0; ++i) {
    const Recipient state = open->recipients[i];
    if (state == Recipient::kSent || state == Recipient::kAccepted) JudgeOne(open, i, verdict);
  }
}

void Client::Impl::JudgeOne(OpenTransaction* open, uint32_t recipient, Verdict verdict) {
  verdict.recipient = recipient;
  open->recipients[recipient] = Recipient::kJudged;
  --open->unjudged;
  observer_->OnVerdict(verdict);
}

// The session ends under this transaction.
void Client::Impl::Abandon(OpenTransaction* open, uint64_t bytes_left, const ReplyView& reply) {
  if (open->phase == Phase::kFree) return;
  const bool in_content = open->phase == Phase::kContent;
  // RFC 5321 §4.5.3.2.6: the peer has the whole message, and perhaps took it.
  const bool unknown = in_content && TerminatorTaken(*open) && TerminatorEnd() <= bytes_left;
  const bool went_out = open->commands_begin < output_.text_taken() &&
                        output_.BytePosition(open->commands_begin) < bytes_left;
  JudgeAll(open, {.tag = open->tag,
                  .recipient = 0,
                  .kind = unknown ? VerdictKind::kUnknown : VerdictKind::kRetry,
                  .counts_as_attempt = unknown || (went_out && open->first_in_session),
                  .command = in_content ? CommandKind::kContent
                                        : due_.FirstOf(open->slot).value_or(CommandKind::kMail),
                  .reply = reply});
  open->phase = Phase::kFree;
  observer_->OnTransactionEnd(open->tag);
}

void Client::Impl::Close(OpenTransaction* open) {
  Require(open->unjudged == 0, "a transaction ends with a verdict for every recipient");
  open->phase = Phase::kFree;
  ++transactions_done_;
  observer_->OnTransactionEnd(open->tag);
}

}  // namespace volley::engine::smtp
