// What the unsubscribe endpoint and its mailbox read: the first byte chooses the reader. Whatever
// comes: no crash, nobody is believed without a key, and what is taken is within its bounds.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/compliance/bounce_path.h"
#include "engine/compliance/key_ring.h"
#include "engine/compliance/list_headers.h"
#include "engine/compliance/mail_reply.h"
#include "engine/compliance/one_click.h"
#include "engine/compliance/token.h"
#include "engine/compliance/unsubscribe_url.h"

namespace {

using namespace volley::engine::compliance;  // the whole file is about it

void Require(bool condition) {
  if (!condition) std::abort();
}

const KeyRing& Ring() {
  static const KeyRing ring =
      *KeyRing::Parse("1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  return ring;
}

// A claim that opens is the one this token was made of: so it can be made again.
void OpenToken(std::string_view text) {
  const auto claim = OpenUnsubscribeToken(Ring(), text);
  if (claim.ok()) Require(*MakeUnsubscribeToken(Ring(), *claim) == text);
  const auto bounce = OpenBouncePath(Ring(), "bounces@example.org", text);
  if (bounce.ok()) Require(MakeBouncePath(Ring(), "bounces@example.org", *bounce).ok());
}

void ParseKeys(std::string_view text) {
  const auto ring = KeyRing::Parse(text);
  if (!ring.ok()) return;
  Require(ring->size() >= 1 && ring->size() <= KeyRing::kKeysMax);
  const auto token = MakeUnsubscribeToken(*ring, {"l", "c", "a@b.org"});
  Require(OpenUnsubscribeToken(*ring, *token).ok());
}

void ParseUrl(std::string_view text) {
  const auto url = UnsubscribeUrl::Parse(text);
  if (!url.ok()) return;
  std::string out;
  url->Append("TOKEN", &out);
  for (const char c : out) Require(c > 0x20 && c < 0x7f && c != '<' && c != '>' && c != '"');
  Require(url->https() || !url->host().empty());
}

void MakeHeaders(std::string_view text) {
  ListHeaderOptions options;
  options.list_id = options.feedback_id = options.mailto = std::string(text);
  for (std::string ListHeaderOptions::*field :
       {&ListHeaderOptions::list_id, &ListHeaderOptions::feedback_id, &ListHeaderOptions::mailto}) {
    ListHeaderOptions one;
    one.*field = options.*field;
    const auto headers = MakeListHeaders(one);
    if (!headers.ok()) continue;
    for (const auto& [name, value] : *headers) {
      for (const char c : value) Require(c >= 0x20 && c < 0x7f);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 't':
      OpenToken(text);
      break;
    case 'k':
      ParseKeys(text);
      break;
    case 'u':
      ParseUrl(text);
      break;
    case 'h':
      MakeHeaders(text);
      break;
    case 'm':
      for (const std::string& token : FindReplyTokens(text)) {
        Require(token.size() <= kTokenCharsMax);
      }
      break;
    case 'c':
      for (const std::string_view token : TokenCandidates(text)) {
        Require(token.size() <= kTokenCharsMax);
      }
      break;
    default: {  // content type, a line feed, a body
      const size_t end = std::min(text.find('\n'), text.size());
      (void)ReadUnsubscribeForm(std::string_view(text).substr(0, end),
                                std::string_view(text).substr(std::min(end + 1, text.size())));
    }
  }
  return 0;
}
