// `volley send`: a campaign from a list and templates, through a relay.
#ifndef VOLLEY_TOOLS_VOLLEY_SEND_H_
#define VOLLEY_TOOLS_VOLLEY_SEND_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

// `exit_code` outlives the parse and is set when the command runs.
void AddSendCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_SEND_H_
