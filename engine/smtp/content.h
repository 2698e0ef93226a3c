// Content: the bytes of a message on the wire. Dot-stuffing without copying (RFC 5321 §4.5.2), and
// the check of the canonical form that the client machine requires.
//
// Threading: one thread. Lifetime: nothing is copied; pieces point into what was given to Start().
#ifndef VOLLEY_ENGINE_SMTP_CONTENT_H_
#define VOLLEY_ENGINE_SMTP_CONTENT_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace volley::engine::smtp {

// Cuts content into the pieces to send. A leading dot is doubled by ending one piece with it and
// beginning the next one with the same byte again: one more iovec a dot, and no byte is copied.
class DotStuffer {
 public:
  // `stuff` false: the pieces go out as they are (BDAT, RFC 3030 §2; or no line begins with a dot).
  // LIFETIME: the array and the bytes stay until done() and until the pieces given have been sent.
  void Start(std::span<const iovec> pieces, bool stuff);
  // Fills up to out.size() pieces, none of them empty; returns how many. 0 only when done().
  size_t Next(std::span<iovec> out);
  bool done() const { return index_ == pieces_.size(); }

 private:
  size_t NextPlain(std::span<iovec> out);
  size_t NextStuffed(std::span<iovec> out);
  void SkipEmpty();

  std::span<const iovec> pieces_;
  size_t index_ = 0;
  size_t offset_ = 0;  // into pieces_[index_]
  bool stuff_ = false;
  bool doubled_ = false;       // the byte at offset_ is a dot sent once already
  bool at_line_start_ = true;  // the byte before pieces_[index_] ended a line
};

// What a driver needs to fill in a Transaction.
struct ContentFacts {
  uint64_t bytes = 0;
  uint64_t longest_line_bytes = 0;  // with CRLF; RFC 5321 §4.5.3.1.6 allows 1000
  bool eight_bit = false;           // a byte over 127
  bool dot_free = true;             // no line begins with a dot
};

// Checks that the concatenation of `pieces` is canonical: every line ends in CRLF, the last one
// included, and there is no other CR or LF (RFC 5321 §2.3.8; the smuggling of 2023 is what bare
// ones lead to) and no NUL. Errors: InvalidArgument with the offset of the first fault.
absl::StatusOr<ContentFacts> CheckCanonical(std::span<const iovec> pieces);

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_CONTENT_H_
