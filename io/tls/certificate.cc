#include "io/tls/certificate.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

#include "io/tls/limits.h"
#include "io/tls/openssl_ptr.h"

namespace volley::io {
namespace {

TlsFailure FailureFor(int x509_error) {
  switch (x509_error) {
    case X509_V_OK:
      return TlsFailure::kNone;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return TlsFailure::kCertificateExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return TlsFailure::kCertificateNotYetValid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return TlsFailure::kCertificateNameMismatch;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return TlsFailure::kCertificateSelfSigned;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return TlsFailure::kCertificateUntrusted;
    default:
      return TlsFailure::kCertificateInvalid;
  }
}

absl::Time ToTime(const ASN1_TIME* time, absl::Time otherwise) {
  std::tm civil{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &civil) != 1) return otherwise;
  return absl::FromTM(civil, absl::UTCTimeZone());
}

std::string Day(absl::Time time) {
  const absl::CivilDay day = absl::ToCivilDay(time, absl::UTCTimeZone());
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), day.month(), day.day());
}

std::string_view Bytes(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(std::max(ASN1_STRING_length(text), 0))};
}

std::string IpText(std::string_view address) {
  char text[INET6_ADDRSTRLEN] = "";
  const int family = address.size() == 4 ? AF_INET : AF_INET6;
  if (address.size() != 4 && address.size() != 16) return "?";
  return inet_ntop(family, address.data(), text, sizeof(text)) == nullptr ? "?" : text;
}

void AddNames(const X509* certificate, TlsInfo* info) {
  using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpenSslFree<GENERAL_NAMES_free>>;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();  // an extension that cannot be read is one without names
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    if (info->peer_names.size() == kTlsNamesShownMax) {
      info->more_names = true;
      return;
    }
    const bool is_dns = name->type == GEN_DNS;
    info->peer_names.push_back(is_dns ? ShownText(Bytes(name->d.dNSName), kTlsTextShownMax)
                                      : IpText(Bytes(name->d.iPAddress)));
  }
}

std::string NamesOf(const TlsInfo& info) {
  if (info.peer_names.empty()) {
    return fmt::format("no host name at all (subject {}, which is not looked at)",
                       info.subject.empty() ? "is empty" : info.subject);
  }
  constexpr size_t kShown = 5;
  const size_t shown = std::min(info.peer_names.size(), kShown);
  std::string text;
  for (size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + info.peer_names[i];
  if (shown < info.peer_names.size() || info.more_names) text += ", ...";
  return text;
}

}  // namespace

std::string ShownText(std::string_view text, size_t most) {
  std::string shown(text.substr(0, most));
  for (char& c : shown) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (text.size() > most) shown += "...";
  return shown;
}

std::string ShownName(const X509_NAME* name) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  if (out == nullptr || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return "?";
  char* text = nullptr;
  const long bytes = BIO_get_mem_data(out.get(), &text);
  if (bytes <= 0) return "";
  return ShownText({text, static_cast<size_t>(bytes)}, kTlsTextShownMax);
}

void DescribeCertificate(const X509* certificate, TlsInfo* info) {
  info->subject = ShownName(X509_get_subject_name(certificate));
  info->issuer = ShownName(X509_get_issuer_name(certificate));
  info->not_before = ToTime(X509_get0_notBefore(certificate), absl::InfinitePast());
  info->not_after = ToTime(X509_get0_notAfter(certificate), absl::InfiniteFuture());
  AddNames(certificate, info);
}

// --- CertificateVerdict --------------------------------------------------------------------------

bool CertificateVerdict::Verify(X509_STORE_CTX* store) {
  // The callback has no argument of its own; slot 0 of the store context is the application's.
  X509_STORE_CTX_set_app_data(store, this);
  X509_STORE_CTX_set_verify_cb(store, &CertificateVerdict::OnStep);
  if (X509_verify_cert(store) <= 0) {
    // It gave up by itself (out of memory, a chain it cannot work with): never good.
    const int error = X509_STORE_CTX_get_error(store);
    Add(error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error);
  }
  X509_STORE_CTX_set_app_data(store, nullptr);
  X509_STORE_CTX_set_error(store, faults_[static_cast<size_t>(failure())].x509_error);
  return good();
}

int CertificateVerdict::OnStep(int ok, X509_STORE_CTX* store) {
  if (ok != 1) {
    auto* verdict = static_cast<CertificateVerdict*>(X509_STORE_CTX_get_app_data(store));
    verdict->Add(X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_error_depth(store),
                 X509_STORE_CTX_get_current_cert(store));
  }
  return 1;
}

void CertificateVerdict::Add(int x509_error) { Add(x509_error, 0, nullptr); }

void CertificateVerdict::Add(int x509_error, int depth, const X509* certificate) {
  const TlsFailure failure = FailureFor(x509_error);
  Fault& fault = faults_[static_cast<size_t>(failure)];
  if (failure == TlsFailure::kNone || fault.x509_error != X509_V_OK) return;
  fault.x509_error = x509_error;
  fault.depth = depth;
  if (depth > 0 && certificate != nullptr) {
    fault.issuer = ShownName(X509_get_subject_name(certificate));
  }
}

TlsFailure CertificateVerdict::failure() const {
  for (size_t kind = 1; kind < kKinds; ++kind) {
    if (faults_[kind].x509_error != X509_V_OK) return static_cast<TlsFailure>(kind);
  }
  return TlsFailure::kNone;
}

std::string CertificateVerdict::Words(const TlsInfo& info, std::string_view expected,
                                      std::string_view trust_source) const {
  std::string words;
  for (size_t kind = 1; kind < kKinds; ++kind) {
    if (faults_[kind].x509_error == X509_V_OK) continue;
    if (!words.empty()) words += "; ";
    words += WordsFor(static_cast<TlsFailure>(kind), info, expected, trust_source);
  }
  return words;
}

std::string CertificateVerdict::WordsFor(TlsFailure failure, const TlsInfo& info,
                                         std::string_view expected,
                                         std::string_view trust_source) const {
  const Fault& fault = faults_[static_cast<size_t>(failure)];
  const bool of_issuer = !fault.issuer.empty();
  switch (failure) {
    case TlsFailure::kCertificateExpired:
      if (of_issuer) return fmt::format("the issuer's certificate ({}) has expired", fault.issuer);
      return fmt::format("the certificate expired on {}", Day(info.not_after));
    case TlsFailure::kCertificateNotYetValid:
      if (of_issuer)
        return fmt::format("the issuer's certificate ({}) is not valid yet", fault.issuer);
      return fmt::format("the certificate is valid only from {} on (is our clock right?)",
                         Day(info.not_before));
    case TlsFailure::kCertificateNameMismatch:
      return fmt::format("the certificate is for {}, not for {}", NamesOf(info),
                         ShownText(expected, kTlsTextShownMax));
    case TlsFailure::kCertificateSelfSigned:
      return "the certificate is self-signed";
    case TlsFailure::kCertificateUntrusted:
      return fmt::format("the certificate's issuer ({}) is not among {}",
                         of_issuer ? fault.issuer : info.issuer, trust_source);
    default:
      return fmt::format("the certificate is not acceptable: {}",
                         X509_verify_cert_error_string(fault.x509_error));
  }
}

}  // namespace volley::io
