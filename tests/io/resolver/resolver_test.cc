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

}  // namespace
}  // namespace volley::io
