// NameServer: a name server on a loopback port with a zone made of code.
#ifndef VOLLEY_TESTS_IO_RESOLVER_NAME_SERVER_H_
#define VOLLEY_TESTS_IO_RESOLVER_NAME_SERVER_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "io/resolver/resolver.h"

namespace volley::testing {

struct DnsReply {
  uint8_t code = 0;                  // 0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN
  bool silent = false;               // no reply at all
  std::vector<std::string> records;  // data of each, of the type that was asked for
};

// A name in wire format.
inline std::string DnsName(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    out.push_back(static_cast<char>(label.size()));
    out.append(label);
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  out.push_back('\0');
  return out;
}

// RFC 2782. target "": the root, "decidedly not available".
inline std::string SrvData(uint16_t priority, uint16_t weight, uint16_t port,
                           std::string_view target) {
  std::string out;
  for (const uint16_t n : {priority, weight, port}) {
    out.push_back(static_cast<char>(n >> 8));
    out.push_back(static_cast<char>(n & 255));
  }
  return out + DnsName(target);
}

// RFC 1035 §3.3.9. exchange "": the null MX, RFC 7505.
inline std::string MxData(uint16_t preference, std::string_view exchange) {
  return std::string{static_cast<char>(preference >> 8), static_cast<char>(preference & 255)} +
         DnsName(exchange);
}

// One record of as many character-strings as the text needs.
inline std::string TxtData(std::string_view text) {
  std::string out;
  do {
    const std::string_view part = text.substr(0, 255);
    out.push_back(static_cast<char>(part.size()));
    out.append(part);
    text.remove_prefix(part.size());
  } while (!text.empty());
  return out;
}

// Of an A or AAAA record.
inline std::string AddressData(const std::string& ip) {
  char bytes[16];
  if (inet_pton(AF_INET, ip.c_str(), bytes) == 1) return {bytes, 4};
  EXPECT_EQ(inet_pton(AF_INET6, ip.c_str(), bytes), 1) << ip;
  return {bytes, 16};
}

// A zone made of records, several types a name: what is not in it does not exist. Names in lower
// case, without a final dot.
class ZoneTable {
 public:
  ZoneTable& Add(const std::string& name, uint16_t type, std::string data) {
    names_[name][type].records.push_back(std::move(data));
    return *this;
  }
  ZoneTable& Txt(const std::string& name, std::string_view text) {
    return Add(name, 16, TxtData(text));
  }
  ZoneTable& Mx(const std::string& name, uint16_t preference, std::string_view exchange) {
    return Add(name, 15, MxData(preference, exchange));
  }
  ZoneTable& Ptr(const std::string& name, std::string_view target) {
    return Add(name, 12, DnsName(target));
  }
  ZoneTable& Address(const std::string& name, const std::string& ip) {
    const std::string data = AddressData(ip);
    return Add(name, data.size() == 4 ? 1 : 28, data);
  }
  // Every question about the name gets this answer instead of its records.
  ZoneTable& Always(const std::string& name, DnsReply reply) {
    always_[name] = std::move(reply);
    return *this;
  }
  ZoneTable& Remove(const std::string& name, uint16_t type) {
    names_[name].erase(type);
    return *this;
  }
  ZoneTable& Remove(const std::string& name) {
    names_.erase(name);
    return *this;
  }

  DnsReply operator()(std::string_view name, uint16_t type) const {
    if (const auto it = always_.find(name); it != always_.end()) return it->second;
    const auto types = names_.find(name);
    if (types == names_.end()) return {.code = 3, .silent = false, .records = {}};
    const auto reply = types->second.find(type);
    return reply == types->second.end() ? DnsReply() : reply->second;
  }

 private:
  std::map<std::string, std::map<uint16_t, DnsReply>, std::less<>> names_;
  std::map<std::string, DnsReply, std::less<>> always_;
};

class NameServer {
 public:
  // Called in the server's thread, with the name in lower case.
  using Zone = std::function<DnsReply(std::string_view name, uint16_t type)>;

  explicit NameServer(Zone zone)
      : zone_(std::move(zone)), fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
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
  // As ResolverOptions::servers takes it.
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

  std::string Answer(std::string_view query) const {
    std::string name;
    size_t at = 12;
    while (at < query.size() && query[at] != 0) {
      const size_t length = static_cast<unsigned char>(query[at]);
      if (!name.empty()) name.push_back('.');
      for (const char c : query.substr(at + 1, length)) {
        name.push_back(static_cast<char>(tolower(static_cast<unsigned char>(c))));
      }
      at += length + 1;
    }
    const size_t end = at + 5;
    if (end > query.size()) return "";
    const std::string type(query.substr(end - 4, 2));
    const DnsReply answer =
        zone_(name, static_cast<uint16_t>(static_cast<unsigned char>(type[0]) << 8 |
                                          static_cast<unsigned char>(type[1])));
    if (answer.silent) return "";
    std::string reply(query.substr(0, 2));
    reply.append("\x81\x80\0\x01\0\0\0\0\0\0", 10);
    reply[3] = static_cast<char>(0x80 | answer.code);
    reply[7] = static_cast<char>(answer.records.size());
    reply.append(query.substr(12, end - 12));
    for (const std::string& data : answer.records) {
      reply.append("\xc0\x0c", 2).append(type);  // the question's name and type
      reply.append("\0\x01\0\0\0\x3c", 6);       // IN, 60 s
      reply.push_back(static_cast<char>(data.size() >> 8));
      reply.push_back(static_cast<char>(data.size() & 255));
      reply.append(data);
    }
    return reply;
  }

  const Zone zone_;
  const int fd_;
  std::string address_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// One that asks nobody but `server`.
inline std::unique_ptr<io::Resolver> ResolverOf(const NameServer& server) {
  io::ResolverOptions options;
  options.servers = {server.address()};
  options.use_hosts_file = false;
  options.timeout = absl::Seconds(3);
  auto resolver = io::Resolver::Create(options);
  EXPECT_TRUE(resolver.ok()) << resolver.status();
  return *std::move(resolver);
}

}  // namespace volley::testing

#endif  // VOLLEY_TESTS_IO_RESOLVER_NAME_SERVER_H_
