#include "pipeline/route/relay_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/io/resolver/name_server.h"

namespace volley::pipeline {
namespace {

using volley::testing::DnsReply;
using volley::testing::NameServer;

// "mail.example.org" moves from 127.0.0.1 to 127.0.0.2 when `moved`; SERVFAIL when `broken`.
class RelayAddressesTest : public ::testing::Test {
 protected:
  std::shared_ptr<RelayAddresses> Make(absl::Duration ttl) {
    const io::HostAnswer first{io::DnsStatus::kOk, {*io::Endpoint::Parse("127.0.0.1:25")}, ttl, ""};
    return RelayAddresses::Create(resolver_.get(), "mail.example.org", 25, first, start_);
  }
  // Asks until the address is `wanted` or two seconds are over.
  static std::string WaitFor(RelayAddresses* addresses, io::MonoTime now,
                             const std::string& wanted) {
    std::string got;
    for (int i = 0; i < 200 && got != wanted; ++i) {
      got = addresses->Get(now)->endpoints.at(0).ToString();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return got;
  }

  std::atomic<bool> broken_{false};
  std::atomic<int> questions_{0};
  NameServer server_{[this](std::string_view name, uint16_t type) {
    DnsReply reply;
    if (name == "mail.example.org" && type == 1) {
      ++questions_;
      reply.records = {{"\x7f\0\0\x02", 4}};
    }
    if (broken_) reply.code = 2;
    return reply;
  }};
  std::unique_ptr<io::Resolver> resolver_ = volley::testing::ResolverOf(server_);
  const io::MonoTime start_ = io::MonotonicNow();
};

TEST_F(RelayAddressesTest, NobodyIsAskedBeforeTheTimeIsOver) {
  const auto addresses = Make(absl::Seconds(60));
  EXPECT_EQ(addresses->Get(start_ + absl::Seconds(59))->endpoints.at(0).ToString(), "127.0.0.1:25");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(questions_, 0);
}

TEST_F(RelayAddressesTest, AfterItTheOldOnesServeUntilTheNewOnesAreThere) {
  const auto addresses = Make(absl::Seconds(60));
  const io::MonoTime later = start_ + absl::Seconds(61);
  EXPECT_EQ(addresses->Get(later)->endpoints.at(0).ToString(), "127.0.0.1:25");
  EXPECT_EQ(WaitFor(addresses.get(), later, "127.0.0.2:25"), "127.0.0.2:25");
  EXPECT_EQ(questions_, 1);
}

TEST_F(RelayAddressesTest, AFailureKeepsThem) {
  broken_ = true;
  const auto addresses = Make(absl::Seconds(60));
  const io::MonoTime later = start_ + absl::Seconds(61);
  EXPECT_EQ(addresses->Get(later)->endpoints.size(), 1u);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(addresses->Get(later)->endpoints.at(0).ToString(), "127.0.0.1:25");
}

TEST_F(RelayAddressesTest, ANumericAddressIsNeverAskedFor) {
  const auto addresses = Make(absl::InfiniteDuration());
  EXPECT_EQ(addresses->Get(start_ + absl::Hours(10000))->endpoints.size(), 1u);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(questions_, 0);
}

TEST_F(RelayAddressesTest, MayGoWhileItsQuestionIsOpen) {
  auto addresses = Make(absl::Seconds(1));
  addresses->Get(start_ + absl::Seconds(61));
  addresses.reset();
  resolver_.reset();
}

}  // namespace
}  // namespace volley::pipeline
