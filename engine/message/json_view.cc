#include "engine/message/json_view.h"

#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool IsHighSurrogate(int unit) { return unit >= 0xD800 && unit <= 0xDBFF; }
bool IsLowSurrogate(int unit) { return unit >= 0xDC00 && unit <= 0xDFFF; }

// The code unit of the "\uXXXX" at `at`; -1 when there is none.
int UnicodeEscape(std::string_view text, size_t at) {
  if (at > text.size() || text.size() - at < 6 || text[at] != '\\' || text[at + 1] != 'u')
    return -1;
  int unit = 0;
  for (size_t i = at + 2; i < at + 6; ++i) {
    const int digit = HexValue(text[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

// Recursive descent over text that may be anything.
class Checker {
 public:
  explicit Checker(std::string_view text) : text_(text) {}

  bool Document() {
    SkipSpace();
    if (!Value(0)) return false;
    SkipSpace();
    return at_ == text_.size();
  }

 private:
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void SkipSpace() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }
  bool Literal(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  bool Digits() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return at_ > begin;
  }
  bool Number() {
    Take('-');
    if (!Take('0') && !Digits()) return false;
    if (Take('.') && !Digits()) return false;
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      return Digits();
    }
    return true;
  }
  bool Escape() {
    if (const int unit = UnicodeEscape(text_, at_); unit >= 0) {
      at_ += 6;
      if (IsLowSurrogate(unit)) return false;
      if (!IsHighSurrogate(unit)) return true;
      if (!IsLowSurrogate(UnicodeEscape(text_, at_))) return false;
      at_ += 6;
      return true;
    }
    ++at_;
    if (at_ >= text_.size()) return false;
    return std::string_view("\"\\/bfnrt").find(text_[at_++]) != std::string_view::npos;
  }
  bool String() {
    if (!Take('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        ++at_;
      } else if (!Escape()) {
        return false;
      }
    }
    return false;
  }
  bool Array(size_t depth) {
    ++at_;
    SkipSpace();
    if (Take(']')) return true;
    do {
      SkipSpace();
      if (!Value(depth)) return false;
      SkipSpace();
    } while (Take(','));
    return Take(']');
  }
  bool Object(size_t depth) {
    ++at_;
    SkipSpace();
    if (Take('}')) return true;
    do {
      SkipSpace();
      if (!String()) return false;
      SkipSpace();
      if (!Take(':')) return false;
      SkipSpace();
      if (!Value(depth)) return false;
      SkipSpace();
    } while (Take(','));
    return Take('}');
  }
  bool Value(size_t depth) {
    if (at_ >= text_.size()) return false;
    switch (text_[at_]) {
      case '{':
        return depth < kMaxJsonDepth && Object(depth + 1);
      case '[':
        return depth < kMaxJsonDepth && Array(depth + 1);
      case '"':
        return String();
      case 't':
        return Literal("true");
      case 'f':
        return Literal("false");
      case 'n':
        return Literal("null");
      default:
        return Number();
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

// The functions below walk text that IsJson has passed. They still never read past its end, so a
// broken promise gives a wrong value and no crash.

size_t SkipSpace(std::string_view text, size_t at) {
  while (at < text.size() && IsSpace(text[at])) ++at;
  return at;
}

// REQUIRES: a string begins at `at`. Where it ends.
size_t SkipString(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at < text.size() ? at + 1 : text.size();
}

size_t SkipNested(std::string_view text, size_t at) {
  size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = SkipString(text, at);
      continue;
    }
    ++at;
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && --depth == 0) break;
  }
  return at;
}

size_t SkipValue(std::string_view text, size_t at) {
  if (at >= text.size()) return at;
  if (text[at] == '"') return SkipString(text, at);
  if (text[at] == '[' || text[at] == '{') return SkipNested(text, at);
  while (at < text.size() && !IsSpace(text[at]) && text[at] != ',' && text[at] != ']' &&
         text[at] != '}') {
    ++at;
  }
  return at;
}

bool NameIs(std::string_view raw, std::string_view name) {
  if (raw.find('\\') == std::string_view::npos) return raw == name;
  std::string decoded;
  AppendDecodedString(raw, &decoded);
  return decoded == name;
}

}  // namespace

bool IsJson(std::string_view text) { return Checker(text).Document(); }

JsonView::JsonView(std::string_view text) : text_(text) {
  while (!text_.empty() && IsSpace(text_.front())) text_.remove_prefix(1);
  while (!text_.empty() && IsSpace(text_.back())) text_.remove_suffix(1);
}

JsonType JsonView::type() const {
  switch (text_.empty() ? 'n' : text_.front()) {
    case '{':
      return JsonType::kObject;
    case '[':
      return JsonType::kArray;
    case '"':
      return JsonType::kString;
    case 't':
      return JsonType::kTrue;
    case 'f':
      return JsonType::kFalse;
    case 'n':
      return JsonType::kNull;
    default:
      return JsonType::kNumber;
  }
}

std::optional<JsonView> JsonView::Member(std::string_view name) const {
  size_t at = SkipSpace(text_, 1);
  while (at < text_.size() && text_[at] == '"') {
    const size_t name_end = SkipString(text_, at);
    const std::string_view raw = text_.substr(at + 1, name_end - at - 2);
    const size_t colon = SkipSpace(text_, name_end);
    const size_t value = SkipSpace(text_, colon + 1);
    const size_t value_end = SkipValue(text_, value);
    if (value >= text_.size()) break;
    if (NameIs(raw, name)) return JsonView(text_.substr(value, value_end - value));
    at = SkipSpace(text_, SkipSpace(text_, value_end) + 1);  // past the comma
  }
  return std::nullopt;
}

JsonView::Elements::Elements(const JsonView& array)
    : text_(array.text_), at_(SkipSpace(array.text_, 1)) {}

std::optional<JsonView> JsonView::Elements::Next() {
  if (at_ >= text_.size() || text_[at_] == ']') return std::nullopt;
  const size_t begin = at_;
  const size_t end = SkipValue(text_, begin);
  at_ = SkipSpace(text_, end);
  if (at_ < text_.size() && text_[at_] == ',') at_ = SkipSpace(text_, at_ + 1);
  return JsonView(text_.substr(begin, end - begin));
}

void AppendDecodedString(std::string_view raw, std::string* out) {
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\' || i + 1 == raw.size()) {
      out->push_back(raw[i]);
      continue;
    }
    if (const int unit = UnicodeEscape(raw, i); unit >= 0) {
      i += 5;
      const int low = IsHighSurrogate(unit) ? UnicodeEscape(raw, i + 1) : -1;
      if (IsLowSurrogate(low)) {
        i += 6;
        AppendUtf8(static_cast<uint32_t>(0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00)), out);
      } else {
        AppendUtf8(static_cast<uint32_t>(unit), out);
      }
      continue;
    }
    constexpr std::string_view kNames = "bfnrt";
    constexpr std::string_view kValues = "\b\f\n\r\t";
    const size_t known = kNames.find(raw[++i]);
    out->push_back(known == std::string_view::npos ? raw[i] : kValues[known]);
  }
}

}  // namespace volley::engine::message
