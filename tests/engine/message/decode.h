// Independent decoders for what the message code writes: plain readings of RFC 2045, 2047 and 5322
// that share no code with it. Malformed input is reported through ok, never repaired.
#ifndef VOLLEY_TESTS_ENGINE_MESSAGE_DECODE_H_
#define VOLLEY_TESTS_ENGINE_MESSAGE_DECODE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace volley::engine::message {

struct Decoded {
  std::string text;
  bool ok = true;
};

// RFC 2045 §6.7. Soft breaks go, hard ones stay CRLF.
Decoded DecodeQuotedPrintable(std::string_view encoded);

Decoded DecodeBase64(std::string_view encoded);

// Unfolds a field body and decodes its encoded words (RFC 2047 §6.2).
Decoded DecodeFieldBody(std::string_view body);

struct ParsedMessage {
  std::vector<std::pair<std::string, std::string>> fields;  // bodies still folded, without CRLF
  std::string body;
  bool ok = true;
  // The body of the first field of that name, as it stands; "" and ok = false in none.
  std::string Field(std::string_view name) const;
};
// Splits at the empty line. Every line must end in CRLF and no CR or LF may stand alone.
ParsedMessage ParseMessage(std::string_view message);

// The parts of a multipart body, each with its headers.
std::vector<ParsedMessage> SplitParts(std::string_view body, std::string_view boundary);

// The text of a leaf: 7bit as it is, quoted-printable and base64 decoded.
Decoded LeafText(const ParsedMessage& leaf);

// Every rule for the lines of a message that goes out; "" or which one is broken, and where.
std::string BrokenLineRule(std::string_view message);

// CR, LF and CRLF to CRLF.
std::string Crlf(std::string_view text);

// Repeatable pseudo-random numbers: a failure names the seed and is the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  size_t Below(size_t limit) { return static_cast<size_t>(Next() % limit); }
  // Text made of the pieces, up to `longest` of them.
  std::string Text(const std::vector<std::string>& pieces, size_t longest) {
    std::string text;
    for (size_t n = Below(longest + 1); n > 0; --n) text += pieces[Below(pieces.size())];
    return text;
  }

 private:
  uint64_t state_;
};

}  // namespace volley::engine::message

#endif  // VOLLEY_TESTS_ENGINE_MESSAGE_DECODE_H_
