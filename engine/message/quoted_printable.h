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
#include "engine/message/text_escape.h"

namespace volley::engine::message {

// Where the last encoded line may end, to leave room for the "=" of a soft break: 76 in all.
inline constexpr size_t kQpMaxColumn = 75;

// Fixed text, encoded as if it began a line. It is right at any column in which its first line
// fits: what could go wrong at its beginning ("." or "From" first) is encoded always, and white
// space at its end is kept apart until it is known what follows.
struct QpLiteral {
  std::string bytes;
  size_t first_line = 0;  // bytes before the first line break, soft or hard
  size_t end_column = 0;
  bool has_break = false;          // of lines, soft or hard, in `bytes`
  bool begins_with_break = false;  // so white space in front of it ends a line
  bool empty = true;               // of the source
  char white = 0;  // the source's last byte if that is a space or tab, not in `bytes`

  static QpLiteral Encode(std::string_view text);
};

// A whole part that is the same for all copies. The last line is ended only if the text ends it.
std::string EncodeQuotedPrintable(std::string_view text);

class QpWriter {
 public:
  // LIFETIME: the buffer outlives the writer.
  explicit QpWriter(MessageBuffer* out) : out_(out) {}

  // LIFETIME: the literal outlives the buffer's pieces.
  void Literal(const QpLiteral& literal) {
    if (literal.empty) return;
    if (white_ != 0) WriteWhite(literal.begins_with_break);
    if (column_ + literal.first_line > kQpMaxColumn) SoftBreak();
    out_->AppendStable(literal.bytes);
    column_ = literal.has_break ? literal.end_column : column_ + literal.end_column;
    white_ = literal.white;
  }

  void Value(std::string_view text, TextEscape escape);

  // Ends the part: white space still held back goes out encoded. `end_line` ends the last line too,
  // if anything is on it.
  void Finish(bool end_line) {
    if (white_ != 0) WriteWhite(true);
    if (end_line && column_ != 0) HardBreak();
  }

  size_t column() const { return column_; }

 private:
  // `hex`: a line end may follow, and white space may not stand before that (rule 3).
  void WriteWhite(bool hex);
  void SoftBreak() {
    out_->AppendCopy("=\r\n");
    column_ = 0;
  }
  void HardBreak() {
    out_->AppendCopy("\r\n");
    column_ = 0;
  }

  MessageBuffer* out_;
  size_t column_ = 0;
  char white_ = 0;  // read, not yet written
};

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_QUOTED_PRINTABLE_H_
