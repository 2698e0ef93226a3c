// WatchedSecret: one secret, where it is kept, and whether that may have changed since it was read.
//
// Threading: one thread at a time. Read blocks.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_WATCHED_SECRET_H_
#define VOLLEY_PIPELINE_CREDENTIALS_WATCHED_SECRET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/secret.h"
#include "pipeline/credentials/secret_file.h"
#include "pipeline/credentials/secret_reader.h"
#include "pipeline/credentials/secret_source.h"

namespace volley::pipeline {

class WatchedSecret {
 public:
  enum class Form : uint8_t {
    kLine,   // a password, a client secret, a refresh token
    kToken,  // an access token, alone or as the token endpoint's JSON
  };

  // `what`: the key's stem, for errors.
  WatchedSecret(SecretSource source, std::string what, Form form)
      : source_(std::move(source)), what_(std::move(what)), form_(form) {}

  bool given() const { return !source_.empty(); }
  bool is_command() const { return !source_.command.empty(); }
  // A regular file, which can be looked at again and again.
  bool is_file() const { return seen_as_file_; }
  // A variable and a pipe can be read once only.
  bool CanChange() const { return is_file() || is_command(); }
  const engine::Secret& value() const { return value_; }
  // Of a token that has just been printed; a file's may be of any age.
  std::optional<absl::Duration> expires_in() const { return expires_in_; }

  // True: it is another one than before. On an error the value stays what it was.
  absl::StatusOr<bool> Read(const WaitLimits& limits);
  // Only files can, as far as can be seen without reading. One stat().
  bool MayHaveChanged() const;

 private:
  absl::StatusOr<engine::Secret> ReadValue(const WaitLimits& limits);

  const SecretSource source_;
  const std::string what_;
  const Form form_;
  engine::Secret value_;
  std::optional<absl::Duration> expires_in_;
  FileStamp stamp_;            // from before the last reading
  bool seen_as_file_ = false;  // it may be missing for a moment
  bool look_again_ = false;    // the stamp may not tell of a change, or the last reading failed
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_WATCHED_SECRET_H_
