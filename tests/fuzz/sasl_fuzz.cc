// SASL against a server that says anything. The first byte chooses a mechanism or a parser, the
// rest is cut into challenges at NL (an 'i' in front: after the initial response). Whatever
// comes: no crash, no yes without a proof, and the password never in a message for people.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/sasl/base64.h"
#include "engine/sasl/client.h"
#include "engine/sasl/mechanism.h"
#include "engine/sasl/oauth.h"
#include "engine/sasl/reply.h"
#include "engine/sasl/saslprep.h"
#include "engine/sasl/scram.h"

namespace {

using namespace volley::engine;        // the whole file is about it
using namespace volley::engine::sasl;  // and this

void Check(bool condition) {
  if (!condition) std::abort();
}

constexpr std::string_view kPassword = "hunter2-is-no-password";

class FixedRandom final : public RandomSource {
 public:
  bool Fill(std::span<unsigned char> out) override {
    for (unsigned char& byte : out) byte = 0;
    return true;
  }
};

const Credentials& TheCredentials() {
  static const Credentials credentials = [] {
    Credentials c;
    c.user = "user=,";
    c.password = *Secret::Make(kPassword);
    c.token = *Secret::Make(kPassword);
    return c;
  }();
  return credentials;
}

void CheckWords(const absl::Status& status) {
  const std::string_view words(status.message().data(), status.message().size());
  Check(words.find(kPassword) == words.npos);
}

// Big iteration counts are allowed and slow; here they would only be slow.
bool AsksForManyIterations(std::string_view challenge) {
  const absl::StatusOr<ScramChallenge> parsed =
      ParseScramChallenge(challenge, "AAAAAAAAAAAAAAAAAAAAAAAA");
  return parsed.ok() && parsed->iterations > 5000;
}

void Play(Mechanism mechanism, std::string_view script) {
  static FixedRandom random;
  static ScramKeyCache cache;
  auto client =
      SaslClient::Make(mechanism, TheCredentials(),
                       {.host = "h", .port = 25, .random = &random, .scram_keys = &cache});
  Check(client.ok());
  if (!script.empty() && script.front() == 'i') (void)(*client)->InitialResponse();
  for (int steps = 0; steps < 10 && !script.empty(); ++steps) {
    const size_t end = std::min(script.find('\n'), script.size());
    const std::string challenge(script.substr(0, end));  // exact: reads behind it are found
    script.remove_prefix(std::min(end + 1, script.size()));
    if (AsksForManyIterations(challenge)) return;
    const absl::StatusOr<Secret> response = (*client)->Step(challenge);
    if (!response.ok()) return CheckWords(response.status());
    Check(EncodeBase64(*response).size() <= kBase64BytesMax);
    const absl::Status finished = (*client)->Finished();
    CheckWords(finished);
    // Who does not know the password cannot make a signature (160 bits).
    if (mechanism == Mechanism::kScramSha1 || mechanism == Mechanism::kScramSha256) {
      Check(!finished.ok());
    }
  }
}

void Parse(uint8_t which, std::string_view text) {
  const std::string exact(text);
  if (which == 0) {
    const auto bytes = DecodeBase64(exact);
    if (bytes) Check(EncodeBase64(*bytes) == exact);
  } else if (which == 1) {
    const OauthError error = ParseOauthError(exact);
    for (const char c : error.Describe()) Check(c >= 0x20 && c < 0x7f);
  } else if (which == 2) {
    const auto once = SaslPrep(exact, PrepKind::kQuery);
    if (once.ok()) (void)SaslPrep(once->reveal(), PrepKind::kStored);
  } else if (exact.size() > 8) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(exact[i]); };
    const AuthReply reply{.code = static_cast<uint16_t>(400 + byte(0)),
                          .enhanced_class = byte(1),
                          .enhanced_subject = byte(2),
                          .enhanced_detail = byte(3),
                          .text = std::string_view(exact).substr(5),
                          .with_token = (byte(4) & 1) != 0};
    Check(!Advice(ClassifyAuthReply(reply)).empty());
    (void)AsksForAuth(reply);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 16 * 1024) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const uint8_t which = data[0] % 11;
  if (which < std::size(kMechanisms)) {
    Play(kMechanisms[which], rest);
  } else {
    Parse(static_cast<uint8_t>(which - std::size(kMechanisms)), rest);
  }
  return 0;
}
