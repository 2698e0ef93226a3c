// Certificates made on the spot: an authority, and what it (or nobody) has signed. EC P-256 keys,
// one for the whole program: making keys is the slow part, and nothing here depends on them.
#ifndef VOLLEY_TESTS_IO_TLS_CERTIFICATES_H_
#define VOLLEY_TESTS_IO_TLS_CERTIFICATES_H_

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include "io/base/check.h"
#include "io/tls/openssl_ptr.h"
#include "io/tls/tls_context.h"

namespace volley::io {

class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "volley_tls_XXXXXX";
    VOLLEY_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string File(const std::string& name, const std::string& content, mode_t mode = 0600) const {
    const std::string file = path_ / name;
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    VOLLEY_CHECK(fd >= 0);
    VOLLEY_CHECK(write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    VOLLEY_CHECK(fchmod(fd, mode) == 0);  // whatever the umask is
    close(fd);
    return file;
  }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline EVP_PKEY* TestKey(int index = 0) {
  static const PkeyPtr keys[2] = {PkeyPtr(EVP_EC_gen("P-256")), PkeyPtr(EVP_EC_gen("P-256"))};
  VOLLEY_CHECK(keys[index] != nullptr);
  return keys[index].get();
}

struct CertificateSpec {
  std::string common_name = "mx.example.com";
  std::string names = "DNS:mx.example.com";    // subjectAltName as openssl.cnf has it; empty: none
  long from_s = -86400, until_s = 30 * 86400;  // from now
  bool is_authority = false;
};

struct TestCertificate {
  X509Ptr certificate;
  std::string pem;
};

inline std::string Pem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  VOLLEY_CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  char* text = nullptr;
  const long bytes = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(bytes)};
}

inline std::string KeyPem(EVP_PKEY* key, const char* password = nullptr) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  const EVP_CIPHER* cipher = password == nullptr ? nullptr : EVP_aes_128_cbc();
  VOLLEY_CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, cipher, nullptr, 0, nullptr,
                                             const_cast<char*>(password)) == 1);
  char* text = nullptr;
  const long bytes = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(bytes)};
}

inline void AddExtension(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  VOLLEY_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// `issuer` null: self-signed.
inline TestCertificate MakeCertificate(const CertificateSpec& spec, X509* issuer = nullptr,
                                       EVP_PKEY* key = TestKey()) {
  static long serial = 1000;
  X509Ptr certificate(X509_new());
  X509* x = certificate.get();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x), spec.from_s);
  X509_gmtime_adj(X509_getm_notAfter(x), spec.until_s);
  X509_set_pubkey(x, key);
  X509_NAME* name = X509_get_subject_name(x);
  if (!spec.common_name.empty()) {
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(spec.common_name.data()),
                               static_cast<int>(spec.common_name.size()), -1, 0);
  }
  X509_set_issuer_name(x, issuer == nullptr ? name : X509_get_subject_name(issuer));
  AddExtension(x, NID_basic_constraints, spec.is_authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (!spec.names.empty()) AddExtension(x, NID_subject_alt_name, spec.names);
  VOLLEY_CHECK(X509_sign(x, TestKey(), EVP_sha256()) != 0);
  return {std::move(certificate), Pem(x)};
}

// An authority and files signed by it, in one directory that goes with it.
class TestPki {
 public:
  TestPki() : authority_(MakeAuthority("Test CA")) {
    ca_file_ = dir_.File("ca.pem", authority_.pem);
    key_file_ = dir_.File("key.pem", KeyPem(TestKey()));
  }

  static TestCertificate MakeAuthority(const std::string& name) {
    CertificateSpec spec;
    spec.common_name = name;
    spec.names.clear();
    spec.is_authority = true;
    return MakeCertificate(spec);
  }

  TlsCertificateFiles Leaf(const CertificateSpec& spec) {
    return Files(MakeCertificate(spec, authority_.certificate.get()).pem + authority_.pem);
  }
  // With a key of its own.
  TlsCertificateFiles LeafWithKey(const CertificateSpec& spec, EVP_PKEY* key) {
    TlsCertificateFiles files =
        Files(MakeCertificate(spec, authority_.certificate.get(), key).pem + authority_.pem);
    files.key_file = dir_.File("key" + std::to_string(++made_) + ".pem", KeyPem(key));
    return files;
  }
  TlsCertificateFiles SelfSigned(const CertificateSpec& spec) {
    return Files(MakeCertificate(spec).pem);
  }
  // Signed by somebody else.
  TlsCertificateFiles Foreign(const CertificateSpec& spec) {
    const TestCertificate other = MakeAuthority("Nobody's CA");
    return Files(MakeCertificate(spec, other.certificate.get()).pem);
  }

  const std::string& ca_file() const { return ca_file_; }
  const std::string& key_file() const { return key_file_; }
  const TempDir& dir() const { return dir_; }

 private:
  TlsCertificateFiles Files(const std::string& pem) {
    return {dir_.File("cert" + std::to_string(++made_) + ".pem", pem), key_file_};
  }

  TempDir dir_;
  TestCertificate authority_;
  std::string ca_file_, key_file_;
  int made_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_TESTS_IO_TLS_CERTIFICATES_H_
