#include "engine/dkim/key.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <utility>

#include "fmt/format.h"

namespace volley::engine::dkim {
namespace {

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using BioPtr = std::unique_ptr<BIO, FreeBio>;

// OpenSSL keeps errors per thread; what is left over would be reported by the next TLS call.
struct ErrorQueueCleaner {
  ~ErrorQueueCleaner() { ERR_clear_error(); }
};

absl::Status Refused(const std::string& why) { return absl::InvalidArgumentError(why); }

// Without a callback OpenSSL would ask at the terminal.
int NoPassword(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

size_t Count(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

// What is wrong with a file that has no key for us, in words that lead on.
absl::Status NoKeyIn(std::string_view pem) {
  if (pem.find("-----BEGIN OPENSSH PRIVATE KEY-----") != pem.npos) {
    return Refused("this is an OpenSSH key; DKIM keys are PKCS#8 or PKCS#1 in PEM");
  }
  if (pem.find(" PRIVATE KEY-----") != pem.npos) {
    return Refused("the private key cannot be read: its PEM or DER encoding is damaged");
  }
  if (pem.find("PUBLIC KEY-----") != pem.npos || pem.find("CERTIFICATE-----") != pem.npos) {
    return Refused("this is a public key or certificate; signing needs the private key");
  }
  return Refused("no private key in PEM form (-----BEGIN PRIVATE KEY-----)");
}

absl::StatusOr<KeyAlgorithm> AlgorithmOf(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519")) return KeyAlgorithm::kEd25519;
  if (EVP_PKEY_is_a(key, "RSA")) return KeyAlgorithm::kRsa;
  const char* name = EVP_PKEY_get0_type_name(key);
  return Refused(fmt::format("the key is of type {}; DKIM has RSA and Ed25519",
                             name == nullptr ? "unknown" : name));
}

absl::Status CheckRsaBits(int bits) {
  if (bits < kRsaBitsMin) {
    return Refused(
        fmt::format("the RSA key has {} bits; under {} no receiver accepts its "
                    "signatures (RFC 8301), use {}",
                    bits, kRsaBitsMin, kRsaBitsDefault));
  }
  if (bits > kRsaBitsMax) {
    return Refused(
        fmt::format("the RSA key has {} bits; receivers need not accept more than {} "
                    "(RFC 8301), use {}",
                    bits, kRsaBitsMax, kRsaBitsDefault));
  }
  return absl::OkStatus();
}

std::string SubjectPublicKeyInfo(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::string RawPublicKey(EVP_PKEY* key) {
  std::string out(32, '\0');
  size_t size = out.size();
  if (EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(out.data()), &size) != 1) {
    return {};
  }
  out.resize(size);
  return out;
}

}  // namespace

std::string_view SignatureAlgorithmName(KeyAlgorithm algorithm) {
  return algorithm == KeyAlgorithm::kRsa ? "rsa-sha256" : "ed25519-sha256";
}

std::string_view KeyTypeName(KeyAlgorithm algorithm) {
  return algorithm == KeyAlgorithm::kRsa ? "rsa" : "ed25519";
}

void AppendBase64(std::string_view bytes, std::string* out) {
  const size_t begin = out->size();
  const size_t encoded = (bytes.size() + 2) / 3 * 4;
  out->resize(begin + encoded + 1);  // EVP_EncodeBlock ends it with a NUL
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out->data() + begin),
                  reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()));
  out->resize(begin + encoded);
}

absl::StatusOr<std::shared_ptr<const SigningKey>> SigningKey::ParsePem(std::string_view pem) {
  const ErrorQueueCleaner cleaner;
  if (pem.size() > kPemBytesMax) return Refused("too long for a PEM file with one private key");
  if (Count(pem, "PRIVATE KEY-----") > 2) {  // a begin and an end
    return Refused("more than one private key; give each signature a file of its own");
  }
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return absl::ResourceExhaustedError("OpenSSL has no memory");
  bool password_asked = false;
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, &password_asked));
  if (password_asked) {
    return Refused(
        "the private key is encrypted; decrypt it (openssl pkey -in FILE -out NEW) and "
        "protect the file by its mode");
  }
  if (key == nullptr) return NoKeyIn(pem);
  return Make(std::move(key));
}

absl::StatusOr<std::shared_ptr<const SigningKey>> SigningKey::Generate(KeyAlgorithm algorithm,
                                                                       int rsa_bits) {
  const ErrorQueueCleaner cleaner;
  KeyPtr key;
  if (algorithm == KeyAlgorithm::kEd25519) {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  } else {
    if (absl::Status status = CheckRsaBits(rsa_bits); !status.ok()) return status;
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<size_t>(rsa_bits)));
  }
  if (key == nullptr) return absl::InternalError("OpenSSL could not generate a key");
  return Make(std::move(key));
}

absl::StatusOr<std::shared_ptr<const SigningKey>> SigningKey::Make(KeyPtr key) {
  const absl::StatusOr<KeyAlgorithm> algorithm = AlgorithmOf(key.get());
  if (!algorithm.ok()) return algorithm.status();
  if (*algorithm == KeyAlgorithm::kRsa) {
    if (absl::Status status = CheckRsaBits(EVP_PKEY_get_bits(key.get())); !status.ok()) {
      return status;
    }
  }
  std::shared_ptr<SigningKey> made(new SigningKey(*algorithm, std::move(key)));
  if (!made->EncodePublicKey() || !made->SignsWhatItVerifies()) {
    return Refused("the private key's parts do not fit together: what it signs does not verify");
  }
  return made;
}

