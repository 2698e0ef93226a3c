#include "engine/message/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "absl/time/civil_time.h"
#include "engine/message/encoded_word.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

constexpr size_t kFoldColumn = 78;  // RFC 5322 §2.1.1 SHOULD
constexpr size_t kMaxQuotedName = 60;

absl::Status Bad(const std::string& text) { return absl::InvalidArgumentError(text); }

bool IsWhite(char c) { return c == ' ' || c == '\t'; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsWhite(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsWhite(text.back())) text.remove_suffix(1);
  return text;
}

// A word of an unstructured value and the white space in front of it.
struct Word {
  std::string_view space;
  std::string_view text;
  std::string_view rest;
};

Word NextWord(std::string_view value) {
  size_t begin = 0;
  while (begin < value.size() && IsWhite(value[begin])) ++begin;
  size_t end = begin;
  while (end < value.size() && !IsWhite(value[end])) ++end;
  return {value.substr(0, begin), value.substr(begin, end - begin), value.substr(end)};
}

// "=?" in plain text would be taken for an encoded word by the reader, so it is encoded itself.
bool NeedsEncoding(std::string_view text) {
  return !IsAscii(text) || text.find("=?") != std::string_view::npos;
}

// The part of `value` from its first to its last word that needs encoding. One contiguous part,
// because white space between two encoded words is dropped by the reader (RFC 2047 §6.2).
std::pair<size_t, size_t> EncodedPart(std::string_view value) {
  size_t begin = value.size();
  size_t end = value.size();
  std::string_view rest = value;
  while (!rest.empty()) {
    const Word word = NextWord(rest);
    if (NeedsEncoding(word.text)) {
      begin = std::min(begin, static_cast<size_t>(word.text.data() - value.data()));
      end = static_cast<size_t>(word.text.data() - value.data()) + word.text.size();
    }
    rest = word.rest;
  }
  return {begin, end};
}

// Writes the words of one field and folds between them.
class FieldWriter {
 public:
  explicit FieldWriter(std::string* out) : out_(out) {}

  void Name(std::string_view name) {
    out_->append(name);
    out_->append(": ");
    column_ = name.size() + 2;
  }

  absl::Status Words(std::string_view text) {
    while (!text.empty()) {
      const Word word = NextWord(text);
      if (absl::Status status = AddWord(word.space, word.text); !status.ok()) return status;
      text = word.rest;
    }
    return absl::OkStatus();
  }

  // The words of a structured value. Between the items of a list of URLs lines may be folded also
  // where no blank stands (RFC 2369 §2: "<a>,<b>").
  absl::Status Items(std::string_view text) {
    while (!text.empty()) {
      Word word = NextWord(text);
      text = word.rest;
      do {
        const size_t between = word.text.find(">,<");
        const size_t bytes = between == word.text.npos ? word.text.size() : between + 2;
        if (absl::Status s = AddWord(word.space, word.text.substr(0, bytes)); !s.ok()) return s;
        word.text.remove_prefix(bytes);
        word.space = " ";
      } while (!word.text.empty());
    }
    return absl::OkStatus();
  }

  // One word that must stay whole, with room for `follow` bytes the caller adds itself.
  absl::Status AddWord(std::string_view space, std::string_view text, size_t follow = 0) {
    // Not before the first word: some readers take a field whose first line is empty for empty.
    if (!first_ && column_ + space.size() + text.size() + follow > limit_) {
      out_->append("\r\n");
      column_ = 0;
      limit_ = kFoldColumn;
    }
    out_->append(space);
    out_->append(text);
    column_ += space.size() + text.size();
    first_ = false;
    if (column_ > kMaxHeaderLineBytes) {
      return Bad(fmt::format("a word of {} bytes is too long for a header line", text.size()));
    }
    return absl::OkStatus();
  }

  void Encoded(std::string_view space, std::string_view text, WordContext context) {
    const WordEncoding encoding = ShorterEncoding(text, context);
    while (!text.empty()) {
      if (column_ + space.size() + kMinEncodedWordBytes > kMaxEncodedLine) {
        out_->append("\r\n");
        column_ = 0;
        if (space.empty() || space.size() > kMaxEncodedLine / 2) space = " ";
      }
      out_->append(space);
      column_ += space.size();
      const size_t before = out_->size();
      const size_t room = std::min(kMaxEncodedWordBytes, kMaxEncodedLine - column_);
      text.remove_prefix(AppendEncodedWord(text, encoding, context, room, out_));
      column_ += out_->size() - before;
      limit_ = kMaxEncodedLine;
      first_ = false;
      space = " ";
    }
  }

  // REQUIRES: no word yet. Never folds: the caller keeps `text` short.
  void QuotedName(std::string_view text) {
    const size_t before = out_->size();
    out_->push_back('"');
    for (const char c : text) {
      if (c == '"' || c == '\\') out_->push_back('\\');
      out_->push_back(c);
    }
    out_->push_back('"');
    column_ += out_->size() - before;
    first_ = false;
  }

