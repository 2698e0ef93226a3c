// What signing costs beside OpenSSL's part of it: `Openssl...` signs a ready SHA-256 hash with a
// prepared context and nothing else, which is the floor. The figure to reach: a signature of a
// header whose body hash is given takes no more than 5 % longer than that, and a whole message's no
// more than that and the hashing of its body.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/dkim/signer.h"

namespace {

using namespace volley::engine::dkim;

// Of a newsletter as it is composed: what is oversigned is all there.
constexpr std::string_view kHeader =
    "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
    "From: Example News <news@example.org>\r\n"
    "To: \"Anna Lindstrom\" <anna.lindstrom@mail.example.net>\r\n"
    "Reply-To: Example Support <support@example.org>\r\n"
    "Subject: Your order 2025-114411 of garden chairs and tables\r\n"
    "Message-ID: <4f9a1c2e7b3d5f60.12345@example.org>\r\n"
    "List-Unsubscribe: "
    "<https://example.org/u/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCU>,\r\n"
    " <mailto:leave+AAECAwQFBgcICQoLDA0ODxAREhMU@example.org?subject=unsubscribe>\r\n"
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    "List-Id: Example News <news.example.org>\r\n"
    "Feedback-ID: 2026-11:news:example:volley\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: multipart/alternative;\r\n boundary=\"=_0123456789abcdef0123456789abcdef\"\r\n";

const absl::Time kNow = absl::FromUnixSeconds(1795514400);

std::string Body(size_t bytes) {
  std::string out;
  while (out.size() < bytes) {
    out += "<p style=3D\"margin:0 0 12px\">The quick brown fox jumps over the lazy dog.</p>=\r\n";
  }
  out.resize(bytes - 2);
  return out + "\r\n";
}

iovec Piece(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

std::shared_ptr<const SigningKey> Key(KeyAlgorithm algorithm) {
  static const auto rsa = *SigningKey::Generate(KeyAlgorithm::kRsa);
  static const auto ed25519 = *SigningKey::Generate(KeyAlgorithm::kEd25519);
  return algorithm == KeyAlgorithm::kRsa ? rsa : ed25519;
}

Signer MakeSigner(const std::vector<KeyAlgorithm>& algorithms) {
  std::vector<Signature> signatures;
  for (const KeyAlgorithm algorithm : algorithms) {
    signatures.push_back({"example.org", "v202611", Key(algorithm)});
  }
  return *Signer::Make(std::move(signatures));
}

// --- OpenSSL alone ---

using PkeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree>;

void BM_OpensslRsa2048(benchmark::State& state) {
  const PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048}));
  const std::unique_ptr<EVP_PKEY_CTX, OpensslFree> context(EVP_PKEY_CTX_new(key.get(), nullptr));
  bool good = EVP_PKEY_sign_init(context.get()) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1 &&
              EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) == 1;
  const Sha256Digest digest{1, 2, 3};
  std::array<unsigned char, 512> out;
  for (auto _ : state) {
    size_t size = out.size();
    good &= EVP_PKEY_sign(context.get(), out.data(), &size, digest.data(), digest.size()) == 1;
    benchmark::DoNotOptimize(out.data());
  }
  if (!good) state.SkipWithError("OpenSSL did not sign");
}
BENCHMARK(BM_OpensslRsa2048);

void BM_OpensslEd25519(benchmark::State& state) {
  const PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  const std::unique_ptr<EVP_MD_CTX, OpensslFree> context(EVP_MD_CTX_new());
  bool good = EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1;
  const Sha256Digest digest{1, 2, 3};
  std::array<unsigned char, 64> out;
  for (auto _ : state) {
    size_t size = out.size();
    good &= EVP_DigestSign(context.get(), out.data(), &size, digest.data(), digest.size()) == 1;
    benchmark::DoNotOptimize(out.data());
  }
  if (!good) state.SkipWithError("OpenSSL did not sign");
}
BENCHMARK(BM_OpensslEd25519);

// The hash of a body, in one piece and without any canonical form.
void BM_OpensslSha256(benchmark::State& state) {
  const std::string body = Body(static_cast<size_t>(state.range(0)));
  Sha256 hash;
  for (auto _ : state) {
    hash.Start();
    hash.Add(body);
    benchmark::DoNotOptimize(hash.Finish());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(body.size()));
}
BENCHMARK(BM_OpensslSha256)->Arg(10 * 1024)->Arg(1024 * 1024);

// --- Ours ---

void SignHeader(benchmark::State& state, const std::vector<KeyAlgorithm>& algorithms) {
  Signer signer = MakeSigner(algorithms);
  const std::string body_text = Body(10 * 1024);
  const iovec body_piece = Piece(body_text);
  const BodyHash body = signer.HashBody({&body_piece, 1});
  const iovec header = Piece(kHeader);
  std::string out;
  for (auto _ : state) {
    out.clear();
    if (!signer.Sign({&header, 1}, body, kNow, &out).ok()) state.SkipWithError("not signed");
    benchmark::DoNotOptimize(out.data());
  }
  state.counters["field_bytes"] = static_cast<double>(out.size());
}

void BM_SignHeaderRsa2048(benchmark::State& state) { SignHeader(state, {KeyAlgorithm::kRsa}); }
BENCHMARK(BM_SignHeaderRsa2048);
void BM_SignHeaderEd25519(benchmark::State& state) { SignHeader(state, {KeyAlgorithm::kEd25519}); }
BENCHMARK(BM_SignHeaderEd25519);
void BM_SignHeaderBoth(benchmark::State& state) {
  SignHeader(state, {KeyAlgorithm::kRsa, KeyAlgorithm::kEd25519});
}
BENCHMARK(BM_SignHeaderBoth);

void SignMessage10K(benchmark::State& state, KeyAlgorithm algorithm) {
  Signer signer = MakeSigner({algorithm});
  const std::string message = std::string(kHeader) + "\r\n" + Body(10 * 1024);
  const iovec piece = Piece(message);
  std::string out;
  for (auto _ : state) {
    out.clear();
    if (!signer.SignMessage({&piece, 1}, kNow, &out).ok()) state.SkipWithError("not signed");
    benchmark::DoNotOptimize(out.data());
  }
}

void BM_SignMessage10KRsa2048(benchmark::State& state) {
  SignMessage10K(state, KeyAlgorithm::kRsa);
}
BENCHMARK(BM_SignMessage10KRsa2048);
void BM_SignMessage10KEd25519(benchmark::State& state) {
  SignMessage10K(state, KeyAlgorithm::kEd25519);
}
BENCHMARK(BM_SignMessage10KEd25519);

void HashBody(benchmark::State& state, Canonicalization canonicalization) {
  const std::string body = Body(static_cast<size_t>(state.range(0)));
  const iovec piece = Piece(body);
  BodyHasher hasher(canonicalization);
  for (auto _ : state) {
    const BodyHash hash = hasher.Hash({&piece, 1});
    benchmark::DoNotOptimize(hash.digest.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(body.size()));
}

void BM_HashBodyRelaxed(benchmark::State& state) { HashBody(state, Canonicalization::kRelaxed); }
BENCHMARK(BM_HashBodyRelaxed)->Arg(10 * 1024)->Arg(1024 * 1024);
void BM_HashBodySimple(benchmark::State& state) { HashBody(state, Canonicalization::kSimple); }
BENCHMARK(BM_HashBodySimple)->Arg(10 * 1024)->Arg(1024 * 1024);

}  // namespace
