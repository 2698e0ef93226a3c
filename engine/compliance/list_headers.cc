#include "engine/compliance/list_headers.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/status/status.h"
#include "engine/compliance/unsubscribe_url.h"
#include "engine/message/address.h"
#include "engine/message/encoded_word.h"
#include "engine/message/header.h"

namespace volley::engine::compliance {
namespace {

constexpr size_t kListIdCharsMax = 255;  // RFC 2919 §3
constexpr size_t kDescriptionBytesMax = 200;
constexpr size_t kSenderIdCharsMin = 5, kSenderIdCharsMax = 15;
constexpr size_t kFeedbackPartsMax = 4;
constexpr size_t kFeedbackPartCharsMax = 64;
constexpr std::string_view kWhite = " \t";

absl::Status Wrong(std::string_view what, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{} {}", what, why));
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhite);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhite) - begin + 1);
}

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// RFC 5322 §3.2.3 atext, without braces: those are Mustache's.
bool IsAtomChar(char c) {
  return IsAlnum(c) ||
         (c != '\0' && std::string_view("!#$%&'*+-/=?^_`|~").find(c) != std::string_view::npos);
}

bool IsDotAtom(std::string_view text) {
  if (text.empty() || text.starts_with('.') || text.ends_with('.')) return false;
  const auto good = [](char c) { return c == '.' || IsAtomChar(c); };
  return text.find("..") == std::string_view::npos && std::all_of(text.begin(), text.end(), good);
}

absl::Status CheckDescription(std::string_view text) {
  if (text.size() > kDescriptionBytesMax) {
    return Wrong("list_id",
                 fmt::format("has a description of over {} bytes", kDescriptionBytesMax));
  }
  if (message::FindForbiddenInHeader(text) != std::string_view::npos) {
    return Wrong("list_id", "has a control character, or bytes that are not UTF-8");
  }
  if (text.find_first_of("<>{}") != std::string_view::npos) {
    return Wrong("list_id", "has brackets or braces in its description");
  }
  return absl::OkStatus();
}

std::string QuotedString(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c);
  }
  return quoted + '"';
}

std::string EncodedWords(std::string_view text) {
  const auto encoding = message::ShorterEncoding(text, message::WordContext::kPhrase);
  std::string words;
  while (!text.empty()) {
    if (!words.empty()) words.push_back(' ');  // dropped between two of them (RFC 2047 §6.2)
    text.remove_prefix(message::AppendEncodedWord(text, encoding, message::WordContext::kPhrase,
                                                  message::kMaxEncodedWordBytes, &words));
  }
  return words;
}

std::string Phrase(std::string_view text) {
  const auto plain = [](char c) { return IsAtomChar(c) || c == ' '; };
  const auto ascii = [](char c) { return c >= 0x20 && c < 0x7f; };
  if (std::all_of(text.begin(), text.end(), plain)) return std::string(text);
  return std::all_of(text.begin(), text.end(), ascii) ? QuotedString(text) : EncodedWords(text);
}

absl::StatusOr<std::string> MailtoUri(std::string_view mailbox) {
  std::string address;
  const auto info = message::AppendCanonicalAddress(
      mailbox, {.allow_literal = false, .require_dot = false, .trim_white_space = false}, &address);
  if (!info.ok()) return Wrong("mailto", std::string(info.status().message()));
  // What a URI or Mustache would read as its own (RFC 6068 §2): a mailbox made for this needs none.
  const auto good = [](char c) {
    return IsAlnum(c) || std::string_view("-._~+@").find(c) != std::string_view::npos;
  };
  if (info->needs_smtputf8 || !std::all_of(address.begin(), address.end(), good)) {
    return Wrong("mailto",
                 "has characters that a mailto URI would have to escape: take a mailbox "
                 "of letters, digits and .+-_");
  }
  return fmt::format("mailto:{}?subject=unsubscribe-{{{{{{unsubscribe_token}}}}}}", address);
}

using Headers = std::vector<std::pair<std::string, std::string>>;

