// MxRouter: domain -> MX -> provider -> route (RFC 5321 §5.1): an MX record's hosts; where there is
// none the domain itself; a null MX (RFC 7505) or a name that does not exist takes no mail.
//
// Domains whose MX hosts and preferences are the same share a route. What DNS said is kept for its
// time to live (a minute at least, a day at most); when that is over the old answer serves until
// the new one is there. At most kAsksMax domains are asked about at a time.
//
// Overrides say where a domain's mail goes instead of DNS: "example.com=10.0.0.1:2525", "*=host"
// for every domain; each such domain is a route of its own, and loopback addresses are allowed
// there.
//
// Threading: one thread, which `on_answer` (from the resolver's thread) tells to call TakeAnswers.
// Lifetime: the resolver outlives it; the pack is kept. Errors: RouteAnswer. Bounds: kHostsMax of a
// domain's MX hosts are looked at.
#ifndef VOLLEY_PIPELINE_ROUTE_MX_ROUTER_H_
#define VOLLEY_PIPELINE_ROUTE_MX_ROUTER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/policy/provider_pack.h"
#include "io/base/time.h"
#include "io/resolver/resolver.h"
#include "pipeline/route/mx_addresses.h"
#include "pipeline/route/route.h"

namespace volley::pipeline {

struct MxOverride {
  std::string domain;  // "*": every one
  std::string host;    // name or address
  uint16_t port = 25;
};
// "DOMAIN=HOST[:PORT]"; an IPv6 address in brackets. InvalidArgument.
absl::StatusOr<MxOverride> ParseMxOverride(std::string_view text);

struct MxOptions {
  std::vector<MxOverride> overrides;
  uint16_t port = 25;
  bool allow_nobodys = false;  // loopback and the like as addresses of MX hosts: for tests
  uint64_t seed = 0;
  std::function<io::MonoTime()> clock = io::MonotonicNow;
};

class MxRouter final : public RouteFinder {
 public:
  static constexpr size_t kAsksMax = 64, kHostsMax = 20;

  MxRouter(io::Resolver* resolver, std::shared_ptr<const engine::policy::ProviderPack> pack,
           MxOptions options, std::function<void()> on_answer);
  ~MxRouter() override;

  RouteAnswer Find(std::string_view domain, io::MonoTime now) override;
  void TakeAnswers(const std::function<void(std::string_view domain)>& answered) override;

 private:
  struct Domain {
    std::shared_ptr<const Route> route;          // null: none (yet)
    std::unique_ptr<const RouteAnswer> refusal;  // why there is none
    io::MonoTime ask_again;
    bool asking = false;
  };
  // Shared with callbacks, which may come when the router is gone.
  struct Inbox;
  struct Mail;

  void Ask(std::string_view domain);
  void AskNext();
  void AskMx(const std::string& domain);
  void TakeMx(const std::string& domain, const io::DnsAnswer& answer);
  void UseHosts(const std::string& domain, std::vector<MxHost> hosts, absl::Duration ttl,
                const MxOverride* over);
  void TakeAddresses(const Mail& mail);
  void Settle(const std::string& domain, std::shared_ptr<const Route> route, absl::Duration ttl);
  void Refuse(const std::string& domain, RouteAnswer refusal, absl::Duration ttl);
  const MxOverride* OverrideFor(std::string_view domain) const;
  const engine::policy::Provider* ProviderOf(const std::string& domain,
                                             std::string_view host) const;

  io::Resolver* const resolver_;
  const std::shared_ptr<const engine::policy::ProviderPack> pack_;
  const MxOptions options_;
  const std::shared_ptr<Inbox> inbox_;
  absl::flat_hash_map<std::string, Domain> domains_;
  absl::flat_hash_map<std::string, std::shared_ptr<const Route>> routes_;  // by their hosts
  std::deque<std::string> to_ask_;
  std::deque<std::string> answered_;
  size_t asks_ = 0;
  uint32_t next_id_ = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_MX_ROUTER_H_
