#include "pipeline/unsubscribe/endpoint.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/unsubscribe/pages.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using volley::testing::TempDir;

constexpr char kKey[] = "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr char kForm[] = "application/x-www-form-urlencoded";

Unsubscriber::Keys Ring(const std::string& text = kKey) {
  return std::make_shared<const engine::compliance::KeyRing>(
      *engine::compliance::KeyRing::Parse(text));
}

EndpointOptions WithRate(double rate, bool trust_proxy = false) {
  EndpointOptions options;
  options.rate = rate;
  options.trust_proxy = trust_proxy;
  return options;
}

class EndpointTest : public ::testing::Test {
 protected:
  EndpointTest() { Make({}); }

  void Make(EndpointOptions options) {
    options.on_change = [this](const Unsubscriber::Claim& claim, std::string_view source) {
      changes_.push_back(claim.recipient + " " + claim.list + " " + std::string(source));
    };
    endpoint_ = std::make_unique<UnsubscribeEndpoint>(
        Unsubscriber(*SuppressionList::Open(dir_.path()), Ring(),
                     [] { return absl::FromUnixSeconds(1700000000); }),
        std::move(options));
    list_ = *SuppressionList::Open(dir_.path());
  }
  std::string Token(const std::string& address = "ann@example.org", const std::string& key = kKey) {
    return *engine::compliance::MakeUnsubscribeToken(*Ring(key), {"news", "november", address});
  }
  std::string Get(std::string target, std::string method = "GET") {
    HttpRequest request;
    request.method = std::move(method);
    request.target = std::move(target);
    return endpoint_->Answer(request, peer_, now_);
  }
  std::string Post(std::string target, std::string body = "List-Unsubscribe=One-Click",
                   std::string forwarded_for = "") {
    return endpoint_->Answer({.method = "POST",
                              .target = std::move(target),
                              .content_type = kForm,
                              .forwarded_for = std::move(forwarded_for),
                              .body = std::move(body)},
                             peer_, now_);
  }
  bool Suppressed(std::string_view address) { return list_->Lookup(address, "news")->has_value(); }

