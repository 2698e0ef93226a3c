#include "engine/compliance/unsubscribe_url.h"

#include <string>

#include "engine/compliance/token.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::compliance {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string UrlOf(std::string_view pattern, std::string_view token = "TOKEN") {
  const auto url = UnsubscribeUrl::Parse(pattern);
  if (!url.ok()) return std::string(url.status().message());
  std::string out;
  url->Append(token, &out);
  return out;
}

TEST(UnsubscribeUrl, PutsTheTokenWhereThePatternSays) {
  EXPECT_EQ(UrlOf("https://u.example.org/u/{{token}}"), "https://u.example.org/u/TOKEN");
  EXPECT_EQ(UrlOf("https://u.example.org/u?t={{token}}&a=b%20c"),
            "https://u.example.org/u?t=TOKEN&a=b%20c");
  EXPECT_EQ(UrlOf("https://u.example.org:8443/"), "https://u.example.org:8443/TOKEN");
  EXPECT_EQ(UrlOf("HTTPS://[2001:db8::1]/u?t="), "HTTPS://[2001:db8::1]/u?t=TOKEN");
}

TEST(UnsubscribeUrl, TakesHttpForLoopbackOnly) {
  for (const char* host : {"localhost", "127.0.0.1:8025", "127.1.2.3", "[::1]:80", "LOCALHOST"}) {
    const auto url = UnsubscribeUrl::Parse("http://" + std::string(host) + "/u/");
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_FALSE(url->https());
  }
  for (const char* host :
       {"example.org", "127.0.0.1.example.org", "localhost.example.org", "[::2]", "10.0.0.1"}) {
    EXPECT_THAT(UrlOf("http://" + std::string(host) + "/u/"), HasSubstr("RFC 8058")) << host;
  }
}

TEST(UnsubscribeUrl, RefusesWhatIsNoUrlOrWouldInjectSomething) {
  for (const char* pattern : {"",
                              "u.example.org/u/",
                              "ftp://example.org/u/",
                              "https://",
                              "https:///u/",
                              "https://example.org",
                              "https://example.org?t=",
                              "https://example.org/unsub",
                              "https://{{token}}.example.org/",
                              "https://example.org{{token}}/",
                              "https://example.org/{{token}}/{{token}}",
                              "https://example.org/{{id}}/",
                              "https://example.org/{{{token}}}",
                              "https://a@example.org/u/",
                              "https://example.org:0/u/",
                              "https://example.org:99999/u/",
                              "https://example.org:x/u/",
                              "https://example.org/u /",
                              "https://example.org/u\r\nX: y/",
                              "https://example.org/<u>/",
                              "https://example.org/\"/",
                              "https://example.org/'/",
                              "https://example.org/#/",
                              "https://example.org/\xC3\xA4/",
                              "https://b\xC3\xBC.example/u/",
                              "https://example.org/%zz/",
                              "https://example.org/u%{{token}}",
                              "https://[example.org/u/",
                              "https://[]/u/",
                              "https://.example.org/u/"}) {
    EXPECT_FALSE(UnsubscribeUrl::Parse(pattern).ok()) << pattern;
  }
  const std::string longest = "https://example.org/" + std::string(kUrlPatternCharsMax - 21, 'u');
  EXPECT_TRUE(UnsubscribeUrl::Parse(longest + "/").ok());
  EXPECT_FALSE(UnsubscribeUrl::Parse(longest + "u/").ok());
}

TEST(UnsubscribeUrl, TheTokenIsFoundAgainInTheRequestTarget) {
  const auto ring =
      KeyRing::Parse("1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  const std::string token = *MakeUnsubscribeToken(*ring, {"", "c", "a@b.org"});
  for (const char* before : {"/", "/u/", "/u?t=", "/u?x=1&t=", "/?"}) {
    for (const char* after : {"", "/", "/go", "?x=y", "&x=y"}) {
      const bool query = std::string_view(before).find('?') != std::string_view::npos;
      if (query && after[0] == '?') continue;
      if (!query && after[0] == '&') continue;
      if (query && after[0] == '/') continue;
      EXPECT_THAT(TokenCandidates(before + token + after), ElementsAre(token)) << before << after;
    }
  }
}

TEST(UnsubscribeUrl, CandidatesAreFewAndLookLikeTokens) {
  EXPECT_THAT(TokenCandidates(""), IsEmpty());
  EXPECT_THAT(TokenCandidates("/favicon.ico"), IsEmpty());
  EXPECT_THAT(TokenCandidates("/" + std::string(kTokenCharsMax + 1, 'a')), IsEmpty());
  EXPECT_THAT(TokenCandidates("/" + std::string(100, '%')), IsEmpty());
  std::string many;
  for (int i = 0; i < 50; ++i) many += "/" + std::string(60, 'a');
  EXPECT_THAT(TokenCandidates(many), SizeIs(kTokenCandidatesMax));
}

}  // namespace
}  // namespace volley::engine::compliance
