// The checks of the preflight, their texts that are the same for everybody, and the report they are
// written into.
//
// Threading: a Report is one thread's; the functions have no state.
#ifndef VOLLEY_ENGINE_PREFLIGHT_REPORT_H_
#define VOLLEY_ENGINE_PREFLIGHT_REPORT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace volley::engine::preflight {

// Each has an id for scripts and a chapter in docs/preflight.md.
enum class Check : uint8_t {
  // SPF.
  kSpfMissing,
  kSpfSeveralRecords,
  kSpfSyntax,
  kSpfTooManyLookups,
  kSpfNotAuthorised,
  kSpfAllowsAll,
  // DKIM.
  kDkimNotSigned,
  kDkimRecordMissing,
  kDkimRecordMismatch,
  kDkimRecordRevoked,
  kDkimRecordMalformed,
  kDkimSeveralRecords,
  kDkimTestingFlag,
  kDkimKeyShort,
  // DMARC and the From domain.
  kDmarcMissing,
  kDmarcSeveralRecords,
  kDmarcSyntax,
  kDmarcNotAligned,
  kFromNotSingle,
  kFromDomainPublicProvider,
  kFromDomainMissing,
  // Unsubscribing.
  kOneClickMissing,
  kOneClickNotHttps,
  kOneClickNotSigned,
  kBodyLinkMissing,
  // The message.
  kMessageMalformed,
  kMessageIdMissing,
  kMessageIdNotUnique,
  kDuplicateHeader,
  kDateMissing,
  kSubjectFakeReply,
  kDisplayNameIsRecipient,
  kSizeOverLimit,
  kTooManyLinks,
  kPlainTextMissing,
  kFeedbackIdMalformed,
  kFeedbackIdNotSigned,
  // Where it is sent from.
  kPtrMissing,
  kPtrNotForwardConfirmed,
  kHeloNotMatching,
  kTlsOff,
  kDnsUnreachable,
};
inline constexpr size_t kCheckCount = static_cast<size_t>(Check::kDnsUnreachable) + 1;

std::string_view CheckId(Check check);      // "spf-missing": stable
std::string_view CheckWhy(Check check);     // why a provider cares
std::string_view CheckSource(Check check);  // the page or RFC that says so
std::vector<std::string> CheckIds();        // of all checks

enum class Severity : uint8_t { kNote, kWarning, kError };
std::string_view SeverityName(Severity severity);

struct Finding {
  std::string id;
  Severity severity = Severity::kNote;
  std::string found;   // what is there
  std::string why;     // why the provider cares
  std::string source;  // who says so
  std::string mend;    // what to do; the exact DNS record where there is one
};

struct Outcome {
  std::vector<Finding> findings;     // worst first
  std::vector<std::string> passed;   // ids
  std::vector<std::string> skipped;  // "id: why it could not be checked or does not apply"
};

class Report {
 public:
  // The check was made; it has passed unless something is found.
  void Passed(Check check) { of(check).made = true; }
  void Found(Check check, Severity severity, std::string found, std::string mend);
  // It could not be made, or not wholly: it is never said to have passed.
  void Skip(Check check, std::string_view why);
  bool has(Check check) const { return entries_[static_cast<size_t>(check)].found; }

  Outcome Finish() &&;

 private:
  struct Entry {
    bool made = false, found = false;
    std::string skipped;
  };
  Entry& of(Check check) { return entries_[static_cast<size_t>(check)]; }

  std::array<Entry, kCheckCount> entries_;
  std::vector<Finding> findings_;
};

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_REPORT_H_
