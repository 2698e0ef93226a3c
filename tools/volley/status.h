// volley status, pause, resume, cancel: what becomes of campaigns that are being sent, or were.
#ifndef VOLLEY_TOOLS_VOLLEY_STATUS_H_
#define VOLLEY_TOOLS_VOLLEY_STATUS_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

void AddStatusCommands(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_STATUS_H_
