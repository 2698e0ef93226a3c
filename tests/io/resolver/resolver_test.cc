#include "io/resolver/resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "tests/io/resolver/name_server.h"

namespace volley::io {
namespace {

using ::testing::HasSubstr;

// NXDOMAIN for names that begin with "no-such", SERVFAIL for "broken", silence for "silent".
testing::DnsReply Zone(std::string_view name, uint16_t type) {
  const std::string_view label = name.substr(0, name.find('.'));
  testing::DnsReply reply;
  reply.silent = label == "silent";
  if (label == "no-such") reply.code = 3;
  if (label == "broken") reply.code = 2;
  if (label == "both" && type == 1) reply.records = {{"\x7f\0\0\x05", 4}};
  if (label == "both" && type == 28) reply.records = {std::string(15, '\0') + '\x01'};
  if (label == "four" && type == 1) reply.records = {{"\x7f\0\0\x06", 4}};
  if (label == "_smtp" && type == 33) reply.records = {testing::SrvData(10, 5, 587, "mx.test")};
  return reply;
}

class ResolverTest : public ::testing::Test {
 protected:
  testing::NameServer server_{Zone};
  std::unique_ptr<Resolver> resolver_ = volley::testing::ResolverOf(server_);
};

TEST_F(ResolverTest, GivesTheAddressesOfBothFamiliesIpv6First) {
  const HostAnswer host = resolver_->LookupHostNow("both.example.org", 2525);
  ASSERT_EQ(host.status, DnsStatus::kOk) << host.error;
  ASSERT_EQ(host.endpoints.size(), 2u);
  EXPECT_EQ(host.endpoints[0].ToString(), "[::1]:2525");
  EXPECT_EQ(host.endpoints[1].ToString(), "127.0.0.5:2525");
  EXPECT_EQ(host.ttl, absl::Seconds(60));
}

TEST_F(ResolverTest, OneFamilyIsEnough) {
  const HostAnswer host = resolver_->LookupHostNow("four.example.org", 25);
  ASSERT_EQ(host.status, DnsStatus::kOk) << host.error;
  ASSERT_EQ(host.endpoints.size(), 1u);
  EXPECT_EQ(host.endpoints[0].ToString(), "127.0.0.6:25");
}

TEST_F(ResolverTest, ANumericAddressIsNotAsked) {
  EXPECT_EQ(resolver_->LookupHostNow("::1", 25).endpoints[0].ToString(), "[::1]:25");
}

TEST_F(ResolverTest, TellsApartTheWaysToHaveNoAnswer) {
  EXPECT_EQ(resolver_->LookupNow("no-such.example.org", DnsType::kA).status,
            DnsStatus::kNoSuchName);
  EXPECT_EQ(resolver_->LookupNow("four.example.org", DnsType::kAaaa).status, DnsStatus::kNoData);
  EXPECT_EQ(resolver_->LookupNow("broken.example.org", DnsType::kA).status, DnsStatus::kFailed);
}

TEST_F(ResolverTest, AServerThatSaysNothingIsATimeout) {
  const DnsAnswer answer = resolver_->LookupNow("silent.example.org", DnsType::kA);
  EXPECT_EQ(answer.status, DnsStatus::kTimeout);
  EXPECT_THAT(answer.error, HasSubstr("in time"));
}

TEST_F(ResolverTest, ANameNoMessageCanHoldDoesNotExist) {
  const std::string long_label(70, 'a');
  EXPECT_EQ(resolver_->LookupNow(long_label + ".example.org", DnsType::kA).status,
            DnsStatus::kNoSuchName);
}

TEST_F(ResolverTest, ReadsServiceRecords) {
  const auto records = ParseSrv(resolver_->LookupNow("_smtp.example.org", DnsType::kSrv));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].priority, 10);
  EXPECT_EQ(records[0].weight, 5);
  EXPECT_EQ(records[0].port, 587);
  EXPECT_EQ(records[0].target, "mx.test");
}

TEST_F(ResolverTest, AnswersWhatIsOpenWhenItGoes) {
  std::atomic<int> answered{0};
  DnsStatus status = DnsStatus::kOk;
  resolver_->Lookup("silent.example.org", DnsType::kA, [&](const DnsAnswer& answer) {
    status = answer.status;
    ++answered;
  });
  resolver_.reset();
  EXPECT_EQ(answered, 1);
  EXPECT_EQ(status, DnsStatus::kCancelled);
}

