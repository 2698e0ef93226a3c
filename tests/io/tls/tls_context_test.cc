// Certificates, keys and options: good ones are taken, bad ones are refused with the file and why.
#include "io/tls/tls_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "tests/io/tls/certificates.h"

namespace volley::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TlsContextTest : public ::testing::Test {
 protected:
  static absl::Status Server(const TlsServerOptions& options) {
    return TlsServerConfig::Create(options).status();
  }
  static absl::Status Client(const TlsClientOptions& options) {
    return TlsClientConfig::Create(options).status();
  }
  absl::Status ServerWithKey(const std::string& key_file, bool allow_exposed = false) {
    TlsServerOptions options;
    options.certificate = pki_.Leaf({});
    options.certificate.key_file = key_file;
    options.certificate.allow_exposed_key = allow_exposed;
    return Server(options);
  }
  static std::string Message(const absl::Status& status) { return std::string(status.message()); }

  TestPki pki_;
};

TEST_F(TlsContextTest, TakesACertificateAndItsKeyFromOneFile) {
  TlsServerOptions options;
  const std::string pem = MakeCertificate({}).pem + KeyPem(TestKey());
  options.certificate.certificate_file = pki_.dir().File("both.pem", pem);
  EXPECT_TRUE(Server(options).ok()) << Server(options);
}

TEST_F(TlsContextTest, RefusesAKeyThatOthersCanReadOrWrite) {
  const std::string pem = KeyPem(TestKey());
  const std::string open = pki_.dir().File("open.pem", pem, 0644);
  const absl::Status status = ServerWithKey(open);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Message(status), "key " + open + " can be read by everybody (mode 0644): chmod 600 it");
  EXPECT_TRUE(ServerWithKey(open, /*allow_exposed=*/true).ok());
  const std::string writable = pki_.dir().File("writable.pem", pem, 0660);
  EXPECT_THAT(Message(ServerWithKey(writable)), HasSubstr("can be written by others (mode 0660)"));
  EXPECT_TRUE(ServerWithKey(pki_.dir().File("group.pem", pem, 0640)).ok())
      << "Debian's ssl-cert group";
}

TEST_F(TlsContextTest, NamesTheKeyFileAndWhatIsWrongWithIt) {
  const TempDir& dir = pki_.dir();
  absl::Status status = ServerWithKey(dir.path() + "/none.pem");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("/none.pem"), HasSubstr("No such file")));
  status = ServerWithKey(dir.File("text.pem", "hello"));
  EXPECT_THAT(Message(status), AllOf(HasSubstr("/text.pem"), HasSubstr("not a private key")));
  status = ServerWithKey(dir.File("empty.pem", ""));
  EXPECT_THAT(Message(status), AllOf(HasSubstr("/empty.pem"), HasSubstr("not a private key")));
  status = ServerWithKey(dir.File("locked.pem", KeyPem(TestKey(), "secret")));
  EXPECT_THAT(Message(status), AllOf(HasSubstr("/locked.pem"), HasSubstr("is encrypted")));
  status = ServerWithKey(dir.File("other.pem", KeyPem(TestKey(1))));
  EXPECT_THAT(Message(status), AllOf(HasSubstr("/other.pem"), HasSubstr("does not belong to")));
  status = ServerWithKey(dir.File("large.pem", std::string(200'000, 'x')));
  EXPECT_THAT(Message(status), AllOf(HasSubstr("/large.pem"), HasSubstr("too large")));
  status = ServerWithKey(dir.path());
  EXPECT_THAT(Message(status), HasSubstr("Is a directory"));
  for (const std::string name : {"text", "empty", "locked", "other"}) {
    EXPECT_EQ(ServerWithKey(dir.path() + "/" + name + ".pem").code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(TlsContextTest, SaysWhoMayNotReadAKey) {
  if (geteuid() == 0) GTEST_SKIP() << "SKIPPED: root reads everything";
  const absl::Status status = ServerWithKey(pki_.dir().File("no.pem", KeyPem(TestKey()), 0000));
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("/no.pem"), HasSubstr("Permission denied")));
}

TEST_F(TlsContextTest, NamesCertificateAndCaFiles) {
  TlsServerOptions server;
  server.certificate = {pki_.dir().path() + "/gone.pem", pki_.key_file()};
  EXPECT_EQ(Server(server).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(Server(server)), HasSubstr("certificate " + pki_.dir().path()));
  server.certificate.certificate_file = pki_.key_file();
  EXPECT_THAT(Message(Server(server)), HasSubstr("is not a certificate in PEM form"));
  TlsClientOptions client;
  client.ca_file = pki_.dir().path() + "/ca-gone.pem";
  EXPECT_THAT(Message(Client(client)), HasSubstr("CA file " + client.ca_file));
  client.ca_file = pki_.key_file();
  EXPECT_THAT(Message(Client(client)), HasSubstr("holds no certificate"));
  client.ca_file = pki_.dir().path();
  EXPECT_THAT(Message(Client(client)), HasSubstr("Is a directory"));
}

TEST_F(TlsContextTest, RefusesOptionsThatCannotWork) {
  TlsClientOptions client;
  client.ca_file = pki_.ca_file();
  ASSERT_TRUE(Client(client).ok());
  TlsClientOptions bad = client;
  bad.cipher_list = "NO-SUCH-CIPHER";
  EXPECT_THAT(Message(Client(bad)), HasSubstr("cipher list \"NO-SUCH-CIPHER\""));
  bad = client;
  bad.ciphersuites = "TLS_NO_SUCH_SUITE";
  EXPECT_THAT(Message(Client(bad)), HasSubstr("TLS_NO_SUCH_SUITE"));
  bad = client;
  bad.min_version = TlsVersion::kTls13;
  bad.max_version = TlsVersion::kTls12;
  EXPECT_FALSE(Client(bad).ok());
}

// Sets or unsets SSL_CERT_FILE and puts back what was there.
class CertFileVariable {
 public:
  explicit CertFileVariable(const char* value) {
    if (const char* before = getenv("SSL_CERT_FILE")) before_ = before;
    value == nullptr ? unsetenv("SSL_CERT_FILE") : setenv("SSL_CERT_FILE", value, 1);
  }
  ~CertFileVariable() {
    before_ ? setenv("SSL_CERT_FILE", before_->c_str(), 1) : unsetenv("SSL_CERT_FILE");
  }

 private:
  std::optional<std::string> before_;
};

TEST_F(TlsContextTest, TheSystemsCertificatesAreTheDefault) {
  const CertFileVariable none(nullptr);
  const auto config = TlsClientConfig::Create({});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT((*config)->trust_source(), HasSubstr("the system's certificates"));
}

TEST_F(TlsContextTest, TheEnvironmentNamesOtherCertificates) {
  {
    const CertFileVariable ours(pki_.ca_file().c_str());
    const auto config = TlsClientConfig::Create({});
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ((*config)->trust_source(), pki_.ca_file());
  }
  const CertFileVariable gone("/nowhere/ca.pem");
  EXPECT_EQ(Client({}).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace volley::io
