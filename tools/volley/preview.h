// `volley preview`: the exact bytes one recipient gets.
#ifndef VOLLEY_TOOLS_VOLLEY_PREVIEW_H_
#define VOLLEY_TOOLS_VOLLEY_PREVIEW_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

// `exit_code` outlives the parse and is set when the command runs.
void AddPreviewCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PREVIEW_H_
