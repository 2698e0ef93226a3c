// The organisational domain: where a domain's owner is registered, by the Public Suffix List
// (libpsl's built-in copy). RFC 7489 §3.2: DMARC's relaxed alignment compares these.
// Threading: functions without state that may run in any thread.
#ifndef VOLLEY_ENGINE_PREFLIGHT_ORG_DOMAIN_H_
#define VOLLEY_ENGINE_PREFLIGHT_ORG_DOMAIN_H_

#include <string>
#include <string_view>

namespace volley::engine::preflight {

// "mail.example.co.uk" -> "example.co.uk". A public suffix is its own. `domain`: A-labels or UTF-8.
std::string OrganizationalDomain(std::string_view domain);
bool SameOrganization(std::string_view a, std::string_view b);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_ORG_DOMAIN_H_
