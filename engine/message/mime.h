// MIME framing of a message body: boundaries, headers of text parts, and what can go as it is.
// RFC 2045, RFC 2046 §5.1. Pure.
#ifndef VOLLEY_ENGINE_MESSAGE_MIME_H_
#define VOLLEY_ENGINE_MESSAGE_MIME_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace volley::engine::message {

enum class PartType : uint8_t { kPlain, kAmp, kHtml };
enum class PartEncoding : uint8_t { kSevenBit, kQuotedPrintable, kBase64 };

// "=_" and 32 digits made of the seed and of which multipart of the message it is. Quoted-printable
// never has "=_" (RFC 2045 §6.7 (8)), base64 has no "_", and text that has it is never sent as
// kSevenBit, so no part can hold the boundary.
std::string MakeBoundary(uint64_t seed, uint64_t multipart);

// Whether fixed text can go as it is: short ASCII lines, no line that begins with "." or "From " or
// ends in white space, no controls, no "=_".
bool IsSevenBit(std::string_view fixed_text);

// The text with every CR, LF and CRLF as CRLF.
std::string WithCrlf(std::string_view text);

// "Content-Type: ...\r\nContent-Transfer-Encoding: ...\r\n" without the empty line.
std::string PartHeaders(PartType type, PartEncoding encoding);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_MIME_H_
