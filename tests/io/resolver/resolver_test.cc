#include "io/resolver/resolver.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

namespace volley::io {
namespace {

using ::testing::HasSubstr;

// A name server on a loopback port that knows a few names. Answers hold the question, and the
// records of `zone` for it: NXDOMAIN for names that begin with "no-such", SERVFAIL for "broken",
// silence for "silent".
class NameServer {
 public:
  NameServer() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    socklen_t bytes = sizeof a;
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&a), &bytes), 0);
    address_ = "127.0.0.1@" + std::to_string(ntohs(a.sin_port));
    thread_ = std::thread([this] { Serve(); });
  }
  ~NameServer() {
    stop_ = true;
    thread_.join();
    close(fd_);
  }
  const std::string& address() const { return address_; }

 private:
  void Serve() {
    char query[1500];
    while (!stop_) {
      pollfd p{fd_, POLLIN, 0};
      if (poll(&p, 1, 20) <= 0) continue;
      sockaddr_in from{};
      socklen_t bytes = sizeof from;
      const ssize_t n =
          recvfrom(fd_, query, sizeof query, 0, reinterpret_cast<sockaddr*>(&from), &bytes);
      if (n < 17) continue;
      const std::string reply = Answer({query, static_cast<size_t>(n)});
      if (reply.empty()) continue;
      sendto(fd_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), bytes);
    }
  }

  static void Record(std::string* reply, char type, std::string_view data) {
    reply->append("\xc0\x0c\0", 3);  // the question's name
    reply->push_back(type);
    reply->append("\0\x01\0\0\0\x3c\0", 7);  // IN, 60 s
    reply->push_back(static_cast<char>(data.size()));
    reply->append(data);
    ++(*reply)[7];
  }

  static std::string Answer(std::string_view query) {
    size_t end = 12;
    while (end < query.size() && query[end] != 0) end += static_cast<unsigned char>(query[end]) + 1;
    end += 5;
    if (end > query.size()) return "";
    const std::string_view question = query.substr(12, end - 12);
    const char type = question[question.size() - 3];
    std::string label(question.substr(1, static_cast<unsigned char>(question[0])));
    for (char& c : label) c = static_cast<char>(tolower(c));
    if (label == "silent") return "";
    std::string reply(query.substr(0, 2));
    reply.append("\x81\x80\0\x01\0\0\0\0\0\0", 10);
    reply.append(question);
    if (label == "no-such") reply[3] = '\x83';
    if (label == "broken") reply[3] = '\x82';
    if (label == "both" && type == 1) Record(&reply, 1, {"\x7f\0\0\x05", 4});
    if (label == "both" && type == 28) Record(&reply, 28, std::string(15, '\0') + '\x01');
    if (label == "four" && type == 1) Record(&reply, 1, {"\x7f\0\0\x06", 4});
    if (label == "_smtp" && type == 33) {
      Record(&reply, 33, {"\0\x0a\0\x05\x02\x4b\x02mx\x04test\0", 15});
    }
    return reply;
  }

  const int fd_;
  std::string address_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() {
    ResolverOptions options;
    options.servers = {server_.address()};
    options.use_hosts_file = false;
    options.timeout = absl::Seconds(3);
    auto resolver = Resolver::Create(options);
    EXPECT_TRUE(resolver.ok()) << resolver.status();
    resolver_ = *std::move(resolver);
  }
  NameServer server_;
  std::unique_ptr<Resolver> resolver_;
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
