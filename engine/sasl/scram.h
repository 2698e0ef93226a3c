// SCRAM-SHA-256 and SCRAM-SHA-1 (RFC 5802, RFC 7677), without channel binding (see mechanism.h).
//
// The server has to prove that it knows the password too: a session whose server did not is not
// authenticated, whatever reply code it gave.
//
// Cost: a login runs the hash as often as the server says (PBKDF2), on the caller's thread. A
// ScramKeyCache makes that once a password instead of once a session (RFC 5802 §5.1 allows it).
//
// Threading: one thread; a cache belongs to one thread. Lifetime and errors: see client.h.
#ifndef VOLLEY_ENGINE_SASL_SCRAM_H_
#define VOLLEY_ENGINE_SASL_SCRAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/secret.h"
#include "engine/sasl/client.h"

namespace volley::engine::sasl {

enum class ScramHash : uint8_t { kSha1, kSha256 };

// RFC 5802 §5.1, RFC 7677 §4: servers SHOULD announce at least 4096. A server that asks for less
// gets a proof from which the password is cheaper to guess.
inline constexpr uint32_t kScramIterationsMin = 4096;
// A shard does nothing else meanwhile, so a server must not be able to stop it: a million is a
// quarter of a second here (0.26 s SHA-256, 0.28 s SHA-1), and more than the 600,000 that OWASP
// asks of those who store passwords.
inline constexpr uint32_t kScramIterationsMax = 1'000'000;
inline constexpr size_t kScramSaltBytesMax = 1024;
inline constexpr size_t kScramNonceBytes = 18;  // 144 bits, 24 characters of base64

struct ScramKeys {
  Secret client_key;
  Secret server_key;
};

// What PBKDF2 made of (hash, password, salt, iterations), for the last kEntriesMax of them. With
// another password or salt nothing old is found, so credentials may change under it.
class ScramKeyCache {
 public:
  static constexpr size_t kEntriesMax = 8;  // a relay has a user or two; a hostile one no use of it

  struct Key {
    ScramHash hash;
    std::string_view password;
    std::string_view salt;
    uint32_t iterations;
  };
  // LIFETIME: until the next Insert().
  const ScramKeys* Find(const Key& key) const;
  const ScramKeys* Insert(const Key& key, ScramKeys keys);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    ScramHash hash;
    Secret password;
    std::string salt;
    uint32_t iterations;
    ScramKeys keys;
  };
  std::vector<Entry> entries_;
  size_t oldest_ = 0;
};

// The server's first message, taken apart.
struct ScramChallenge {
  std::string nonce;
  std::string salt;
  uint32_t iterations = 0;
};
absl::StatusOr<ScramChallenge> ParseScramChallenge(std::string_view message,
                                                   std::string_view client_nonce);

class ScramClient final : public SaslClient {
 public:
  // `nonce`: printable, without a comma (RFC 5802 §7), never used before. `cache` may be null.
  // InvalidArgument: user name or password cannot be prepared (RFC 4013).
  static absl::StatusOr<std::unique_ptr<SaslClient>> Make(ScramHash hash,
                                                          const Credentials& credentials,
                                                          std::string nonce, ScramKeyCache* cache);

  std::optional<Secret> InitialResponse(size_t bytes_max) override;
  absl::StatusOr<Secret> Step(std::string_view challenge) override;
  bool done() const override { return state_ == State::kVerified || state_ == State::kRefused; }
  absl::Status Finished() const override;

 private:
  enum class State : uint8_t {
    kStart,
    kAwaitsChallenge,  // server-first-message
    kAwaitsProof,      // server-final-message
    kVerified,
    kRefused,  // it said e=...: its reply code is still to come
  };

  ScramClient(ScramHash hash, Secret password, std::string gs2_header, std::string first_bare,
              std::string nonce, ScramKeyCache* cache);
  Secret FirstMessage() const;
  absl::StatusOr<Secret> FinalMessage(std::string_view server_first);
  absl::StatusOr<Secret> CheckServer(std::string_view server_final);

  const ScramHash hash_;
  const Secret password_;  // prepared
  const std::string gs2_header_;
  const std::string first_bare_;
  const std::string nonce_;
  ScramKeyCache* const cache_;
  State state_ = State::kStart;
  Secret server_signature_;
};

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_SCRAM_H_
