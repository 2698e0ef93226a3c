// ClientOutput: what the client has to send, in order: command text, and at most one message
// content in the middle of it, which goes out by reference.
//
// Two positions are counted. The *text position* counts command bytes only; a command is known by
// the text position of its end, whether or not it has been taken yet. The *byte position* counts
// everything taken, dots added by stuffing included; with it the machine says after a broken
// connection what had left and what had not.
//
// Double buffering: text made while a send is in flight goes to a second buffer, so the memory
// being sent neither moves nor changes.
//
// Secrets: a line added by AppendSecret() is overwritten in every buffer of ours once it was sent
// or will not be.
//
// Threading: one thread. Lifetime: pieces given by Take() live until OnSent().
#ifndef VOLLEY_ENGINE_SMTP_CLIENT_OUTPUT_H_
#define VOLLEY_ENGINE_SMTP_CLIENT_OUTPUT_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "engine/smtp/content.h"

namespace volley::engine::smtp {

class ClientOutput {
 public:
  // The buffers of a burst of 1000 recipients are not kept for a session's whole life.
  static constexpr size_t kTextBytesKept = 16 * 1024;

  ClientOutput() = default;
  ~ClientOutput();
  ClientOutput(const ClientOutput&) = delete;
  ClientOutput& operator=(const ClientOutput&) = delete;

  // Ready for a new connection. REQUIRES: no send is in flight.
  void Reset();

  // Where command lines are appended.
  std::string* text() { return &queued_; }
  // A line made of `parts`, to be wiped. REQUIRES: no secret is waiting to be taken.
  void AppendSecret(std::initializer_list<std::string_view> parts);
  // The text position behind everything appended.
  uint64_t text_end() const { return queued_base() + queued_.size(); }
  uint64_t text_taken() const { return sending_base_ + sending_taken_; }

  // Puts content behind what was appended so far. REQUIRES: !content_pending().
  void AppendContent(std::span<const iovec> pieces, bool stuff);
  bool content_pending() const { return content_pending_; }  // a byte of it is still to be taken
  // Where the last content stands in the text, and the byte position of its end once it is taken.
  uint64_t content_mark() const { return content_mark_; }
  uint64_t content_end() const { return content_mark_ + content_bytes_; }

  bool has_output() const { return content_pending_ || text_taken() < text_end(); }
  size_t Take(std::span<iovec> out);
  void OnSent() {
    in_flight_ = false;
    bytes_sent_ = bytes_taken_;
    if (secret_end_ != 0 && text_taken() >= secret_end_) WipeSecret();
  }
  bool in_flight() const { return in_flight_; }
  uint64_t bytes_taken() const { return bytes_taken_; }
  uint64_t bytes_sent() const { return bytes_sent_; }

  // The byte position of a text position not older than the last content but one.
  // REQUIRES: position <= text_taken().
  uint64_t BytePosition(uint64_t position) const {
    return position + (position > content_mark_ ? content_bytes_ : content_bytes_before_);
  }

  // Forgets text from `position` on. REQUIRES: it has not been taken.
  void DropTextFrom(uint64_t position);
  // The session is over: nothing more is to be taken. What is in flight stays where it is.
  void Drop();

 private:
  uint64_t queued_base() const { return sending_base_ + sending_.size(); }
  size_t TakeContent(std::span<iovec> out);
  bool TakeText(iovec* out);
  void SwapBuffers();
  void WipeSecret();

  std::string queued_;
  std::string sending_;
  uint64_t sending_base_ = 0;  // text position of sending_[0]
  size_t sending_taken_ = 0;   // bytes of sending_ given out
  uint64_t secret_end_ = 0;    // text position behind the last secret; 0: none is in the buffers
  DotStuffer stuffer_;
  bool content_pending_ = false;
  uint64_t content_mark_ = 0;          // text position
  uint64_t content_bytes_ = 0;         // of all contents taken so far, as sent
  uint64_t content_bytes_before_ = 0;  // the same without the last content
  uint64_t bytes_taken_ = 0;
  uint64_t bytes_sent_ = 0;
  bool in_flight_ = false;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_CLIENT_OUTPUT_H_
