// Resolver: DNS questions answered in a thread of its own, so that no shard ever waits for one. On
// libunbound, with the system's resolv.conf and hosts file; libunbound caches by TTL.
//
// Threading: Lookup from any thread; callbacks run in the resolver's thread (post on from there,
//   for instance with Reactor::Wake). LookupNow waits for the answer: never call it in a shard.
// Lifetime: the destructor answers what is open with kCancelled, then joins the thread.
#ifndef VOLLEY_IO_RESOLVER_RESOLVER_H_
#define VOLLEY_IO_RESOLVER_RESOLVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "io/net/endpoint.h"

namespace volley::io {

enum class DnsType : uint16_t { kA = 1, kPtr = 12, kMx = 15, kTxt = 16, kAaaa = 28, kSrv = 33 };

enum class DnsStatus : uint8_t {
  kOk,          // there are records
  kNoSuchName,  // NXDOMAIN: the name does not exist
  kNoData,      // the name exists, without records of this type
  kFailed,      // SERVFAIL, REFUSED, a bogus signature: the name service cannot say
  kTimeout,
  kCancelled,
};
std::string_view DnsStatusName(DnsStatus status);

struct DnsAnswer {
  DnsStatus status = DnsStatus::kFailed;
  std::vector<std::string> records;  // wire format of each record's data, in the server's order
  absl::Duration ttl;
  std::string error;  // words for people where the status is not kOk
};

// The records of a kSrv answer, RFC 2782. Malformed ones are left out.
struct SrvRecord {
  uint16_t priority = 0, weight = 0, port = 0;
  std::string target;  // without the final dot; empty: the service is decidedly not available
};
std::vector<SrvRecord> ParseSrv(const DnsAnswer& answer);

// The texts of a kTxt answer, each record's character-strings joined without anything between them
// (RFC 7208 §3.3, RFC 6376 §3.6.2.2). Any bytes. Malformed ones are left out.
std::vector<std::string> ParseTxt(const DnsAnswer& answer);

// The records of a kMx answer, RFC 1035 §3.3.9, most preferred first. Malformed ones are left out.
struct MxRecord {
  uint16_t preference = 0;
  std::string exchange;  // without the final dot; empty: the domain takes no mail (RFC 7505)
};
std::vector<MxRecord> ParseMx(const DnsAnswer& answer);

// The names of a kPtr answer, without the final dot. Malformed ones are left out.
std::vector<std::string> ParsePtr(const DnsAnswer& answer);
// Where the PTR record of an address is: "4.3.2.1.in-addr.arpa" (RFC 1035 §3.5), or the 32 nibbles
// in ip6.arpa (RFC 3596 §2.5). Empty for a Unix path.
std::string ReverseName(const Endpoint& address);

struct HostAnswer {
  DnsStatus status = DnsStatus::kFailed;  // the worse of the two questions where none has records
  std::vector<Endpoint> endpoints;        // IPv6 first, then IPv4, each in the server's order
  absl::Duration ttl;
  std::string error;
};

struct ResolverOptions {
  // Servers to ask instead of resolv.conf's, as "address@port": for tests and special set-ups.
  std::vector<std::string> servers;
  bool use_hosts_file = true;
  absl::Duration timeout = absl::Seconds(10);  // of one question, all tries together
};

class Resolver {
 public:
  using Callback = std::function<void(const DnsAnswer&)>;
  using HostCallback = std::function<void(const HostAnswer&)>;

  static absl::StatusOr<std::unique_ptr<Resolver>> Create(const ResolverOptions& options);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // `name`: host name in ASCII (A-labels). One that no DNS message can hold is kNoSuchName.
  void Lookup(std::string_view name, DnsType type, Callback callback);
  DnsAnswer LookupNow(std::string_view name, DnsType type);
  // Addresses of a host by both families, asked at one time. A numeric address is its own answer
  // (given at once, in the caller's thread).
  void LookupHost(std::string_view host, uint16_t port, HostCallback callback);
  HostAnswer LookupHostNow(std::string_view host, uint16_t port);

 private:
  class Impl;
  explicit Resolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_RESOLVER_RESOLVER_H_
