// SecretSource: where a password, token or key is kept: never in a command line, a campaign file or
// the state directory, which hold only the place.
//
// Threading: functions without state, but for a process's environment (see env). ReadSecret blocks:
//   on a file, or on a command for up to kCommandTimeout.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_SECRET_SOURCE_H_
#define VOLLEY_PIPELINE_CREDENTIALS_SECRET_SOURCE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/secret.h"

namespace volley::pipeline {

// At most one of them is set.
struct SecretSource {
  std::string file;     // its first line
  std::string env;      // name of an environment variable
  std::string command;  // for /bin/sh; the first line of what it prints
  std::string
      credential;  // a systemd credential: a file in $CREDENTIALS_DIRECTORY (LoadCredential=)

  bool empty() const {
    return file.empty() && env.empty() && command.empty() && credential.empty();
  }
  bool operator==(const SecretSource&) const = default;
};

inline constexpr absl::Duration kCommandTimeout = absl::Seconds(30);

// InvalidArgument when more than one place is given; `what` is the key's stem: "password".
absl::Status CheckSecretSource(const SecretSource& source, std::string_view what);

// The secret, without the line end. Errors name the file, variable or command and what is wrong
// with it (missing, unreadable, readable by others, empty, over Secret::kBytesMax, several lines,
// exit code, time-out), never a byte of the secret. REQUIRES: not empty().
absl::StatusOr<engine::Secret> ReadSecret(const SecretSource& source, std::string_view what);

// "file /run/secrets/smtp", "environment variable SMTP_PASSWORD": for messages.
std::string DescribeSource(const SecretSource& source);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_SECRET_SOURCE_H_
