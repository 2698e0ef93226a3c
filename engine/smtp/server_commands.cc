// The commands: what each needs before it, what it may say, what it changes.
#include <optional>
#include <string>

#include "engine/smtp/server_impl.h"

namespace volley::engine::smtp {

void Server::Impl::Dispatch(const CommandLine& command) {
  switch (command.verb) {
    case Verb::kEhlo:
    case Verb::kHelo:
    case Verb::kLhlo:
      return Hello(command.verb, command.argument);
    case Verb::kMail:
      return Mail(command.argument);
    case Verb::kRcpt:
      return Rcpt(command.argument);
    case Verb::kData:
      return Data(command.argument);
    case Verb::kBdat:
      return Bdat(command.argument);
    case Verb::kRset:
      return Rset(command.argument);
    case Verb::kQuit:
      return Quit(command.argument);
    default:
      return Other(command);
  }
}

void Server::Impl::Hello(Verb verb, std::string_view name) {
  if (lmtp() != (verb == Verb::kLhlo)) {
    // RFC 2033 §4.1: LHLO instead of EHLO and HELO, which an LMTP server refuses with 500.
    return Error(500, kBadSequence, lmtp() ? "this is LMTP: say LHLO" : "this is SMTP: say EHLO");
  }
  if (!IsDomain(name, false) && !IsAddressLiteral(name)) {
    return Error(501, kBadArgument, "a domain name or address literal is due here");
  }
  const ServerReply reply = handler_.OnHello(name);
  if (!reply.code.positive()) return Respond(reply, {}, "");  // §4.1.4: the state stays as it was
  DropTransaction();
  hello_done_ = true;
  extended_ = verb != Verb::kHelo;
  if (extended_) {
    SayExtensions();
  } else {
    Say(250, {}, options_.hostname);
  }
  if (reply.then_close) closed_ = true;
}

void Server::Impl::SayExtensions() {
  const ReplyCode code(250);
  const auto offer = [&](bool offered, std::string_view keyword) {
    if (offered) replies_.Add(code, {}, keyword, true);
  };
  replies_.Add(code, {}, options_.hostname, true);
  offer(options_.pipelining, "PIPELINING");
  offer(options_.chunking, "CHUNKING");
  offer(options_.eight_bit_mime, "8BITMIME");
  offer(options_.smtputf8, "SMTPUTF8");
  offer(options_.enhanced_status_codes, "ENHANCEDSTATUSCODES");
  if (options_.mail_max || options_.rcpt_max) {
    std::string limits = "LIMITS";  // RFC 9422 §3
    if (options_.mail_max) limits += " MAILMAX=" + std::to_string(*options_.mail_max);
    if (options_.rcpt_max) limits += " RCPTMAX=" + std::to_string(*options_.rcpt_max);
    offer(true, limits);
  }
  // RFC 1870 §4: the keyword alone promises no maximum.
  const std::string size =
      options_.size_max == 0 ? "SIZE" : "SIZE " + std::to_string(options_.size_max);
  replies_.Add(code, {}, size);
}

void Server::Impl::Mail(std::string_view argument) {
  if (!CheckMailState()) return;
  ++mails_seen_;
  if (options_.mail_max && mails_seen_ > *options_.mail_max) {
    // RFC 9422 §4.1: MAILMAX counts every MAIL. Where it was told, going over it is an error.
    if (extended_) ++protocol_errors_;
    return Close("too many transactions in this session", {4, 7, 0});
  }
  transaction_.mail_refused = true;  // until it is not
  PathArgument path;
  MailParameters parameters;
  if (!CheckMailArgument(argument, &path, &parameters)) return;
  const ServerReply reply = handler_.OnMail(path.mailbox, parameters);
  if (reply.code.positive()) {
    transaction_ = Transaction();
    transaction_.smtputf8 = parameters.smtputf8;
    mail_open_ = handler_open_ = true;
  }
  Respond(reply, {2, 1, 0}, "sender ok");
}

bool Server::Impl::CheckMailState() {
  if (!hello_done_) {
    Error(503, kBadSequence, lmtp() ? "say LHLO first" : "say EHLO first");
  } else if (mail_open_ && transaction_.chunk_failed) {
    Error(503, kBadSequence, "BDAT failed: send RSET first (RFC 3030)");
  } else if (mail_open_) {
    Error(503, kBadSequence, "nested MAIL command");
  } else {
    return true;
  }
  return false;
}

bool Server::Impl::CheckPath(const PathResult& result, EnhancedCode address_code) {
  switch (result.error) {
    case PathError::kNone:
      return true;
    case PathError::kKeyword:
      Error(501, kBadArgument, "syntax error in the argument");
      break;
    case PathError::kSyntax:
      Error(501, address_code, "syntax error in the address");
      break;
    case PathError::kTooLong:
      Error(501, address_code, "path too long");
      break;
  }
  return false;
}

bool Server::Impl::CheckMailArgument(std::string_view argument, PathArgument* path,
                                     MailParameters* parameters) {
  const PathResult result = ParsePath(argument, "FROM:", true, false);
  if (!CheckPath(result, {5, 1, 7})) return false;
  *path = result.path;
  OfferedParameters offered;
  if (extended_) offered = {true, options_.eight_bit_mime, options_.smtputf8};
  switch (ParseMailParameters(path->parameters, offered, parameters)) {
    case ParameterError::kNone:
      break;
    case ParameterError::kUnknown:  // RFC 5321 §4.1.1.11
      Error(555, kBadArgument, "MAIL parameter not offered or not implemented");
      return false;
    case ParameterError::kSyntax:
      Error(501, kBadArgument, "syntax error in a MAIL parameter");
      return false;
  }
  if (path->non_ascii && !parameters->smtputf8) {
    Error(550, {5, 6, 7}, "non-ASCII address without SMTPUTF8");  // RFC 6531 §3.5
    return false;
  }
  if (options_.size_max != 0 && parameters->size > options_.size_max) {
    Say(552, {5, 3, 4}, "message size exceeds the fixed maximum");  // RFC 1870 §6.1
    return false;
  }
  return true;
}

void Server::Impl::Rcpt(std::string_view argument) {
  if (!CheckRcptState()) return;
  ++transaction_.recipients_seen;
  // RFC 9422 §4.2: RCPTMAX counts refused ones too. RFC 5321 §4.5.3.1.10: 452, not 552.
  if (transaction_.recipients >= options_.recipients_max ||
      (options_.rcpt_max && transaction_.recipients_seen > *options_.rcpt_max)) {
    return Say(452, {4, 5, 3}, "too many recipients");
  }
  const PathResult result = ParsePath(argument, "TO:", false, true);
  if (!CheckPath(result, {5, 1, 3})) return;
  if (!result.path.parameters.empty()) {
    return Error(555, kBadArgument, "RCPT parameter not offered or not implemented");
  }
  if (result.path.non_ascii && !transaction_.smtputf8) {
    return Error(553, {5, 6, 7}, "non-ASCII address without SMTPUTF8");  // RFC 6531 §3.5
  }
  const ServerReply reply = handler_.OnRcpt(result.path.mailbox);
  if (reply.code.positive()) ++transaction_.recipients;
  Respond(reply, {2, 1, 5}, "recipient ok");
}

bool Server::Impl::CheckRcptState() {
  if (!mail_open_ && transaction_.mail_refused) {
    Say(503, kBadSequence, "MAIL was refused");
  } else if (!mail_open_) {
    Error(503, kBadSequence, "need MAIL before RCPT");
  } else if (transaction_.chunk_failed) {
    Error(503, kBadSequence, "BDAT failed: send RSET first (RFC 3030)");
  } else if (transaction_.chunk_started) {
    Error(503, kBadSequence, "RCPT after BDAT");
  } else {
    return true;
  }
  return false;
}

void Server::Impl::Data(std::string_view argument) {
  if (!argument.empty()) return Error(501, kBadArgument, "DATA takes no argument");
  if (mail_open_ && transaction_.chunk_started) {
    // RFC 3030 §2: DATA and BDAT cannot be used in the same transaction.
    return Error(503, kBadSequence, "DATA after BDAT");
  }
  if (transaction_.recipients > 0) {
    scanner_.Begin(true, options_.text_line_max);
    phase_ = Phase::kData;
    return Say(354, {}, "end data with <CR><LF>.<CR><LF>");
  }
  if (transaction_.recipients_seen > 0) {
    // All were refused: what a client that pipelines must reckon with (RFC 2920 §3.1), no error.
    // RFC 2033 §4.2 wants 503 from LMTP, RFC 5321 §3.3 leaves the choice.
    return Say(lmtp() ? 503 : 554, kBadSequence, "no valid recipients");
  }
  if (transaction_.mail_refused) return Say(503, kBadSequence, "MAIL was refused");
  Error(503, kBadSequence, mail_open_ ? "need RCPT before DATA" : "need MAIL before DATA");
}

void Server::Impl::Bdat(std::string_view argument) {
  const std::optional<Chunk> chunk = ParseChunk(argument);
  if (!chunk) {
    ++protocol_errors_;
    Say(501, kBadArgument, "syntax: BDAT size [LAST]");
    return Close("octets of unknown number follow", {4, 5, 0});
  }
  chunk_ = {};
  chunk_.left = chunk->bytes;
  chunk_.last = chunk->last;
  if (CheckChunkState() && !transaction_.chunk_started) {
    transaction_.chunk_started = true;
    scanner_.Begin(false, options_.text_line_max);
  }
  if (chunk_.left > 0) {
    phase_ = Phase::kChunk;
  } else {
    EndChunk();
  }
}

// RFC 3030 §2: whatever is wrong, the octets of the chunk are read and discarded before the reply;
// else they would be taken for commands.
bool Server::Impl::CheckChunkState() {
  const auto refuse = [&](uint16_t code, std::string_view text, bool error) {
    chunk_.refusal = ReplyCode(code);
    chunk_.enhanced = kBadSequence;
    chunk_.text = text;
    chunk_.counts_as_error = error;
    return false;
  };
  if (!extended_ || !options_.chunking) return refuse(502, "CHUNKING was not offered", true);
  if (!mail_open_) {
    const bool error = !transaction_.mail_refused;
    return refuse(503, error ? "need MAIL before BDAT" : "MAIL was refused", error);
  }
  if (transaction_.chunk_failed) return refuse(503, "an earlier chunk failed: send RSET", false);
  if (transaction_.recipients > 0) return true;
  transaction_.chunk_started = transaction_.chunk_failed = true;
  if (transaction_.recipients_seen == 0) return refuse(503, "need RCPT before BDAT", true);
  return refuse(lmtp() ? 503 : 554, "no valid recipients", false);
}

void Server::Impl::Rset(std::string_view argument) {
  if (!argument.empty()) return Error(501, kBadArgument, "RSET takes no argument");
  DropTransaction();
  Say(250, kOk, "reset");
}

void Server::Impl::Quit(std::string_view argument) {
  if (!argument.empty()) return Error(501, kBadArgument, "QUIT takes no argument");
  DropTransaction();
  Say(221, kOk, options_.hostname + " closing the connection");
  closed_ = quit_ = true;
}

void Server::Impl::Other(const CommandLine& command) {
  switch (command.verb) {
    case Verb::kNoop:
      return Say(250, kOk, "ok");
    case Verb::kHelp:
      return Say(214, kOk, "EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT; RFC 5321");
    case Verb::kVrfy:
      if (command.argument.empty()) return Error(501, kBadArgument, "syntax: VRFY address");
      // RFC 5321 §3.5.3: 252 where the address cannot be verified but mail is taken.
      return Say(252, {2, 5, 0}, "cannot verify, but will take mail for it");
    case Verb::kExpn:
      return Say(502, kBadSequence, "EXPN is not implemented");
    case Verb::kKnown:
      return Error(502, kBadSequence, "command not implemented");
    default:
      return Error(500, kSyntax, "command not recognized");
  }
}

}  // namespace volley::engine::smtp
