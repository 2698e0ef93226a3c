#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "engine/preflight/rules.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr std::string_view kPostValue = "List-Unsubscribe=One-Click";

// How people are told that they can leave, in a link or its address. Lower case; UTF-8.
constexpr std::string_view kLeaveWords[] = {
    "unsubscri",
    "opt-out",
    "opt out",
    "optout",
    "manage preferences",
    "email preferences",
    "abmelde",
    "abbestell",
    "austragen",
    "désabonn",
    "desabonn",
    "désinscri",
    "desinscri",
    "darse de baja",
    "darte de baja",
    "cancelar",
    "anular",
    "disiscri",
    "annulla",
    "descadastr",
    "afmelden",
    "uitschrijv",
    "avregistrer",
    "avprenumer",
    "afmeld",
    "avmeld",
    "peruuta",
    "wypisz",
    "rezygn",
    "odhlás",
    "leiratkoz",
    "dezabon",
    "отписа",
    "відписа",
    "配信停止",
    "解除",
    "退订",
    "退訂",
    "수신거부",
    "수신 거부",
    "iptal",
    "إلغاء",
};

// The URIs between angle brackets, RFC 2369 §2.
std::vector<std::string_view> Uris(std::string_view value) {
  std::vector<std::string_view> out;
  for (size_t at = value.find('<'); at != value.npos; at = value.find('<', at + 1)) {
    const size_t end = value.find('>', at);
    if (end == value.npos) break;
    out.push_back(Trim(value.substr(at + 1, end - at - 1)));
  }
  return out;
}

std::string HttpsUri(const SampleFacts& sample) {
  const std::string value = sample.Value("list-unsubscribe");
  for (const std::string_view uri : Uris(value)) {
    if (StartsWithNoCase(uri, "https://")) return std::string(uri);
  }
  return "";
}

// What is wrong with the URIs, RFC 8058 §3.1; empty: nothing.
std::string JudgeUris(std::string_view value) {
  const auto uris = Uris(value);
  const auto count = [&](std::string_view scheme) {
    return std::count_if(uris.begin(), uris.end(),
                         [&](std::string_view uri) { return StartsWithNoCase(uri, scheme); });
  };
  if (count("http://") > 0)
    return fmt::format("List-Unsubscribe has a plain http URI: {}", Shown(value));
  if (count("https://") == 0)
    return fmt::format("List-Unsubscribe has no https URI: {}", Shown(value));
  if (count("https://") > 1) {
    return fmt::format("List-Unsubscribe has several https URIs: {}", Shown(value));
  }
  return "";
}

// --- The link in the body ---

void ReplaceAll(std::string_view from, std::string_view to, std::string* text) {
  for (size_t at = text->find(from); at != text->npos; at = text->find(from, at + to.size())) {
    text->replace(at, from.size(), to);
  }
}

bool HasLeaveWord(std::string_view text) {
  return std::any_of(std::begin(kLeaveWords), std::end(kLeaveWords),
                     [&](std::string_view word) { return ContainsNoCase(text, word); });
}

// Links with their address and what they say: "<a ...>...</a>".
bool HtmlHasLeaveLink(std::string_view html) {
  const std::string lower = ToLower(html);
  for (size_t at = lower.find("<a "); at != lower.npos; at = lower.find("<a ", at + 1)) {
    const size_t end = std::min(lower.find("</a", at), lower.size());
    const std::string_view link = std::string_view(lower).substr(at, end - at);
    if (link.find("href") != link.npos && HasLeaveWord(link)) return true;
  }
  return false;
}

// A line with an address, and the word in it or in the line before.
bool TextHasLeaveLink(std::string_view text) {
  std::string_view previous;
  for (const std::string_view line : Split(text, '\n')) {
    const bool link = ContainsNoCase(line, "http://") || ContainsNoCase(line, "https://") ||
                      ContainsNoCase(line, "mailto:");
    if (link && (HasLeaveWord(line) || HasLeaveWord(previous))) return true;
    if (!Trim(line).empty()) previous = line;
  }
  return false;
}

