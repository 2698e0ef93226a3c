// `volley keys dkim new|check`: makes DKIM keys with the DNS records to publish, and compares what
// the DNS has with what a campaign signs with.
#ifndef VOLLEY_TOOLS_VOLLEY_KEYS_H_
#define VOLLEY_TOOLS_VOLLEY_KEYS_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

// LIFETIME: `exit_code` outlives the parse.
void AddKeysCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_KEYS_H_
