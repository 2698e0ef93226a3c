// DKIM over hostile messages: the first byte chooses canonicalisations and how the bytes are cut
// into pieces, the rest is a message. Header fields and bodies come out as a naive implementation
// of RFC 6376 §3.4 has them, however they are cut; and what is signed at all verifies there.
#include <sys/uio.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/dkim/canonical.h"
#include "engine/dkim/header.h"
#include "engine/dkim/signer.h"
#include "tests/engine/dkim/naive_dkim.h"
#include "tests/engine/dkim/test_keys.h"

namespace {

using namespace volley::engine::dkim;  // the whole file is about it

constexpr size_t kBytesMax = 4096;  // the naive one starts again after each change

void Require(bool condition) {
  if (!condition) std::abort();
}

std::vector<iovec> Cut(std::string& text, size_t piece_bytes) {
  std::vector<iovec> pieces;
  for (size_t at = 0; at < text.size(); at += piece_bytes) {
    pieces.push_back({text.data() + at, std::min(piece_bytes, text.size() - at)});
  }
  return pieces;
}

std::string_view AsText(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

void CompareBody(Canonicalization canonicalization, std::string& text, size_t piece_bytes) {
  const BodyHash hash = BodyHasher(canonicalization).Hash(Cut(text, piece_bytes));
  Require(AsText(hash.digest) ==
          naive::Sha256Of(naive::Body(text, canonicalization == Canonicalization::kRelaxed)));
}

void CompareFields(Canonicalization canonicalization, std::string_view text) {
  const size_t end = text.find("\r\n\r\n");
  std::vector<HeaderField> fields;
  if (!ParseHeader(text.substr(0, end == text.npos ? end : end + 2), &fields).ok()) return;
  for (const HeaderField& field : fields) {
    std::string ours;
    AppendCanonicalField(canonicalization, field.name, field.value, &ours);
    const std::string whole = std::string(field.name) + ":" + std::string(field.value);
    Require(ours == naive::Field(whole, canonicalization == Canonicalization::kRelaxed));
  }
}

Signer MakeSigner(SignerOptions options) {
  static const auto key = Ed25519Key();
  return *Signer::Make({{"example.org", "e", key}}, std::move(options));
}

void SignAndVerify(const SignerOptions& options, std::string& text, size_t piece_bytes) {
  Signer signer = MakeSigner(options);
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  std::string whole, cut;
  const absl::Status status = signer.SignMessage(Cut(text, kBytesMax), now, &whole);
  Require(signer.SignMessage(Cut(text, piece_bytes), now, &cut) == status && cut == whole);
  if (!status.ok()) return Require(whole.empty());
  Require(whole.starts_with("DKIM-Signature:") && whole.ends_with("\r\n"));
  for (const char c : whole) Require((c >= 0x20 && c < 0x7f) || c == '\r' || c == '\n');
  Require(naive::Fields(whole).size() == 1);  // nothing of the message became a field of ours
  Require(naive::Verify(whole + text, 0, std::string(kEd25519Record)).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > kBytesMax) return 0;
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece_bytes = size_t{data[0]} / 4 + 1;
  SignerOptions options;
  options.header = data[0] & 1 ? Canonicalization::kSimple : Canonicalization::kRelaxed;
  options.body = data[0] & 2 ? Canonicalization::kSimple : Canonicalization::kRelaxed;
  CompareBody(options.body, text, piece_bytes);
  CompareFields(options.header, text);
  SignAndVerify(options, text, piece_bytes);
  return 0;
}
