// MxAddresses: the addresses of one route's MX hosts, most preferred first (RFC 5321 §5.1), those
// of equal preference in an order of chance; looked up again when the answers' time to live is
// over.
//
// Addresses that cannot be another host's mail server (loopback, unspecified, link-local,
// multicast) are left out: a domain that has them in its MX would have us talk to ourselves.
//
// Threading: any thread; never waits. Lifetime: the resolver outlives it. Errors: see Ready.
#ifndef VOLLEY_PIPELINE_ROUTE_MX_ADDRESSES_H_
#define VOLLEY_PIPELINE_ROUTE_MX_ADDRESSES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "io/base/time.h"
#include "io/net/endpoint.h"
#include "io/resolver/resolver.h"
#include "pipeline/route/addresses.h"
#include "pipeline/route/route.h"

namespace volley::pipeline {

// Not an address of another host: see above.
bool IsNobodys(const io::Endpoint& address);

class MxAddresses final : public Addresses, public std::enable_shared_from_this<MxAddresses> {
 public:
  static constexpr size_t kAddressesMax = 40;

  struct Options {
    io::Resolver* resolver = nullptr;
    std::vector<MxHost> hosts;  // most preferred first; not empty
    uint16_t port = 25;
    bool allow_nobodys = false;
    uint64_t seed = 0;  // of the order among equals
    std::function<io::MonoTime()> clock = io::MonotonicNow;
  };
  // How the first look-up ended.
  enum class Ready : uint8_t {
    kOk,
    kNone,    // no host has an address, for certain; or none that could be another host's
    kFailed,  // the name service does not say
  };
  // `ready` once, from the resolver's thread, or from this call where nothing need be asked.
  static std::shared_ptr<MxAddresses> Start(Options options,
                                            std::function<void(Ready, std::string why)> ready);

  List Get(io::MonoTime now) override;  // REQUIRES: kOk was said

 private:
  explicit MxAddresses(Options options) : options_(std::move(options)), random_(options_.seed) {}
  void Ask();
  void Take(size_t host, const io::HostAnswer& answer);
  void Finish();  // under the lock
  Ready Build(std::string* why);

  const Options options_;
  std::mutex mutex_;
  std::function<void(Ready, std::string)> ready_;  // null: told
  std::vector<io::HostAnswer> answers_;            // of the look-up that is under way
  size_t open_ = 0;                                // questions of it
  List list_;
  io::MonoTime ask_again_;  // infinite while questions are open
  std::mt19937_64 random_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_MX_ADDRESSES_H_
