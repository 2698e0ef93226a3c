#include "pipeline/route/relay_addresses.h"

#include <algorithm>
#include <utility>

namespace volley::pipeline {
namespace {

// Names with no time to live at all (load balancers) are not asked for at every connection, and a
// name service that is away is given this long.
constexpr absl::Duration kAskAgainMin = absl::Seconds(10);

io::MonoTime AskAgain(io::MonoTime now, absl::Duration ttl) {
  if (ttl == absl::InfiniteDuration()) return io::MonoTime::Infinite();
  return now + std::max(ttl, kAskAgainMin);
}

// A name's addresses are all as good as each other.
Addresses::List MakeList(const io::HostAnswer& answer) {
  return std::make_shared<const AddressList>(
      AddressList{answer.endpoints, answer.endpoints.size()});
}

}  // namespace

RelayAddresses::RelayAddresses(io::Resolver* resolver, std::string host, uint16_t port,
                               const io::HostAnswer& first, io::MonoTime now)
    : resolver_(resolver),
      host_(std::move(host)),
      port_(port),
      list_(MakeList(first)),
      ask_again_(AskAgain(now, first.ttl)) {}

std::shared_ptr<RelayAddresses> RelayAddresses::Create(io::Resolver* resolver, std::string host,
                                                       uint16_t port, const io::HostAnswer& first,
                                                       io::MonoTime now) {
  return std::shared_ptr<RelayAddresses>(
      new RelayAddresses(resolver, std::move(host), port, first, now));
}

Addresses::List RelayAddresses::Get(io::MonoTime now) {
  std::unique_lock lock(mutex_);
  List list = list_;
  if (now < ask_again_) return list;
  ask_again_ = io::MonoTime::Infinite();
  lock.unlock();
  resolver_->LookupHost(host_, port_, [self = weak_from_this(), now](const io::HostAnswer& answer) {
    if (const auto addresses = self.lock()) addresses->Take(answer, now);
  });
  return list;
}

// An answer without addresses changes nothing: those we have are the best there is.
void RelayAddresses::Take(const io::HostAnswer& answer, io::MonoTime asked_at) {
  const std::lock_guard lock(mutex_);
  const bool good = answer.status == io::DnsStatus::kOk && !answer.endpoints.empty();
  if (good) list_ = MakeList(answer);
  ask_again_ = AskAgain(asked_at, good ? answer.ttl : kAskAgainMin);
}

}  // namespace volley::pipeline
