// CredentialKeeper: the user name and secrets of one relay, kept fresh while a campaign runs:
//  - a changed password or token file is taken up without a restart;
//  - an OAuth2 access token is renewed before it ends, by its command or the refresh flow
//    (RFC 6749 §6, by libcurl), and once more when the server refuses it.
//
// Threading: Open() blocks. Everything else from any thread and without waiting: reading files,
//   running commands and asking token endpoints is done in a thread of the keeper's own.
// Lifetime: a Snapshot lives as long as somebody holds it; sessions keep the one they log in with.
// Errors: as Status; none holds a byte of a secret.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_CREDENTIALS_H_
#define VOLLEY_PIPELINE_CREDENTIALS_CREDENTIALS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/sasl/client.h"
#include "pipeline/credentials/secret_source.h"

namespace volley::pipeline {

// The refresh flow: an access token for a refresh token.
struct Oauth2Definition {
  std::string token_url;  // https; http on loopback addresses only
  std::string client_id;
  SecretSource client_secret;  // may be empty: public clients have none
  SecretSource refresh_token;
  std::string scope;  // may be empty

  bool empty() const { return token_url.empty() && client_id.empty() && refresh_token.empty(); }
  bool operator==(const Oauth2Definition&) const = default;
};

struct CredentialDefinition {
  std::string user;
  std::string authorization_id;  // to act as another user; mostly empty
  SecretSource password;
  SecretSource
      token;  // an access token from outside; a command may print the token endpoint's JSON
  Oauth2Definition oauth2;

  bool empty() const {  // nothing to log in with
    return user.empty() && password.empty() && token.empty() && oauth2.empty();
  }
  bool operator==(const CredentialDefinition&) const = default;
};

// What can be seen to be wrong without reading anything: a user without a secret, a secret without
// a user, two places for one secret, a token both given and refreshed, a token endpoint without
// TLS.
absl::Status CheckCredentials(const CredentialDefinition& definition);

class HttpClient;

// Tests make these short; nothing else has a reason to change them.
struct KeeperOptions {
  absl::Duration file_interval = absl::Seconds(2);  // between two looks at the files
  // A token whose life is known is renewed so long before its end, or a tenth of its life if that
  // is longer, but never in the first half of it.
  absl::Duration renew_before = absl::Seconds(60);
  absl::Duration renew_unknown_after = absl::Minutes(45);  // a token that does not say how long
  // Between two failed renewals, doubled each time; also between renewals that servers ask for by
  // refusing one token after the other.
  absl::Duration retry_min = absl::Seconds(5);
  absl::Duration retry_max = absl::Minutes(5);
  absl::Duration command_timeout = kCommandTimeout;
  std::shared_ptr<HttpClient> http;  // null: libcurl
};

class CredentialKeeper {
 public:
  struct Snapshot {
    engine::sasl::Credentials credentials;
    uint64_t version = 0;  // grows with every change
  };

  // What became of Refused(version).
  enum class Renewal : uint8_t {
    kPending,    // being looked at
    kRenewed,    // current() is newer and worth a try
    kUnchanged,  // read again, and it is the same as before
    kFailed,     // cannot be read or renewed: renewal_error()
  };

  // Reads every secret once and gets the first token. Errors: as ReadSecret; Unavailable and
  // PermissionDenied: the token endpoint, with what it said (error, error_description).
  static absl::StatusOr<std::shared_ptr<CredentialKeeper>> Open(CredentialDefinition definition,
                                                                const KeeperOptions& options = {});
  // Ends what its thread waits for, a command with all that it started, too.
  ~CredentialKeeper();
  CredentialKeeper(const CredentialKeeper&) = delete;
  CredentialKeeper& operator=(const CredentialKeeper&) = delete;

  std::shared_ptr<const Snapshot> current() const;
  // The server refused the secret of this version: read again, or renewed, once a version. The next
  // version's refusal is served after retry_min: one that gives bad tokens is not asked in a loop.
  void Refused(uint64_t version);
  // kUnchanged for a version that is current and was not refused.
  Renewal renewal(uint64_t version) const;
  // What cannot be read or renewed at present; empty: nothing wrong. A failed renewal is tried
  // again.
  std::string renewal_error() const;

 private:
  class Impl;
  explicit CredentialKeeper(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_CREDENTIALS_H_
