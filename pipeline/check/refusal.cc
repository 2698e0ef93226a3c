// What a refusal of MAIL, RCPT or the message means. RFC 5321 §4.2 has a client act on codes and
// not on words; here the words choose between pieces of advice, and no mail is judged by them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "pipeline/check/diagnosis.h"

namespace volley::pipeline {
namespace {

using engine::smtp::CommandKind;

constexpr uint16_t kAny = 0xffff;
constexpr uint16_t kServiceClosing = 421;
constexpr size_t kTextBytesMax = 2048;  // searched; bounds what a hostile reply costs

// The first rule that fits decides: its enhanced subject and detail (kAny: all, also none) are the
// reply's and its words (lower case) occur in the text.
struct Rule {
  uint16_t subject, detail;
  std::string_view words;
  Fault fault;
};

constexpr Rule kRules[] = {
    // --- Encryption: RFC 3207 §4 "530 Must issue a STARTTLS command first" ---
    {kAny, kAny, "starttls", Fault::kEncryptionRequired},
    {kAny, kAny, "encryption required", Fault::kEncryptionRequired},
    {7, 10, "", Fault::kEncryptionRequired},  // IANA's registry: "Encryption Needed"

    // --- Limits of the account ---
    // Gmail 550 5.4.5 "Daily user sending limit exceeded"; Outlook 5.1.90; Zoho "550 5.4.6 Unusual
    // sending activity detected"; SES 454 "Throttling failure: Maximum sending rate exceeded".
    {4, 5, "limit", Fault::kLimitReached},
    {kAny, kAny, "sending limit", Fault::kLimitReached},
    {kAny, kAny, "sending quota", Fault::kLimitReached},
    {kAny, kAny, "sending rate", Fault::kLimitReached},
    {kAny, kAny, "daily limit", Fault::kLimitReached},
    {kAny, kAny, "rate limit", Fault::kLimitReached},
    {kAny, kAny, "ratelimit", Fault::kLimitReached},
    {kAny, kAny, "too many messages", Fault::kLimitReached},
    {kAny, kAny, "credits exceeded", Fault::kLimitReached},
    {1, 90, "", Fault::kLimitReached},

    // --- Logging in: RFC 4954 §6, Exchange 530 5.7.57 "Client not authenticated to send mail" ---
    {kAny, kAny, "authentication required", Fault::kAuthRequired},
    {kAny, kAny, "authentication is required", Fault::kAuthRequired},
    {kAny, kAny, "auth is required", Fault::kAuthRequired},
    {kAny, kAny, "must authenticate", Fault::kAuthRequired},
    {kAny, kAny, "authenticate first", Fault::kAuthRequired},
    {kAny, kAny, "not authenticated", Fault::kAuthRequired},
    {kAny, kAny, "log in first", Fault::kAuthRequired},
    {7, 57, "", Fault::kAuthRequired},

    // --- The sender ---
    // Postfix "553 5.7.1 <x>: Sender address rejected: not owned by user y", said to RCPT. Exchange
    // 5.7.60 "Client does not have permissions to send as this sender", 5.2.252 "SendAsDenied". SES
    // "554 Message rejected: Email address is not verified".
    {kAny, kAny, "sender address rejected", Fault::kSenderRejected},
    {kAny, kAny, "sender rejected", Fault::kSenderRejected},
    {kAny, kAny, "send as this sender", Fault::kSenderRejected},
    {kAny, kAny, "sendasdenied", Fault::kSenderRejected},
    {kAny, kAny, "not owned by", Fault::kSenderRejected},
    {kAny, kAny, "address is not verified", Fault::kSenderRejected},
    {kAny, kAny, "sender verify failed", Fault::kSenderRejected},         // Exim
    {kAny, kAny, "from address does not match", Fault::kSenderRejected},  // SendGrid
    {7, 60, "", Fault::kSenderRejected},
    {1, 7, "", Fault::kSenderRejected},  // RFC 3463 §3.2: bad sender's mailbox address syntax
    {1, 8, "", Fault::kSenderRejected},  // bad sender's system address

    // --- Relaying: Postfix, Exim, sendmail, Exchange 5.7.54, qmail ---
    {kAny, kAny, "relay access denied", Fault::kRelayDenied},
    {kAny, kAny, "relay not permitted", Fault::kRelayDenied},
    {kAny, kAny, "relaying", Fault::kRelayDenied},
    {kAny, kAny, "unable to relay", Fault::kRelayDenied},
    {kAny, kAny, "not allowed to relay", Fault::kRelayDenied},
    {kAny, kAny, "for relay", Fault::kRelayDenied},  // Gmail: "Invalid credentials for relay"
    {kAny, kAny, "allowed rcpthosts", Fault::kRelayDenied},
    {7, 54, "", Fault::kRelayDenied},
};

bool Fits(const Rule& rule, const engine::smtp::ReplyView& reply) {
  const bool any = rule.subject == kAny;
  if (!any && !(reply.enhanced.present() && reply.enhanced.subject == rule.subject &&
                reply.enhanced.detail == rule.detail)) {
    return false;
  }
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const std::string_view text = reply.text.substr(0, kTextBytesMax);
  return rule.words.empty() ||
         std::search(text.begin(), text.end(), rule.words.begin(), rule.words.end(),
                     [&](char a, char b) { return lower(a) == b; }) != text.end();
}

Fault ByCommand(const Refusal& refusal) {
  const engine::smtp::ReplyCode code = refusal.reply.code;
  if (code.value() == kServiceClosing) return Fault::kServiceUnavailable;
  if (code.transient()) return Fault::kTemporarilyRejected;
  if (refusal.command == CommandKind::kMail) return Fault::kSenderRejected;
  if (refusal.command == CommandKind::kRcpt) return Fault::kRecipientRejected;
  return Fault::kMessageRejected;
}

Fault FaultOf(const Refusal& refusal) {
  const engine::smtp::ReplyView& reply = refusal.reply;
  if (reply.code.value() == 0) {  // RFC 6531, or an address that no command can hold
    const bool utf8 = reply.enhanced.subject == 6;
    return utf8 ? Fault::kSmtputf8Missing : ByCommand(refusal);
  }
  const auto rule = std::find_if(std::begin(kRules), std::end(kRules),
                                 [&](const Rule& r) { return Fits(r, reply); });
  if (rule != std::end(kRules)) return rule->fault;
  // RFC 3463 §3.8, X.7.1 "delivery not authorized", to RCPT before a log-in (Postfix: "Recipient
  // address rejected: Access denied"): about us, not about the recipient.
  if (refusal.command == CommandKind::kRcpt && !refusal.authenticated && reply.code.permanent() &&
      reply.enhanced.subject == 7 && reply.enhanced.detail == 1) {
    return Fault::kRelayDenied;
  }
  // RFC 4954 §6: nothing but STARTTLS, which has its rule, is left that 530 can ask for.
  return reply.code.value() == 530 ? Fault::kAuthRequired : ByCommand(refusal);
}

std::string AdviceFor(Fault fault, const Refusal& refusal) {
  switch (fault) {
    case Fault::kEncryptionRequired:
      return "The server takes mail in TLS only: write ?tls=required, or smtps:// (port 465).";
    case Fault::kLimitReached:
      return "The account or this address has sent enough for now: wait, send slower, or have the "
             "provider raise the limit.";
    case Fault::kAuthRequired:
      return refusal.authenticated
                 ? "We are logged in, and the server wants another account: check the user name."
                 : "The server wants a log-in: give --user and one of --password-file, "
                   "--password-env, --password-command or a token, mostly on port 587 or 465.";
    case Fault::kSenderRejected:
      return fmt::format(
          "The server does not take mail from {}{}: use an address of the account, or register it "
          "with the provider (sender identity, alias, domain).",
          refusal.from.empty() ? "the null sender" : refusal.from,
          refusal.authenticated ? " for this account" : "");
    case Fault::kRelayDenied:
      return refusal.authenticated
                 ? fmt::format("The account may not send to {}: ask the server's administrator.",
                               refusal.to)
                 : fmt::format(
                       "Without a log-in the server takes mail for its own domains only, "
                       "and {} is none of them: give --user and a secret, or have this "
                       "host's address allowed.",
                       refusal.to);
    case Fault::kRecipientRejected:
      return fmt::format("Check the address {}; the connection itself works.", refusal.to);
    case Fault::kTemporarilyRejected:
      return "Nothing is refused for good: try again in some minutes (servers that do not know the "
             "sender yet often want a second try: greylisting).";
    case Fault::kServiceUnavailable:
      return "The server is ending the session: try again later.";
    case Fault::kSmtputf8Missing:
      return "The address has other characters than ASCII before the @, and this server does not "
             "offer SMTPUTF8: use another address.";
    default:
      return "The server refused what the message holds: its words say why.";
  }
}

std::string_view CommandWords(CommandKind command) {
  switch (command) {
    case CommandKind::kMail:
      return "the sender was refused";
    case CommandKind::kRcpt:
      return "the recipient was refused";
    default:
      return "the message was refused";
  }
}

std::string ReplyWords(const engine::smtp::ReplyView& reply) {
  if (reply.code.value() == 0) return std::string(reply.text);
  std::string words = fmt::format("{}", reply.code.value());
  if (reply.enhanced.present()) {
    words += fmt::format(" {}.{}.{}", reply.enhanced.klass, reply.enhanced.subject,
                         reply.enhanced.detail);
  }
  return reply.text.empty() ? words : words.append(" ").append(reply.text);
}

}  // namespace

Diagnosis DiagnoseRefusal(const CheckTarget& target, const Refusal& refusal) {
  const Fault fault = FaultOf(refusal);
  return {fault,
          fmt::format("{}: {}: {}", target.Name(), CommandWords(refusal.command),
                      ReplyWords(refusal.reply)),
          AdviceFor(fault, refusal)};
}

}  // namespace volley::pipeline
