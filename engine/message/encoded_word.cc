#include "engine/message/encoded_word.h"

#include <algorithm>

#include "engine/message/base64.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

constexpr std::string_view kQPrefix = "=?utf-8?Q?";
constexpr std::string_view kBPrefix = "=?utf-8?B?";
constexpr std::string_view kSuffix = "?=";
constexpr char kHex[] = "0123456789ABCDEF";

bool IsPlainInQ(char c, WordContext context) {
  const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  if (alnum || c == '!' || c == '*' || c == '+' || c == '-' || c == '/') return true;
  // §4.2 (3): in text any other printable character but "=", "?", "_" may stand for itself.
  return context == WordContext::kText && c > ' ' && c < 0x7F && c != '=' && c != '?' && c != '_';
}

size_t QBytes(std::string_view text, WordContext context) {
  size_t bytes = 0;
  for (const char c : text) bytes += c == ' ' || IsPlainInQ(c, context) ? 1 : 3;
  return bytes;
}

void AppendQ(std::string_view text, WordContext context, std::string* out) {
  for (const char c : text) {
    if (c == ' ') {
      out->push_back('_');
    } else if (IsPlainInQ(c, context)) {
      out->push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out->push_back('=');
      out->push_back(kHex[byte >> 4]);
      out->push_back(kHex[byte & 15]);
    }
  }
}

void AppendB(std::string_view text, std::string* out) {
  const size_t before = out->size();
  out->resize(before + Base64Bytes(text.size()));
  WriteBase64(text, out->data() + before);
}

// How many bytes of `text` fit, never ending inside a character (RFC 2047 §5).
size_t FittingPrefix(std::string_view text, WordEncoding encoding, WordContext context,
                     size_t room) {
  size_t taken = 0;
  size_t q_bytes = 0;
  while (taken < text.size()) {
    const size_t next = std::max<size_t>(DecodeUtf8(text.substr(taken)).bytes, 1);
    q_bytes += QBytes(text.substr(taken, next), context);
    const size_t encoded = encoding == WordEncoding::kQ ? q_bytes : Base64Bytes(taken + next);
    if (encoded > room) break;
    taken += next;
  }
  return taken;
}

}  // namespace

WordEncoding ShorterEncoding(std::string_view text, WordContext context) {
  return QBytes(text, context) <= Base64Bytes(text.size()) ? WordEncoding::kQ : WordEncoding::kB;
}

size_t AppendEncodedWord(std::string_view text, WordEncoding encoding, WordContext context,
                         size_t room, std::string* out) {
  const size_t taken =
      FittingPrefix(text, encoding, context, room - kQPrefix.size() - kSuffix.size());
  const std::string_view part = text.substr(0, taken);
  if (encoding == WordEncoding::kQ) {
    out->append(kQPrefix);
    AppendQ(part, context, out);
  } else {
    out->append(kBPrefix);
    AppendB(part, out);
  }
  out->append(kSuffix);
  return taken;
}

}  // namespace volley::engine::message
