#include "engine/sasl/client.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <utility>

#include "engine/sasl/base64.h"
#include "engine/sasl/digest.h"
#include "engine/sasl/scram.h"
#include "fmt/format.h"

namespace volley::engine::sasl {
namespace {

constexpr std::string_view kNul("\0", 1);
constexpr std::string_view kNulOrLineEnd("\0\r\n", 3);

class OpenSslRandom final : public RandomSource {
 public:
  bool Fill(std::span<unsigned char> out) override {
    return RAND_bytes(out.data(), static_cast<int>(out.size())) == 1;
  }
};

absl::Status TooEarly() {
  return absl::FailedPreconditionError("the server says yes before the login is over");
}

absl::Status TooManySteps() {
  return absl::InvalidArgumentError("the server goes on where the mechanism is at its end");
}

absl::Status NotEmpty() {
  return absl::InvalidArgumentError("the server speaks first where it is our turn");
}

// PLAIN: one message, ours.
class PlainClient final : public SaslClient {
 public:
  explicit PlainClient(const Credentials& c)
      : message_(Secret::Concat({c.authorization_id, kNul, c.user, kNul, c.password.reveal()})) {}

  std::optional<Secret> InitialResponse(size_t bytes_max) override {
    if (message_.size() > bytes_max) return std::nullopt;
    done_ = true;
    return std::move(message_);
  }
  absl::StatusOr<Secret> Step(std::string_view challenge) override {
    if (done_) return TooManySteps();
    if (!challenge.empty()) return NotEmpty();
    return *InitialResponse(message_.size());
  }
  bool done() const override { return done_; }
  absl::Status Finished() const override { return done_ ? absl::OkStatus() : TooEarly(); }

 private:
  Secret message_;
  bool done_ = false;
};

// LOGIN: never standardised. Servers ask "Username:" and "Password:", "User Name\0" and more: it is
// the order that counts.
class LoginClient final : public SaslClient {
 public:
  explicit LoginClient(const Credentials& c)
      : answers_{Secret::Concat({c.user}), c.password.Clone()} {}

  std::optional<Secret> InitialResponse(size_t) override { return std::nullopt; }
  absl::StatusOr<Secret> Step(std::string_view) override {
    if (done()) return TooManySteps();
    return std::move(answers_[next_++]);
  }
  bool done() const override { return next_ == answers_.size(); }
  absl::Status Finished() const override { return done() ? absl::OkStatus() : TooEarly(); }

 private:
  std::array<Secret, 2> answers_;
  size_t next_ = 0;
};

// CRAM-MD5 (RFC 2195): a keyed digest of the server's challenge.
class CramMd5Client final : public SaslClient {
 public:
  explicit CramMd5Client(const Credentials& c) : user_(c.user), password_(c.password.Clone()) {}

  std::optional<Secret> InitialResponse(size_t) override { return std::nullopt; }
  absl::StatusOr<Secret> Step(std::string_view challenge) override {
    if (done_) return TooManySteps();
    // The challenge is what makes each answer new: of none the answer would be good for ever.
    if (challenge.empty()) return absl::InvalidArgumentError("CRAM-MD5: an empty challenge");
    const Secret digest = Hmac(Hash::kMd5, password_.reveal(), challenge);
    if (digest.empty()) return absl::InternalError("CRAM-MD5: OpenSSL has no MD5 here");
    std::string hex;
    for (const char c : digest.reveal()) hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
    done_ = true;
    return Secret::Concat({user_, " ", hex});
  }
  bool done() const override { return done_; }
  absl::Status Finished() const override { return done_ ? absl::OkStatus() : TooEarly(); }

 private:
  const std::string user_;
  const Secret password_;
  bool done_ = false;
};

// OAUTHBEARER, XOAUTH2: one message, ours. A challenge after it is an error in JSON, to be answered
// before the server may refuse (RFC 7628 §3.2.3); with %x01, in XOAUTH2 with nothing.
class OauthClient final : public SaslClient {
 public:
  OauthClient(Secret message, std::string_view error_answer)
      : message_(std::move(message)), error_answer_(error_answer) {}

  std::optional<Secret> InitialResponse(size_t bytes_max) override {
    if (message_.size() > bytes_max) return std::nullopt;
    sent_ = true;
    return std::move(message_);
  }
  absl::StatusOr<Secret> Step(std::string_view challenge) override {
    if (!sent_)
      return challenge.empty() ? absl::StatusOr<Secret>(*InitialResponse(message_.size()))
                               : NotEmpty();
    if (error_) return TooManySteps();
    error_ = ParseOauthError(challenge);
    return Secret::Concat({error_answer_});
  }
  bool done() const override { return error_.has_value(); }
  absl::Status Finished() const override {
    if (!sent_) return TooEarly();
    if (!error_) return absl::OkStatus();
    return absl::PermissionDeniedError(
        "the server said that the token is not valid, and then that it is");
  }
  const OauthError* oauth_error() const override { return error_ ? &*error_ : nullptr; }

