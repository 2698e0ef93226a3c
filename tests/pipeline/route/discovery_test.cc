#include "pipeline/route/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/route/relay.h"
#include "tests/io/resolver/name_server.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using volley::testing::DnsReply;
using volley::testing::NameServer;
using volley::testing::SrvData;

DnsReply Zone(std::string_view name, uint16_t type) {
  DnsReply reply;
  if (type != 33) return reply;
  if (name == "_submissions._tcp.both.example.org") {
    reply.records = {SrvData(20, 0, 465, "second.both.example.org"),
                     SrvData(10, 1, 465, "light.both.example.org"),
                     SrvData(10, 9, 4650, "Heavy.Both.Example.Org")};
  }
  if (name == "_submission._tcp.both.example.org")
    reply.records = {SrvData(0, 0, 587, "x.both.example.org")};
  if (name == "_submission._tcp.starttls.example.org") {
    reply.records = {SrvData(0, 0, 587, "mail.starttls.example.org")};
  }
  if (name == "_submissions._tcp.hosted.example.org")
    reply.records = {SrvData(0, 0, 465, "mail.hoster.example.org")};
  if (name.ends_with("none.example.org")) reply.records = {SrvData(0, 0, 0, "")};
  if (name.ends_with("broken.example.org")) reply.code = 2;
  if (name.ends_with("missing.example.org")) reply.code = 3;
  return reply;
}

class DiscoveryTest : public ::testing::Test {
 protected:
  std::string Url(const char* address) {
    auto found = DiscoverRelay(address, resolver_.get());
    return found.ok() ? found->url() : std::string(found.status().message());
  }

  NameServer server_{Zone};
  std::unique_ptr<io::Resolver> resolver_ = volley::testing::ResolverOf(server_);
};

TEST_F(DiscoveryTest, TlsFromTheFirstByteComesFirstThenPriorityThenWeight) {
  EXPECT_EQ(Url("ann@both.example.org"), "smtps://heavy.both.example.org:4650");
}

TEST_F(DiscoveryTest, SubmissionMeansRequiredStarttls) {
  EXPECT_EQ(Url("ann@starttls.example.org"), "smtp://mail.starttls.example.org:587?tls=required");
}

TEST_F(DiscoveryTest, NothingAnnouncedIsSaidWithWhatToWriteInstead) {
  EXPECT_THAT(Url("ann@missing.example.org"), HasSubstr("smtps://mail.missing.example.org:465"));
  EXPECT_THAT(Url("ann@none.example.org"), HasSubstr("announces no submission server"));
}

TEST_F(DiscoveryTest, ANameServiceThatFailsIsNotTakenForNothingAnnounced) {
  const auto found = DiscoverRelay("ann@broken.example.org", resolver_.get());
  EXPECT_EQ(found.status().code(), absl::StatusCode::kUnavailable) << found.status();
}

TEST_F(DiscoveryTest, NonsenseIsNoAddress) {
  EXPECT_THAT(Url("ann@"), HasSubstr("not a mail address"));
  EXPECT_THAT(Url("a b@both.example.org"), HasSubstr("not a mail address"));
}

TEST_F(DiscoveryTest, ASecretDoesNotGoToAnotherDomainUnasked) {
  RelayDefinition d;
  d.via = "ann@hosted.example.org";
  auto relay = ConfigureRelay(d, resolver_.get());
  ASSERT_TRUE(relay.ok()) << relay.status();
  EXPECT_EQ(relay->url.host, "mail.hoster.example.org");
  EXPECT_THAT(relay->tls_options.also_accept, ElementsAre("hosted.example.org"));
  volley::testing::TempDir dir;
  d.credentials.user = "ann";
  d.credentials.password.file = dir.Write("pw", "secret");
  relay = ConfigureRelay(d, resolver_.get());
  EXPECT_EQ(relay.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(relay.status().message()),
              HasSubstr("--via smtps://mail.hoster.example.org:465"));
}

}  // namespace
}  // namespace volley::pipeline
