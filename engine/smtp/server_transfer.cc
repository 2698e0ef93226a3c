// Message content: what is kept, what is refused, and who is answered at its end.
#include <algorithm>

#include "engine/smtp/server_impl.h"

namespace volley::engine::smtp {

void Server::Impl::Keep(Bytes content) {
  if (content.empty()) return;
  transaction_.content_bytes += content.size();
  if (options_.size_max != 0 && transaction_.content_bytes > options_.size_max) {
    transaction_.over_size = true;
  }
  if (!transaction_.over_size && !scanner_.faults().any()) handler_.OnContent(content);
}

void Server::Impl::EndData() {
  phase_ = Phase::kCommand;
  if (!RefuseContent(true)) AcceptMessage();
  DropTransaction();
  if (!pipelining()) sync_end_ = replies_.end();
}

void Server::Impl::EndChunk() {
  phase_ = Phase::kCommand;
  if (chunk_.refusal != ReplyCode()) {
    SayForMessage(chunk_.refusal, chunk_.enhanced, chunk_.text, chunk_.last);
    if (chunk_.counts_as_error) CountError();
  } else {
    if (chunk_.last) scanner_.Finish();
    if (RefuseContent(chunk_.last)) {
      transaction_.chunk_failed = true;
    } else if (!chunk_.last) {
      Say(250, kOk, "chunk received");
    } else if (AcceptMessage()) {
      DropTransaction();
    } else {
      transaction_.chunk_failed = true;  // RFC 3030 §2: after a failed BDAT, RSET
    }
  }
  if (!pipelining()) sync_end_ = replies_.end();
}

// Says what is wrong with the content so far, if something is, and tells the handler to forget it.
bool Server::Impl::RefuseContent(bool last) {
  const ContentFaults& faults = scanner_.faults();
  // 5.6.11 is not in the IANA registry, but it is what Exchange says and what senders look for.
  constexpr EnhancedCode kBadCharacter{5, 6, 11};
  if (faults.bare_cr || faults.bare_lf) {
    SayForMessage(ReplyCode(550), kBadCharacter,
                  faults.bare_lf ? "bare LF in the message" : "bare CR in the message", last);
  } else if (faults.nul) {
    SayForMessage(ReplyCode(550), kBadCharacter, "NUL in the message", last);
  } else if (faults.line_too_long) {
    SayForMessage(ReplyCode(550), {5, 6, 0}, "line too long in the message", last);
  } else if (transaction_.over_size) {
    SayForMessage(ReplyCode(552), {5, 3, 4}, "message size exceeds the fixed maximum", last);
  } else {
    return false;
  }
  if (faults.any()) CountError();
  if (handler_open_) {
    handler_open_ = false;
    handler_.OnReset();
  }
  return true;
}

// The message is complete. False: the handler refused it (of LMTP's replies: all of them).
bool Server::Impl::AcceptMessage() {
  handler_open_ = false;
  bool accepted = false;
  const uint32_t replies = lmtp() ? transaction_.recipients : 1;
  for (uint32_t recipient = 0; recipient < replies; ++recipient) {
    const ServerReply reply = handler_.OnContentEnd(recipient);
    accepted |= reply.code.positive();
    Respond(reply, kOk, "message accepted");
  }
  return accepted;
}

// RFC 2033 §4.2, §4.3: after the dot or BDAT LAST, LMTP answers for each accepted recipient.
void Server::Impl::SayForMessage(ReplyCode code, EnhancedCode enhanced, std::string_view text,
                                 bool last) {
  const bool each = lmtp() && last && transaction_.recipients > 0;
  for (uint32_t i = 0; i < (each ? transaction_.recipients : 1); ++i) Say(code, enhanced, text);
}

}  // namespace volley::engine::smtp
