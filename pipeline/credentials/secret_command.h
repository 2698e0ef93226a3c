// Secrets that a command prints: `pass show mail/smtp`, `op read ...`, `vault kv get ...`.
//
// The command runs in /bin/sh -c, in a session of its own: it is not reached by the terminal's
// Ctrl-C nor stopped when it wants to ask at the terminal, and all that it starts can be killed
// together. It has no standard input and no descriptor of ours but standard error, which goes where
// ours does.
//
// Threading: any. Blocks until the shell has ended.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_SECRET_COMMAND_H_
#define VOLLEY_PIPELINE_CREDENTIALS_SECRET_COMMAND_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/base/secret.h"
#include "pipeline/credentials/secret_reader.h"

namespace volley::pipeline {

// Its standard output, at most kSourceBytesMax bytes. `name` begins every error.
// FailedPrecondition: it cannot be run, an exit code that is not 0, a signal; InvalidArgument: too
// much output; DeadlineExceeded, Cancelled: it and all of its process group were killed.
absl::StatusOr<engine::Secret> RunSecretCommand(const std::string& command, std::string_view name,
                                                const WaitLimits& limits);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_SECRET_COMMAND_H_