TEST(ParseSrv, LeavesOutMalformedRecords) {
  DnsAnswer answer;
  answer.records = {"",
                    "short",
                    std::string("\0\x01\0\x01\0\x19\x05mx", 9),
                    std::string("\0\x01\0\x01\0\x19\x40", 7) + std::string(70, 'x'),
                    std::string("\0\x01\0\x01\0\x19\x02m\r\0", 10),
                    std::string("\0\x01\0\x01\0\x19\x02mx\0x", 11),
                    std::string("\0\x01\0\x02\0\x19\0", 7)};
  const auto records = ParseSrv(answer);
  ASSERT_EQ(records.size(), 1u);  // the last one: "not available", RFC 2782
  EXPECT_EQ(records[0].target, "");
  EXPECT_EQ(records[0].weight, 2);
}

TEST(Resolver, ReadsTextMailExchangersAndPointers) {
  const std::string long_text = "v=DKIM1; p=" + std::string(500, 'A');
  const testing::NameServer server(testing::ZoneTable()
                                       .Txt("many.example.org", "v=spf1 -all")
                                       .Txt("many.example.org", long_text)
                                       .Mx("many.example.org", 20, "b.example.org")
                                       .Mx("many.example.org", 5, "a.example.org")
                                       .Mx("null.example.org", 0, "")
                                       .Ptr("8.7.6.5.in-addr.arpa", "mx.example.org"));
  const auto resolver = volley::testing::ResolverOf(server);
  EXPECT_THAT(ParseTxt(resolver->LookupNow("many.example.org", DnsType::kTxt)),
              ::testing::UnorderedElementsAre("v=spf1 -all", long_text));
  const auto mx = ParseMx(resolver->LookupNow("many.example.org", DnsType::kMx));
  ASSERT_EQ(mx.size(), 2u);
  EXPECT_EQ(mx[0].exchange, "a.example.org");
  EXPECT_EQ(mx[1].exchange, "b.example.org");
  EXPECT_EQ(mx[1].preference, 20);
  const auto null_mx = ParseMx(resolver->LookupNow("null.example.org", DnsType::kMx));
  ASSERT_EQ(null_mx.size(), 1u);
  EXPECT_EQ(null_mx[0].exchange, "");
  EXPECT_THAT(
      ParsePtr(resolver->LookupNow(ReverseName(*Endpoint::FromIp("5.6.7.8", 0)), DnsType::kPtr)),
      ::testing::ElementsAre("mx.example.org"));
  EXPECT_EQ(resolver->LookupNow("many.example.org", DnsType::kA).status, DnsStatus::kNoData);
  EXPECT_EQ(resolver->LookupNow("other.example.org", DnsType::kTxt).status, DnsStatus::kNoSuchName);
}

TEST(ParseTxt, JoinsStringsAndLeavesOutWhatIsCutShort) {
  DnsAnswer answer;
  answer.records = {std::string("\x02"
                                "ab\0\x01"
                                "c",
                                6),
                    "",
                    "\x05"
                    "abc",
                    "\x03"
                    "abc\x01"};
  EXPECT_THAT(ParseTxt(answer), ::testing::ElementsAre("abc", ""));
}

TEST(ParseMx, LeavesOutMalformedRecords) {
  DnsAnswer answer;
  answer.records = {"", std::string("\0\x01", 2), std::string("\0\x01\x05m", 4),
                    std::string("\0\x07\x01m\0", 5)};
  const auto records = ParseMx(answer);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].exchange, "m");
  EXPECT_EQ(records[0].preference, 7);
}

TEST(ReverseName, TurnsTheAddressRound) {
  EXPECT_EQ(ReverseName(*Endpoint::FromIp("192.0.2.1", 25)), "1.2.0.192.in-addr.arpa");
  EXPECT_EQ(ReverseName(*Endpoint::FromIp("2001:db8::567:89ab", 0)),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_EQ(ReverseName(*Endpoint::FromUnixPath("/run/lmtp.sock")), "");
}

}  // namespace
}  // namespace volley::io
