// Base64 for mail: files in lines of 76, and text in pieces where quoted-printable would be longer.
// RFC 2045 §6.8: lines of at most 76 characters, so a shorter one inside a body is allowed; that is
// what lets fixed text be encoded ahead of time wherever it comes to stand between values.
//
// ENSURES: lines are at most 76 bytes and end in CRLF; no line begins with "." or "From ", and
// "=_" does not occur. Decoding gives the source, with line ends of text as CRLF.
// Threading: pure; a Base64Writer belongs to one thread.
#ifndef VOLLEY_ENGINE_MESSAGE_BASE64_H_
#define VOLLEY_ENGINE_MESSAGE_BASE64_H_

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "engine/message/message_buffer.h"
#include "engine/message/text_escape.h"

namespace volley::engine::message {

inline constexpr size_t kBase64LineBytes = 57;  // of content in a line of 76

// How many bytes WriteBase64 writes for that many.
constexpr size_t Base64Bytes(size_t bytes) { return (bytes + 2) / 3 * 4; }
// How many bytes WriteBase64Lines writes: CRLF between lines, none behind the last.
constexpr size_t Base64LinesBytes(size_t bytes) {
  return bytes == 0 ? 0 : Base64Bytes(bytes) + (bytes - 1) / kBase64LineBytes * 2;
}

// Both write behind `to`, which has the room above, and return the end.
char* WriteBase64(std::string_view bytes, char* to);
char* WriteBase64Lines(std::string_view bytes, char* to);

// Fixed text, encoded for each of the three places in a group of three bytes it may begin at.
// Short texts are not worth it: `lines` is empty then.
struct Base64Literal {
  std::string text;  // with CRLF
  std::array<std::string, 3>
      lines;  // [k]: text without its first k bytes, whole groups, whole lines

  static Base64Literal Encode(std::string_view text);
};

// Joins literals and values into one body.
class Base64Writer {
 public:
  // LIFETIME: the buffer outlives the writer.
  explicit Base64Writer(MessageBuffer* out) : out_(out) {}

  // LIFETIME: the literal outlives the buffer's pieces.
  void Literal(const Base64Literal& literal);
  void Value(std::string_view text, TextEscape escape);
  // Ends the part, and the last line if asked.
  void Finish(bool end_line);

 private:
  void Bytes(std::string_view bytes);
  size_t FillGroup(std::string_view bytes);  // how many bytes completed a group already begun
  void Groups(std::string_view bytes);
  void EndLine();

  MessageBuffer* out_;
  std::array<char, 3> group_;  // begun, not yet written
  size_t group_bytes_ = 0;
  size_t column_ = 0;
};

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_BASE64_H_
