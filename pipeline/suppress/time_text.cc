#include "pipeline/suppress/time_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "pipeline/source/text.h"

namespace volley::pipeline {
namespace {

constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

class Scanner {
 public:
  explicit Scanner(std::string_view rest) : rest_(rest) {}

  bool at_end() const { return rest_.empty(); }
  char next() const { return rest_.empty() ? '\0' : rest_.front(); }
  bool Take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool TakeBlanks() {
    const size_t before = rest_.size();
    while (Take(' ') || Take('\t')) {
    }
    return rest_.size() != before;
  }
  // A number of `least` to `most` digits, all of them there.
  bool TakeNumber(size_t least, size_t most, int* out) {
    size_t n = 0;
    int value = 0;
    for (; n < rest_.size() && IsDigit(rest_[n]); ++n) {
      if (n == most) return false;
      value = value * 10 + (rest_[n] - '0');
    }
    if (n < least) return false;
    rest_.remove_prefix(n);
    *out = value;
    return true;
  }
  // Digits behind a point, as milliseconds; what is finer is cut off.
  bool TakeFraction(int* ms) {
    int digits = 0;
    *ms = 0;
    for (; !rest_.empty() && IsDigit(rest_.front()); rest_.remove_prefix(1)) {
      if (digits++ < 3) *ms = *ms * 10 + (rest_.front() - '0');
    }
    for (int i = digits; i < 3; ++i) *ms *= 10;
    return digits > 0;
  }
  std::string TakeWord() {
    size_t n = 0;
    while (n < rest_.size() && ((rest_[n] | 0x20) >= 'a' && (rest_[n] | 0x20) <= 'z')) ++n;
    std::string word;
    AsciiLower(rest_.substr(0, n), &word);
    rest_.remove_prefix(n);
    return word;
  }

