// One file of a provider pack, read and checked by itself; provider_pack.cc puts files together.
//
// Threading: one thread. Lifetime: providers point at the sources in the list they were read with.
#ifndef VOLLEY_ENGINE_POLICY_PACK_READER_H_
#define VOLLEY_ENGINE_POLICY_PACK_READER_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/policy/provider.h"
#include "engine/policy/provider_pack.h"

namespace volley::engine::policy {

// What is wrong in the files, all of it, so that a user mends a file once.
class Faults {
 public:
  // `place`: "providers.toml:17".
  void Add(std::string_view place, std::string_view what);
  bool empty() const { return faults_.empty(); }
  // OK, or the faults in the order of their lines, kErrorsMax of them.
  absl::Status ToStatus() const;

 private:
  std::vector<std::string> faults_;
};

struct PackLayer {
  bool own = false;
  std::string released;
  // Only what the file says is set: an Origin with a place.
  std::vector<Provider> providers;
};

// `sources` gets what the file adds. What has a fault is left out.
PackLayer ReadPackFile(const PackFile& file, bool own, std::deque<Source>* sources, Faults* faults);

}  // namespace volley::engine::policy

#endif  // VOLLEY_ENGINE_POLICY_PACK_READER_H_
