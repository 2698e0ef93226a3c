// Who is who among providers: domains that only their owner's servers may send for, and relays
// whose ways matter to the rules. From the providers' public pages; general knowledge that changes
// slowly, so the rules only soften a finding or word its advice by it.
#ifndef VOLLEY_ENGINE_PREFLIGHT_PROVIDERS_H_
#define VOLLEY_ENGINE_PREFLIGHT_PROVIDERS_H_

#include <string_view>

namespace volley::engine::preflight {

// A mailbox provider whose domains are its customers' in common.
struct PublicProvider {
  std::string_view name;  // "Gmail"
  // Domains, separated by spaces. "yahoo.*": with any public suffix.
  std::string_view domains;
  // Where its own submission servers are: names at or below these.
  std::string_view servers;
};
// nullptr: a domain of somebody's own.
const PublicProvider* FindPublicProvider(std::string_view domain);
bool IsServerOf(const PublicProvider& provider, std::string_view host);

// A service that mail is often sent through.
struct RelayService {
  std::string_view name;     // "Amazon SES"
  std::string_view servers;  // names at or below these, separated by spaces
  std::string_view include;  // what goes into the SPF record
  // It sends with a reverse-path of its own unless told otherwise: SPF is then its business.
  bool own_reverse_path = false;
};
// nullptr: not known.
const RelayService* FindRelayService(std::string_view host);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_PROVIDERS_H_
