// `volley suppress`: who gets no mail: add, remove, look up, import, export, list, count.
#ifndef VOLLEY_TOOLS_VOLLEY_SUPPRESS_H_
#define VOLLEY_TOOLS_VOLLEY_SUPPRESS_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

// `exit_code`: 0, 1 or 2, as grep has them (each subcommand's --help).
void AddSuppressCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_SUPPRESS_H_