bool SigningKey::EncodePublicKey() {
  const std::string bytes = algorithm_ == KeyAlgorithm::kRsa ? SubjectPublicKeyInfo(key_.get())
                                                             : RawPublicKey(key_.get());
  AppendBase64(bytes, &public_key_);
  return !bytes.empty();
}

// A key whose parts do not belong together signs without an error, and every message of a campaign
// would fail at the receivers.
bool SigningKey::SignsWhatItVerifies() const {
  const std::shared_ptr<const SigningKey> unowned(std::shared_ptr<void>(), this);
  SigningContext signer(unowned);
  const Sha256Digest digest{1, 2, 3};
  const std::string_view signature = signer.Sign(digest);
  if (signature.empty()) return false;
  const auto* signature_bytes = reinterpret_cast<const unsigned char*>(signature.data());
  if (algorithm_ == KeyAlgorithm::kEd25519) {
    const std::unique_ptr<EVP_MD_CTX, OpensslFree> context(EVP_MD_CTX_new());
    return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1 &&
           EVP_DigestVerify(context.get(), signature_bytes, signature.size(), digest.data(),
                            digest.size()) == 1;
  }
  const std::unique_ptr<EVP_PKEY_CTX, OpensslFree> context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  return EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1 &&
         EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) == 1 &&
         EVP_PKEY_verify(context.get(), signature_bytes, signature.size(), digest.data(),
                         digest.size()) == 1;
}

std::string SigningKey::DnsRecord() const {
  return fmt::format("v=DKIM1; k={}; p={}", KeyTypeName(algorithm_), public_key_);
}

bool SigningKey::HasPublicKey(std::string_view bytes) const {
  if (algorithm_ == KeyAlgorithm::kEd25519) return bytes == RawPublicKey(key_.get());
  const ErrorQueueCleaner cleaner;
  const auto* der = reinterpret_cast<const unsigned char*>(bytes.data());
  // RFC 6376 §3.6.1 says RSAPublicKey, but what its examples have, and what verifiers read, is the
  // SubjectPublicKeyInfo around it.
  const KeyPtr key(d2i_PUBKEY(nullptr, &der, static_cast<long>(bytes.size())));
  const bool whole = reinterpret_cast<const char*>(der) == bytes.data() + bytes.size();
  return key != nullptr && whole && EVP_PKEY_eq(key.get(), key_.get()) == 1;
}

Secret SigningKey::ToPem() const {
  const ErrorQueueCleaner cleaner;
  const BioPtr out(BIO_new(BIO_s_mem()));
  if (out == nullptr || PEM_write_bio_PKCS8PrivateKey(out.get(), key_.get(), nullptr, nullptr, 0,
                                                      nullptr, nullptr) != 1) {
    return {};
  }
  char* text = nullptr;
  const auto size = static_cast<size_t>(BIO_get_mem_data(out.get(), &text));
  Secret pem = Secret::Concat({std::string_view(text, size)});
  OPENSSL_cleanse(text, size);
  return pem;
}

std::vector<std::string_view> SplitTxtRecord(std::string_view record) {
  constexpr size_t kStringBytesMax = 255;  // RFC 1035 §3.3: one byte of length
  std::vector<std::string_view> out;
  for (size_t at = 0; at < record.size(); at += kStringBytesMax) {
    out.push_back(record.substr(at, kStringBytesMax));
  }
  return out;
}

SigningContext::SigningContext(std::shared_ptr<const SigningKey> key) : key_(std::move(key)) {
  if (key_->algorithm() == KeyAlgorithm::kEd25519) ed25519_.reset(EVP_MD_CTX_new());
}

bool SigningContext::PrepareRsa() {
  rsa_.reset(EVP_PKEY_CTX_new(key_->key_.get(), nullptr));
  return rsa_ != nullptr && EVP_PKEY_sign_init(rsa_.get()) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(rsa_.get(), RSA_PKCS1_PADDING) == 1 &&
         EVP_PKEY_CTX_set_signature_md(rsa_.get(), EVP_sha256()) == 1;
}

std::string_view SigningContext::Sign(const Sha256Digest& digest) {
  const ErrorQueueCleaner cleaner;
  size_t size = signature_.size();
  if (ed25519_ != nullptr) {
    // RFC 8463 §3: PureEdDSA, and what it signs is the SHA-256 hash.
    if (EVP_DigestSignInit(ed25519_.get(), nullptr, nullptr, nullptr, key_->key_.get()) != 1 ||
        EVP_DigestSign(ed25519_.get(), signature_.data(), &size, digest.data(), digest.size()) !=
            1) {
      return {};
    }
  } else {
    if (rsa_ == nullptr && !PrepareRsa()) {
      rsa_.reset();
      return {};
    }
    if (EVP_PKEY_sign(rsa_.get(), signature_.data(), &size, digest.data(), digest.size()) != 1) {
      return {};
    }
  }
  return {reinterpret_cast<const char*>(signature_.data()), size};
}

}  // namespace volley::engine::dkim
