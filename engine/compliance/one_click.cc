#include "engine/compliance/one_click.h"

#include <algorithm>
#include <optional>
#include <string>

namespace volley::engine::compliance {
namespace {

constexpr size_t kBoundaryCharsMax = 70;  // RFC 2046 §5.1.1
constexpr std::string_view kWhite = " \t\r\n";

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhite);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhite) - begin + 1);
}

// Up to the first `separator`, which is taken off `*rest` with it; all of it when there is none.
std::string_view TakeUntil(std::string_view separator, std::string_view* rest) {
  const size_t end = rest->find(separator);
  const std::string_view taken = rest->substr(0, end);
  *rest = end == std::string_view::npos ? std::string_view() : rest->substr(end + separator.size());
  return taken;
}

UnsubscribeRequest Judge(std::string_view name, std::string_view value) {
  name = Trim(name);
  value = Trim(value);
  if (EqualIgnoringCase(name, "List-Unsubscribe") && EqualIgnoringCase(value, "One-Click")) {
    return UnsubscribeRequest::kOneClick;
  }
  if (name == kPageField && value == kPageValue) return UnsubscribeRequest::kPage;
  return UnsubscribeRequest::kNone;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = Lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// A percent sign without two hex digits stays itself, as browsers have it.
std::string PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) << 4 | HexDigit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

UnsubscribeRequest ReadUrlEncoded(std::string_view body) {
  for (size_t fields = 0; !body.empty() && fields < kFormFieldsMax; ++fields) {
    std::string_view value = TakeUntil("&", &body);
    const std::string_view name = TakeUntil("=", &value);
    const UnsubscribeRequest request = Judge(PercentDecode(name), PercentDecode(value));
    if (request != UnsubscribeRequest::kNone) return request;
  }
  return UnsubscribeRequest::kNone;
}

// The value of `wanted` among "; name=value; name="value"". Quoted pairs are not undone: neither a
// boundary nor the names we look for have them.
std::optional<std::string_view> Parameter(std::string_view parameters, std::string_view wanted) {
  while (!parameters.empty()) {
    parameters = Trim(parameters);
    const size_t stop = parameters.find_first_of("=;");
    const std::string_view name = Trim(parameters.substr(0, stop));
    if (stop == std::string_view::npos) return std::nullopt;
    const bool has_value = parameters[stop] == '=';
    parameters = Trim(parameters.substr(stop + 1));
    if (!has_value) continue;
    std::string_view value;
    if (parameters.starts_with('"')) {
      parameters.remove_prefix(1);
      value = TakeUntil("\"", &parameters);
      TakeUntil(";", &parameters);
    } else {
      value = Trim(TakeUntil(";", &parameters));
    }
    if (EqualIgnoringCase(name, wanted)) return value;
  }
  return std::nullopt;
}

// One part: its header lines, an empty line, the content (RFC 7578 §4.2).
UnsubscribeRequest ReadPart(std::string_view part) {
  std::string_view name;
  while (!part.empty()) {
    std::string_view line = Trim(TakeUntil("\n", &part));
    if (line.empty()) return Judge(name, part);
    const std::string_view field = TakeUntil(":", &line);
    if (!EqualIgnoringCase(Trim(field), "Content-Disposition")) continue;
    TakeUntil(";", &line);
    name = Parameter(line, "name").value_or(std::string_view());
  }
  return UnsubscribeRequest::kNone;
}

UnsubscribeRequest ReadMultipart(std::string_view parameters, std::string_view body) {
  const std::optional<std::string_view> boundary = Parameter(parameters, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kBoundaryCharsMax) {
    return UnsubscribeRequest::kNone;
  }
  const std::string delimiter = "--" + std::string(*boundary);
  TakeUntil(delimiter, &body);  // the preamble
  for (size_t fields = 0; !body.empty() && fields < kFormFieldsMax; ++fields) {
    if (body.starts_with("--")) break;  // the close delimiter
    std::string_view part = TakeUntil("\n" + delimiter, &body);
    TakeUntil("\n", &part);  // the rest of the delimiter's line
    const UnsubscribeRequest request = ReadPart(part);
    if (request != UnsubscribeRequest::kNone) return request;
  }
  return UnsubscribeRequest::kNone;
}

}  // namespace

UnsubscribeRequest ReadUnsubscribeForm(std::string_view content_type, std::string_view body) {
  if (body.size() > kFormBytesMax) return UnsubscribeRequest::kNone;
  const std::string_view type = Trim(TakeUntil(";", &content_type));
  if (EqualIgnoringCase(type, "multipart/form-data")) return ReadMultipart(content_type, body);
  if (type.empty() || EqualIgnoringCase(type, "application/x-www-form-urlencoded")) {
    return ReadUrlEncoded(body);
  }
  return UnsubscribeRequest::kNone;
}

}  // namespace volley::engine::compliance
