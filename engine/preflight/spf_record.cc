#include "engine/preflight/spf_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr std::string_view kVersion = "v=spf1";
constexpr size_t kNameBytesMax = 253;

bool IsAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

absl::Status Bad(std::string_view term, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", Shown(term), why));
}

// --- Macros, §7 ---

struct Macro {
  char letter = 0;      // in lower case
  bool escape = false;  // an upper-case letter: as in a URL
  size_t keep = 0;      // right-most parts; 0: all
  bool reverse = false;
  std::string_view delimiters;
};

// How many bytes the "%{...}" at the front takes; 0: it is none.
size_t ReadMacro(std::string_view text, Macro* macro) {
  const size_t end = text.find('}');
  if (!text.starts_with("%{") || end == text.npos || end < 3) return 0;
  std::string_view inside = text.substr(2, end - 2);
  macro->letter = static_cast<char>(inside[0] | 0x20);
  macro->escape = inside[0] != macro->letter;
  // c, r and t are for explanations only.
  if (!IsAlpha(inside[0]) || std::string_view("slodiphv").find(macro->letter) == text.npos)
    return 0;
  inside.remove_prefix(1);
  const size_t digits = std::min(inside.find_first_not_of("0123456789"), inside.size());
  if (digits > 0) {
    const auto parsed = std::from_chars(inside.data(), inside.data() + digits, macro->keep);
    if (parsed.ec != std::errc() || macro->keep == 0) return 0;
    inside.remove_prefix(digits);
  }
  if (!inside.empty() && (inside[0] | 0x20) == 'r') {
    macro->reverse = true;
    inside.remove_prefix(1);
  }
  if (inside.find_first_not_of(".-+,/_=") != inside.npos) return 0;
  macro->delimiters = inside.empty() ? std::string_view(".") : inside;
  return end + 1;
}

// How many bytes the next piece of a macro-string takes; 0: it is not one. `macro`: one that stands
// for something, so that a domain-spec may end with it.
size_t ReadPiece(std::string_view text, bool* macro) {
  *macro = false;
  if (text[0] != '%') return text[0] > ' ' && text[0] < 0x7f ? 1 : 0;
  for (const std::string_view escape : {"%%", "%_", "%-"}) {
    if (text.starts_with(escape)) return *macro = true, escape.size();
  }
  Macro read;
  *macro = true;
  return ReadMacro(text, &read);
}

bool IsTopLabel(std::string_view label) {
  if (label.empty() || label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(),
                     [](char c) { return IsAlpha(c) || IsDigit(c) || c == '-'; }) &&
         !std::all_of(label.begin(), label.end(), IsDigit);
}

bool IsMacroString(std::string_view text, bool* ends_in_macro) {
  *ends_in_macro = false;
  while (!text.empty()) {
    const size_t bytes = ReadPiece(text, ends_in_macro);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

// §7.1: a macro-string that ends with a top label or a macro.
bool IsDomainSpec(std::string_view spec) {
  bool ends_in_macro = false;
  if (spec.empty() || !IsMacroString(spec, &ends_in_macro)) return false;
  if (ends_in_macro) return true;
  if (spec.ends_with('.')) spec.remove_suffix(1);
  const size_t dot = spec.rfind('.');
  return dot != spec.npos && IsTopLabel(spec.substr(dot + 1));
}

std::optional<std::string> MacroText(const Macro& macro, const SpfMacroValues& values) {
  const size_t at = values.sender.rfind('@');
  switch (macro.letter) {
    case 's':
      return values.sender;
    case 'l':
      return values.sender.substr(0, at);
    case 'o':
      return at == std::string::npos ? values.sender : values.sender.substr(at + 1);
    case 'd':
      return values.domain;
    case 'h':
      return values.helo;
    case 'p':
      return "unknown";
    default:
      break;
  }
  if (!values.ip) return std::nullopt;
  if (macro.letter == 'v') return values.ip->is_v6() ? "ip6" : "in-addr";
  return values.ip->ToDotted();
}

std::string Transform(const Macro& macro, std::string_view text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (macro.delimiters.find(c) != macro.delimiters.npos) {
      parts.emplace_back();
    } else {
      parts.back().push_back(c);
    }
  }
  if (macro.reverse) std::reverse(parts.begin(), parts.end());
  if (macro.keep > 0 && parts.size() > macro.keep) {
    parts.erase(parts.begin(), parts.end() - static_cast<ptrdiff_t>(macro.keep));
  }
  return Join(parts, ".");
}

std::string UrlEscape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (IsAlpha(c) || IsDigit(c) || std::string_view("-._~").find(c) != text.npos) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// --- Terms, §4.6.1 ---

struct MechanismName {
  std::string_view name;
  SpfMechanism mechanism;
};
constexpr MechanismName kMechanisms[] = {
    {"all", SpfMechanism::kAll}, {"include", SpfMechanism::kInclude}, {"a", SpfMechanism::kA},
    {"mx", SpfMechanism::kMx},   {"ptr", SpfMechanism::kPtr},         {"ip4", SpfMechanism::kIp4},
    {"ip6", SpfMechanism::kIp6}, {"exists", SpfMechanism::kExists},
};

// "24": no sign, no leading zero.
bool ReadBits(std::string_view text, int max, int* bits) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return false;
  if (!std::all_of(text.begin(), text.end(), IsDigit)) return false;
  (void)std::from_chars(text.data(), text.data() + text.size(), *bits);
  return *bits <= max;
}

