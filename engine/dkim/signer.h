// Signer: puts DKIM-Signature fields in front of finished messages (RFC 6376 §5).
//
// Threading: a Signer belongs to one thread (it has buffers and OpenSSL contexts); the keys are
// shared. For a reload make a new one. Time is passed in. What is signed is the message as the
// receiver gets it: CRLF line ends, not dot-stuffed. Keep the field for retries: a message is
// signed once.
#ifndef VOLLEY_ENGINE_DKIM_SIGNER_H_
#define VOLLEY_ENGINE_DKIM_SIGNER_H_

#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/dkim/canonical.h"
#include "engine/dkim/header.h"
#include "engine/dkim/key.h"

namespace volley::engine::dkim {

// Signed as often as the message has them and once more, so that nobody can add another one to a
// signed message (§8.15).
std::vector<std::string> DefaultOversignedFields();
// Signed as often as the message has them.
std::vector<std::string> DefaultSignedFields();

struct SignerOptions {
  Canonicalization header = Canonicalization::kRelaxed;
  Canonicalization body = Canonicalization::kRelaxed;
  std::vector<std::string> oversigned = DefaultOversignedFields();
  std::vector<std::string> signed_if_there = DefaultSignedFields();
  absl::Duration expires_after = absl::ZeroDuration();  // zero: no x=; whole seconds
};

// One signature: d=, s= and the key. Two of them (RSA and Ed25519) need two selectors (RFC 8463
// §6).
struct Signature {
  std::string domain;  // other scripts become A-labels
  std::string selector;
  std::shared_ptr<const SigningKey> key;
};

// Where receivers ask for the key's TXT record: "SELECTOR._domainkey.DOMAIN" (§3.6.2.1), the domain
// in A-labels. InvalidArgument: a domain or selector that is none, a name too long for the DNS.
absl::StatusOr<std::string> RecordName(std::string_view domain, std::string_view selector);

class Signer {
 public:
  // InvalidArgument: no signature, a domain or selector that is none, a name that is no field's or
  // that must not be signed (§5.4.1), From not among the names, an expiry under a second.
  [[nodiscard]] static absl::StatusOr<Signer> Make(std::vector<Signature> signatures,
                                                   SignerOptions options = {});
  Signer(Signer&&) noexcept;
  Signer& operator=(Signer&&) noexcept;
  ~Signer();

  // Of a body that several messages share, once for all of them.
  BodyHash HashBody(std::span<const iovec> body);

  // Appends one complete DKIM-Signature field for each signature, in their order, each ended by
  // CRLF, to be put in front of the message. `header`: the message's header fields; the empty line
  // behind them may be there. InvalidArgument, `out` unchanged: a header that ParseHeader refuses,
  // no From, a body hash of the other canonicalisation. Internal: OpenSSL could not sign.
  [[nodiscard]] absl::Status Sign(std::span<const iovec> header, const BodyHash& body,
                                  absl::Time now, std::string* out);
  // The same of a whole message; a message without an empty line has no body.
  [[nodiscard]] absl::Status SignMessage(std::span<const iovec> message, absl::Time now,
                                         std::string* out);

 private:
  struct State;
  explicit Signer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace volley::engine::dkim

#endif  // VOLLEY_ENGINE_DKIM_SIGNER_H_