// Every part that people may be shown needs one.
bool HasVisibleLink(const SampleFacts& sample) {
  const std::string uri = HttpsUri(sample);
  const auto has_uri = [&](std::string_view text) {
    return !uri.empty() && text.find(uri) != text.npos;
  };
  std::string html = sample.texts.html;
  ReplaceAll("&amp;", "&", &html);
  if (!Trim(html).empty()) return has_uri(html) || HtmlHasLeaveLink(html);
  return has_uri(sample.texts.plain) || TextHasLeaveLink(sample.texts.plain);
}

// --- The rules ---

struct Wrong {
  Check check = Check::kOneClickMissing;
  std::string found, mend;
};

// The first thing that is wrong with a copy's fields.
std::optional<Wrong> JudgeFields(const SampleFacts& sample) {
  const std::string setup = "set [unsubscribe] url and key in the campaign file";
  const std::string list = sample.Value("list-unsubscribe");
  if (list.empty()) return Wrong{Check::kOneClickMissing, "there is no List-Unsubscribe", setup};
  if (std::string why = JudgeUris(list); !why.empty()) {
    return Wrong{Check::kOneClickNotHttps, std::move(why),
                 "give exactly one https: URI, and mailto: beside it if you like"};
  }
  const std::string post = sample.Value("list-unsubscribe-post");
  if (post.empty())
    return Wrong{Check::kOneClickMissing, "there is no List-Unsubscribe-Post", setup};
  if (post != kPostValue) {
    return Wrong{Check::kOneClickMissing, fmt::format("List-Unsubscribe-Post is {}", Shown(post)),
                 fmt::format("it must be exactly \"{}\"", kPostValue)};
  }
  if (sample.signatures.empty()) return std::nullopt;
  for (const std::string_view field : {"list-unsubscribe", "list-unsubscribe-post"}) {
    if (sample.IsSigned(field)) continue;
    return Wrong{Check::kOneClickNotSigned, fmt::format("no DKIM signature covers {}", field),
                 "let h= of the DKIM-Signature name both fields"};
  }
  return std::nullopt;
}

}  // namespace

void CheckUnsubscribing(const CampaignFacts& facts, const Situation& situation, Report* report) {
  const auto checks = {Check::kOneClickMissing, Check::kOneClickNotHttps, Check::kOneClickNotSigned,
                       Check::kBodyLinkMissing};
  if (!facts.bulk) return SkipAll(checks, "transactional mail needs none", report);
  if (facts.without_unsubscribe) return SkipAll(checks, "left out by request", report);
  if (facts.samples.empty()) return SkipAll(checks, "there is no sample to look at", report);
  for (const Check check : checks) report->Passed(check);
  if (!situation.is_signed) {
    report->Skip(Check::kOneClickNotSigned, "volley does not sign: see dkim-not-signed");
  }
  for (const SampleFacts& sample : facts.samples) {
    auto wrong = JudgeFields(sample);
    if (!wrong) continue;
    report->Found(wrong->check, situation.bulk_sender, std::move(wrong->found),
                  std::move(wrong->mend));
    // Looked at in this order, up to the first that is wrong.
    for (const Check later : {Check::kOneClickNotHttps, Check::kOneClickNotSigned}) {
      if (later > wrong->check) report->Skip(later, "see what was found before it");
    }
    break;
  }
  // Links are judged by words, so this is never more than a warning.
  if (!std::all_of(facts.samples.begin(), facts.samples.end(), HasVisibleLink)) {
    report->Found(Check::kBodyLinkMissing, Severity::kWarning,
                  "no link in the body looks like one to unsubscribe with",
                  "put a link to {{unsubscribe_url}} where people see it, and say what it does");
  }
}

}  // namespace volley::engine::preflight
