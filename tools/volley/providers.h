// `volley providers`: who receives mail where, what each allows, and who says so; what a file of
// the user's own changes.
#ifndef VOLLEY_TOOLS_VOLLEY_PROVIDERS_H_
#define VOLLEY_TOOLS_VOLLEY_PROVIDERS_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

void AddProvidersCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PROVIDERS_H_
