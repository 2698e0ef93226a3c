#include "pipeline/route/mx_router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "pipeline/route/direct.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using State = RouteAnswer::State;

TEST(MxOverrides, AreADomainAndAServer) {
  const auto name = ParseMxOverride("Example.COM=mail.example.net");
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->domain, "example.com");
  EXPECT_EQ(name->host, "mail.example.net");
  EXPECT_EQ(name->port, 25);
  const auto v4 = ParseMxOverride("*=127.0.0.1:2525");
  ASSERT_TRUE(v4.ok()) << v4.status();
  EXPECT_EQ(v4->domain, "*");
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 2525);
  const auto v6 = ParseMxOverride("a.example=[2001:db8::1]:26");
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(v6->host, "2001:db8::1");
  EXPECT_EQ(v6->port, 26);
  EXPECT_EQ(ParseMxOverride("a.example=[2001:db8::1]")->port, 25);
}

TEST(MxOverrides, AreRefusedWithWhatToWrite) {
  for (const char* bad : {"", "example.com", "=host", "a=", "a=host:0", "a=host:99999", "a=host:x",
                          "a=ho st", "a=host\r\n", "a=host:25x"}) {
    const auto over = ParseMxOverride(bad);
    ASSERT_FALSE(over.ok()) << bad;
    EXPECT_THAT(std::string(over.status().message()), HasSubstr("write DOMAIN=HOST")) << bad;
  }
}

TEST(Sources, AreAnAddressAndAName) {
  const auto source = ParseSource("192.0.2.1=mail1.example.org");
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->name(), "192.0.2.1");
  EXPECT_EQ(source->helo, "mail1.example.org");
  EXPECT_EQ(ParseSource("2001:db8::7")->name(), "2001:db8::7");
  EXPECT_FALSE(ParseSource("mail.example.org").ok());
  EXPECT_FALSE(ParseSource("192.0.2.1=a b").ok());
  EXPECT_FALSE(ParseSource("").ok());
}

