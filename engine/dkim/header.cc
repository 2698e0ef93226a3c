#include "engine/dkim/header.h"

#include <algorithm>

#include "fmt/format.h"

namespace volley::engine::dkim {
namespace {

std::string_view WithoutSpaceAtEnd(std::string_view name) {
  while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
  return name;
}

char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// RFC 5322 §3.6.8 ftext.
bool IsFieldName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](char c) { return c > 32 && c < 127 && c != ':'; });
}

// Where the field at the front of `header` ends, its last CRLF included; 0: nowhere.
size_t FieldBytes(std::string_view header) {
  for (size_t at = 0;;) {
    const size_t end = header.find("\r\n", at);
    if (end == header.npos) return 0;
    at = end + 2;
    if (at == header.size() || (header[at] != ' ' && header[at] != '\t')) return at;
  }
}

// A CR, LF or NUL that is not part of a line's end.
bool HasStrayControl(std::string_view field) {
  for (size_t at = field.find_first_of(std::string_view("\r\n\0", 3)); at != field.npos;
       at = field.find_first_of(std::string_view("\r\n\0", 3), at)) {
    if (field.substr(at, 2) != "\r\n") return true;
    at += 2;
  }
  return false;
}

absl::Status InField(size_t number, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("header field {} {}", number, why));
}

}  // namespace

bool SameFieldName(std::string_view a, std::string_view b) {
  a = WithoutSpaceAtEnd(a);
  b = WithoutSpaceAtEnd(b);
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return ToLower(x) == ToLower(y);
         });
}

absl::Status ParseHeader(std::string_view header, std::vector<HeaderField>* fields) {
  fields->clear();
  while (!header.empty() && header != "\r\n") {
    const size_t number = fields->size() + 1;
    const size_t bytes = FieldBytes(header);
    if (bytes == 0) return InField(number, "does not end with CRLF");
    const std::string_view field = header.substr(0, bytes - 2);
    const size_t colon = field.find(':');
    if (colon == field.npos || !IsFieldName(WithoutSpaceAtEnd(field.substr(0, colon)))) {
      return InField(number, "has no name and colon");
    }
    if (HasStrayControl(field)) return InField(number, "has a CR, LF or NUL of its own");
    fields->push_back({field.substr(0, colon), field.substr(colon + 1)});
    header.remove_prefix(bytes);
  }
  return absl::OkStatus();
}

void AppendSignedFields(Canonicalization canonicalization, std::span<const HeaderField> fields,
                        std::span<const std::string_view> names, std::string* out) {
  for (size_t i = 0; i < names.size(); ++i) {
    size_t skip = static_cast<size_t>(
        std::count_if(names.begin(), names.begin() + static_cast<ptrdiff_t>(i),
                      [&](std::string_view name) { return SameFieldName(name, names[i]); }));
    for (size_t at = fields.size(); at-- > 0;) {
      if (!SameFieldName(fields[at].name, names[i])) continue;
      if (skip-- > 0) continue;
      AppendCanonicalField(canonicalization, fields[at].name, fields[at].value, out);
      out->append("\r\n");
      break;
    }
  }
}

}  // namespace volley::engine::dkim
