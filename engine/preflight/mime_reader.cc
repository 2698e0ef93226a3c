#include "engine/preflight/mime_reader.h"

#include <optional>

#include "engine/dkim/header.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr int kDepthMax = 8;
constexpr int kPartsMax = 100;

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Two hexadecimal digits at the front; nullopt: they are none.
std::optional<char> HexByte(std::string_view text) {
  if (text.size() < 2) return std::nullopt;
  const int high = HexValue(text[0]), low = HexValue(text[1]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high << 4 | low);
}

// Quoted-printable, RFC 2045 §6.7, or the "Q" of header words, where "_" is a space.
std::string DecodeQuotedPrintable(std::string_view text, bool header_word) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (header_word && text[i] == '_') {
      out.push_back(' ');
    } else if (text[i] != '=') {
      out.push_back(text[i]);
    } else if (const auto byte = HexByte(text.substr(i + 1))) {
      out.push_back(*byte);
      i += 2;
    } else if (text.substr(i + 1).starts_with("\r\n")) {
      i += 2;
    }
  }
  return out;
}

int Base64Value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// RFC 2045 §6.8: what is not of the alphabet (line ends) is passed over.
std::string DecodeBase64Lines(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    const int value = Base64Value(c);
    if (value < 0) continue;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (++count % 4 == 1) continue;
    out.push_back(static_cast<char>(bits >> (6 - 2 * ((count - 1) % 4)) & 0xff));
  }
  return out;
}

// "=?utf-8?Q?caf=C3=A9?=" at the front; its bytes in `length`.
std::optional<std::string> DecodeWord(std::string_view text, size_t* length) {
  if (!text.starts_with("=?")) return std::nullopt;
  const size_t charset_end = text.find('?', 2);
  if (charset_end == text.npos || text.substr(charset_end).size() < 5) return std::nullopt;
  const std::string_view charset = text.substr(2, charset_end - 2);
  if (!EqualsNoCase(charset, "utf-8") && !EqualsNoCase(charset, "us-ascii")) return std::nullopt;
  const char encoding = static_cast<char>(text[charset_end + 1] | 0x20);
  const size_t end = text.find("?=", charset_end + 3);
  if (text[charset_end + 2] != '?' || end == text.npos) return std::nullopt;
  const std::string_view content = text.substr(charset_end + 3, end - charset_end - 3);
  if (content.find_first_of(" \t") != content.npos) return std::nullopt;
  *length = end + 2;
  if (encoding == 'q') return DecodeQuotedPrintable(content, /*header_word=*/true);
  if (encoding == 'b') return DecodeBase64Lines(content);
  return std::nullopt;
}

// --- Parts ---

struct Entity {
  std::string type = "text/plain";  // in lower case
  std::string boundary, encoding;
  bool attachment = false;
};

// A parameter of a structured field: `name=value` or `name="value"`.
std::string Parameter(std::string_view value, std::string_view name) {
  for (size_t at = value.find(';'); at != value.npos; at = value.find(';', at + 1)) {
    std::string_view rest = Trim(value.substr(at + 1));
    if (!StartsWithNoCase(rest, name)) continue;
    rest = Trim(rest.substr(name.size()));
    if (!rest.starts_with('=')) continue;
    rest = Trim(rest.substr(1));
    if (rest.starts_with('"')) return std::string(rest.substr(1, rest.find('"', 1) - 1));
    return std::string(Trim(rest.substr(0, rest.find(';'))));
  }
  return "";
}

Entity ReadEntity(std::string_view header) {
  Entity out;
  std::vector<dkim::HeaderField> fields;
  if (!dkim::ParseHeader(header, &fields).ok()) return out;
  for (const dkim::HeaderField& field : fields) {
    const std::string value = Unfold(field.value);
    if (dkim::SameFieldName(field.name, "Content-Type")) {
      out.type = ToLower(Trim(std::string_view(value).substr(0, value.find(';'))));
      out.boundary = Parameter(value, "boundary");
    } else if (dkim::SameFieldName(field.name, "Content-Transfer-Encoding")) {
      out.encoding = ToLower(value);
    } else if (dkim::SameFieldName(field.name, "Content-Disposition")) {
      out.attachment = StartsWithNoCase(value, "attachment");
    }
  }
  return out;
}

// The next line, with its end, off the front.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end == text->npos ? end : end + 1);
  text->remove_prefix(line.size());
  return line;
}

class Reader {
 public:
  BodyTexts texts;

  void Read(std::string_view message, int depth) {
    if (++parts_ > kPartsMax || depth > kDepthMax) return;
    const size_t split = message.starts_with("\r\n") ? 0 : message.find("\r\n\r\n");
    if (split == message.npos) return;
    const size_t header_bytes = split == 0 && message.starts_with("\r\n") ? 0 : split + 2;
    const Entity entity = ReadEntity(message.substr(0, header_bytes));
    const std::string_view body = message.substr(header_bytes + 2);
    if (entity.type.starts_with("multipart/")) {
      ReadMultipart(body, entity.boundary, depth);
    } else if (!entity.attachment) {
      ReadText(entity, body);
    }
  }

 private:
  // RFC 2046 §5.1.1. The CRLF before a delimiter belongs to it.
  void ReadMultipart(std::string_view body, const std::string& boundary, int depth) {
    if (boundary.empty()) return;
    const std::string delimiter = "--" + boundary;
    std::optional<size_t> begin;
    for (std::string_view rest = body; !rest.empty();) {
      const size_t at = body.size() - rest.size();
      const std::string_view line = Trim(TakeLine(&rest));
      if (line != delimiter && line != delimiter + "--") continue;
      if (begin) Read(body.substr(*begin, at - std::min(at, *begin)), depth + 1);
      if (line != delimiter) return;
      begin = body.size() - rest.size();
    }
  }

  void ReadText(const Entity& entity, std::string_view body) {
    std::string* to = entity.type == "text/plain"  ? &texts.plain
                      : entity.type == "text/html" ? &texts.html
                                                   : nullptr;
    if (to == nullptr) return;
    if (entity.encoding == "quoted-printable") {
      *to += DecodeQuotedPrintable(body, /*header_word=*/false);
    } else if (entity.encoding == "base64") {
      *to += DecodeBase64Lines(body);
    } else {
      *to += body;
    }
  }

  int parts_ = 0;
};

}  // namespace

std::string Unfold(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c != '\r' && c != '\n') out.push_back(c);
  }
  return std::string(Trim(out));
}

std::string DecodeWords(std::string_view value) {
  std::string out;
  size_t word_end = 0;  // in `out`: white space since then is between two words, and goes (§6.2)
  bool after_word = false;
  while (!value.empty()) {
    size_t length = 0;
    if (const auto word = DecodeWord(value, &length)) {
      if (after_word && Trim(std::string_view(out).substr(word_end)).empty()) out.resize(word_end);
      out += *word;
      word_end = out.size();
      after_word = true;
      value.remove_prefix(length);
      continue;
    }
    out.push_back(value[0]);
    value.remove_prefix(1);
  }
  return out;
}

BodyTexts ReadBodyTexts(std::string_view message) {
  Reader reader;
  reader.Read(message, 0);
  return std::move(reader.texts);
}

}  // namespace volley::engine::preflight
