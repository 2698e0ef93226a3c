// volley bounce: what replies mean.
#ifndef VOLLEY_TOOLS_VOLLEY_BOUNCE_H_
#define VOLLEY_TOOLS_VOLLEY_BOUNCE_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

void AddBounceCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_BOUNCE_H_
