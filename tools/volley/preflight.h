// What a preflight found, for people and for scripts.
//
// Threading: functions without state. What comes from strangers (DNS records) is shown as the rules
// have made it fit to be shown: printable ASCII, cut.
#ifndef VOLLEY_TOOLS_VOLLEY_PREFLIGHT_H_
#define VOLLEY_TOOLS_VOLLEY_PREFLIGHT_H_

#include <cstdio>
#include <nlohmann/json.hpp>

#include "pipeline/preflight/preflight.h"

namespace volley::tools {

// Worst first, each with what was found, why it matters and how to mend it; then a line that sums
// up. `verbose`: also what passed, and what was not checked and why.
void PrintPreflight(const pipeline::PreflightResult& result, FILE* out, bool verbose);

// {"errors": n, "warnings": n, "findings": [{"id", "severity", "found", "why", "source", "mend"}],
//  "passed": [id], "skipped": [{"id", "why"}]}
nlohmann::ordered_json PreflightJson(const pipeline::PreflightResult& result);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PREFLIGHT_H_
