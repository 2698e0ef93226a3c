// What a refusal means, and what a sender does about it.
//
// A category says why; severity says how bad for whom sends (it does not follow from 4xx or 5xx: a
// blocklist's 550 is the sender's trouble, not the recipient's); scope says what else it is true
// for; action says what to do. The names are for files and programs and do not change.
//
// Threading: pure functions.
#ifndef VOLLEY_ENGINE_BOUNCE_CATEGORY_H_
#define VOLLEY_ENGINE_BOUNCE_CATEGORY_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace volley::engine::bounce {

// Kept in ledgers: new ones are added at the end. 0 is "none" there.
enum class Category : uint8_t {
  kNone,
  kRecipientUnknown,
  kRecipientMoved,
  kRecipientInactive,
  kRecipientFiltered,
  kMailboxFull,
  kDomainInvalid,
  kDnsFailure,
  kConnectFailure,
  kTlsFailure,
  kExpired,
  kRateLimited,
  kGreylisted,
  kIpBlocked,
  kReputation,
  kSpamContent,
  kContentRejected,
  kVirusAttachment,
  kMessageTooLarge,
  kAuthFailure,
  kPtrMissing,
  kNoncompliant,
  kPolicy,
  kSenderRejected,
  kRelayDenied,
  kProtocolError,
  kRemoteSystem,
  kSuppressed,
  kAutoReply,
  kComplaint,
  kUnknown,
};
inline constexpr size_t kCategories = 31;

enum class Severity : uint8_t { kNone, kHard, kSoft, kBlock, kPolicy, kAdmin };
enum class Scope : uint8_t { kNone, kRecipient, kDomain, kSource, kContent, kConfig, kTransient };

enum class Action : uint8_t {
  kNone,
  kSuppress,       // the address is mailed no more
  kSuppressLater,  // when it happens again (SuppressAfter)
  kRetry,          // later, as scheduled
  kThrottle,       // slow down and try again; the recipient is not to blame, no attempt is counted
  kSuspend,        // stop sending from here to that provider for a while
  kBreak,          // stop the campaign when too many say so: it is about what we send
  kPause,          // stop for that domain until somebody has mended our set-up
  kFail,           // give this message up; no more than that
  kCount,          // keep count of it
  kSuppressList,   // no more of this list
};

struct CategoryInfo {
  Category category;
  std::string_view name;
  Severity severity;
  Scope scope;
  Action action;
  // How other tools call it, for those who move; empty: they have none.
  std::string_view powermta;
  uint8_t sparkpost;  // bounce class; 0: none
};

const CategoryInfo& InfoOf(Category category);
std::span<const CategoryInfo> AllCategories();                  // without kNone
std::optional<Category> CategoryByName(std::string_view name);  // "mailbox_full"

std::string_view SeverityName(Severity severity);
std::string_view ScopeName(Scope scope);
std::string_view ActionName(Action action);
// For people: "the address is mailed no more".
std::string_view ActionWords(Action action);

}  // namespace volley::engine::bounce

#endif  // VOLLEY_ENGINE_BOUNCE_CATEGORY_H_
