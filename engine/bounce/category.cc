#include "engine/bounce/category.h"

#include <algorithm>
#include <array>

namespace volley::engine::bounce {
namespace {

using enum Category;
using S = Severity;
using O = Scope;
using A = Action;

// In the order of Category.
constexpr std::array<CategoryInfo, kCategories> kTable = {{
    {kNone, "", S::kNone, O::kNone, A::kNone, "", 0},
    {kRecipientUnknown, "recipient_unknown", S::kHard, O::kRecipient, A::kSuppress, "bad-mailbox",
     10},
    {kRecipientMoved, "recipient_moved", S::kHard, O::kRecipient, A::kSuppress, "inactive-mailbox",
     10},
    {kRecipientInactive, "recipient_inactive", S::kHard, O::kRecipient, A::kSuppressLater,
     "inactive-mailbox", 10},
    {kRecipientFiltered, "recipient_filtered", S::kSoft, O::kRecipient, A::kCount, "policy-related",
     50},
    {kMailboxFull, "mailbox_full", S::kSoft, O::kRecipient, A::kRetry, "quota-issues", 22},
    {kDomainInvalid, "domain_invalid", S::kHard, O::kDomain, A::kSuppress, "bad-domain", 21},
    {kDnsFailure, "dns_failure", S::kSoft, O::kTransient, A::kRetry, "routing-errors", 21},
    {kConnectFailure, "connect_failure", S::kSoft, O::kTransient, A::kRetry, "bad-connection", 20},
    {kTlsFailure, "tls_failure", S::kSoft, O::kConfig, A::kRetry, "bad-connection", 20},
    {kExpired, "expired", S::kSoft, O::kTransient, A::kFail, "message-expired", 24},
    {kRateLimited, "rate_limited", S::kSoft, O::kSource, A::kThrottle, "policy-related", 20},
    {kGreylisted, "greylisted", S::kSoft, O::kTransient, A::kRetry, "other", 70},
    {kIpBlocked, "ip_blocked", S::kBlock, O::kSource, A::kSuspend, "spam-related", 51},
    {kReputation, "reputation", S::kBlock, O::kSource, A::kSuspend, "spam-related", 50},
    {kSpamContent, "spam_content", S::kBlock, O::kContent, A::kBreak, "spam-related", 52},
    {kContentRejected, "content_rejected", S::kBlock, O::kContent, A::kBreak, "content-related",
     50},
    {kVirusAttachment, "virus_attachment", S::kBlock, O::kContent, A::kBreak, "virus-related", 53},
    {kMessageTooLarge, "message_too_large", S::kSoft, O::kContent, A::kFail, "content-related", 23},
    {kAuthFailure, "auth_failure", S::kPolicy, O::kConfig, A::kPause, "policy-related", 50},
    {kPtrMissing, "ptr_missing", S::kPolicy, O::kConfig, A::kSuspend, "policy-related", 50},
    {kNoncompliant, "noncompliant", S::kPolicy, O::kContent, A::kFail, "protocol-errors", 50},
    {kPolicy, "policy", S::kPolicy, O::kSource, A::kCount, "policy-related", 50},
    {kSenderRejected, "sender_rejected", S::kPolicy, O::kConfig, A::kPause, "invalid-sender", 50},
    {kRelayDenied, "relay_denied", S::kPolicy, O::kConfig, A::kFail, "relaying-issues", 54},
    {kProtocolError, "protocol_error", S::kSoft, O::kConfig, A::kRetry, "protocol-errors", 20},
    {kRemoteSystem, "remote_system", S::kSoft, O::kTransient, A::kRetry, "bad-configuration", 20},
    {kSuppressed, "suppressed", S::kAdmin, O::kRecipient, A::kNone, "", 25},
    {kAutoReply, "auto_reply", S::kNone, O::kNone, A::kNone, "", 60},
    {kComplaint, "complaint", S::kNone, O::kRecipient, A::kSuppressList, "", 0},
    {kUnknown, "unknown", S::kSoft, O::kNone, A::kCount, "other", 1},
}};

constexpr bool InOrder() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<size_t>(kTable[i].category) != i) return false;
  }
  return true;
}
static_assert(InOrder());

}  // namespace

const CategoryInfo& InfoOf(Category category) {
  const auto i = static_cast<size_t>(category);  // may be of a file that is damaged
  return kTable[i < kTable.size() ? i : static_cast<size_t>(kUnknown)];
}

std::span<const CategoryInfo> AllCategories() {
  return std::span<const CategoryInfo>(kTable).subspan(1);
}

std::optional<Category> CategoryByName(std::string_view name) {
  const auto all = AllCategories();
  const auto found =
      std::find_if(all.begin(), all.end(), [name](const auto& info) { return info.name == name; });
  if (found == all.end()) return std::nullopt;
  return found->category;
}

std::string_view SeverityName(Severity severity) {
  static constexpr std::array<std::string_view, 6> kNames = {"none",  "hard",   "soft",
                                                             "block", "policy", "admin"};
  return kNames[static_cast<size_t>(severity)];
}

std::string_view ScopeName(Scope scope) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "none", "recipient", "domain", "source", "content", "config", "transient"};
  return kNames[static_cast<size_t>(scope)];
}

std::string_view ActionName(Action action) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "none",  "suppress", "suppress_later", "retry", "throttle",     "suspend",
      "break", "pause",    "fail",           "count", "suppress_list"};
  return kNames[static_cast<size_t>(action)];
}

std::string_view ActionWords(Action action) {
  static constexpr std::array<std::string_view, 11> kWords = {
      "nothing is done",
      "the address is mailed no more",
      "the address is mailed no more when it happens again",
      "it is tried again later",
      "sending to that provider slows down, and it is tried again",
      "sending to that provider stops for a while",
      "the campaign stops when too many replies say this",
      "sending to that domain should stop until our set-up is mended",
      "this message is given up, the address stays",
      "it is counted",
      "the address gets no more of this list"};
  return kWords[static_cast<size_t>(action)];
}

}  // namespace volley::engine::bounce
