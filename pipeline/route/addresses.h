// Addresses: where connections of a lane go: a relay's name, or the mail servers of a domain.
//
// Threading: Get from any thread, never waits. Lifetime: lists are immutable and shared.
#ifndef VOLLEY_PIPELINE_ROUTE_ADDRESSES_H_
#define VOLLEY_PIPELINE_ROUTE_ADDRESSES_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "io/base/time.h"
#include "io/net/endpoint.h"

namespace volley::pipeline {

struct AddressList {
  std::vector<io::Endpoint> endpoints;  // in order of preference; not empty
  // So many of the first are equally good and share the connections; the others are for when these
  // cannot be reached (RFC 5321 §5.1).
  size_t best = 0;
};

class Addresses {
 public:
  using List = std::shared_ptr<const AddressList>;
  virtual ~Addresses() = default;
  virtual List Get(io::MonoTime now) = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_ADDRESSES_H_
