// CredentialLoader: reads the secrets of one CredentialDefinition and renews its token: all that
// blocks, and nothing of threads.
//
// Threading: one thread at a time. Everything but the getters blocks; the StopSignal ends it early.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_CREDENTIAL_LOADER_H_
#define VOLLEY_PIPELINE_CREDENTIALS_CREDENTIAL_LOADER_H_

#include <array>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/base/secret.h"
#include "engine/sasl/client.h"
#include "io/base/time.h"
#include "pipeline/credentials/credentials.h"
#include "pipeline/credentials/http_client.h"
#include "pipeline/credentials/stop_signal.h"
#include "pipeline/credentials/watched_secret.h"

namespace volley::pipeline {

class CredentialLoader {
 public:
  // What came of a reading. Both may be: one secret has changed, another cannot be read.
  struct Change {
    bool changed = false;
    absl::Status status;

    void Add(const absl::StatusOr<bool>& read);
    void Add(const Change& change);
  };

  // LIFETIME: `stop` outlives the loader.
  CredentialLoader(CredentialDefinition definition, const KeeperOptions& options,
                   const StopSignal* stop);

  // Every secret, and the first token. Once, before all others.
  absl::Status LoadAll();
  // Reads the files that look changed, and gets a token with what is new in them.
  Change LookAtFiles();
  // The refresh flow, or the token's command or file. For when next_renewal() has come.
  Change RenewToken();
  // Everything that can be another by now: a server has refused it.
  Change ReadAgain();

  engine::sasl::Credentials MakeCredentials() const;
  io::MonoTime next_renewal() const { return next_renewal_; }  // Infinite(): never
  // What is wrong and has not come right since; OK: nothing.
  absl::Status error() const;
  bool HasFiles() const;
  // Nothing can ever change: variables and pipes only.
  bool IsConstant() const;

 private:
  enum : size_t { kPassword, kToken, kClientSecret, kRefreshToken, kSecrets };
  static constexpr size_t kEndpoint = kSecrets;  // in errors_

  WaitLimits limits() const { return {.timeout = options_.command_timeout, .stop = stop_}; }
  bool refreshes() const { return secrets_[kRefreshToken].given(); }
  absl::StatusOr<bool> ReadOne(size_t which);
  absl::StatusOr<bool> Refresh();
  absl::StatusOr<bool> RefreshOrReadAgain();
  bool ReadRefreshSecrets();
  void PlanRenewal(std::optional<absl::Duration> life);
  void PlanRetry();

  const CredentialDefinition definition_;
  const KeeperOptions options_;
  const StopSignal* const stop_;
  const std::shared_ptr<HttpClient> http_;
  std::array<WatchedSecret, kSecrets> secrets_;
  std::array<absl::Status, kSecrets + 1> errors_;  // of the last try of each
  // RFC 6749 §6: the endpoint may give a new refresh token with the access token, and the old one
  // is not good any more. Kept in memory only: where the first one came from is not ours to write.
  engine::Secret rotated_;
  engine::Secret refreshed_token_;
  io::MonoTime next_renewal_ = io::MonoTime::Infinite();
  absl::Duration retry_after_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_CREDENTIAL_LOADER_H_
