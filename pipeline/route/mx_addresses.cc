#include "pipeline/route/mx_addresses.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <utility>

namespace volley::pipeline {
namespace {

constexpr absl::Duration kTtlMin = absl::Seconds(60), kTtlMax = absl::Hours(24);

bool IsNobodysV4(uint32_t address) {
  const uint32_t first = address >> 24;
  return first == 0 || first == 127 || first >= 224 || address >> 16 == 0xA9FE;
}

}  // namespace

bool IsNobodys(const io::Endpoint& address) {
  if (address.family() == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(address.address());
    return IsNobodysV4(ntohl(in->sin_addr.s_addr));
  }
  if (address.family() != AF_INET6) return true;
  const in6_addr& a = reinterpret_cast<const sockaddr_in6*>(address.address())->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&a)) return true;
  return IN6_IS_ADDR_UNSPECIFIED(&a) || IN6_IS_ADDR_LOOPBACK(&a) || IN6_IS_ADDR_MULTICAST(&a) ||
         IN6_IS_ADDR_LINKLOCAL(&a);
}

std::shared_ptr<MxAddresses> MxAddresses::Start(Options options,
                                                std::function<void(Ready, std::string why)> ready) {
  std::shared_ptr<MxAddresses> addresses(new MxAddresses(std::move(options)));
  addresses->ready_ = std::move(ready);
  addresses->Ask();
  return addresses;
}

Addresses::List MxAddresses::Get(io::MonoTime now) {
  std::unique_lock lock(mutex_);
  List list = list_;
  const bool ask = now >= ask_again_;
  if (ask) ask_again_ = io::MonoTime::Infinite();
  lock.unlock();
  if (ask) Ask();
  return list;
}

void MxAddresses::Ask() {
  {
    const std::lock_guard lock(mutex_);
    answers_.assign(options_.hosts.size(), {});
    open_ = options_.hosts.size();
    ask_again_ = io::MonoTime::Infinite();
  }
  for (size_t i = 0; i < options_.hosts.size(); ++i) {
    options_.resolver->LookupHost(
        options_.hosts[i].name, options_.port,
        [self = shared_from_this(), i](const io::HostAnswer& answer) { self->Take(i, answer); });
  }
}

void MxAddresses::Take(size_t host, const io::HostAnswer& answer) {
  std::string why;
  std::unique_lock lock(mutex_);
  answers_[host] = answer;
  if (--open_ > 0) return;
  const Ready ready = Build(&why);
  answers_.clear();
  const auto tell = std::exchange(ready_, nullptr);
  lock.unlock();
  if (tell) tell(ready, std::move(why));
}

// An answer without addresses changes nothing: those we have are the best there is.
MxAddresses::Ready MxAddresses::Build(std::string* why) {
  AddressList list;
  absl::Duration ttl = kTtlMax;
  bool failed = false;
  for (size_t begin = 0; begin < options_.hosts.size();) {
    size_t end = begin;
    std::vector<io::Endpoint> equals;
    for (; end < options_.hosts.size() &&
           options_.hosts[end].preference == options_.hosts[begin].preference;
         ++end) {
      const io::HostAnswer& answer = answers_[end];
      if (answer.status == io::DnsStatus::kOk) ttl = std::min(ttl, answer.ttl);
      for (const io::Endpoint& address : answer.endpoints) {
        if (options_.allow_nobodys || !IsNobodys(address)) {
          equals.push_back(address);
        } else {
          *why = fmt::format("{} is {}, which is no other host's address", options_.hosts[end].name,
                             address.ip());
        }
      }
      failed = failed ||
               (answer.status != io::DnsStatus::kOk && answer.status != io::DnsStatus::kNoData &&
                answer.status != io::DnsStatus::kNoSuchName);
      if (failed && why->empty()) *why = answer.error;
    }
    std::shuffle(equals.begin(), equals.end(), random_);
    list.endpoints.insert(list.endpoints.end(), equals.begin(), equals.end());
    if (list.best == 0) list.best = equals.size();
    begin = end;
  }
  if (list.endpoints.size() > kAddressesMax) list.endpoints.resize(kAddressesMax);
  list.best = std::min(list.best, kAddressesMax);
  ask_again_ = options_.clock() + std::clamp(failed ? kTtlMin : ttl, kTtlMin, kTtlMax);
  if (list.endpoints.empty()) return failed ? Ready::kFailed : Ready::kNone;
  list_ = std::make_shared<const AddressList>(std::move(list));
  return Ready::kOk;
}

}  // namespace volley::pipeline
