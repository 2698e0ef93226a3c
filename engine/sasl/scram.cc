#include "engine/sasl/scram.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/sasl/base64.h"
#include "engine/sasl/digest.h"
#include "engine/sasl/saslname.h"
#include "engine/sasl/saslprep.h"
#include "fmt/format.h"

namespace volley::engine::sasl {
namespace {

Hash HashOf(ScramHash hash) { return hash == ScramHash::kSha1 ? Hash::kSha1 : Hash::kSha256; }

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("SCRAM: {}", what));
}

// RFC 5802 §7 "printable": %x21-2B / %x2D-7E.
bool IsNonceText(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x21 && c <= 0x7e && c != ','; });
}

// The value of the attribute `name`, which has to stand at the front of `*message`; with the comma
// behind it, if there is one, it is taken off.
std::optional<std::string_view> TakeAttribute(char name, std::string_view* message) {
  if (message->size() < 2 || (*message)[0] != name || (*message)[1] != '=') return std::nullopt;
  const size_t end = std::min(message->find(','), message->size());
  const std::string_view value = message->substr(2, end - 2);
  message->remove_prefix(std::min(end + 1, message->size()));
  return value;
}

// RFC 5802 §5.1: "m" anywhere fails the login, and every other extension is ignored.
bool HasMandatoryExtension(std::string_view extensions) {
  while (!extensions.empty()) {
    if (extensions.starts_with("m=")) return true;
    extensions.remove_prefix(std::min(extensions.find(','), extensions.size() - 1) + 1);
  }
  return false;
}

// posit-number: %x31-39 *DIGIT.
std::optional<uint32_t> ParseIterations(std::string_view text) {
  uint32_t value = 0;
  if (text.empty() || text.front() < '1' || text.front() > '9') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size()) return std::nullopt;
  return error == std::errc() ? value : UINT32_MAX;  // out of range: over our bound in any case
}

absl::Status CheckIterations(std::optional<uint32_t> iterations) {
  if (!iterations) return Malformed("the server's iteration count is not a number");
  if (*iterations < kScramIterationsMin) {
    return Malformed(
        fmt::format("the server asks for {} iterations: fewer than {} would make the password easy "
                    "to guess (RFC 7677 §4)",
                    *iterations, kScramIterationsMin));
  }
  if (*iterations > kScramIterationsMax) {
    return Malformed(
        fmt::format("the server asks for more than {} iterations", kScramIterationsMax));
  }
  return absl::OkStatus();
}

absl::StatusOr<Secret> Prepare(std::string_view text, PrepKind kind, std::string_view what) {
  absl::StatusOr<Secret> prepared = SaslPrep(text, kind);
  if (!prepared.ok()) {
    return absl::InvalidArgumentError(fmt::format("the {} cannot be used with SCRAM: {}", what,
                                                  std::string(prepared.status().message())));
  }
  if (prepared->empty()) {
    return absl::InvalidArgumentError(fmt::format("the {} is empty (RFC 5802 §5.1)", what));
  }
  return prepared;
}

absl::StatusOr<ScramKeys> DeriveKeys(const ScramKeyCache::Key& key) {
  const Hash hash = HashOf(key.hash);
  const Secret salted = Pbkdf2(hash, key.password, key.salt, key.iterations);
  ScramKeys keys{.client_key = Hmac(hash, salted.reveal(), "Client Key"),
                 .server_key = Hmac(hash, salted.reveal(), "Server Key")};
  if (salted.empty() || keys.client_key.empty() || keys.server_key.empty()) {
    return absl::InternalError("SCRAM: OpenSSL has no such hash");
  }
  return keys;
}

}  // namespace

// --- The cache ---

const ScramKeys* ScramKeyCache::Find(const Key& key) const {
  for (const Entry& entry : entries_) {
    if (entry.hash == key.hash && entry.iterations == key.iterations && entry.salt == key.salt &&
        EqualInConstantTime(entry.password.reveal(), key.password)) {
      return &entry.keys;
    }
  }
  return nullptr;
}

const ScramKeys* ScramKeyCache::Insert(const Key& key, ScramKeys keys) {
  Entry entry{.hash = key.hash,
              .password = Secret::Concat({key.password}),
              .salt = std::string(key.salt),
              .iterations = key.iterations,
              .keys = std::move(keys)};
  if (entries_.size() < kEntriesMax) {
    return &entries_.emplace_back(std::move(entry)).keys;
  }
  Entry& replaced = entries_[oldest_];
  oldest_ = (oldest_ + 1) % kEntriesMax;
  replaced = std::move(entry);
  return &replaced.keys;
}

// --- Messages ---

absl::StatusOr<ScramChallenge> ParseScramChallenge(std::string_view message,
                                                   std::string_view client_nonce) {
  if (message.starts_with("m=")) return Malformed("the server wants an extension we do not know");
  const std::optional<std::string_view> nonce = TakeAttribute('r', &message);
  const std::optional<std::string_view> salt = TakeAttribute('s', &message);
  const std::optional<std::string_view> iterations = TakeAttribute('i', &message);
  if (!nonce || !salt || !iterations) {
    return Malformed("the server's first message is not nonce, salt and iteration count");
  }
  if (HasMandatoryExtension(message)) {
    return Malformed("the server wants an extension we do not know");
  }
  // RFC 5802 §5.1: or a recorded exchange could be played to us again.
  if (!nonce->starts_with(client_nonce) || nonce->size() == client_nonce.size() ||
      !IsNonceText(*nonce)) {
    return Malformed("the server's nonce does not extend ours");
  }
  ScramChallenge challenge;
  challenge.nonce = *nonce;
  std::optional<std::string> salt_bytes = DecodeBase64(*salt);
  if (!salt_bytes || salt_bytes->empty() || salt_bytes->size() > kScramSaltBytesMax) {
    return Malformed("the server's salt is empty, too long or not base64");
  }
  challenge.salt = *std::move(salt_bytes);
  const std::optional<uint32_t> count = ParseIterations(*iterations);
  if (absl::Status status = CheckIterations(count); !status.ok()) return status;
  challenge.iterations = *count;
  return challenge;
}

