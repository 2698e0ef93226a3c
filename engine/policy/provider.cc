#include "engine/policy/provider.h"

#include <re2/re2.h>

#include <algorithm>

namespace volley::engine::policy {
namespace {

// Of a reply's text that is looked at: longer ones are a server's essay.
constexpr size_t kTextBytesMax = bounce::Classifier::kTextBytesMax;

// "4.7.28" at the front of the text, where the caller has none.
std::string_view LeadingEnhanced(std::string_view text) {
  const std::string_view word = text.substr(0, text.find(' '));
  return IsEnhancedPattern(word) && word.find('x') == word.npos ? word : std::string_view();
}

}  // namespace

std::string_view SourceKindName(SourceKind kind) {
  switch (kind) {
    case SourceKind::kPublished:
      return "published";
    case SourceKind::kFolklore:
      return "folklore";
    case SourceKind::kOwn:
      return "own";
  }
  return "";
}

std::string_view TlsNeedName(TlsNeed need) {
  return need == TlsNeed::kRequired ? "required" : "opportunistic";
}

std::string_view ReplyActionName(ReplyAction action) {
  switch (action) {
    case ReplyAction::kSlow:
      return "slow";
    case ReplyAction::kSuspend:
      return "suspend";
    case ReplyAction::kLimitConnections:
      return "limit_connections";
    case ReplyAction::kClose:
      return "close";
    case ReplyAction::kIgnore:
      return "ignore";
  }
  return "";
}

bool ReplyRule::Matches(const bounce::ReplyFacts& reply) const {
  if (reply.code < 400 || reply.code > 599) return false;
  if (!stages.empty() && std::find(stages.begin(), stages.end(), reply.stage) == stages.end()) {
    return false;
  }
  const auto any = [](const std::vector<std::string>& patterns, auto matches) {
    return patterns.empty() || std::any_of(patterns.begin(), patterns.end(), matches);
  };
  if (!any(codes, [&](const std::string& p) { return CodeMatches(p, reply.code); })) return false;
  const std::string_view status =
      reply.enhanced.empty() ? LeadingEnhanced(reply.text) : reply.enhanced;
  if (!any(enhanced, [&](const std::string& p) { return EnhancedMatches(p, status); })) {
    return false;
  }
  const std::string_view text = reply.text.substr(0, kTextBytesMax);
  return regex == nullptr ||
         re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *regex);
}

bool Provider::is_relay() const {
  const auto some = [](const Setting<Names>& names) {
    return names.value && !names.value->empty();
  };
  return some(relays) && !some(mx_suffixes) && !some(domains);
}

}  // namespace volley::engine::policy