  TempDir dir_;
  std::unique_ptr<UnsubscribeEndpoint> endpoint_;
  std::unique_ptr<SuppressionList> list_;
  std::vector<std::string> changes_;
  io::Endpoint peer_ = *io::Endpoint::Parse("192.0.2.1:1000");
  io::MonoTime now_ = io::MonoTime::FromNanos(1'000'000'000);
};

TEST_F(EndpointTest, OneClickSuppressesAtOnceAndOnce) {
  const std::string answer = Post("/u/" + Token());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: text/plain; charset=utf-8\r\n"));
  const auto entry = *list_->Lookup("ann@example.org", "news");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->source, "one-click");
  EXPECT_EQ(entry->campaign, "november");
  EXPECT_EQ(entry->created_at, absl::FromUnixSeconds(1700000000));
  EXPECT_THAT(Post("/u/" + Token()), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(changes_, ::testing::ElementsAre("ann@example.org news one-click"));
  EXPECT_EQ(endpoint_->counters().unsubscribed, 1u);
  EXPECT_EQ(endpoint_->counters().repeated, 1u);
}

TEST_F(EndpointTest, LookingChangesNothing) {
  const std::string page = Get("/u?t=" + Token());
  EXPECT_THAT(page, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(page, HasSubstr("<form method=\"post\">"));
  EXPECT_THAT(page, HasSubstr("a***@example.org"));
  EXPECT_THAT(page, Not(HasSubstr("ann@")));
  const std::string head = Get("/u?t=" + Token(), "HEAD");
  EXPECT_EQ(head, page.substr(0, page.find("\r\n\r\n") + 4));
  EXPECT_FALSE(Suppressed("ann@example.org"));
  EXPECT_TRUE(changes_.empty());
}

TEST_F(EndpointTest, ThePagesButtonSuppresses) {
  EXPECT_THAT(Post("/u/" + Token(), "confirm=unsubscribe"), HasSubstr("You are unsubscribed"));
  EXPECT_EQ((*list_->Lookup("ann@example.org", "news"))->source, "page");
}

TEST_F(EndpointTest, AllBadTokensGetTheSameAnswer) {
  const std::string other_key =
      "1 f0e1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff";
  std::string changed = Token();
  changed[30] = changed[30] == 'A' ? 'B' : 'A';
  const std::string answer = Post("/");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 Not Found\r\n"));
  Make(WithRate(0));
  for (const std::string& target :
       {std::string("/favicon.ico"), "/u/" + changed, "/u/" + Token("ann@example.org", other_key),
        "/u/" + Token().substr(1), "/u/" + std::string(60, 'A'), std::string()}) {
    EXPECT_EQ(Post(target), answer) << target;
    EXPECT_EQ(Get(target), answer) << target;
  }
  EXPECT_EQ(*list_->Count(), 0u);
}

TEST_F(EndpointTest, OtherPostsAndMethodsChangeNothing) {
  EXPECT_THAT(Post("/u/" + Token(), ""), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Post("/u/" + Token(), "List-Unsubscribe=No"), StartsWith("HTTP/1.1 400 "));
  for (const char* method : {"PUT", "DELETE", "OPTIONS", "get", "TRACE", "X"}) {
    const std::string answer = Get("/u/" + Token(), method);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 ")) << method;
    EXPECT_THAT(answer, HasSubstr("\r\nAllow: GET, HEAD, POST\r\n"));
  }
  EXPECT_EQ(*list_->Count(), 0u);
}

TEST_F(EndpointTest, EveryAnswerForbidsCachingFramingAndForeignContent) {
  for (const std::string& answer : {Get("/u/" + Token()), Get("/"), Post("/u/" + Token(), ""),
                                    Get("/", "PUT"), endpoint_->Refuse(431)}) {
    EXPECT_THAT(answer, HasSubstr("\r\nCache-Control: no-store\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nContent-Security-Policy: default-src 'none'; style-src "
                                  "'sha256-"));
    EXPECT_THAT(answer, HasSubstr("\r\nReferrer-Policy: no-referrer\r\n"));
    EXPECT_THAT(answer, Not(HasSubstr("Location")));
    EXPECT_THAT(answer, Not(HasSubstr("Set-Cookie")));
    EXPECT_THAT(answer, Not(HasSubstr("http://")));
    EXPECT_THAT(answer, Not(HasSubstr("https://")));
  }
}

TEST_F(EndpointTest, WhatTheTokenSaysIsEscapedInThePage) {
  EndpointOptions options;
  options.list_names["news"] = "A&B <script>";
  Make(options);
  EXPECT_THAT(Get("/" + Token("\"<b>&'\"@example.org")), Not(HasSubstr("<b>")));
  EXPECT_THAT(Get("/" + Token()), HasSubstr("A&amp;B &lt;script&gt;"));
}

TEST_F(EndpointTest, GuessersAreSlowedDownBeforeReaders) {
  Make(WithRate(2));  // 20 good ones at once, or 2 bad ones
  EXPECT_THAT(Get("/x"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Get("/x"), StartsWith("HTTP/1.1 404 "));
  const std::string limited = Post("/u/" + Token());
  EXPECT_THAT(limited, StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(limited, HasSubstr("\r\nRetry-After: "));
  EXPECT_FALSE(Suppressed("ann@example.org"));
  peer_ = *io::Endpoint::Parse("192.0.2.2:1000");  // another client
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Get("/u/" + Token()), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Get("/u/" + Token()), StartsWith("HTTP/1.1 429 "));
  now_ = now_ + absl::Seconds(1);
  EXPECT_THAT(Get("/u/" + Token()), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(endpoint_->counters().rate_limited, 2u);
}

TEST_F(EndpointTest, AnIpv6CustomerIsOneClient) {
  Make(WithRate(1));
  peer_ = *io::Endpoint::Parse("[2001:db8:1:2::1]:1");
  EXPECT_THAT(Get("/x"), StartsWith("HTTP/1.1 404 "));
  peer_ = *io::Endpoint::Parse("[2001:db8:1:2:ffff::2]:1");
  EXPECT_THAT(Get("/x"), StartsWith("HTTP/1.1 429 "));
  peer_ = *io::Endpoint::Parse("[2001:db8:1:3::1]:1");
  EXPECT_THAT(Get("/x"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(EndpointTest, TheProxysWordForTheClientCountsOnlyFromLoopback) {
  Make(WithRate(1, true));
  peer_ = *io::Endpoint::Parse("127.0.0.1:1");
  EXPECT_THAT(Post("/x", "", "9.9.9.9, 192.0.2.7"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Post("/x", "", "8.8.8.8, 192.0.2.7"), StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(Post("/x", "", "192.0.2.8"), StartsWith("HTTP/1.1 404 "));
  peer_ = *io::Endpoint::Parse("192.0.2.9:1");
  EXPECT_THAT(Post("/x", "", "192.0.2.10"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Post("/x", "", "192.0.2.11"), StartsWith("HTTP/1.1 429 "));
  Make(WithRate(1));
  peer_ = *io::Endpoint::Parse("127.0.0.1:1");
  EXPECT_THAT(Post("/x", "", "192.0.2.12"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Post("/x", "", "192.0.2.13"), StartsWith("HTTP/1.1 429 "));
}

TEST_F(EndpointTest, NothingIsPromisedThatCouldNotBeStored) {
  auto store = Store::Open(dir_.path());
  endpoint_ = std::make_unique<UnsubscribeEndpoint>(
      Unsubscriber(*SuppressionList::Open(dir_.path(), {.busy_timeout = absl::Milliseconds(10)}),
                   Ring()),
      EndpointOptions{});
  ASSERT_TRUE((*store)->Execute("BEGIN IMMEDIATE").ok());
  EXPECT_THAT(Post("/u/" + Token()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(endpoint_->counters().failed, 1u);
  ASSERT_TRUE((*store)->Execute("ROLLBACK").ok());
  EXPECT_THAT(Post("/u/" + Token()), StartsWith("HTTP/1.1 200 "));
}

TEST_F(EndpointTest, NewKeysCountFromTheNextRequestOn) {
  const std::string next = "2 f0e1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff";
  const std::string token = Token("ann@example.org", next);
  EXPECT_THAT(Get("/" + token), StartsWith("HTTP/1.1 404 "));
  endpoint_->SetKeys(Ring(next + "\n" + kKey));
  EXPECT_THAT(Get("/" + token), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Get("/" + Token()), StartsWith("HTTP/1.1 200 "));
}

TEST(Pages, MaskWhatAStrangerShouldNotLearn) {
  EXPECT_EQ(MaskAddress("annabel@example.org"), "an***@example.org");
  EXPECT_EQ(MaskAddress("ann@example.org"), "a***@example.org");
  EXPECT_EQ(MaskAddress("a@example.org"), "a***@example.org");
  EXPECT_EQ(MaskAddress("\xC3\xA4nn@example.org"), "\xC3\xA4***@example.org");
  EXPECT_EQ(MaskAddress("x"), "***");
}

TEST(RateLimit, ItsTableIsBoundedAndIdleClientsMakeRoom) {
  RateLimit limit(1, 100);
  io::MonoTime now = io::MonoTime::FromNanos(1);
  for (int i = 0; i < 1000; ++i) limit.Charge("c" + std::to_string(i), 100, now);
  EXPECT_EQ(limit.clients(), 100u);
  EXPECT_FALSE(limit.Allows("c0", now));
  EXPECT_TRUE(limit.Allows("c999", now));  // no room: let through
  now = now + absl::Seconds(200);
  limit.Charge("new", 100, now);
  EXPECT_EQ(limit.clients(), 1u);
  EXPECT_FALSE(limit.Allows("new", now));
}

}  // namespace
}  // namespace volley::pipeline