// Takes "/N" off the end where there is one. False: it is there and is not a prefix length.
bool TakePrefix(std::string_view slash, int max, std::string_view* text, int* bits) {
  const size_t at = text->rfind(slash);
  if (at == text->npos) return true;
  const std::string_view number = text->substr(at + slash.size());
  // A "/" may also be part of a macro's delimiters.
  if (number.find_first_not_of("0123456789") != number.npos) return true;
  if (!ReadBits(number, max, bits)) return false;
  *text = text->substr(0, at);
  return true;
}

absl::Status ReadNetwork(std::string_view term, std::string_view value, SpfDirective* out) {
  const bool v6 = out->mechanism == SpfMechanism::kIp6;
  if (!TakePrefix("/", v6 ? 128 : 32, &value, v6 ? &out->prefix6 : &out->prefix4)) {
    return Bad(term, "the prefix length is wrong");
  }
  const auto network = IpAddress::Parse(value);
  // ::ffff:192.0.2.1 is an IPv6 network to the grammar and an IPv4 address to a comparison: with
  // Parse it would be neither.
  const bool is_v6_text = value.find(':') != value.npos;
  if (!network || is_v6_text != v6) {
    return Bad(term, fmt::format("that is no {} address", v6 ? "IPv6" : "IPv4"));
  }
  out->network = *network;
  if (v6 && !network->is_v6()) out->prefix4 = std::max(0, out->prefix6 - 96);
  return absl::OkStatus();
}

bool NeedsDomain(SpfMechanism mechanism) {
  return mechanism == SpfMechanism::kInclude || mechanism == SpfMechanism::kExists;
}

// What follows the mechanism's name: [":" domain-spec] [dual-cidr-length].
absl::Status ReadArguments(std::string_view term, std::string_view rest, SpfDirective* out) {
  using enum SpfMechanism;
  if (out->mechanism == kAll) {
    return rest.empty() ? absl::OkStatus() : Bad(term, "\"all\" takes nothing");
  }
  if (out->mechanism == kIp4 || out->mechanism == kIp6) {
    if (!rest.starts_with(':')) return Bad(term, "the address is missing");
    return ReadNetwork(term, rest.substr(1), out);
  }
  if (out->mechanism == kA || out->mechanism == kMx) {
    if (!TakePrefix("//", 128, &rest, &out->prefix6) ||
        !TakePrefix("/", 32, &rest, &out->prefix4)) {
      return Bad(term, "the prefix length is wrong");
    }
  }
  if (rest.empty() && !NeedsDomain(out->mechanism)) return absl::OkStatus();
  if (!rest.starts_with(':') || !IsDomainSpec(rest.substr(1))) {
    return Bad(term, "it needs a domain name with a dot behind a colon");
  }
  out->domain = std::string(rest.substr(1));
  return absl::OkStatus();
}