TEST(MxAddressesTest, KnowsAddressesThatAreNoOtherHosts) {
  for (const char* ip : {"127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "255.255.255.255",
                         "::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(IsNobodys(*io::Endpoint::FromIp(ip, 25))) << ip;
  }
  for (const char* ip : {"192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"}) {
    EXPECT_FALSE(IsNobodys(*io::Endpoint::FromIp(ip, 25))) << ip;
  }
}

class FixedAddresses final : public Addresses {
 public:
  explicit FixedAddresses(AddressList list)
      : list_(std::make_shared<const AddressList>(std::move(list))) {}
  List Get(io::MonoTime) override { return list_; }

 private:
  const List list_;
};

TEST(Sources, TalkToServersOfTheirFamily) {
  const auto v6 = *io::Endpoint::FromIp("2001:db8::1", 25);
  const auto v4 = *io::Endpoint::FromIp("192.0.2.9", 25);
  const auto all = std::make_shared<FixedAddresses>(AddressList{{v6, v4}, 1});
  const auto from_v4 = ReachableFrom(*io::Endpoint::FromIp("192.0.2.1", 0), all);
  EXPECT_EQ(from_v4->Get({})->endpoints, std::vector<io::Endpoint>{v4});
  EXPECT_EQ(from_v4->Get({})->best, 1u) << "what is left is the best there is";
  EXPECT_EQ(ReachableFrom({}, all), all);
}

// By overrides and literals: nothing is asked of a name server (tests/tools/direct_test.py does).
class MxRouterTest : public ::testing::Test {
 protected:
  RouteAnswer Find(MxRouter* router, const std::string& domain) {
    RouteAnswer answer = router->Find(domain, now_);
    for (int i = 0; i < 100 && answer.state == State::kAsking; ++i) {
      std::unique_lock lock(mutex_);
      woken_.wait_for(lock, std::chrono::milliseconds(50));
      lock.unlock();
      router->TakeAnswers([](std::string_view) {});
      answer = router->Find(domain, now_);
    }
    return answer;
  }
  MxRouter Make(MxOptions options) {
    return MxRouter(resolver_.get(), engine::policy::ProviderPack::BuiltIn(), std::move(options),
                    [this] { woken_.notify_all(); });
  }

  std::unique_ptr<io::Resolver> resolver_ =
      *io::Resolver::Create({.servers = {"127.0.0.1@1"}, .timeout = absl::Milliseconds(200)});
  std::mutex mutex_;
  std::condition_variable woken_;
  io::MonoTime now_ = io::MonotonicNow();
};

TEST_F(MxRouterTest, OverriddenDomainsAreRoutesOfTheirOwn) {
  MxRouter router = Make({.overrides = {*ParseMxOverride("*=127.0.0.1:2525"),
                                        *ParseMxOverride("gmail.com=127.0.0.2:26")}});
  const RouteAnswer a = Find(&router, "a.example"), b = Find(&router, "b.example");
  ASSERT_EQ(a.state, State::kKnown);
  ASSERT_EQ(b.state, State::kKnown);
  EXPECT_NE(a.route->id, b.route->id);
  EXPECT_EQ(a.route->name, "a.example");
  EXPECT_EQ(a.route->provider, &engine::policy::ProviderPack::BuiltIn()->fallback());
  EXPECT_EQ(a.route->addresses->Get(now_)->endpoints,
            std::vector<io::Endpoint>{*io::Endpoint::FromIp("127.0.0.1", 2525)});
  const RouteAnswer gmail = Find(&router, "gmail.com");
  ASSERT_EQ(gmail.state, State::kKnown);
  EXPECT_NE(gmail.route->provider, &engine::policy::ProviderPack::BuiltIn()->fallback());
  EXPECT_EQ(gmail.route->addresses->Get(now_)->endpoints[0].ToString(), "127.0.0.2:26");
  EXPECT_EQ(Find(&router, "a.example").route, a.route);
}

TEST_F(MxRouterTest, AnAddressLiteralIsItsOwnServer) {
  MxRouter router = Make({});
  const RouteAnswer v4 = Find(&router, "[192.0.2.7]");
  ASSERT_EQ(v4.state, State::kKnown);
  EXPECT_EQ(v4.route->addresses->Get(now_)->endpoints[0].ToString(), "192.0.2.7:25");
  const RouteAnswer v6 = Find(&router, "[IPv6:2001:db8::7]");
  ASSERT_EQ(v6.state, State::kKnown);
  EXPECT_EQ(v6.route->addresses->Get(now_)->endpoints[0].ip(), "2001:db8::7");
  const RouteAnswer us = Find(&router, "[127.0.0.1]");
  EXPECT_EQ(us.state, State::kNoMail);
  EXPECT_THAT(us.text, HasSubstr("no other host's"));
}

TEST_F(MxRouterTest, ANameServiceThatIsAwayFailsForNow) {
  MxRouter router = Make({});
  const RouteAnswer answer = Find(&router, "somewhere.example");
  EXPECT_EQ(answer.state, State::kFailedForNow);
  EXPECT_EQ(answer.code.value(), 451);
  EXPECT_EQ(answer.enhanced, (engine::smtp::EnhancedCode{4, 4, 3}));
  // Not asked again within the minute.
  EXPECT_EQ(router.Find("somewhere.example", now_ + absl::Seconds(30)).state, State::kFailedForNow);
  EXPECT_EQ(router.Find("somewhere.example", now_ + absl::Minutes(2)).state, State::kAsking);
}

TEST_F(MxRouterTest, AnswersThatComeWhenItIsGoneAreDropped) {
  {
    MxRouter router = Make({});
    for (int i = 0; i < 200; ++i) {
      router.Find("d" + std::to_string(i) + ".example", now_);
    }
  }
  resolver_.reset();  // answers what is open
}

}  // namespace
}  // namespace volley::pipeline