 private:
  Secret message_;
  const std::string_view error_answer_;
  bool sent_ = false;
  std::optional<OauthError> error_;
};

absl::StatusOr<std::unique_ptr<SaslClient>> MakeScram(ScramHash hash, const Credentials& c,
                                                      const SaslContext& context) {
  std::array<unsigned char, kScramNonceBytes> bytes;
  if (!context.random->Fill(bytes)) return absl::InternalError("no random bytes for a nonce");
  std::string nonce =
      EncodeBase64(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  return ScramClient::Make(hash, c, std::move(nonce), context.scram_keys);
}

absl::StatusOr<std::unique_ptr<SaslClient>> MakeOauth(Mechanism mechanism, const Credentials& c,
                                                      const SaslContext& context) {
  const OauthMessage parts{
      .user = c.authorization_id.empty() ? c.user : c.authorization_id,
      .host = context.host,
      .port = context.port,
      .token = c.token.reveal(),
  };
  const bool bearer = mechanism == Mechanism::kOauthBearer;
  absl::StatusOr<Secret> message = bearer ? OauthBearerMessage(parts) : Xoauth2Message(parts);
  if (!message.ok()) return message.status();
  return std::make_unique<OauthClient>(*std::move(message), bearer ? "\x01" : "");
}

// RFC 4616 §2 has NUL separate, RFC 2195 a space; a line end has no business in any.
absl::Status CheckCredentials(Mechanism mechanism, const Credentials& c) {
  const auto has_control = [](std::string_view text) {
    for (const char ch : text) {
      if (static_cast<unsigned char>(ch) < 0x20 || ch == 0x7f) return true;
    }
    return false;
  };
  if (c.user.size() > SaslClient::kUserBytesMax ||
      c.authorization_id.size() > SaslClient::kUserBytesMax) {
    return absl::InvalidArgumentError("the user name is too long");
  }
  if (has_control(c.user) || has_control(c.authorization_id)) {
    return absl::InvalidArgumentError("the user name has a control character");
  }
  if (UsesToken(mechanism)) return absl::OkStatus();
  if (c.user.empty()) return absl::InvalidArgumentError("the user name is empty");
  if (c.password.empty()) return absl::InvalidArgumentError("the password is empty");
  if (c.password.reveal().find_first_of(kNulOrLineEnd) != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "the password has a NUL or a line end (does the file it comes from have two lines?)");
  }
  return absl::OkStatus();
}

// Over all mechanisms: a name's ',' takes three bytes in SCRAM and OAUTHBEARER, and the constant is
// more than what any of them puts between the parts.
size_t LongestResponse(const Credentials& c, const SaslContext& context) {
  return 3 * (c.user.size() + c.authorization_id.size()) +
         std::max(c.password.size(), c.token.size()) + context.host.size() + 64;
}

absl::StatusOr<std::unique_ptr<SaslClient>> MakeChecked(Mechanism mechanism, const Credentials& c,
                                                        const SaslContext& context) {
  switch (mechanism) {
    case Mechanism::kScramSha256:
      return MakeScram(ScramHash::kSha256, c, context);
    case Mechanism::kScramSha1:
      return MakeScram(ScramHash::kSha1, c, context);
    case Mechanism::kCramMd5:
      return std::make_unique<CramMd5Client>(c);
    case Mechanism::kPlain:
      return std::make_unique<PlainClient>(c);
    case Mechanism::kLogin:
      return std::make_unique<LoginClient>(c);
    case Mechanism::kOauthBearer:
    case Mechanism::kXoauth2:
      return MakeOauth(mechanism, c, context);
  }
  return absl::InternalError("an unknown mechanism");
}

}  // namespace

RandomSource* SystemRandom() {
  static OpenSslRandom random;
  return &random;
}

absl::StatusOr<std::unique_ptr<SaslClient>> SaslClient::Make(Mechanism mechanism,
                                                             const Credentials& credentials,
                                                             const SaslContext& context) {
  if (absl::Status status = CheckCredentials(mechanism, credentials); !status.ok()) return status;
  if (LongestResponse(credentials, context) > kResponseBytesMax) {
    return absl::InvalidArgumentError("user name and password or token are too long together");
  }
  return MakeChecked(mechanism, credentials, context);
}

}  // namespace volley::engine::sasl
