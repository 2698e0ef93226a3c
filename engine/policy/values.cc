#include "engine/policy/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "engine/message/address.h"
#include "engine/message/utf8.h"

namespace volley::engine::policy {
namespace {

// No number that is meant has more digits, and none of so many overflows.
constexpr size_t kDigitsMax = 9;
constexpr absl::Duration kDurationMax = absl::Hours(24 * 366);
constexpr size_t kLabelBytesMax = 63;
constexpr size_t kPackNameBytesMax = 64;

struct Unit {
  std::string_view name;
  absl::Duration length;
};
// Those that are written first, the largest first; then other spellings.
constexpr size_t kUnitsWritten = 5;
const std::array<Unit, 13>& Units() {
  static const std::array<Unit, 13> units = {{{"d", absl::Hours(24)},
                                              {"h", absl::Hours(1)},
                                              {"min", absl::Minutes(1)},
                                              {"s", absl::Seconds(1)},
                                              {"ms", absl::Milliseconds(1)},
                                              {"day", absl::Hours(24)},
                                              {"days", absl::Hours(24)},
                                              {"hour", absl::Hours(1)},
                                              {"hours", absl::Hours(1)},
                                              {"m", absl::Minutes(1)},
                                              {"minutes", absl::Minutes(1)},
                                              {"sec", absl::Seconds(1)},
                                              {"seconds", absl::Seconds(1)}}};
  return units;
}

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

void SkipBlanks(std::string_view* text) {
  while (!text->empty() && text->front() == ' ') text->remove_prefix(1);
}

std::optional<uint64_t> TakeNumber(std::string_view* text) {
  const size_t end =
      static_cast<size_t>(std::find_if_not(text->begin(), text->end(), IsDigit) - text->begin());
  if (end == 0 || end > kDigitsMax) return std::nullopt;
  uint64_t number = 0;
  std::from_chars(text->data(), text->data() + end, number);
  text->remove_prefix(end);
  SkipBlanks(text);
  return number;
}

std::optional<absl::Duration> TakeUnit(std::string_view* text) {
  const size_t end = static_cast<size_t>(
      std::find_if(text->begin(), text->end(), [](char c) { return IsDigit(c) || c == ' '; }) -
      text->begin());
  const std::string_view name = text->substr(0, end);
  for (const Unit& unit : Units()) {
    if (unit.name != name) continue;
    text->remove_prefix(end);
    SkipBlanks(text);
    return unit.length;
  }
  return std::nullopt;
}

bool IsLabel(std::string_view label) {
  return !label.empty() && label.size() <= kLabelBytesMax &&
         std::all_of(label.begin(), label.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
         });
}

// The parts of an enhanced code; empty where it is none.
std::array<std::string_view, 3> SplitEnhanced(std::string_view code) {
  const size_t first = code.find('.');
  const size_t second = first == code.npos ? code.npos : code.find('.', first + 1);
  if (second == code.npos) return {};
  return {code.substr(0, first), code.substr(first + 1, second - first - 1),
          code.substr(second + 1)};
}

bool IsPart(std::string_view part) {
  return part == "x" ||
         (!part.empty() && part.size() <= 3 && std::all_of(part.begin(), part.end(), IsDigit));
}

}  // namespace

std::optional<absl::Duration> ParseDuration(std::string_view text) {
  absl::Duration total = absl::ZeroDuration();
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const auto number = TakeNumber(&text);
    if (!number) return std::nullopt;
    const auto unit = TakeUnit(&text);
    if (!unit) return std::nullopt;
    total += *unit * static_cast<int64_t>(*number);
    if (total > kDurationMax) return std::nullopt;
  }
  return total;
}

std::string DurationText(absl::Duration value) {
  std::string text;
  for (size_t i = 0; i < kUnitsWritten; ++i) {
    const int64_t count = absl::IDivDuration(value, Units()[i].length, &value);
    if (count > 0) text += fmt::format("{}{}", count, Units()[i].name);
  }
  return text.empty() ? "0s" : text;
}