 private:
  std::string_view rest_;
};

struct Parts {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0;
  int offset_minutes = 0;
};

std::optional<int64_t> ToMillis(const Parts& p) {
  if (p.month < 1 || p.month > 12 || p.day < 1 || p.hour > 23 || p.minute > 59 || p.second > 60) {
    return std::nullopt;
  }
  const absl::CivilDay day(p.year, p.month, p.day);
  if (day.month() != p.month || day.day() != p.day) return std::nullopt;  // 30 February
  const absl::CivilSecond second(p.year, p.month, p.day, p.hour, p.minute, p.second);
  const int64_t ms = absl::ToUnixMillis(absl::FromCivil(second, absl::UTCTimeZone())) + p.ms -
                     int64_t{p.offset_minutes} * 60'000;
  if (p.year < 1970 || ms < 0) return std::nullopt;
  return ms;
}

// "Z", "UTC", "+0200", "+02:00", "+02", "+0000 UTC", or nothing.
bool TakeZone(Scanner* s, Parts* p) {
  if (s->next() == '+' || s->next() == '-') {
    const int sign = s->Take('-') ? -1 : 1;
    s->Take('+');
    int hours = 0, minutes = 0;
    if (!s->TakeNumber(2, 4, &hours)) return false;
    if (hours > 99) {
      minutes = hours % 100;
      hours /= 100;
    } else if (s->Take(':') && !s->TakeNumber(2, 2, &minutes)) {
      return false;
    }
    if (hours > 15 || minutes > 59) return false;
    p->offset_minutes = sign * (hours * 60 + minutes);
    s->TakeBlanks();
    if (p->offset_minutes != 0) return s->at_end();
  }
  const std::string zone = s->TakeWord();
  return s->at_end() && (zone.empty() || zone == "z" || zone == "utc" || zone == "gmt");
}

bool TakeClock(Scanner* s, Parts* p) {
  if (!s->TakeNumber(1, 2, &p->hour) || !s->Take(':')) return false;
  if (!s->TakeNumber(2, 2, &p->minute)) return false;
  if (s->Take(':')) {
    if (!s->TakeNumber(2, 2, &p->second)) return false;
    if ((s->Take('.') || s->Take(',')) && !s->TakeFraction(&p->ms)) return false;
  }
  s->TakeBlanks();
  return TakeZone(s, p);
}

std::optional<int64_t> ParseIso(std::string_view text) {
  Scanner s(text);
  Parts p;
  if (!s.TakeNumber(4, 4, &p.year)) return std::nullopt;
  const char separator = s.next();
  if (!s.Take('-') && !s.Take('/')) return std::nullopt;
  if (!s.TakeNumber(1, 2, &p.month) || !s.Take(separator)) return std::nullopt;
  if (!s.TakeNumber(1, 2, &p.day)) return std::nullopt;
  if (s.at_end()) return ToMillis(p);
  if (!s.Take('T') && !s.Take('t') && !s.TakeBlanks()) return std::nullopt;
  if (!TakeClock(&s, &p)) return std::nullopt;
  return ToMillis(p);
}

std::optional<int64_t> ParseMailDate(std::string_view text) {
  Scanner s(text);
  Parts p;
  if (!IsDigit(s.next())) {
    (void)s.TakeWord();  // the day of the week says nothing new
    if (!s.Take(',')) return std::nullopt;
    s.TakeBlanks();
  }
  if (!s.TakeNumber(1, 2, &p.day) || !s.TakeBlanks()) return std::nullopt;
  const std::string month = s.TakeWord();
  const auto* found = std::find(std::begin(kMonths), std::end(kMonths), month);
  if (found == std::end(kMonths) || !s.TakeBlanks()) return std::nullopt;
  p.month = static_cast<int>(found - std::begin(kMonths)) + 1;
  if (!s.TakeNumber(4, 4, &p.year) || !s.TakeBlanks()) return std::nullopt;
  if (!TakeClock(&s, &p)) return std::nullopt;
  return ToMillis(p);
}

// Only digits, and perhaps a point with more behind.
std::optional<int64_t> ParseUnix(std::string_view text) {
  const size_t point = std::min(text.find('.'), text.size());
  if (point > 19) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text.substr(0, point)) value = value * 10 + static_cast<uint64_t>(c - '0');
  int ms = 0;
  if (point != text.size()) {
    Scanner fraction(text.substr(point + 1));
    if (!fraction.TakeFraction(&ms) || !fraction.at_end()) return std::nullopt;
  }
  if (point == 8) {  // 20150930: in seconds it would be of 1970
    const auto whole = static_cast<int>(value);
    const Parts p{.year = whole / 10000, .month = whole / 100 % 100, .day = whole % 100};
    if (const auto day = ToMillis(p); day && p.year >= 1990) return day;
  }
  uint64_t unix_ms = 0;
  if (point <= 11) {
    unix_ms = value * 1000 + static_cast<uint64_t>(ms);
  } else {
    unix_ms = point <= 14 ? value : point <= 17 ? value / 1000 : value / 1'000'000;
  }
  constexpr uint64_t kYear10000 = 253'402'300'800'000;
  if (unix_ms >= kYear10000) return std::nullopt;
  return static_cast<int64_t>(unix_ms);
}

}  // namespace

std::optional<int64_t> ParseTimeText(std::string_view text) {
  constexpr size_t kLongest = 64;
  text = TrimBlanks(text);
  if (text.empty() || text.size() > kLongest) return std::nullopt;
  const bool number =
      std::all_of(text.begin(), text.end(), [](char c) { return IsDigit(c) || c == '.'; });
  if (number) return IsDigit(text.front()) ? ParseUnix(text) : std::nullopt;
  const bool year_first = text.size() > 4 && (text[4] == '-' || text[4] == '/');
  return year_first ? ParseIso(text) : ParseMailDate(text);
}

std::string FormatTimeText(int64_t unix_ms) {
  const absl::Time time = absl::FromUnixMillis(unix_ms);
  const auto c = absl::ToCivilSecond(time, absl::UTCTimeZone());
  const int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", c.year(), c.month(), c.day(),
                     c.hour(), c.minute(), c.second(), ms);
}

}  // namespace volley::pipeline