absl::StatusOr<SpfDirective> ReadDirective(std::string_view term) {
  SpfDirective out;
  out.text = std::string(term);
  std::string_view body = term;
  if (std::string_view("+-~?").find(body[0]) != body.npos) {
    out.qualifier = body[0];
    body.remove_prefix(1);
  }
  const std::string_view name = body.substr(0, body.find_first_of(":/"));
  const auto* known = std::find_if(
      std::begin(kMechanisms), std::end(kMechanisms),
      [&](const MechanismName& mechanism) { return EqualsNoCase(mechanism.name, name); });
  if (known == std::end(kMechanisms)) return Bad(term, "SPF has no such mechanism");
  out.mechanism = known->mechanism;
  if (absl::Status s = ReadArguments(term, body.substr(name.size()), &out); !s.ok()) return s;
  return out;
}

bool IsModifierName(std::string_view name) {
  return !name.empty() && IsAlpha(name[0]) && std::all_of(name.begin(), name.end(), [](char c) {
    return IsAlpha(c) || IsDigit(c) || c == '-' || c == '_' || c == '.';
  });
}

// §6: redirect and exp at most once; others are passed over if they are written well.
absl::Status ReadModifier(std::string_view term, size_t equals, bool* has_exp, SpfRecord* record) {
  const std::string_view name = term.substr(0, equals);
  const std::string_view value = term.substr(equals + 1);
  if (!IsModifierName(name)) return Bad(term, "SPF has no such term");
  if (EqualsNoCase(name, "redirect")) {
    if (!record->redirect.empty()) return Bad(term, "redirect= is there twice");
    if (!IsDomainSpec(value)) return Bad(term, "redirect= needs a domain name with a dot");
    record->redirect = std::string(value);
    return absl::OkStatus();
  }
  if (EqualsNoCase(name, "exp")) {
    if (*has_exp) return Bad(term, "exp= is there twice");
    *has_exp = true;
    return IsDomainSpec(value) ? absl::OkStatus()
                               : Bad(term, "exp= needs a domain name with a dot");
  }
  bool ends_in_macro;
  return IsMacroString(value, &ends_in_macro) ? absl::OkStatus() : Bad(term, "a macro is wrong");
}

}  // namespace

bool IsSpfRecord(std::string_view txt) {
  return StartsWithNoCase(txt, kVersion) &&
         (txt.size() == kVersion.size() || txt[kVersion.size()] == ' ');
}

absl::StatusOr<SpfRecord> ParseSpfRecord(std::string_view txt) {
  if (txt.size() > kSpfRecordBytesMax) return absl::InvalidArgumentError("it is too long");
  SpfRecord record;
  bool has_exp = false;
  for (const std::string_view term : Split(txt.substr(kVersion.size()), ' ')) {
    if (term.empty()) continue;
    const size_t sign = term.find_first_of(":/=");
    if (sign != term.npos && term[sign] == '=') {
      if (absl::Status s = ReadModifier(term, sign, &has_exp, &record); !s.ok()) return s;
      continue;
    }
    auto directive = ReadDirective(term);
    if (!directive.ok()) return directive.status();
    record.directives.push_back(*std::move(directive));
  }
  return record;
}

std::optional<std::string> ExpandSpfMacros(std::string_view spec, const SpfMacroValues& values) {
  std::string out;
  while (!spec.empty()) {
    Macro macro;
    bool is_macro;
    const size_t bytes = std::max<size_t>(1, ReadPiece(spec, &is_macro));
    if (ReadMacro(spec.substr(0, bytes), &macro) > 0) {
      const auto text = MacroText(macro, values);
      if (!text) return std::nullopt;
      const std::string value = Transform(macro, *text);
      out += macro.escape ? UrlEscape(value) : value;
    } else if (is_macro) {
      out += spec[1] == '%' ? "%" : spec[1] == '_' ? " " : "%20";
    } else {
      out += spec.substr(0, bytes);
    }
    spec.remove_prefix(bytes);
  }
  if (out.ends_with('.')) out.pop_back();
  while (out.size() > kNameBytesMax) {
    const size_t dot = out.find('.');
    out.erase(0, dot == std::string::npos ? out.size() : dot + 1);
  }
  return out;
}

}  // namespace volley::engine::preflight
