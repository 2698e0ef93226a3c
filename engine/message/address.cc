#include "engine/message/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <idn2.h>

#include <array>
#include <memory>

#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

constexpr size_t kMaxLocalPartBytes = 64;  // RFC 5321 §4.5.3.1.1
constexpr size_t kMaxDomainBytes = 255;    // §4.5.3.1.2
constexpr size_t kMaxAddressBytes = 254;   // §4.5.3.1.3: a path is 256 with its angle brackets
constexpr size_t kMaxInputBytes = 1024;
constexpr size_t kMaxLabelBytes = 63;  // RFC 1035 §2.3.4
constexpr size_t kMaxDisplayNameBytes = 500;

enum CharClass : uint8_t { kAtext = 1, kLdh = 2, kControl = 4, kNonAscii = 8 };

constexpr std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> classes{};
  for (size_t c = 0; c < 256; ++c) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (digit || letter) classes[c] |= kAtext | kLdh;
    if (c < 0x20 || c == 0x7F) classes[c] |= kControl;
    if (c >= 0x80) classes[c] |= kNonAscii;
  }
  for (const char c : std::string_view("!#$%&'*+-/=?^_`{|}~")) {
    classes[static_cast<unsigned char>(c)] |= kAtext;
  }
  classes[static_cast<unsigned char>('-')] |= kLdh;
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

bool Is(char c, unsigned wanted) { return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0; }

absl::Status Bad(std::string_view what) { return absl::InvalidArgumentError(std::string(what)); }

// Characters beyond ASCII that nobody has in an address, but that come with copied text and would
// make two addresses that look alike.
bool IsInvisible(uint32_t c) {
  return (c >= 0x80 && c <= 0xA0) || c == 0xAD || c == 0x1680 || c == 0x061C ||
         (c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F) ||
         (c >= 0x205F && c <= 0x206F) || c == 0x3000 || c == 0xFEFF || (c & 0xFFFE) == 0xFFFE;
}

absl::Status CheckCharacters(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = DecodeUtf8(text.substr(i));
    if (point.bytes == 0) return Bad("not valid UTF-8");
    if (point.value < 0x20 || point.value == 0x7F) return Bad("a control character");
    if (IsInvisible(point.value)) {
      return Bad(fmt::format("an invisible character, U+{:04X}", point.value));
    }
    i += point.bytes;
  }
  return absl::OkStatus();
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string DescribeWrong(std::string_view where, char c) {
  if (c == ' ' || c == '\t') return fmt::format("a space in the {}", where);
  if (Is(c, kControl)) return "a control character";
  return fmt::format("'{}' is not allowed in the {}", c, where);
}

// RFC 5321 Dot-string. A byte over 127 passes: CheckCharacters has seen it (RFC 6531 §3.3).
bool IsDotString(std::string_view local) {
  char previous = '.';
  for (const char c : local) {
    if (c == '.' ? previous == '.' : !Is(c, kAtext | kNonAscii)) return false;
    previous = c;
  }
  return previous != '.';
}

absl::Status WhyNoDotString(std::string_view local) {
  if (local.empty()) return Bad("nothing before the @");
  for (const char c : local) {
    if (c != '.' && !Is(c, kAtext | kNonAscii)) return Bad(DescribeWrong("local part", c));
  }
  if (local.front() == '.' || local.back() == '.') {
    return Bad("the local part begins or ends with a dot");
  }
  return Bad("two dots in a row");
}

// What a quoted local part stands for. REQUIRES: text begins with '"'. Sets `rest` to what follows.
absl::StatusOr<std::string> Unquote(std::string_view text, std::string_view* rest) {
  std::string content;
  for (size_t i = 1; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"') {
      *rest = text.substr(i + 1);
      return content;
    }
    if (c == '\\') {
      if (++i == text.size()) break;
      c = text[i];
      if (Is(c, kNonAscii)) return Bad("a backslash before a non-ASCII character");
    }
    if (Is(c, kControl)) return Bad("a control character");
    content.push_back(c);
  }
  return Bad("a quote that is not closed");
}

void AppendQuotedString(std::string_view content, std::string* out) {
  out->push_back('"');
  for (const char c : content) {
    if (c == '"' || c == '\\') out->push_back('\\');
    out->push_back(c);
  }
  out->push_back('"');
}

struct Domain {
  std::array<char, kMaxDomainBytes> bytes;
  size_t size = 0;
  size_t dots = 0;
  bool numeric_top = true;  // of the last label read
  std::string_view view() const { return {bytes.data(), size}; }
};

const char* CheckLabel(std::string_view text, size_t begin, size_t end) {
  if (end == begin) return text.empty() ? "nothing after the @" : "an empty label in the domain";
  if (end - begin > kMaxLabelBytes) return "a domain label is longer than 63 bytes";
  if (text[begin] == '-' || text[end - 1] == '-') return "a domain label begins or ends with '-'";
  return nullptr;
}

