#include "engine/smtp/command.h"

#include <array>
#include <charconv>
#include <cstddef>

namespace volley::engine::smtp {
namespace {

constexpr char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
constexpr bool IsAlpha(char c) { return Upper(c) >= 'A' && Upper(c) <= 'Z'; }
constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
constexpr bool IsAlnum(char c) { return IsAlpha(c) || IsDigit(c); }
constexpr bool IsNonAscii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

bool EqualsNoCase(std::string_view text, std::string_view upper) {
  if (text.size() != upper.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (Upper(text[i]) != upper[i]) return false;
  }
  return true;
}

// atext of RFC 5322 §3.2.3.
constexpr std::array<bool, 128> MakeAtext() {
  std::array<bool, 128> table{};
  for (char c : std::string_view("!#$%&'*+-/=?^_`{|}~")) table[static_cast<size_t>(c)] = true;
  for (char c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<size_t>(c)] = true;
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = true;
  return table;
}
constexpr std::array<bool, 128> kAtext = MakeAtext();

bool IsAtext(char c) { return IsNonAscii(c) || kAtext[static_cast<size_t>(c)]; }

bool HasNonAscii(std::string_view text) {
  for (char c : text) {
    if (IsNonAscii(c)) return true;
  }
  return false;
}

// How many octets the well-formed UTF-8 character at the front has; 0: it is not one (RFC 3629 §4:
// no overlong form, no surrogate, nothing over U+10FFFF).
size_t Utf8Length(std::string_view text) {
  const auto octet = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = octet(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((octet(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = octet(1);
  if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
  if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
  return length;
}

bool IsWellFormedUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool IsLabel(std::string_view label, bool allow_utf8) {
  if (label.empty() || label.size() > 63) return false;
  if (label.front() == '-' || label.back() == '-') return false;
  for (char c : label) {
    if (!IsAlnum(c) && c != '-' && !(allow_utf8 && IsNonAscii(c))) return false;
  }
  return true;
}

bool IsIpv4(std::string_view text) {
  for (int part = 0; part < 4; ++part) {
    size_t digits = 0;
    unsigned value = 0;
    while (digits < text.size() && digits < 3 && IsDigit(text[digits])) {
      value = value * 10 + static_cast<unsigned>(text[digits++] - '0');
    }
    if (digits == 0 || value > 255) return false;
    text.remove_prefix(digits);
    if (part == 3) return text.empty();
    if (text.empty() || text.front() != '.') return false;
    text.remove_prefix(1);
  }
  return false;
}

bool IsHexGroup(std::string_view text) {
  if (text.empty() || text.size() > 4) return false;
  for (char c : text) {
    if (!IsDigit(c) && !(Upper(c) >= 'A' && Upper(c) <= 'F')) return false;
  }
  return true;
}

// Counts the 16-bit groups of one side of "::" (an IPv4 tail is two). -1: not of the grammar.
int CountIpv6Groups(std::string_view text, bool allow_ipv4_tail) {
  if (text.empty()) return 0;
  int groups = 0;
  for (;;) {
    const size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    if (colon == std::string_view::npos && allow_ipv4_tail && IsIpv4(group)) return groups + 2;
    if (!IsHexGroup(group) || ++groups > 8) return -1;
    if (colon == std::string_view::npos) return groups;
    text.remove_prefix(colon + 1);
  }
}

bool IsIpv6(std::string_view text) {
  const size_t gap = text.find("::");
  if (gap == std::string_view::npos) return CountIpv6Groups(text, true) == 8;
  const int left = CountIpv6Groups(text.substr(0, gap), false);
  const int right = CountIpv6Groups(text.substr(gap + 2), true);
  // "::" stands for at least two groups (RFC 5321 §4.1.3).
  return left >= 0 && right >= 0 && left + right <= 6;
}

bool IsQuotedString(std::string_view text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
  text = text.substr(1, text.size() - 2);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      if (++i == text.size()) return false;
    } else if (text[i] == '"') {
      return false;
    }
    if (text[i] < 32 && !IsNonAscii(text[i])) return false;
    if (text[i] == 127) return false;
  }
  return true;
}

bool IsDotString(std::string_view text) {
  bool atom_empty = true;
  for (char c : text) {
    if (c == '.') {
      if (atom_empty) return false;
      atom_empty = true;
    } else {
      if (!IsAtext(c)) return false;
      atom_empty = false;
    }
  }
  return !atom_empty;
}

// Where the path's ">" is: outside of a quoted-string, in which "<>" and space are ordinary.
size_t FindPathEnd(std::string_view text) {
  bool quoted = false;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\' && quoted) {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == '>' && !quoted) {
      return i;
    }
  }
  return std::string_view::npos;
}

// "@a.example,@b.example:" in front of the mailbox. False: it begins as a route and is not one.
bool DropSourceRoute(std::string_view* path) {
  if (path->empty() || path->front() != '@') return true;
  const size_t colon = path->find(':');
  if (colon == std::string_view::npos) return false;
  std::string_view route = path->substr(0, colon);
  path->remove_prefix(colon + 1);
  while (!route.empty()) {
    const size_t comma = route.find(',');
    const std::string_view hop = route.substr(0, comma);
    if (hop.size() < 2 || hop.front() != '@' || !IsDomain(hop.substr(1), true)) return false;
    if (comma == std::string_view::npos) return true;
    route.remove_prefix(comma + 1);
  }
  return false;  // a comma with nothing behind it
}

// One "keyword[=value]" off the front. False: not of the grammar (RFC 5321 §4.1.2).
bool NextParameter(std::string_view* rest, std::string_view* keyword,
                   std::optional<std::string_view>* value) {
  const size_t space = rest->find(' ');
  const std::string_view item = rest->substr(0, space);
  rest->remove_prefix(space == std::string_view::npos ? rest->size() : space + 1);
  const size_t equals = item.find('=');
  *keyword = item.substr(0, equals);
  value->reset();
  if (equals != std::string_view::npos) *value = item.substr(equals + 1);
  if (keyword->empty() || !IsAlnum(keyword->front())) return false;
  for (char c : *keyword) {
    if (!IsAlnum(c) && c != '-') return false;
  }
  if (!*value) return true;
  if ((*value)->empty()) return false;
  for (char c : **value) {
    if ((c <= 32 && !IsNonAscii(c)) || c == '=' || c == 127) return false;
  }
  return true;
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t value = 0;
  if (text.empty() || text.size() > 20) return std::nullopt;  // RFC 1870 §3: 1*20DIGIT
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Verb FindVerb(std::string_view word) {
  struct Entry {
    std::string_view name;
    Verb verb;
  };
  // In the order of how often they come.
  static constexpr Entry kVerbs[] = {
      {"RCPT", Verb::kRcpt},  {"MAIL", Verb::kMail},  {"DATA", Verb::kData},
      {"BDAT", Verb::kBdat},  {"RSET", Verb::kRset},  {"EHLO", Verb::kEhlo},
      {"LHLO", Verb::kLhlo},  {"HELO", Verb::kHelo},  {"QUIT", Verb::kQuit},
      {"NOOP", Verb::kNoop},  {"VRFY", Verb::kVrfy},  {"EXPN", Verb::kExpn},
      {"HELP", Verb::kHelp},  {"AUTH", Verb::kKnown}, {"STARTTLS", Verb::kKnown},
      {"ETRN", Verb::kKnown}, {"TURN", Verb::kKnown}, {"ATRN", Verb::kKnown},
      {"SEND", Verb::kKnown}, {"SOML", Verb::kKnown}, {"SAML", Verb::kKnown},
      {"BURL", Verb::kKnown}, {"VERB", Verb::kKnown}, {"XCLIENT", Verb::kKnown},
  };
  for (const Entry& entry : kVerbs) {
    if (EqualsNoCase(word, entry.name)) return entry.verb;
  }
  return Verb::kUnknown;
}

}  // namespace

CommandLine SplitCommand(std::string_view line) {
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  const size_t space = line.find(' ');
  CommandLine result;
  result.verb = FindVerb(line.substr(0, space));
  if (space != std::string_view::npos) result.argument = line.substr(space + 1);
  return result;
}

bool IsDomain(std::string_view text, bool allow_utf8) {
  if (text.empty() || text.size() > kDomainMax) return false;
  if (allow_utf8 && !IsWellFormedUtf8(text)) return false;
  for (;;) {
    const size_t dot = text.find('.');
    if (!IsLabel(text.substr(0, dot), allow_utf8)) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool IsAddressLiteral(std::string_view text) {
  if (text.size() < 3 || text.size() > kDomainMax || text.front() != '[' || text.back() != ']') {
    return false;
  }
  text = text.substr(1, text.size() - 2);
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return IsIpv4(text);
  if (EqualsNoCase(text.substr(0, colon), "IPV6")) return IsIpv6(text.substr(colon + 1));
  if (!IsLabel(text.substr(0, colon), false) || colon + 1 == text.size()) return false;
  for (char c : text.substr(colon + 1)) {
    if (c < 33 || c > 126 || c == '[' || c == '\\' || c == ']') return false;
  }
  return true;
}

bool IsMailbox(std::string_view text) {
  const size_t at = text.rfind('@');
  if (at == std::string_view::npos || at == 0 || at > kLocalPartMax) return false;
  const std::string_view local = text.substr(0, at);
  const std::string_view domain = text.substr(at + 1);
  if (!IsWellFormedUtf8(local)) return false;
  if (!(local.front() == '"' ? IsQuotedString(local) : IsDotString(local))) return false;
  return IsDomain(domain, true) || IsAddressLiteral(domain);
}

PathResult ParsePath(std::string_view argument, std::string_view keyword, bool allow_null,
                     bool allow_postmaster) {
  PathResult result;
  const auto fail = [&](PathError error) {
    result.error = error;
    return result;
  };
  if (!EqualsNoCase(argument.substr(0, keyword.size()), keyword)) return fail(PathError::kKeyword);
  argument.remove_prefix(keyword.size());
  if (argument.empty() || argument.front() != '<') return fail(PathError::kSyntax);
  const size_t end = FindPathEnd(argument);
  if (end == std::string_view::npos) return fail(PathError::kSyntax);
  if (end + 1 > kPathMax) return fail(PathError::kTooLong);
  std::string_view path = argument.substr(1, end - 1);
  std::string_view rest = argument.substr(end + 1);
  if (!rest.empty()) {
    if (rest.front() != ' ') return fail(PathError::kSyntax);
    rest.remove_prefix(1);
    if (rest.empty()) return fail(PathError::kSyntax);
  }
  result.path.parameters = rest;
  if (path.empty()) return allow_null ? result : fail(PathError::kSyntax);
  result.path.non_ascii = HasNonAscii(path);
  if (!DropSourceRoute(&path)) return fail(PathError::kSyntax);
  if (!(allow_postmaster && EqualsNoCase(path, "POSTMASTER")) && !IsMailbox(path)) {
    return fail(PathError::kSyntax);
  }
  result.path.mailbox = path;
  return result;
}

ParameterError ParseMailParameters(std::string_view parameters, const OfferedParameters& offered,
                                   MailParameters* out) {
  bool has_size = false, has_body = false;
  std::string_view keyword;
  std::optional<std::string_view> value;
  while (!parameters.empty()) {
    if (!NextParameter(&parameters, &keyword, &value)) return ParameterError::kSyntax;
    if (offered.size && EqualsNoCase(keyword, "SIZE")) {
      const auto size = value ? ParseDecimal(*value) : std::nullopt;
      if (has_size || !size) return ParameterError::kSyntax;
      has_size = true;
      out->size = *size;
    } else if (offered.eight_bit_mime && EqualsNoCase(keyword, "BODY")) {
      if (has_body || !value) return ParameterError::kSyntax;
      has_body = true;
      out->eight_bit = EqualsNoCase(*value, "8BITMIME");
      // BINARYMIME (RFC 3030 §3) is not offered.
      if (!out->eight_bit && !EqualsNoCase(*value, "7BIT")) return ParameterError::kUnknown;
    } else if (offered.smtputf8 && EqualsNoCase(keyword, "SMTPUTF8")) {
      if (out->smtputf8 || value) return ParameterError::kSyntax;  // RFC 6531 §3.4: no value
      out->smtputf8 = true;
    } else {
      return ParameterError::kUnknown;
    }
  }
  return ParameterError::kNone;
}

std::optional<Chunk> ParseChunk(std::string_view argument) {
  Chunk chunk;
  const size_t space = argument.find(' ');
  if (space != std::string_view::npos) {
    if (!EqualsNoCase(argument.substr(space + 1), "LAST")) return std::nullopt;
    chunk.last = true;
  }
  const auto bytes = ParseDecimal(argument.substr(0, space));
  if (!bytes || *bytes > INT64_MAX) return std::nullopt;
  chunk.bytes = *bytes;
  return chunk;
}

}  // namespace volley::engine::smtp
