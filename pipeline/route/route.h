// Route: the servers that take mail for one domain or several, and how to find a domain's.
//
// Domains whose MX hosts are the same share a route, and so its sessions. The provider says who
// that is and what he allows; many routes can have one provider.
//
// Threading: a Route is immutable. A RouteFinder belongs to one thread, which it never makes wait.
#ifndef VOLLEY_PIPELINE_ROUTE_ROUTE_H_
#define VOLLEY_PIPELINE_ROUTE_ROUTE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/policy/provider.h"
#include "engine/smtp/types.h"
#include "io/base/time.h"
#include "pipeline/route/addresses.h"

namespace volley::pipeline {

struct MxHost {
  std::string name;  // without a dot at the end
  uint16_t preference = 0;
  bool operator==(const MxHost&) const = default;
};

struct Route {
  uint32_t id = 0;   // no two routes of a finder have the same
  std::string name;  // for people, stable: the most preferred host
  const engine::policy::Provider* provider = nullptr;  // never null
  std::vector<MxHost> hosts;  // most preferred first; empty: an address literal
  std::shared_ptr<Addresses> addresses;
};

struct RouteAnswer {
  enum class State : uint8_t {
    kKnown,
    kAsking,        // DNS is asked; TakeAnswers will name the domain
    kNoMail,        // it does not exist, or takes no mail: code, enhanced and text say so
    kFailedForNow,  // the name service does not say: as well
  };
  State state = State::kAsking;
  std::shared_ptr<const Route> route = {};  // kKnown
  engine::smtp::ReplyCode code = {};
  engine::smtp::EnhancedCode enhanced = {};
  std::string text = {};
};

class RouteFinder {
 public:
  virtual ~RouteFinder() = default;
  // `domain`: of a canonical address, so in lower case A-labels, or a literal in brackets.
  virtual RouteAnswer Find(std::string_view domain, io::MonoTime now) = 0;
  // Domains that Find said kAsking of and about which more is known now.
  virtual void TakeAnswers(const std::function<void(std::string_view domain)>& answered) = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_ROUTE_H_