// RFC 5321 §4.1.2 Domain in ASCII, lower-cased into `domain`. nullptr, or what is wrong.
const char* ReadAsciiDomain(std::string_view text, Domain* domain) {
  if (text.size() > kMaxDomainBytes) return "the domain is longer than 255 bytes";
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '.') {
      if (const char* wrong = CheckLabel(text, begin, i)) return wrong;
      begin = i + 1;
      ++domain->dots;
      domain->numeric_top = true;
    } else if (!Is(c, kLdh)) {
      return "";  // DescribeWrong says which
    } else if (c > '9' || c < '0') {
      domain->numeric_top = false;
    }
    // Setting bit 5 lower-cases a letter and leaves digits, '-' and '.' as they are.
    domain->bytes[i] = static_cast<char>(c | 0x20);
  }
  domain->size = text.size();
  return CheckLabel(text, begin, text.size());
}

absl::Status DomainError(std::string_view text, std::string_view wrong) {
  if (!wrong.empty()) return Bad(wrong);
  for (const char c : text) {
    if (c == '@') return Bad("more than one @");
    if (c != '.' && !Is(c, kLdh)) return Bad(DescribeWrong("domain", c));
  }
  return Bad("the domain is not valid");
}

bool IsAddressLiteral(std::string_view inside) {
  char text[64];
  if (inside.size() >= sizeof(text)) return false;
  std::array<unsigned char, 16> parsed;
  const bool v6 = inside.size() > 5 && (inside[0] | 0x20) == 'i' && (inside[1] | 0x20) == 'p' &&
                  (inside[2] | 0x20) == 'v' && inside[3] == '6' && inside[4] == ':';
  if (v6) inside.remove_prefix(5);
  // inet_pton stops at a NUL, so a literal with one and anything behind it would pass.
  if (inside.find_first_not_of("0123456789abcdefABCDEF:.") != inside.npos) return false;
  text[inside.copy(text, sizeof(text) - 1)] = '\0';
  return inet_pton(v6 ? AF_INET6 : AF_INET, text, parsed.data()) == 1;
}

absl::Status AppendLiteral(std::string_view text, bool allowed, std::string* out) {
  if (!allowed) return Bad("an IP address in place of a domain");
  if (text.back() != ']' || !IsAddressLiteral(text.substr(1, text.size() - 2))) {
    return Bad("the address literal is not valid");
  }
  const bool v6 = (text[1] | 0x20) == 'i';
  out->append(v6 ? "[IPv6:" : "[");
  for (const char c : text.substr(v6 ? 6 : 1)) {
    out->push_back(c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c);
  }
  return absl::OkStatus();
}

absl::Status AppendDomain(std::string_view text, const AddressOptions& options, std::string* out) {
  if (!text.empty() && text.front() == '[') {
    return AppendLiteral(text, options.allow_literal, out);
  }
  std::string converted;
  if (!IsAscii(text)) {
    absl::StatusOr<std::string> ascii = ToALabels(text);
    if (!ascii.ok()) return ascii.status();
    converted = *std::move(ascii);
    text = converted;
  }
  Domain domain;
  if (const char* wrong = ReadAsciiDomain(text, &domain)) return DomainError(text, wrong);
  if (domain.numeric_top) return Bad("the domain is a number, not a name");
  if (options.require_dot && domain.dots == 0) return Bad("no dot in the domain");
  out->append(domain.view());
  return absl::OkStatus();
}

// Appends the canonical local part and sets `rest` to what follows it in `text`.
absl::Status AppendLocalPart(std::string_view text, std::string_view* rest, std::string* out) {
  if (!text.empty() && text.front() == '"') {
    absl::StatusOr<std::string> content = Unquote(text, rest);
    if (!content.ok()) return content.status();
    if (content->empty()) return Bad("nothing before the @");
    if (IsDotString(*content)) {
      out->append(*content);
    } else {
      AppendQuotedString(*content, out);
    }
    return absl::OkStatus();
  }
  size_t end = 0;
  char previous = '.';
  bool dots_ok = true;
  for (; end < text.size() && text[end] != '@'; ++end) {
    const char c = text[end];
    if (c == '.') {
      dots_ok = dots_ok && previous != '.';
    } else if (!Is(c, kAtext | kNonAscii)) {
      return text.find('@') == text.npos ? Bad("no @") : Bad(DescribeWrong("local part", c));
    }
    previous = c;
  }
  if (end == text.size()) return Bad("no @");
  if (!dots_ok || previous == '.') return WhyNoDotString(text.substr(0, end));
  *rest = text.substr(end);
  out->append(text.substr(0, end));
  return absl::OkStatus();
}

