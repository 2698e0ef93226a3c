// Similar names: what a host name that does not exist may have been meant to be.
//
// Threading: functions without state; NamesThatExist waits for DNS, bounded by its time-out.
#ifndef VOLLEY_PIPELINE_CHECK_SIMILAR_NAMES_H_
#define VOLLEY_PIPELINE_CHECK_SIMILAR_NAMES_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "io/resolver/resolver.h"

namespace volley::pipeline {

// "smtp.gmail.com" for "smpt.gmial.com": of the presets' hosts and other well-known ones. Empty:
// nothing is near enough.
std::string NearestKnownHost(std::string_view host);

// "smtp.example.org", "mail.example.org": names that mail servers of the domain often have.
std::vector<std::string> LikelyServerNames(std::string_view host);

// Those of `names` that have an address, in the same order. Asks about all at one time.
std::vector<std::string> NamesThatExist(std::span<const std::string> names, io::Resolver* resolver,
                                        absl::Duration timeout);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_SIMILAR_NAMES_H_
