// Quoted-printable for text in pieces: fixed text encoded once, values encoded as they come, joined
// so that the whole is one valid body. RFC 2045 §6.7.
//
// ENSURES, for any sequence of pieces: lines are at most 76 bytes and end in CRLF; none ends in a
// space or tab; none begins with "." (so nothing ever needs dot-stuffing, RFC 5321 §4.5.2) or with
// "From " (so no mailbox file mangles it); "=_" does not occur (so a boundary can). Line ends in
// the source may be CRLF, LF or CR; all become CRLF. Decoding gives exactly the source with those.
// Threading: pure; a QpWriter belongs to one thread.
#ifndef VOLLEY_ENGINE_MESSAGE_QUOTED_PRINTABLE_H_
#define VOLLEY_ENGINE_MESSAGE_QUOTED_PRINTABLE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "engine/message/message_buffer.h"

namespace volley::engine::message {

// Where the last encoded line may end, to leave room for the "=" of a soft break: 76 in all.
inline constexpr size_t kQpMaxColumn = 75;

enum class QpEscape { kNone, kHtml };  // kHtml: & < > " ' become entities first

// Fixed text, encoded as if it began a line. It is right at any column in which its first line
// fits: what could go wrong at either end ("." or "From" first, white space last) is encoded
// always.
struct QpLiteral {
  std::string bytes;
  size_t first_line = 0;  // bytes before the first line break, soft or hard
  size_t end_column = 0;
  bool has_break = false;

  static QpLiteral Encode(std::string_view text);
};

class QpWriter {
 public:
  // LIFETIME: the buffer outlives the writer.
  explicit QpWriter(MessageBuffer* out) : out_(out) {}

  // LIFETIME: the literal outlives the buffer's pieces.
  void Literal(const QpLiteral& literal) {
    if (column_ + literal.first_line > kQpMaxColumn) SoftBreak();
    out_->AppendStable(literal.bytes);
    column_ = literal.has_break ? literal.end_column : column_ + literal.end_column;
  }

  void Value(std::string_view text, QpEscape escape);

  // Ends the last line, if anything is on it.
  void EndLine() {
    if (column_ != 0) out_->AppendCopy("\r\n");
    column_ = 0;
  }

  size_t column() const { return column_; }

 private:
  void SoftBreak() {
    out_->AppendCopy("=\r\n");
    column_ = 0;
  }

  MessageBuffer* out_;
  size_t column_ = 0;
};

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_QUOTED_PRINTABLE_H_
