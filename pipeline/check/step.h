// Step: one thing that `volley check` did: what, whether it went well, how long it took, what it
// found.
#ifndef VOLLEY_PIPELINE_CHECK_STEP_H_
#define VOLLEY_PIPELINE_CHECK_STEP_H_

#include <string>

#include "absl/time/time.h"

namespace volley::pipeline {

struct Step {
  std::string name;  // "resolve", "connect", "greeting", "ehlo", "tls", "auth", ...: stable
  bool ok = true;    // false: it did not go well; whether that matters says the diagnosis
  absl::Duration took;
  std::string detail;  // lines, separated by '\n'
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_STEP_H_
