#include "pipeline/route/discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "engine/message/address.h"

namespace volley::pipeline {
namespace {

absl::StatusOr<std::string> DomainOf(std::string_view address) {
  std::string canonical;
  auto info = engine::message::AppendCanonicalAddress(address, {}, &canonical);
  if (!info.ok()) {
    // "user:password@host" without its scheme comes here too, and is not repeated.
    const std::string_view shown =
        address.find(':') == std::string_view::npos ? address : "(not shown)";
    return absl::InvalidArgumentError(fmt::format("relay \"{}\": not a mail address: {}", shown,
                                                  std::string(info.status().message())));
  }
  return canonical.substr(info->local_part_bytes + 1);
}

// RFC 2782: the lowest priority number; among those we take the greatest weight rather than draw
// lots, so that a run can be repeated. nullopt: "." only.
std::optional<io::SrvRecord> Best(std::vector<io::SrvRecord> records) {
  std::erase_if(records, [](const auto& r) { return r.target.empty() || r.port == 0; });
  const auto best =
      std::min_element(records.begin(), records.end(), [](const auto& a, const auto& b) {
        return a.priority != b.priority ? a.priority < b.priority : a.weight > b.weight;
      });
  if (best == records.end()) return std::nullopt;
  return *best;
}

bool IsInside(std::string_view host, std::string_view domain) {
  return host == domain || (host.size() > domain.size() && host.ends_with(domain) &&
                            host[host.size() - domain.size() - 1] == '.');
}

}  // namespace

std::string DiscoveredRelay::url() const {
  return implicit_tls ? fmt::format("smtps://{}:{}", host, port)
                      : fmt::format("smtp://{}:{}?tls=required", host, port);
}

absl::StatusOr<DiscoveredRelay> DiscoverRelay(std::string_view address, io::Resolver* resolver) {
  auto domain = DomainOf(address);
  if (!domain.ok()) return domain.status();
  // RFC 8314 §5.1: TLS from the first byte is preferred to STARTTLS.
  for (const bool implicit : {true, false}) {
    const std::string name = fmt::format("_submission{}._tcp.{}", implicit ? "s" : "", *domain);
    const io::DnsAnswer answer = resolver->LookupNow(name, io::DnsType::kSrv);
    if (answer.status == io::DnsStatus::kFailed || answer.status == io::DnsStatus::kTimeout) {
      return absl::UnavailableError(
          fmt::format("relay \"{}\": the name service does not answer for {}: {}; give the "
                      "server's URL instead",
                      address, name, answer.error));
    }
    const auto best = Best(io::ParseSrv(answer));
    if (!best) continue;
    DiscoveredRelay found{*domain, best->target, best->port, implicit, false};
    absl::AsciiStrToLower(&found.host);
    found.inside_domain = IsInside(found.host, *domain);
    return found;
  }
  return absl::NotFoundError(fmt::format(
      "relay \"{}\": {} announces no submission server (no DNS SRV records _submissions._tcp or "
      "_submission._tcp); ask your provider for the server's name and write it as "
      "smtps://mail.{}:465 or smtp://mail.{}:587",
      address, *domain, *domain, *domain));
}

}  // namespace volley::pipeline
