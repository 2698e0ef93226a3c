// SaslClient: our side of one SASL exchange (RFC 4422), without the protocol that carries it: bytes
// of challenges in, bytes of responses out, base64 and reply codes are the carrier's.
//
//   client->InitialResponse(bytes_max)   with the AUTH command, when there is one and it fits
//   client->Step(challenge) -> response  for every 334; an error means: cancel with "*"
//   client->Finished()                   when the server says 235; an error means: it lies
//
// A client-first mechanism whose initial response did not fit gives it as the answer to an empty
// challenge (RFC 4422 §3, RFC 4954 §4).
//
// Threading: one thread. Lifetime: Make() copies what it needs of the credentials. Errors:
// InvalidArgument from Make() is about the credentials, every other is about what the server sent;
// neither holds a secret or a byte of the server's.
#ifndef VOLLEY_ENGINE_SASL_CLIENT_H_
#define VOLLEY_ENGINE_SASL_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/secret.h"
#include "engine/sasl/mechanism.h"
#include "engine/sasl/oauth.h"

namespace volley::engine::sasl {

class ScramKeyCache;

struct Credentials {
  // RFC 4616 calls it authentication identity; at providers mostly the mail address. May be empty
  // for OAUTHBEARER only.
  std::string user;
  // To act as another user than the one who logs in (PLAIN, SCRAM, OAUTHBEARER); empty: as `user`.
  std::string authorization_id;
  Secret password;  // empty: none
  Secret token;     // OAuth2 access token; empty: none
};

// Random bytes for nonces. Fill() is false when there are none to be had.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual bool Fill(std::span<unsigned char> out) = 0;
};
RandomSource* SystemRandom();  // OpenSSL's; any thread

// About the session, not the user.
struct SaslContext {
  // That we connected to; OAUTHBEARER tells it (RFC 7628 §3.1). Read in Make() only.
  std::string_view host = {};
  uint16_t port = 0;  // 0: not told
  RandomSource* random = SystemRandom();
  ScramKeyCache* scram_keys = nullptr;  // may be null; outlives the client
};

class SaslClient {
 public:
  // What a response may have before base64, so that its line stays under 12288 (RFC 4954 §4).
  static constexpr size_t kResponseBytesMax = 9 * 1024;
  static constexpr size_t kUserBytesMax = 512;

  static absl::StatusOr<std::unique_ptr<SaslClient>> Make(Mechanism mechanism,
                                                          const Credentials& credentials,
                                                          const SaslContext& context);
  virtual ~SaslClient() = default;

  // nullopt: the server speaks first, or it has more than `bytes_max` bytes and will be the answer
  // to an empty challenge. Once, before any Step().
  virtual std::optional<Secret> InitialResponse(size_t bytes_max = kResponseBytesMax) = 0;
  virtual absl::StatusOr<Secret> Step(std::string_view challenge) = 0;
  // Nothing more is to be said by us: a challenge now is nonsense.
  virtual bool done() const = 0;
  // Whether a server that says "authenticated" may be believed. FailedPrecondition: not yet time to
  // say so. PermissionDenied: it did not prove that it knows the password, or it said the opposite.
  virtual absl::Status Finished() const = 0;
  // OAUTHBEARER, XOAUTH2: what the server said before it refused, if it did.
  virtual const OauthError* oauth_error() const { return nullptr; }
};

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_CLIENT_H_
