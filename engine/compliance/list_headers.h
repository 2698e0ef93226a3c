// The header fields that tell mailbox providers what kind of mail this is and how to leave it, for
// MessageSpec::headers: their values are Mustache, and the pipeline gives every row the columns
// `unsubscribe_url` and `unsubscribe_token`.
//
//   bulk            List-Unsubscribe (RFC 2369 §3.2; the https URL first, then mailto),
//                   List-Unsubscribe-Post (RFC 8058 §3.1), List-Id (RFC 2919), Precedence: bulk
//   transactional   Auto-Submitted: auto-generated
//   both            Feedback-ID
//
// Precedence is in no standard, and every vacation program keeps quiet when it says "bulk" (RFC
// 3834 §2 has them look at it). Auto-Submitted is the standard's word for the same (RFC 3834 §5),
// but it means a message that no person wrote for its readers: right for a receipt, and wrong for a
// newsletter, where it would also keep the ticket systems of readers from taking it.
//
// Threading: functions without state. Errors: InvalidArgument names the option and what is wrong.
#ifndef VOLLEY_ENGINE_COMPLIANCE_LIST_HEADERS_H_
#define VOLLEY_ENGINE_COMPLIANCE_LIST_HEADERS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace volley::engine::compliance {

enum class MailKind : uint8_t { kBulk, kTransactional };

// "Weekly news <weekly.example.org>", "<weekly.example.org>" or "weekly.example.org" (RFC 2919 §3).
struct ListId {
  std::string description;  // UTF-8; empty: none
  std::string id;           // lower case: lists are told apart without regard to case (§6)
};
absl::StatusOr<ListId> ParseListId(std::string_view text);
// The field's value: the description as atoms, a quoted string or encoded words, as it needs.
std::string FormatListId(const ListId& list);

// "a:b:c:SenderId", as Gmail's feedback loop takes it: one to four parts, the last one the sender's
// own, 5 to 15 characters and in all of its mail. It counts complaints by part, so that a part of
// its own for each message counts nothing: variables are refused.
absl::Status CheckFeedbackId(std::string_view text);

struct ListHeaderOptions {
  MailKind kind = MailKind::kBulk;
  std::string url;          // as UnsubscribeUrl::Parse takes it; empty: no one-click
  std::string mailto;       // "unsubscribe@example.org"; empty: none
  std::string list_id;      // as ParseListId takes it; empty: none
  std::string feedback_id;  // empty: none
};

// Names, and values as Mustache, in the order of the message. What a kind does not have is left
// out, not refused: the same settings serve both.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> MakeListHeaders(
    const ListHeaderOptions& options);

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_LIST_HEADERS_H_
