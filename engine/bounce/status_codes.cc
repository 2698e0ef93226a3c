#include "engine/bounce/status_codes.h"

#include <algorithm>
#include <array>

namespace volley::engine::bounce {
namespace {

using enum Category;

struct Meaning {
  std::string_view subject_and_detail;
  Category category;
};

constexpr std::array kMeanings = std::to_array<Meaning>({
    {"1.0", kRecipientUnknown},
    {"1.1", kRecipientUnknown},
    {"1.2", kDomainInvalid},
    {"1.3", kRecipientUnknown},
    {"1.4", kRecipientUnknown},
    {"1.5", kRecipientUnknown},
    {"1.6", kRecipientMoved},
    {"1.7", kSenderRejected},
    {"1.8", kSenderRejected},
    {"1.9", kRelayDenied},
    {"1.10", kDomainInvalid},
    {"2.0", kRecipientInactive},
    {"2.1", kRecipientInactive},
    {"2.2", kMailboxFull},
    {"2.3", kMessageTooLarge},
    {"2.4", kRemoteSystem},
    {"3.0", kRemoteSystem},
    {"3.1", kRemoteSystem},
    {"3.2", kRemoteSystem},
    {"3.3", kProtocolError},
    {"3.4", kMessageTooLarge},
    {"3.5", kRemoteSystem},
    {"4.0", kDnsFailure},
    {"4.1", kConnectFailure},
    {"4.2", kConnectFailure},
    {"4.3", kDnsFailure},
    {"4.4", kDnsFailure},
    {"4.5", kRateLimited},
    {"4.6", kDnsFailure},
    {"4.7", kExpired},
    {"5.1", kProtocolError},
    {"5.2", kProtocolError},
    {"5.3", kRateLimited},
    {"5.4", kProtocolError},
    {"5.5", kProtocolError},
    {"5.6", kProtocolError},
    {"6.0", kContentRejected},
    {"6.1", kContentRejected},
    {"6.3", kNoncompliant},
    {"6.7", kNoncompliant},
    {"6.9", kNoncompliant},
    {"7.0", kPolicy},
    {"7.1", kPolicy},
    {"7.2", kPolicy},
    {"7.5", kTlsFailure},
    {"7.10", kTlsFailure},
    {"7.12", kTlsFailure},
    {"7.13", kRecipientInactive},
    {"7.17", kRecipientMoved},
    {"7.18", kDomainInvalid},
    {"7.20", kAuthFailure},
    {"7.21", kAuthFailure},
    {"7.22", kAuthFailure},
    {"7.23", kAuthFailure},
    {"7.24", kAuthFailure},
    {"7.25", kPtrMissing},
    {"7.26", kAuthFailure},
    {"7.27", kSenderRejected},
    {"7.28", kRateLimited},
    {"7.29", kAuthFailure},
    {"7.30", kTlsFailure},
});

}  // namespace

std::optional<Category> CategoryOfEnhanced(std::string_view code) {
  if (code.size() < 5 || (code[0] != '4' && code[0] != '5') || code[1] != '.') return std::nullopt;
  const std::string_view rest = code.substr(2);
  const auto found = std::find_if(kMeanings.begin(), kMeanings.end(), [rest](const Meaning& m) {
    return m.subject_and_detail == rest;
  });
  if (found == kMeanings.end()) return std::nullopt;
  return found->category;
}

Category CategoryOfCode(uint16_t code, Stage stage) {
  switch (code) {
    case 0:
      return stage == Stage::kStartTls ? kTlsFailure : kConnectFailure;
    case 452:
      return stage == Stage::kRcpt ? kRateLimited : kRemoteSystem;
    case 454:
      return stage == Stage::kStartTls ? kTlsFailure : kRemoteSystem;
    case 500:
    case 501:
    case 502:
    case 503:
    case 504:
    case 555:
      return kProtocolError;
    case 521:
    case 556:  // RFC 7504
      return kDomainInvalid;
    case 530:
      return kPolicy;
    case 551:
      return kRecipientMoved;
    case 552:
      return stage == Stage::kRcpt ? kMailboxFull : kMessageTooLarge;
    case 553:
      return stage == Stage::kMail ? kSenderRejected : kRecipientUnknown;
    default:
      return code / 100 == 4 ? kRemoteSystem : kUnknown;
  }
}

}  // namespace volley::engine::bounce
