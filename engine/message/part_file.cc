#include "engine/message/part_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/message/header.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

constexpr size_t kLineBytes = 76;

struct Ending {
  std::string_view ending;
  std::string_view type;
};
// What campaigns and invoices carry; sorted for people, searched from the front.
constexpr Ending kEndings[] = {
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"css", "text/css"},
    {"csv", "text/csv"},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"epub", "application/epub+zip"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"htm", "text/html"},
    {"html", "text/html"},
    {"ics", "text/calendar"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"json", "application/json"},
    {"m4a", "audio/mp4"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"odp", "application/vnd.oasis.opendocument.presentation"},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"pdf", "application/pdf"},
    {"pkpass", "application/vnd.apple.pkpass"},
    {"png", "image/png"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"rtf", "application/rtf"},
    {"svg", "image/svg+xml"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"txt", "text/plain"},
    {"vcf", "text/vcard"},
    {"wav", "audio/wav"},
    {"webp", "image/webp"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"zip", "application/zip"},
};

absl::Status Bad(const std::string& text) { return absl::InvalidArgumentError(text); }

char LowerByte(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool SameLetters(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return LowerByte(x) == LowerByte(y);
         });
}

bool StartsWithLetters(std::string_view text, std::string_view prefix) {
  return SameLetters(text.substr(0, prefix.size()), prefix);
}

// RFC 2045 §5.1
bool IsTokenByte(char c) {
  return c > ' ' && c < 0x7F && std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string::npos;
}

std::string_view TakeToken(std::string_view* rest) {
  size_t bytes = 0;
  while (bytes < rest->size() && IsTokenByte((*rest)[bytes])) ++bytes;
  const std::string_view token = rest->substr(0, bytes);
  rest->remove_prefix(bytes);
  return token;
}

// A quoted string without escapes; false when there is none.
bool TakeQuoted(std::string_view* rest) {
  if (!rest->starts_with('"')) return false;
  const size_t end = rest->find('"', 1);
  if (end == rest->npos || rest->substr(0, end).find('\\') != rest->npos) return false;
  rest->remove_prefix(end + 1);
  return true;
}

void SkipSpaces(std::string_view* rest) {
  while (rest->starts_with(' ')) rest->remove_prefix(1);
}

bool IsOwnParameter(std::string_view name) {
  return SameLetters(name.substr(0, name.find('*')), "name") || SameLetters(name, "boundary");
}

bool AreParameters(std::string_view rest) {
  SkipSpaces(&rest);
  while (!rest.empty()) {
    if (!rest.starts_with(';')) return false;
    rest.remove_prefix(1);
    SkipSpaces(&rest);
    const std::string_view name = TakeToken(&rest);
    if (name.empty() || IsOwnParameter(name) || !rest.starts_with('=')) return false;
    rest.remove_prefix(1);
    if (!TakeQuoted(&rest) && TakeToken(&rest).empty()) return false;
    SkipSpaces(&rest);
  }
  return true;
}

bool IsContentType(std::string_view type) {
  if (type.size() > kMaxContentTypeBytes || !IsAscii(type)) return false;
  if (FindForbiddenInHeader(type) != type.npos || type.find('\t') != type.npos) return false;
  std::string_view rest = type;
  if (TakeToken(&rest).empty() || !rest.starts_with('/')) return false;
  rest.remove_prefix(1);
  return !TakeToken(&rest).empty() && AreParameters(rest);
}

// RFC 2231 §7 attribute-char
bool IsPlainInExtended(char c) { return IsTokenByte(c) && c != '*' && c != '\'' && c != '%'; }

size_t PercentEncodedBytes(std::string_view text) {
  size_t bytes = 0;
  for (const char c : text) bytes += IsPlainInExtended(c) ? 1 : 3;
  return bytes;
}

void AppendPercentEncoded(std::string_view text, std::string* out) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : text) {
    if (IsPlainInExtended(c)) {
      out->push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out->push_back('%');
      out->push_back(kDigits[byte >> 4]);
      out->push_back(kDigits[byte & 15]);
    }
  }
}

bool IsEscapedInQuotes(char c) { return c == '"' || c == '\\'; }

void AppendQuotedString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    if (IsEscapedInQuotes(c)) out->push_back('\\');
    out->push_back(c);
  }
  out->push_back('"');
}

void AppendNumber(size_t number, std::string* out) {
  std::array<char, 8> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out->append(digits.data(), end);
}

// How many bytes of `text` fit into a segment. No character is cut in two, because there are
// readers that decode each segment alone.
size_t FittingPrefix(std::string_view text, size_t room) {
  size_t taken = 0;
  size_t encoded = 0;
  while (taken < text.size()) {
    const size_t bytes = std::max<size_t>(DecodeUtf8(text.substr(taken)).bytes, 1);
    encoded += PercentEncodedBytes(text.substr(taken, bytes));
    if (encoded > room) break;
    taken += bytes;
  }
  return taken;
}

