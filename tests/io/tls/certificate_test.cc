// What a hostile certificate may hold, and how it is shown.
#include "io/tls/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

#include "io/tls/limits.h"
#include "tests/io/tls/certificates.h"

namespace volley::io {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TlsInfo Describe(const CertificateSpec& spec) {
  TlsInfo info;
  DescribeCertificate(MakeCertificate(spec).certificate.get(), &info);
  return info;
}

TEST(Certificate, ShowsPrintableAsciiOnlyAndCutsTheRest) {
  EXPECT_EQ(ShownText("plain", 10), "plain");
  EXPECT_EQ(ShownText(std::string("a\0b\r\n\x1b[2J\xc3\xa4", 11), 100), "a?b???[2J??");
  EXPECT_EQ(ShownText("0123456789", 4), "0123...");
  EXPECT_EQ(ShownText("", 4), "");
}

TEST(Certificate, ListsNamesUpToABound) {
  CertificateSpec spec;
  spec.names = "DNS:first.example";
  for (int i = 1; i < 40; ++i) spec.names += ",DNS:n" + std::to_string(i) + ".example";
  const TlsInfo info = Describe(spec);
  EXPECT_THAT(info.peer_names, SizeIs(kTlsNamesShownMax));
  EXPECT_TRUE(info.more_names);
  EXPECT_EQ(info.peer_names[0], "first.example");
}

TEST(Certificate, LeavesOutNamesThatAreNoHosts) {
  CertificateSpec spec;
  spec.names = "email:a@example.com,URI:https://example.com/,DNS:mx.example.com,IP:::1";
  EXPECT_THAT(Describe(spec).peer_names, ElementsAre("mx.example.com", "::1"));
}

TEST(Certificate, HostileNamesAreMadeHarmless) {
  CertificateSpec spec;
  spec.common_name = "evil\x1b[31m\r\n250 OK";
  spec.names = "DNS:evil\x1b[31m.example";
  const TlsInfo info = Describe(spec);
  EXPECT_THAT(info.peer_names, ElementsAre("evil?[31m.example"));
  for (const char c : info.subject) EXPECT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c);
  spec.names = "DNS:" + std::string(5000, 'x');
  EXPECT_THAT(Describe(spec).peer_names.at(0), SizeIs(kTlsTextShownMax + 3));
}

TEST(Certificate, EveryFaultHasItsWords) {
  CertificateVerdict verdict;
  EXPECT_TRUE(verdict.good());
  EXPECT_EQ(verdict.Words({}, "a.example", "the store"), "");
  verdict.Add(X509_V_ERR_CERT_REVOKED);
  EXPECT_EQ(verdict.failure(), TlsFailure::kCertificateInvalid);
  verdict.Add(X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
  verdict.Add(X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE);  // the same fault once more
  verdict.Add(X509_V_ERR_HOSTNAME_MISMATCH);
  EXPECT_EQ(verdict.failure(), TlsFailure::kCertificateNameMismatch);
  TlsInfo info;
  info.issuer = "CN=Nobody";
  for (int i = 0; i < 7; ++i) info.peer_names.push_back("n" + std::to_string(i));
  EXPECT_EQ(
      verdict.Words(info, "a.example", "the store"),
      "the certificate is for n0, n1, n2, n3, n4, ..., not for a.example; the certificate's issuer "
      "(CN=Nobody) is not among the store; the certificate is not acceptable: certificate "
      "revoked");
}

TEST(TlsFailure, IdsAndWordsAreAllThereAndDiffer) {
  std::set<std::string_view> ids, words;
  for (int i = 0; i <= static_cast<int>(TlsFailure::kBadRecord); ++i) {
    ids.insert(TlsFailureId(static_cast<TlsFailure>(i)));
    words.insert(TlsFailureWords(static_cast<TlsFailure>(i)));
  }
  EXPECT_THAT(ids, SizeIs(static_cast<size_t>(TlsFailure::kBadRecord) + 1));
  EXPECT_THAT(words, SizeIs(ids.size()));
  EXPECT_EQ(ids.count(""), 0u);
  EXPECT_EQ(TlsFailureId(TlsFailure::kCertificateExpired), "certificate_expired");
}

}  // namespace
}  // namespace volley::io