std::optional<CountPer> ParseCountPer(std::string_view text) {
  const auto count = TakeNumber(&text);
  if (!count || text.empty() || text.front() != '/') return std::nullopt;
  text.remove_prefix(1);
  SkipBlanks(&text);
  // "/min" is "/1min".
  const std::string with_number =
      text.empty() || IsDigit(text.front()) ? std::string(text) : fmt::format("1{}", text);
  const auto per = ParseDuration(with_number);
  if (!per || *per <= absl::ZeroDuration()) return std::nullopt;
  return CountPer{.count = *count, .per = *per};
}

std::string CountPerText(const CountPer& value) {
  std::string per = DurationText(value.per);
  if (per.size() > 1 && per[0] == '1' && !IsDigit(per[1]) &&
      std::none_of(per.begin() + 1, per.end(), IsDigit)) {
    per.erase(0, 1);  // "1min": "min"
  }
  // What senders say: "in 24 hours", not "on a day".
  return fmt::format("{}/{}", value.count, per == "d" ? "24h" : per);
}

HostKey::HostKey(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() > kBytesMax || !message::IsAscii(host)) return;
  std::transform(host.begin(), host.end(), bytes_.begin(),
                 [](char c) { return absl::ascii_tolower(static_cast<unsigned char>(c)); });
  size_ = host.size();
}

absl::StatusOr<std::string> CanonicalName(std::string_view name, bool wildcard) {
  if (name.starts_with('.')) {
    return absl::InvalidArgumentError("write the name without the dot in front");
  }
  std::string ascii(name);
  if (!message::IsAscii(name)) {
    auto labels = message::ToALabels(name);
    if (!labels.ok()) return labels.status();
    ascii = *std::move(labels);
  }
  const HostKey key(ascii);
  if (key.view().empty()) return absl::InvalidArgumentError("no name, or longer than 253 bytes");
  std::string_view rest = key.view();
  int stars = 0;
  for (bool last = false; !last;) {
    const size_t dot = rest.find('.');
    last = dot == rest.npos;
    const std::string_view label = rest.substr(0, dot);
    const bool star = wildcard && !last && label == "*" && ++stars == 1;
    if (!star && !IsLabel(label)) {
      return absl::InvalidArgumentError(
          wildcard ? "no host name (one label, not the last, may be \"*\")" : "no host name");
    }
    if (!last) rest.remove_prefix(dot + 1);
  }
  return std::string(key.view());
}

bool IsPackName(std::string_view name) {
  return !name.empty() && name.size() <= kPackNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || IsDigit(c) || c == '.' || c == '_' || c == '-';
         });
}

bool IsCodePattern(std::string_view pattern) {
  const auto is = [](char c) { return IsDigit(c) || c == 'x'; };
  return pattern.size() == 3 && (pattern[0] == '4' || pattern[0] == '5') && is(pattern[1]) &&
         is(pattern[2]);
}

bool IsEnhancedPattern(std::string_view pattern) {
  const auto parts = SplitEnhanced(pattern);
  return (parts[0] == "4" || parts[0] == "5" || parts[0] == "x") && IsPart(parts[1]) &&
         IsPart(parts[2]);
}

bool CodeMatches(std::string_view pattern, uint16_t code) {
  const char digits[] = {static_cast<char>('0' + code / 100 % 10),
                         static_cast<char>('0' + code / 10 % 10),
                         static_cast<char>('0' + code % 10)};
  return std::equal(pattern.begin(), pattern.end(), std::begin(digits), std::end(digits),
                    [](char p, char digit) { return p == 'x' || p == digit; });
}

bool EnhancedMatches(std::string_view pattern, std::string_view enhanced) {
  const auto wanted = SplitEnhanced(pattern);
  const auto given = SplitEnhanced(enhanced);
  return !given[0].empty() &&
         std::equal(wanted.begin(), wanted.end(), given.begin(),
                    [](std::string_view w, std::string_view g) { return w == "x" || w == g; });
}

}  // namespace volley::engine::policy