absl::StatusOr<std::unique_ptr<SaslClient>> ScramClient::Make(ScramHash hash,
                                                              const Credentials& credentials,
                                                              std::string nonce,
                                                              ScramKeyCache* cache) {
  absl::StatusOr<Secret> user = Prepare(credentials.user, PrepKind::kQuery, "user name");
  if (!user.ok()) return user.status();
  absl::StatusOr<Secret> password =
      Prepare(credentials.password.reveal(), PrepKind::kStored, "password");
  if (!password.ok()) return password.status();
  std::string gs2_header = "n,,";  // "n": see mechanism.h
  if (!credentials.authorization_id.empty()) {
    absl::StatusOr<Secret> other =
        Prepare(credentials.authorization_id, PrepKind::kQuery, "authorization identity");
    if (!other.ok()) return other.status();
    gs2_header = fmt::format("n,a={},", EscapeSaslname(other->reveal()));
  }
  std::string first_bare = fmt::format("n={},r={}", EscapeSaslname(user->reveal()), nonce);
  return std::unique_ptr<SaslClient>(new ScramClient(hash, *std::move(password),
                                                     std::move(gs2_header), std::move(first_bare),
                                                     std::move(nonce), cache));
}

ScramClient::ScramClient(ScramHash hash, Secret password, std::string gs2_header,
                         std::string first_bare, std::string nonce, ScramKeyCache* cache)
    : hash_(hash),
      password_(std::move(password)),
      gs2_header_(std::move(gs2_header)),
      first_bare_(std::move(first_bare)),
      nonce_(std::move(nonce)),
      cache_(cache) {}

Secret ScramClient::FirstMessage() const { return Secret::Concat({gs2_header_, first_bare_}); }

std::optional<Secret> ScramClient::InitialResponse(size_t bytes_max) {
  if (gs2_header_.size() + first_bare_.size() > bytes_max) return std::nullopt;
  state_ = State::kAwaitsChallenge;
  return FirstMessage();
}

absl::StatusOr<Secret> ScramClient::Step(std::string_view challenge) {
  switch (state_) {
    case State::kStart:
      if (!challenge.empty()) return Malformed("the server speaks first where it is our turn");
      state_ = State::kAwaitsChallenge;
      return FirstMessage();
    case State::kAwaitsChallenge:
      return FinalMessage(challenge);
    case State::kAwaitsProof:
      return CheckServer(challenge);
    case State::kVerified:
    case State::kRefused:
      break;
  }
  return Malformed("the server goes on after its last message");
}

// RFC 5802 §3.
absl::StatusOr<Secret> ScramClient::FinalMessage(std::string_view server_first) {
  if (server_first.starts_with("e=")) {  // §7 has it in the last message only; some send it here
    state_ = State::kRefused;
    return Secret();
  }
  const absl::StatusOr<ScramChallenge> challenge = ParseScramChallenge(server_first, nonce_);
  if (!challenge.ok()) return challenge.status();
  const ScramKeyCache::Key key{hash_, password_.reveal(), challenge->salt, challenge->iterations};
  ScramKeyCache none;
  ScramKeyCache* cache = cache_ != nullptr ? cache_ : &none;
  const ScramKeys* keys = cache->Find(key);
  if (keys == nullptr) {
    absl::StatusOr<ScramKeys> derived = DeriveKeys(key);
    if (!derived.ok()) return derived.status();
    keys = cache->Insert(key, *std::move(derived));
  }
  const std::string without_proof =
      fmt::format("c={},r={}", EncodeBase64(gs2_header_), challenge->nonce);
  const std::string auth_message =
      fmt::format("{},{},{}", first_bare_, server_first, without_proof);
  const Hash hash = HashOf(hash_);
  const Secret stored_key = Digest(hash, keys->client_key.reveal());
  Secret proof = Hmac(hash, stored_key.reveal(), auth_message);  // ClientSignature, so far
  server_signature_ = Hmac(hash, keys->server_key.reveal(), auth_message);
  for (size_t i = 0; i < proof.size(); ++i) proof.bytes()[i] ^= keys->client_key.reveal()[i];
  const Secret proof_text = EncodeBase64(proof);
  state_ = State::kAwaitsProof;
  return Secret::Concat({without_proof, ",p=", proof_text.reveal()});
}

absl::StatusOr<Secret> ScramClient::CheckServer(std::string_view server_final) {
  std::string_view rest = server_final;
  if (TakeAttribute('e', &rest)) {
    state_ = State::kRefused;
    return Secret();
  }
  const std::optional<std::string_view> verifier = TakeAttribute('v', &rest);
  if (!verifier) return Malformed("the server's last message has neither a signature nor an error");
  const std::optional<std::string> signature = DecodeBase64(*verifier);
  if (!signature || !EqualInConstantTime(*signature, server_signature_.reveal())) {
    return absl::PermissionDeniedError(
        "SCRAM: the server's signature is wrong: it does not know the password");
  }
  state_ = State::kVerified;
  return Secret();
}

absl::Status ScramClient::Finished() const {
  if (state_ == State::kVerified) return absl::OkStatus();
  return absl::PermissionDeniedError(
      state_ == State::kRefused
          ? "SCRAM: the server said that the login failed, and then that it did not"
          : "SCRAM: the server says yes without proving that it knows the password");
}

}  // namespace volley::engine::sasl
