// `volley check`: connects to a relay as `send` would and says what is wrong.
#ifndef VOLLEY_TOOLS_VOLLEY_CHECK_H_
#define VOLLEY_TOOLS_VOLLEY_CHECK_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

// LIFETIME: `exit_code` outlives the parse.
void AddCheckCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_CHECK_H_
