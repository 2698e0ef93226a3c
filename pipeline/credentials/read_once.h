// Secrets that a process can read only once, kept for whoever asks again (several relays with the
// same --password-env, or `<(pass show smtp)` for each of them):
//  - an environment variable: its bytes are overwritten where the kernel and the debugger see them
//    (/proc/PID/environ, core dumps) and it is unset, so that no child inherits it;
//  - a pipe without a name: what was read from it is gone.
//
// Threading: any, but for one thing: the first reading of a variable changes the environment, and
//   the C library reads that without a lock (getenv, posix_spawn). Read variables before threads
//   start; one that comes later only moves pointers up, so that another thread's look may miss one.
// Lifetime: until the process ends.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_READ_ONCE_H_
#define VOLLEY_PIPELINE_CREDENTIALS_READ_ONCE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/secret.h"

namespace volley::pipeline {

// The variable's value, taken out of the environment now or before. A value that was set again
// since replaces the one kept. NotFound: it is not set and never was; InvalidArgument: it is too
// long. Both are without the name in front.
absl::StatusOr<engine::Secret> TakeFromEnvironment(const std::string& variable);

// What was read from the pipe with this identity before.
std::optional<engine::Secret> RecallPipe(const std::string& identity);
void RememberPipe(const std::string& identity, const engine::Secret& bytes);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_READ_ONCE_H_
