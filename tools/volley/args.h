// What the subcommands' flags have in common: durations, the choice of an I/O backend, the file
// limit. Errors are InvalidArgument and say what was given and what would be right; the caller
// names the flag.
#ifndef VOLLEY_TOOLS_VOLLEY_ARGS_H_
#define VOLLEY_TOOLS_VOLLEY_ARGS_H_

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "io/reactor/reactor.h"

namespace volley::tools {

// "20ms", "1.5s", "2m", "1h30m", "2d", "0": never negative, never infinite.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// "123", "64K", "10M", "2G" (powers of 1024).
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// "auto", "uring" or "epoll".
absl::StatusOr<io::BackendChoice> ParseBackendChoice(std::string_view text);

// Raises the soft limit of open files to the hard limit, and as root the hard limit too (to 1 <<
// 20, but not over fs.nr_open). A limit that cannot be raised stays: running out is reported where
// it happens. Returns the soft limit as it is now.
uint64_t RaiseFileLimit();

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_ARGS_H_
