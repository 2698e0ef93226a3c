// Foreign text on a terminal.
#ifndef VOLLEY_TOOLS_VOLLEY_PRINTABLE_H_
#define VOLLEY_TOOLS_VOLLEY_PRINTABLE_H_

#include <string>
#include <string_view>

namespace volley::tools {

// What could be a command to the terminal, or turn its line around, becomes "?"; cut after 200
// bytes, with "...".
std::string Printable(std::string_view text);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PRINTABLE_H_
