#include "engine/dkim/sha256.h"

#include <cstdlib>

namespace volley::engine::dkim {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  Require(context_ != nullptr);
  // The one call that looks the algorithm up; Start() uses it again.
  Require(EVP_DigestInit_ex2(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::Start() { Require(EVP_DigestInit_ex2(context_.get(), nullptr, nullptr) == 1); }

void Sha256::Add(std::string_view bytes) {
  if (bytes.empty()) return;
  Require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256::Finish() {
  Sha256Digest digest;
  Require(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
  return digest;
}

}  // namespace volley::engine::dkim