// In one segment if it fits, else in numbered ones, a line each.
void AppendExtended(std::string_view parameter, std::string_view text, std::string* out) {
  constexpr std::string_view kCharset = "utf-8''";
  const size_t room = kLineBytes - parameter.size() - std::string_view(" *99*=;").size();
  const bool whole = PercentEncodedBytes(text) + kCharset.size() <= room;
  for (size_t number = 0; !text.empty(); ++number) {
    out->append(";\r\n ").append(parameter).append("*");
    if (!whole) {
      AppendNumber(number, out);
      out->append("*");
    }
    out->append("=");
    if (number == 0) out->append(kCharset);
    const size_t taken = FittingPrefix(text, number == 0 ? room - kCharset.size() : room);
    AppendPercentEncoded(text.substr(0, taken), out);
    text.remove_prefix(taken);
  }
}

// ";" and the parameter on a line of its own.
void AppendNameParameter(std::string_view parameter, std::string_view name, std::string* out) {
  const auto escapes =
      static_cast<size_t>(std::count_if(name.begin(), name.end(), IsEscapedInQuotes));
  constexpr size_t kAround = 5;  // the blank, "=", two quotes, ";"
  // "=?" in quotes is an encoded word to many readers, though RFC 2047 §5 forbids it there.
  const bool plain = IsAscii(name) && name.find("=?") == name.npos;
  if (plain && parameter.size() + name.size() + escapes + kAround <= kLineBytes) {
    out->append(";\r\n ").append(parameter).append("=");
    AppendQuotedString(name, out);
    return;
  }
  AppendExtended(parameter, name, out);
}

// With a line for each parameter when one does not hold them all.
void AppendContentType(std::string_view type, std::string* out) {
  out->append("Content-Type: ");
  const bool fold = type.size() + std::string_view("Content-Type: ;").size() > kLineBytes;
  bool quoted = false;
  for (size_t i = 0; i < type.size(); ++i) {
    if (type[i] == '"') quoted = !quoted;
    out->push_back(type[i]);
    if (!fold || quoted || type[i] != ';') continue;
    out->append("\r\n ");
    while (i + 1 < type.size() && type[i + 1] == ' ') ++i;
  }
}

std::string_view TypeOf(const PartFileView& file) {
  return file.content_type.empty() ? ContentTypeFor(file.name) : file.content_type;
}

}  // namespace

std::string_view ContentTypeFor(std::string_view name) {
  const size_t dot = name.rfind('.');
  const std::string_view ending = dot == name.npos ? "" : name.substr(dot + 1);
  const auto* known = std::find_if(std::begin(kEndings), std::end(kEndings),
                                   [ending](Ending e) { return SameLetters(e.ending, ending); });
  return known == std::end(kEndings) ? "application/octet-stream" : known->type;
}

absl::Status CheckPartFile(const PartFileView& file) {
  if (file.name.empty()) return Bad("the file has no name");
  if (file.name.size() > kMaxFileNameBytes) {
    return Bad(
        fmt::format("the name has {} bytes; at most {}", file.name.size(), kMaxFileNameBytes));
  }
  if (FindForbiddenInHeader(file.name) != file.name.npos ||
      file.name.find('\t') != file.name.npos) {
    return Bad("the name has a control character or is not UTF-8");
  }
  if (file.name.find_first_of("/\\") != file.name.npos || file.name == "." || file.name == "..") {
    return Bad("the name is a path: give the file's name alone");
  }
  if (file.content_type.empty()) return absl::OkStatus();
  if (!IsContentType(file.content_type)) {
    return Bad(fmt::format("{} is no content type, such as image/png", Quoted(file.content_type)));
  }
  if (StartsWithLetters(file.content_type, "multipart/") ||
      StartsWithLetters(file.content_type, "message/")) {
    return Bad(fmt::format("a file of type {} cannot be attached", file.content_type));
  }
  return absl::OkStatus();
}

void AppendPartFileHeaders(const PartFileView& file, Disposition disposition,
                           std::string_view content_id, std::string* out) {
  const std::string_view type = TypeOf(file);
  AppendContentType(type, out);
  // RFC 2046 §4.1.2: without one, text is US-ASCII.
  const bool has_charset = type.find("charset") != type.npos;
  if (StartsWithLetters(type, "text/") && !has_charset && !IsAscii(file.bytes) &&
      IsUtf8(file.bytes)) {
    out->append("; charset=utf-8");
  }
  AppendNameParameter("name", file.name, out);
  out->append("\r\nContent-Transfer-Encoding: base64\r\n");
  if (!content_id.empty()) out->append("Content-ID: ").append(content_id).append("\r\n");
  out->append(disposition == Disposition::kInline ? "Content-Disposition: inline"
                                                  : "Content-Disposition: attachment");
  AppendNameParameter("filename", file.name, out);
  out->append("\r\n");
}

}  // namespace volley::engine::message