absl::Status AppendAddress(std::string_view text, const AddressOptions& options, std::string* out,
                           AddressInfo* info) {
  const size_t before = out->size();
  const size_t ascii = AsciiPrefix(text);
  if (ascii != text.size()) {
    if (absl::Status status = CheckCharacters(text); !status.ok()) return status;
  }
  std::string_view rest;
  if (absl::Status status = AppendLocalPart(text, &rest, out); !status.ok()) return status;
  if (rest.empty()) return Bad("no @");
  if (rest.front() != '@') return Bad("text after the closing quote");
  const size_t local_as_given = text.size() - rest.size();
  if (local_as_given > kMaxLocalPartBytes) return Bad("the local part is longer than 64 bytes");
  info->needs_smtputf8 = ascii < local_as_given;
  info->local_part_bytes = out->size() - before;
  out->push_back('@');
  if (absl::Status status = AppendDomain(rest.substr(1), options, out); !status.ok()) return status;
  if (out->size() - before > kMaxAddressBytes) return Bad("the address is longer than 254 bytes");
  return absl::OkStatus();
}

// One step of a display name: a quoted string, or a run of plain bytes, or white space.
absl::Status ReadPhrase(std::string_view text, std::string* name) {
  while (!text.empty()) {
    const char c = text.front();
    if (c == '"') {
      std::string_view rest;
      absl::StatusOr<std::string> content = Unquote(text, &rest);
      if (!content.ok()) return content.status();
      name->append(*content);
      text = rest;
      continue;
    }
    if (std::string_view("()<>[]:;@,\\").find(c) != std::string_view::npos) {
      return Bad(fmt::format("'{}' in the display name: put the name in double quotes", c));
    }
    name->push_back(c);
    text.remove_prefix(1);
  }
  return absl::OkStatus();
}

// Offset of the first `wanted` outside quoted strings; npos when there is none.
size_t FindOutsideQuotes(std::string_view text, char wanted) {
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && text[i] == wanted) {
      return i;
    }
  }
  return std::string_view::npos;
}

absl::Status CheckMailboxText(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = DecodeUtf8(text.substr(i));
    if (point.bytes == 0) return Bad("not valid UTF-8");
    const bool control = point.value < 0x20 || (point.value >= 0x7F && point.value < 0xA0);
    if (control || point.value == 0x2028 || point.value == 0x2029) {
      return Bad("a control character or line break");
    }
    i += point.bytes;
  }
  if (FindOutsideQuotes(text, ',') != text.npos) return Bad("more than one mailbox");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ToALabels(std::string_view text) {
  const std::string input(text);
  char* raw = nullptr;
  const int rc = idn2_to_ascii_8z(input.c_str(), &raw, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  const std::unique_ptr<char, void (*)(void*)> output(raw, idn2_free);
  if (rc != IDN2_OK) {
    return Bad(fmt::format("the domain is no valid international name: {}", idn2_strerror(rc)));
  }
  return std::string(output.get());
}

absl::StatusOr<AddressInfo> AppendCanonicalAddress(std::string_view text,
                                                   const AddressOptions& options,
                                                   std::string* out) {
  const size_t before = out->size();
  if (options.trim_white_space) text = Trim(text);
  if (text.empty()) return Bad("no address");
  // No canonical form of more than this fits 254 bytes, and libidn2 takes its time over long text.
  if (text.size() > kMaxInputBytes) return Bad("the address is longer than 254 bytes");
  AddressInfo info;
  if (absl::Status status = AppendAddress(text, options, out, &info); !status.ok()) {
    out->resize(before);
    return status;
  }
  return info;
}

absl::StatusOr<HeaderMailbox> ParseHeaderMailbox(std::string_view text) {
  text = Trim(text);
  if (absl::Status status = CheckMailboxText(text); !status.ok()) return status;
  HeaderMailbox mailbox;
  std::string_view address = text;
  if (const size_t open = FindOutsideQuotes(text, '<'); open != text.npos) {
    if (text.back() != '>') return Bad("no '>' after the address");
    address = text.substr(open + 1, text.size() - open - 2);
    if (absl::Status s = ReadPhrase(Trim(text.substr(0, open)), &mailbox.display_name); !s.ok()) {
      return s;
    }
    if (mailbox.display_name.size() > kMaxDisplayNameBytes) {
      return Bad("the display name is longer than 500 bytes");
    }
  }
  const AddressOptions options{.allow_literal = true, .require_dot = false};
  absl::StatusOr<AddressInfo> info = AppendCanonicalAddress(address, options, &mailbox.address);
  if (!info.ok()) return info.status();
  mailbox.needs_smtputf8 = info->needs_smtputf8;
  return mailbox;
}

}  // namespace volley::engine::message
