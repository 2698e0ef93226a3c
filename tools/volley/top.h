// volley top, undo: what the lanes of a running campaign do, and limits put back by hand.
#ifndef VOLLEY_TOOLS_VOLLEY_TOP_H_
#define VOLLEY_TOOLS_VOLLEY_TOP_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

void AddTopCommands(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_TOP_H_