  void End() { out_->append("\r\n"); }

 private:
  std::string* out_;
  size_t column_ = 0;
  size_t limit_ = kFoldColumn;  // of the current line
  bool first_ = true;           // no word yet
};

absl::Status CheckValue(std::string_view value) {
  if (value.size() > kMaxHeaderValueBytes) {
    return Bad(
        fmt::format("a header value of {} bytes; at most {}", value.size(), kMaxHeaderValueBytes));
  }
  if (FindForbiddenInHeader(value) != std::string_view::npos) {
    return Bad(fmt::format("a control character or invalid UTF-8 in {}", Quoted(value)));
  }
  return absl::OkStatus();
}

bool IsAtomOrSpace(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || (c >= '0' && c <= '9') || c == ' ' ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

bool IsPlainPhrase(std::string_view name) {
  return std::all_of(name.begin(), name.end(), IsAtomOrSpace) &&
         name.find("  ") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::string> FormatDate(absl::Time time, const absl::TimeZone& zone) {
  // Own names: strftime's follow the process's locale.
  constexpr std::array kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const absl::TimeZone::CivilInfo info = zone.At(time);
  const absl::CivilSecond& t = info.cs;
  if (t.year() < 1900 || t.year() > 9999) return Bad("the date is not between 1900 and 9999");
  const int minutes = std::abs(info.offset) / 60;
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} {}{:02}{:02}",
                     kDays[static_cast<size_t>(absl::GetWeekday(t))], t.day(),
                     kMonths[static_cast<size_t>(t.month() - 1)], t.year(), t.hour(), t.minute(),
                     t.second(), info.offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

bool IsHeaderName(std::string_view name) {
  constexpr size_t kMaxNameBytes = 64;
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c > ' ' && c < 0x7F && c != ':'; });
}

size_t FindForbiddenInHeader(std::string_view value) {
  for (size_t i = 0; i < value.size(); ++i) {
    const auto c = static_cast<unsigned char>(value[i]);
    if (c >= 0x80) {
      const CodePoint point = DecodeUtf8(value.substr(i));
      // C1 controls (NEL is a line break to some readers) are no better than C0 ones.
      if (point.bytes == 0 || point.value < 0xA0) return i;
      i += point.bytes - 1;
    } else if ((c < 0x20 && c != '\t') || c == 0x7F) {
      return i;
    }
  }
  return std::string_view::npos;
}

absl::Status AppendField(std::string_view name, std::string_view value, FieldSyntax syntax,
                         std::string* out) {
  if (absl::Status status = CheckValue(value); !status.ok()) return status;
  value = Trim(value);
  FieldWriter writer(out);
  writer.Name(name);
  const auto [begin, end] = syntax == FieldSyntax::kStructured
                                ? std::pair(value.size(), value.size())
                                : EncodedPart(value);
  if (begin == value.size()) {
    if (!IsAscii(value)) return Bad(fmt::format("{} can hold ASCII only", name));
    absl::Status status =
        syntax == FieldSyntax::kStructured ? writer.Items(value) : writer.Words(value);
    if (!status.ok()) return status;
  } else {
    const std::string_view before = value.substr(0, begin);
    const size_t word_end = before.find_last_not_of(" \t") + 1;  // npos + 1 is 0
    if (absl::Status s = writer.Words(before.substr(0, word_end)); !s.ok()) return s;
    writer.Encoded(before.substr(word_end), value.substr(begin, end - begin), WordContext::kText);
    if (absl::Status s = writer.Words(value.substr(end)); !s.ok()) return s;
  }
  writer.End();
  return absl::OkStatus();
}

absl::Status AppendMailboxField(std::string_view name, std::string_view display_name,
                                std::string_view address, std::string* out) {
  if (absl::Status status = CheckValue(display_name); !status.ok()) return status;
  display_name = Trim(display_name);
  FieldWriter writer(out);
  writer.Name(name);
  if (display_name.empty()) {
    if (absl::Status status = writer.AddWord("", address); !status.ok()) return status;
    writer.End();
    return absl::OkStatus();
  }
  // A long name becomes encoded words because those fold; a fold inside a quoted string does not
  // survive every reader.
  const bool encode = NeedsEncoding(display_name) || display_name.size() > kMaxQuotedName ||
                      display_name.find('\t') != std::string_view::npos;
  absl::Status status = absl::OkStatus();
  if (encode) {
    writer.Encoded("", display_name, WordContext::kPhrase);
  } else if (IsPlainPhrase(display_name)) {
    status = writer.Words(display_name);
  } else {
    writer.QuotedName(display_name);
  }
  if (!status.ok()) return status;
  status = writer.AddWord(" <", address, 1);
  if (!status.ok()) return status;
  out->append(">");
  writer.End();
  return absl::OkStatus();
}

}  // namespace volley::engine::message
