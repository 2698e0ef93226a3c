#include "pipeline/route/direct.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

namespace volley::pipeline {
namespace {

// Stands where each route's own servers come; a name that nobody has (RFC 6761 §6.4).
constexpr char kAnyServer[] = "smtp://mx.invalid?tls=opportunistic";

absl::Status OnlyARelayHas(std::string_view key) {
  return absl::InvalidArgumentError(
      fmt::format("via = \"mx\" sends without a relay: {} has no meaning there", key));
}

class OfFamily final : public Addresses {
 public:
  OfFamily(int family, std::shared_ptr<Addresses> all) : family_(family), all_(std::move(all)) {}

  // Once a connection; a list is short.
  List Get(io::MonoTime now) override {
    List all = all_->Get(now);
    AddressList some;
    for (size_t i = 0; i < all->endpoints.size(); ++i) {
      if (all->endpoints[i].family() != family_) continue;
      some.endpoints.push_back(all->endpoints[i]);
      some.best += i < all->best ? 1 : 0;
    }
    if (some.endpoints.empty()) return all;
    some.best = std::max<size_t>(some.best, 1);
    return std::make_shared<const AddressList>(std::move(some));
  }

 private:
  const int family_;
  const std::shared_ptr<Addresses> all_;
};

}  // namespace

absl::StatusOr<Source> ParseSource(std::string_view text) {
  const size_t equals = text.find('=');
  auto address = io::Endpoint::FromIp(text.substr(0, equals), 0);
  if (!address.ok()) {
    return absl::InvalidArgumentError(fmt::format(
        "source \"{}\": write an address of this host, 192.0.2.1 or 192.0.2.1=mail1.example.org",
        text));
  }
  Source source{*address, ""};
  if (equals == std::string_view::npos) return source;
  source.helo = text.substr(equals + 1);
  if (absl::Status s = CheckHeloName(source.helo); !s.ok()) return s;
  return source;
}

std::shared_ptr<Addresses> ReachableFrom(const io::Endpoint& source,
                                         std::shared_ptr<Addresses> addresses) {
  if (source.empty()) return addresses;
  return std::make_shared<OfFamily>(source.family(), std::move(addresses));
}

absl::StatusOr<bool> IsDirect(std::span<const RelayDefinition> relays) {
  const bool direct =
      std::any_of(relays.begin(), relays.end(), [](const auto& r) { return r.via == kDirect; });
  if (!direct || relays.size() == 1) return direct;
  return absl::InvalidArgumentError(
      "via = \"mx\" sends straight to each recipient's servers: leave the other relays away, or "
      "send through relays only");
}

absl::StatusOr<Relay> ConfigureDirect(const RelayDefinition& definition) {
  if (!definition.credentials.empty()) return OnlyARelayHas("a log-in");
  if (!definition.auth.empty() || definition.auth_insecure) return OnlyARelayHas("auth");
  if (!definition.tls_name.empty()) return OnlyARelayHas("tls_name");
  if (definition.weight) return OnlyARelayHas("weight");
  if (definition.rate || definition.quota) {
    return OnlyARelayHas("a relay's rate or quota ([limits] has the campaign's)");
  }
  RelayDefinition any = definition;
  any.via = kAnyServer;
  auto relay = ConfigureRelay(any, nullptr);
  if (relay.ok()) relay->name = kDirect;
  return relay;
}

}  // namespace volley::pipeline