absl::Status AddUnsubscribe(const ListHeaderOptions& options, Headers* headers) {
  std::string value;
  if (!options.url.empty()) {
    const auto url = UnsubscribeUrl::Parse(options.url);
    if (!url.ok()) return url.status();
    value = "<{{{unsubscribe_url}}}>";
  }
  if (!options.mailto.empty()) {
    const auto mailto = MailtoUri(options.mailto);
    if (!mailto.ok()) return mailto.status();
    if (!value.empty()) value += ", ";
    value += fmt::format("<{}>", *mailto);
  }
  if (value.empty()) return absl::OkStatus();
  headers->emplace_back("List-Unsubscribe", std::move(value));
  if (!options.url.empty()) {
    headers->emplace_back("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ListId> ParseListId(std::string_view text) {
  text = Trim(text);
  ListId list;
  std::string_view id = text;
  if (text.ends_with('>')) {
    const size_t open = text.rfind('<');
    if (open == std::string_view::npos) return Wrong("list_id", "has a \">\" without \"<\"");
    std::string_view description = Trim(text.substr(0, open));
    if (description.size() >= 2 && description.starts_with('"') && description.ends_with('"')) {
      description = description.substr(1, description.size() - 2);
    }
    if (absl::Status s = CheckDescription(description); !s.ok()) return s;
    list.description = description;
    id = Trim(text.substr(open + 1, text.size() - open - 2));
  }
  if (!IsDotAtom(id) || id.find('.') == std::string_view::npos || id.size() > kListIdCharsMax) {
    return Wrong("list_id",
                 "needs a name such as news.example.org, in ASCII: \"News "
                 "<news.example.org>\" (RFC 2919)");
  }
  list.id = id;
  for (char& c : list.id) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return list;
}

std::string FormatListId(const ListId& list) {
  if (list.description.empty()) return fmt::format("<{}>", list.id);
  return fmt::format("{} <{}>", Phrase(list.description), list.id);
}

absl::Status CheckFeedbackId(std::string_view text) {
  const auto good = [](char c) { return c == ':' || c == '.' || IsAtomChar(c); };
  if (!std::all_of(text.begin(), text.end(), good)) {
    return Wrong("feedback_id",
                 "has white space, variables or characters beyond ASCII: it is the same for all "
                 "messages of a campaign, in plain letters, digits and -_.");
  }
  const size_t parts = static_cast<size_t>(std::count(text.begin(), text.end(), ':')) + 1;
  if (parts > kFeedbackPartsMax) {
    return Wrong("feedback_id", fmt::format("has {} parts; at most 4 (a:b:c:SenderId)", parts));
  }
  const std::string_view sender = text.substr(text.rfind(':') + 1);  // npos + 1 is 0
  if (sender.size() < kSenderIdCharsMin || sender.size() > kSenderIdCharsMax) {
    return Wrong("feedback_id",
                 fmt::format("ends in a SenderId of {} characters; 5 to 15", sender.size()));
  }
  if (text.size() > kFeedbackPartsMax * kFeedbackPartCharsMax) {
    return Wrong("feedback_id", "is too long");
  }
  return absl::OkStatus();
}

absl::StatusOr<Headers> MakeListHeaders(const ListHeaderOptions& options) {
  Headers headers;
  const bool bulk = options.kind == MailKind::kBulk;
  if (bulk) {
    if (absl::Status s = AddUnsubscribe(options, &headers); !s.ok()) return s;
  }
  if (bulk && !options.list_id.empty()) {
    const auto list = ParseListId(options.list_id);
    if (!list.ok()) return list.status();
    headers.emplace_back("List-Id", FormatListId(*list));
  }
  if (!options.feedback_id.empty()) {
    if (absl::Status s = CheckFeedbackId(options.feedback_id); !s.ok()) return s;
    headers.emplace_back("Feedback-ID", options.feedback_id);
  }
  if (bulk) {
    headers.emplace_back("Precedence", "bulk");
  } else {
    headers.emplace_back("Auto-Submitted", "auto-generated");
  }
  return headers;
}

}  // namespace volley::engine::compliance
