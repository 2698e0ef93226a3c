// `volley sink`: an SMTP or LMTP server for tests, that counts mail and throws it away or keeps it.
#ifndef VOLLEY_TOOLS_VOLLEY_SINK_H_
#define VOLLEY_TOOLS_VOLLEY_SINK_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

// Exit codes: 0 it ran and was stopped, 1 it could not listen or could not store, 2 wrong usage.
// LIFETIME: `exit_code` outlives the parse.
void AddSinkCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_SINK_H_
