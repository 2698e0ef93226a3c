#include "io/net/endpoint.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

namespace volley::io {
namespace {

using ::testing::HasSubstr;

TEST(Endpoint, ParsesWhatItPrints) {
  for (const char* text :
       {"127.0.0.1:2525", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:25", "[2001:db8::7]:587",
        "[::ffff:192.0.2.1]:1", "unix:/run/dovecot/lmtp.sock", "unix:relative"}) {
    const absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(text);
    ASSERT_TRUE(endpoint.ok()) << text << ": " << endpoint.status();
    EXPECT_EQ(endpoint->ToString(), text);
    EXPECT_EQ(Endpoint::FromSockaddr(endpoint->address(), endpoint->address_bytes()), *endpoint);
  }
}

TEST(Endpoint, RefusesWhatIsNoAddress) {
  using namespace std::string_literals;
  for (const std::string& text : {""s,
                                  ":"s,
                                  "127.0.0.1"s,
                                  "127.0.0.1:"s,
                                  "127.0.0.1:65536"s,
                                  "127.0.0.1:-1"s,
                                  "127.0.0.1:+1"s,
                                  "127.0.0.1: 25"s,
                                  "127.0.0.1:25x"s,
                                  "127.1:25"s,
                                  "127.0.0.256:25"s,
                                  "0127.0.0.1:25"s,
                                  "::1:25"s,
                                  "[::1]"s,
                                  "[::1]25"s,
                                  "[::1:25"s,
                                  "[127.0.0.1]:25"s,
                                  "[fe80::1%lo]:25"s,
                                  "localhost:25"s,
                                  "mx.example.com:25"s,
                                  "unix:"s,
                                  "unix:/a\0b"s,
                                  "127.0.0.1\0:25"s,
                                  "127.0.0.1\0x:25"s,
                                  "unix:"s + std::string(108, 'p'),
                                  std::string(100'000, '1') + ":25"}) {
    EXPECT_FALSE(Endpoint::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(Endpoint::FromIp("[::1]", 25).ok());
  EXPECT_FALSE(Endpoint::FromIp("", 25).ok());
}

TEST(Endpoint, ErrorsNameTheTextAndTheReason) {
  EXPECT_THAT(std::string(Endpoint::Parse("::1:25").status().message()), HasSubstr("brackets"));
  EXPECT_THAT(std::string(Endpoint::Parse("1.2.3.4:99999").status().message()),
              HasSubstr("1.2.3.4:99999"));
  EXPECT_THAT(std::string(Endpoint::Parse("mail").status().message()), HasSubstr("IP:PORT"));
}

TEST(Endpoint, TellsItsParts) {
  Endpoint v4 = *Endpoint::FromIp("192.0.2.7", 25);
  EXPECT_EQ(v4.family(), AF_INET);
  EXPECT_EQ(v4.ip(), "192.0.2.7");
  EXPECT_EQ(v4.port(), 25);
  v4.set_port(587);
  EXPECT_EQ(v4.ToString(), "192.0.2.7:587");
  Endpoint v6 = *Endpoint::FromIp("2001:DB8:0::7", 465);
  EXPECT_EQ(v6.ip(), "2001:db8::7");
  v6.set_port(1);
  EXPECT_EQ(v6.port(), 1);
  const Endpoint path = *Endpoint::FromUnixPath("/tmp/x");
  EXPECT_EQ(path.ip(), "/tmp/x");
  EXPECT_EQ(path.port(), 0);
  EXPECT_TRUE(Endpoint().empty());
  EXPECT_EQ(Endpoint().ToString(), "");
}

TEST(Endpoint, KnowsLoopback) {
  EXPECT_TRUE(Endpoint::Parse("127.9.9.9:1")->is_loopback());
  EXPECT_TRUE(Endpoint::Parse("[::1]:1")->is_loopback());
  EXPECT_TRUE(Endpoint::Parse("[::ffff:127.0.0.1]:1")->is_loopback());
  EXPECT_TRUE(Endpoint::Parse("unix:/x")->is_loopback());
  EXPECT_FALSE(Endpoint::Parse("128.0.0.1:1")->is_loopback());
  EXPECT_FALSE(Endpoint::Parse("[2001:db8::1]:1")->is_loopback());
  EXPECT_FALSE(Endpoint::Parse("[::ffff:10.0.0.1]:1")->is_loopback());
  EXPECT_FALSE(Endpoint().is_loopback());
}

TEST(Endpoint, ComparesByValue) {
  EXPECT_EQ(*Endpoint::Parse("1.2.3.4:5"), *Endpoint::FromIp("1.2.3.4", 5));
  EXPECT_FALSE(*Endpoint::Parse("1.2.3.4:5") == *Endpoint::Parse("1.2.3.4:6"));
  EXPECT_FALSE(*Endpoint::Parse("1.2.3.4:5") == *Endpoint::Parse("1.2.3.5:5"));
  EXPECT_FALSE(*Endpoint::Parse("1.2.3.4:5") == *Endpoint::Parse("[::ffff:1.2.3.4]:5"));
  EXPECT_EQ(*Endpoint::Parse("[::1]:5"), *Endpoint::Parse("[0:0::1]:5"));
  EXPECT_EQ(*Endpoint::Parse("unix:/a"), *Endpoint::Parse("unix:/a"));
  EXPECT_FALSE(*Endpoint::Parse("unix:/a") == *Endpoint::Parse("unix:/b"));
  EXPECT_EQ(Endpoint(), Endpoint());
  EXPECT_FALSE(Endpoint() == *Endpoint::Parse("0.0.0.0:0"));
}

TEST(Endpoint, TakesWhatTheKernelGives) {
  sockaddr_un unnamed{};  // a client's end: family only, no path
  unnamed.sun_family = AF_UNIX;
  const Endpoint client =
      Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&unnamed), sizeof(sa_family_t));
  EXPECT_EQ(client.ToString(), "unix:");
  std::memset(unnamed.sun_path, 'p', sizeof(unnamed.sun_path));  // no final NUL
  const Endpoint longest =
      Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&unnamed), sizeof(unnamed));
  EXPECT_EQ(longest.ip().size(), sizeof(unnamed.sun_path));
  EXPECT_TRUE(Endpoint::FromSockaddr(nullptr, 0).empty());
}

TEST(EndpointDeathTest, AUnixPathHasNoPort) {
  Endpoint path = *Endpoint::FromUnixPath("/tmp/x");
  EXPECT_DEATH(path.set_port(1), "check failed");
}

}  // namespace
}  // namespace volley::io
