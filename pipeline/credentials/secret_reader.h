// What secret_source.h does, for the keeper: as bytes instead of a line, with a limit of time of
// its own and a way to end it early.
//
// Threading: functions without state, but for a process's environment (read_once.h). They block.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_SECRET_READER_H_
#define VOLLEY_PIPELINE_CREDENTIALS_SECRET_READER_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/secret.h"
#include "pipeline/credentials/secret_source.h"
#include "pipeline/credentials/stop_signal.h"

namespace volley::pipeline {

// Of a whole file or a command's whole output: the JSON of a token endpoint, with an ID token
// beside the access token, has some ten kilobytes.
inline constexpr size_t kSourceBytesMax = 64 * 1024;

struct WaitLimits {
  absl::Duration timeout = kCommandTimeout;  // of a command, or of a pipe that nobody writes to
  const StopSignal* stop = nullptr;          // may be null; stopped: Cancelled
};

// All that the place holds, at most kSourceBytesMax. Errors: as ReadSecret, but for what it says of
// lines. REQUIRES: source.empty() is false.
absl::StatusOr<engine::Secret> ReadSecretBytes(const SecretSource& source, std::string_view what,
                                               const WaitLimits& limits = {});

// The one line in `bytes`, without its end. InvalidArgument, with `name` in front: empty, several
// lines, too long, a NUL byte.
absl::StatusOr<engine::Secret> TakeLine(std::string_view bytes, std::string_view name);

// ReadSecretBytes and TakeLine.
absl::StatusOr<engine::Secret> ReadSecretLine(const SecretSource& source, std::string_view what,
                                              const WaitLimits& limits = {});

// The path of a file or a systemd credential, for watching; empty: it is neither, or there is no
// $CREDENTIALS_DIRECTORY.
std::string PathOf(const SecretSource& source);

// "password: file /run/secrets/smtp": how every error begins.
std::string NameForErrors(const SecretSource& source, std::string_view what);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_SECRET_READER_H_
