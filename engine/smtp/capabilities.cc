#include "engine/smtp/capabilities.h"

#include <algorithm>
#include <charconv>

namespace volley::engine::smtp {
namespace {

// RFC 4422 §3.1: a mechanism name has 1 to 20 characters. The number bounds what a peer can make us
// keep; the IANA registry has about sixty.
constexpr size_t kMechanismBytesMax = 20;
constexpr size_t kMechanismsMax = 64;

std::string ToUpper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

// The next word of `*text`, words being separated by spaces; empty at the end. Tabs are taken too:
// no keyword or parameter may hold one.
std::string_view NextWord(std::string_view* text) {
  const size_t begin = std::min(text->find_first_not_of(" \t"), text->size());
  const size_t end = std::min(text->find_first_of(" \t", begin), text->size());
  const std::string_view word = text->substr(begin, end - begin);
  text->remove_prefix(end);
  return word;
}

void ParseAuth(std::string_view parameters, std::vector<std::string>* auth) {
  while (true) {
    const std::string_view word = NextWord(&parameters);
    if (word.empty()) return;
    if (word.size() > kMechanismBytesMax || auth->size() >= kMechanismsMax) continue;
    std::string mechanism = ToUpper(word);
    if (std::find(auth->begin(), auth->end(), mechanism) == auth->end()) {
      auth->push_back(std::move(mechanism));
    }
  }
}

// RFC 1870 §4: no number, or 0, is "no fixed limit". So is one too big for 64 bits, or not a
// number: the peer will say so itself at MAIL.
uint64_t ParseSize(std::string_view parameters) {
  const std::string_view word = NextWord(&parameters);
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bytes);
  const bool whole = error == std::errc() && end == word.data() + word.size();
  return whole ? bytes : 0;
}

// RFC 9422 §4: one to six digits, the first not zero.
std::optional<uint32_t> ParseLimit(std::string_view value) {
  uint32_t limit = 0;
  if (value.empty() || value.size() > 6 || value[0] == '0') return std::nullopt;
  for (const char c : value) {
    if (c < '0' || c > '9') return std::nullopt;
    limit = limit * 10 + static_cast<uint32_t>(c - '0');
  }
  return limit;
}

void ParseLimits(std::string_view parameters, Capabilities* capabilities) {
  while (true) {
    const std::string_view word = NextWord(&parameters);
    if (word.empty()) return;
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string name = ToUpper(word.substr(0, equals));
    const std::optional<uint32_t> limit = ParseLimit(word.substr(equals + 1));
    if (name == "MAILMAX") capabilities->mail_max = limit;
    if (name == "RCPTMAX") capabilities->rcpt_max = limit;
    if (name == "RCPTDOMAINMAX") capabilities->rcpt_domain_max = limit;
  }
}

struct Flag {
  std::string_view keyword;
  bool Capabilities::*member;
};
constexpr Flag kFlags[] = {
    {"PIPELINING", &Capabilities::pipelining},
    {"CHUNKING", &Capabilities::chunking},
    {"BINARYMIME", &Capabilities::binarymime},
    {"8BITMIME", &Capabilities::eight_bit_mime},
    {"SMTPUTF8", &Capabilities::smtputf8},
    {"DSN", &Capabilities::dsn},
    {"ENHANCEDSTATUSCODES", &Capabilities::enhanced_status_codes},
    {"STARTTLS", &Capabilities::starttls},
    {"REQUIRETLS", &Capabilities::requiretls},
    {"SIZE", &Capabilities::size},
};

}  // namespace

void Capabilities::ParseLine(std::string_view line, std::span<const std::string> discard) {
  std::string keyword = ToUpper(NextWord(&line));
  // "AUTH=LOGIN PLAIN" of servers older than RFC 2554's last draft, and of those that please them.
  if (keyword.starts_with("AUTH=")) {
    line = {line.data() - (keyword.size() - 5), line.size() + keyword.size() - 5};
    keyword.resize(4);
  }
  if (std::find(discard.begin(), discard.end(), keyword) != discard.end()) return;
  for (const Flag& flag : kFlags) {
    if (keyword == flag.keyword) this->*flag.member = true;
  }
  if (keyword == "SIZE") size_max = ParseSize(line);
  if (keyword == "AUTH") ParseAuth(line, &auth);
  if (keyword == "LIMITS") ParseLimits(line, this);
}

}  // namespace volley::engine::smtp
