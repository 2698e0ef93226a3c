#include "engine/preflight/org_domain.h"

#include <libpsl.h>

#include "engine/preflight/text.h"

namespace volley::engine::preflight {

std::string OrganizationalDomain(std::string_view domain) {
  std::string name = ToLower(domain);
  while (name.ends_with('.')) name.pop_back();
  if (name.find('\0') != name.npos) return name;  // the library would see less than all of it
  // The library gives a pointer into `name`, or none where it is a public suffix itself.
  const char* registered = psl_registrable_domain(psl_builtin(), name.c_str());
  return registered == nullptr ? name : std::string(registered);
}

bool SameOrganization(std::string_view a, std::string_view b) {
  return !a.empty() && !b.empty() && OrganizationalDomain(a) == OrganizationalDomain(b);
}

}  // namespace volley::engine::preflight
