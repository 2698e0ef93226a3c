// CampaignDefinition: what a user asks for, from a campaign file (TOML) and flags laid over it.
//
// Threading: a value. Errors: InvalidArgument or NotFound; the message names file, line, value and
// the next step.
#ifndef VOLLEY_PIPELINE_CAMPAIGN_DEFINITION_H_
#define VOLLEY_PIPELINE_CAMPAIGN_DEFINITION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/message/composer.h"
#include "pipeline/campaign/schedule.h"
#include "pipeline/campaign/warm_up_table.h"
#include "pipeline/route/relay.h"
#include "pipeline/throttle/limit_spec.h"

namespace volley::pipeline {

enum class CampaignKind : uint8_t { kBulk, kTransactional };
std::string_view CampaignKindName(CampaignKind kind);
absl::StatusOr<CampaignKind> ParseCampaignKind(std::string_view text);

// [[dkim]]: one signature of each message.
struct DkimDefinition {
  std::string domain, selector, key_path;
};

// [unsubscribe]
struct UnsubscribeDefinition {
  std::string url;       // prefix, or a pattern with {{token}}; empty: no one-click
  std::string mailto;    // mailbox for unsubscribing by mail, optional
  std::string key_path;  // makes the tokens; empty: <state>/unsubscribe.key
  // "Weekly news <weekly.example.org>" (RFC 2919); empty: made of From. What it has in brackets is
  // the list that people unsubscribe from.
  std::string list_id;
};

// [policy]: the user's own files about receivers of mail.
struct PolicyDefinition {
  std::string providers_path;  // laid over the built-in provider pack
  std::string rules_path;      // what refusals mean; before the built-in rules
};

// [attachments]
struct AttachmentsDefinition {
  std::vector<std::string> files;         // attached to every message
  std::vector<std::string> inline_files;  // shown by the HTML part: <img src="cid:NAME">
  std::string column;                     // of the list: a file of the recipient's own
  std::string folder;                     // where these files are; none elsewhere is read
  std::optional<uint32_t> message_mb_max;
};

// A field that was not given is empty; defaults are filled in by CheckDefinition().
struct CampaignDefinition {
  std::string name;
  std::string from;
  std::string reply_to;
  std::string to_name;    // Mustache, optional
  std::string subject;    // Mustache
  std::string text_path;  // template files
  std::string html_path;
  std::string amp_path;
  std::string eml_path;         // a finished message, in place of from, subject and templates
  std::string partials_folder;  // of {{>name}}; empty: beside the template
  std::string postal_address;   // of the sender, shown below both parts
  std::string bounces;          // mailbox bounces go to, with a token for each copy; empty: From
  std::string feedback_id;      // a:b:c:SenderId
  std::string recipients_path;  // the list; "-": standard input
  std::string address_column;
  std::string kind;                                          // "bulk" (default) or "transactional"
  std::vector<std::pair<std::string, std::string>> headers;  // values are Mustache

  std::vector<RelayDefinition> relays;
  std::vector<DkimDefinition> dkim;
  std::optional<uint32_t> dkim_expires_days;
  UnsubscribeDefinition unsubscribe;
  AttachmentsDefinition attachments;
  ScheduleDefinition schedule;
  PolicyDefinition policy;
  std::vector<WarmUpDefinition> warm_ups;

  std::optional<uint32_t> connections;              // default kDefaultConnections
  std::optional<uint32_t> messages_per_connection;  // 0: no limit; default as below
  std::optional<RateSpec> rate, quota;              // of the whole campaign
  std::optional<uint32_t> weight;                   // among campaigns sent together; default 1
};

inline constexpr uint32_t kDefaultConnections = 10;
// Relays and providers dislike endless connections, and a reconnect each hundred costs under 1 %.
inline constexpr uint32_t kDefaultMessagesPerConnection = 100;
inline constexpr uint32_t kMaxConnections = 50'000;
inline constexpr uint32_t kWeightMax = 1000;
inline constexpr uint32_t kDkimExpiresDaysMax = 365;
inline constexpr uint32_t kMessageMbMax = 150;     // the most any large provider takes
inline constexpr uint32_t kDefaultMessageMb = 25;  // what all of them take

// What a frozen campaign adds: fixed when it was made, so that each copy can be made again
// byte for byte (preview, retries).
struct FrozenFacts {
  std::string key;           // makes Message-IDs unique; letters and digits
  std::string date_rfc3339;  // the Date header of every copy
  uint64_t boundary_seed = 0;
  // Rows of the list that were left out.
  uint64_t rejected = 0, duplicates = 0, suppressed = 0;
};

// Reads a campaign file. Relative paths in it are relative to the file. Unknown keys and tables,
// wrong types and bad values are errors.
absl::StatusOr<CampaignDefinition> LoadCampaignFile(const std::string& path);

// As above, for the copy in the state directory, with its [frozen] table.
absl::StatusOr<CampaignDefinition> LoadFrozenCampaignFile(const std::string& path,
                                                          FrozenFacts* facts);
// The text of such a copy.
std::string FormatCampaignFile(const CampaignDefinition& definition, const FrozenFacts& facts);

// Every field of `over` that was given replaces the one in `base`; relays and signatures all
// together.
CampaignDefinition Overlay(const CampaignDefinition& base, const CampaignDefinition& over);

// All that must be there before any file is read: from, subject, a template, a list, and to send
// also a relay. The message says both ways to give what is missing (key and flag).
absl::Status CheckDefinition(const CampaignDefinition& definition, bool to_send);

// A whole file as a template source; `what` names it in errors ("text template").
absl::StatusOr<engine::message::TemplateSource> ReadTemplate(const std::string& path,
                                                             std::string_view what);
// NotFound, InvalidArgument: cannot be read, a folder, over `bytes_max`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, std::string_view what,
                                          uint64_t bytes_max);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CAMPAIGN_DEFINITION_H_
