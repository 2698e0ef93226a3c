// MIME framing of a message body: boundaries, part headers, and which encoding a part needs.
// RFC 2045, RFC 2046 §5.1. Pure.
#ifndef VOLLEY_ENGINE_MESSAGE_MIME_H_
#define VOLLEY_ENGINE_MESSAGE_MIME_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace volley::engine::message {

enum class PartType : uint8_t { kPlain, kHtml };
enum class PartEncoding : uint8_t { kSevenBit, kQuotedPrintable };

// "=_" and 32 digits made of the seed. Quoted-printable never has "=_" (RFC 2045 §6.7 (8)), and
// text that has it is never sent as kSevenBit, so no part can hold the boundary.
std::string MakeBoundary(uint64_t seed);

// Whether fixed text can go as it is: short ASCII lines, no line that begins with "." or "From " or
// ends in white space, no controls, no "=_".
PartEncoding EncodingFor(std::string_view fixed_text);

// The text with every CR, LF and CRLF as CRLF.
std::string WithCrlf(std::string_view text);

// "Content-Type: ...\r\nContent-Transfer-Encoding: ...\r\n" without the empty line.
std::string PartHeaders(PartType type, PartEncoding encoding);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_MIME_H_
