// `volley unsubscribe serve`, `mail` and `token`: the other end of what List-Unsubscribe offers.
#ifndef VOLLEY_TOOLS_VOLLEY_UNSUBSCRIBE_H_
#define VOLLEY_TOOLS_VOLLEY_UNSUBSCRIBE_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

// Exit codes of serve and token: 0 it ran, 1 it could not, 2 wrong usage. Of mail, as <sysexits.h>
// has them for the mail server that started it: 0 done, 65 no good token, 75 try again later.
// LIFETIME: `exit_code` outlives the parse.
void AddUnsubscribeCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_UNSUBSCRIBE_H_
