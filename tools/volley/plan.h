// `volley plan`: when a campaign would be done, provider by provider, and what holds it.
#ifndef VOLLEY_TOOLS_VOLLEY_PLAN_H_
#define VOLLEY_TOOLS_VOLLEY_PLAN_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

void AddPlanCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PLAN_H_
