#include "engine/message/cid.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

constexpr std::string_view kEnds = "\"'()<> \t\r\n,;";
constexpr size_t kMaxNameShown = 100;

struct Reference {
  size_t begin;  // behind "cid:"
  size_t end;
  std::optional<size_t> target;
  bool certain = false;   // it stands where only a URL can stand, so it is no word of the text
  bool variable = false;  // a template's tag is part of it
};

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsAlnum(char c) { return IsLetter(c) || (c >= '0' && c <= '9'); }

bool IsScheme(std::string_view text) {
  auto lower = [](char c) { return static_cast<char>(c | 0x20); };
  return text.size() >= 4 && lower(text[0]) == 'c' && lower(text[1]) == 'i' &&
         lower(text[2]) == 'd' && text[3] == ':';
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = high >= 0 ? HexDigit(text[i + 2]) : -1;
    if (low < 0) {
      out.push_back(text[i]);
    } else {
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

bool IsEnd(std::string_view rest) {
  return rest.empty() || kEnds.find(rest.front()) != kEnds.npos || rest.starts_with("{{");
}

// A tag that renders something follows the name at once: it is part of it.
bool HasVariable(std::string_view after) {
  constexpr std::string_view kRendersNothing = "#^/!";
  if (!after.starts_with("{{")) return false;
  return after.size() == 2 || kRendersNothing.find(after[2]) == kRendersNothing.npos;
}

// What `rest`, behind "cid:", names. A name may have blanks in it, so names are tried first.
Reference Resolve(std::string_view rest, std::span<const CidTarget> targets) {
  Reference found{0, 0, std::nullopt};
  for (size_t i = 0; i < targets.size(); ++i) {
    const std::string_view name = targets[i].name;
    if (!rest.starts_with(name) || !IsEnd(rest.substr(name.size()))) continue;
    if (!found.target || name.size() > found.end) found = {0, name.size(), i};
  }
  if (!found.target) {
    while (!IsEnd(rest.substr(found.end))) ++found.end;
    const std::string name = PercentDecoded(rest.substr(0, found.end));
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i].name == name) found.target = i;
    }
  }
  found.variable = HasVariable(rest.substr(found.end));
  return found;
}

std::optional<Reference> NextReference(std::string_view html, size_t from,
                                       std::span<const CidTarget> targets) {
  while (true) {
    const size_t colon = html.find(':', from);
    if (colon == html.npos) return std::nullopt;
    from = colon + 1;
    if (colon < 3 || !IsScheme(html.substr(colon - 3))) continue;
    const char before = colon == 3 ? '}' : html[colon - 4];
    if (IsAlnum(before) || before == '-' || before == '_') continue;
    Reference found = Resolve(html.substr(from), targets);
    found.begin += from;
    found.end += from;
    // Before "cid:" at the very beginning a tag may have been.
    found.certain = std::string_view("\"'(=}").find(before) != std::string_view::npos;
    return found;
  }
}

void AppendUrlOf(std::string_view content_id, std::string* out) {
  for (const char c : content_id) {
    if (IsAlnum(c) || std::string_view("@.-_").find(c) != std::string_view::npos) {
      out->push_back(c);
    } else {
      fmt::format_to(std::back_inserter(*out), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

}  // namespace

absl::Status FindCids(std::string_view template_name, std::string_view html,
                      std::span<CidTarget> targets) {
  size_t at = 0;
  size_t line = 1;
  while (const std::optional<Reference> found = NextReference(html, at, targets)) {
    const std::string_view passed = html.substr(at, found->end - at);
    const std::string_view shown =
        html.substr(found->begin, std::min(found->end - found->begin, kMaxNameShown));
    line += static_cast<size_t>(std::count(passed.begin(), passed.end(), '\n'));
    at = std::max(found->end, found->begin);
    if (found->target.has_value() && !found->variable) {
      targets[*found->target].used = true;
    } else if (found->certain) {
      return absl::InvalidArgumentError(fmt::format(
          "{}:{}: cid:{} {}", template_name, line, shown.substr(0, ValidUtf8Prefix(shown)),
          found->variable ? "with a variable: name the inline part itself"
                          : "names no inline part of this message"));
    }
  }
  return absl::OkStatus();
}

std::string RewriteCids(std::string_view html, std::span<const CidTarget> targets) {
  std::string out;
  size_t at = 0;
  while (const std::optional<Reference> found = NextReference(html, at, targets)) {
    out.append(html.substr(at, found->begin - at));
    if (found->target.has_value()) {
      AppendUrlOf(targets[*found->target].content_id, &out);
    } else {
      out.append(html.substr(found->begin, found->end - found->begin));
    }
    at = found->end;
  }
  out.append(html.substr(at));
  return out;
}

}  // namespace volley::engine::message
