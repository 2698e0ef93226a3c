#include "pipeline/suppress/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "engine/message/utf8.h"
#include "pipeline/source/address_column.h"
#include "pipeline/source/text.h"
#include "pipeline/store/suppression_writer.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldView;

constexpr std::string_view kHardBounce = "hard_bounce";
constexpr std::string_view kSoftBounce = "soft_bounce";

// Letters and digits only, in lower case: "Created At", "created_at" and "CreatedAt" are one.
std::string Simplified(std::string_view text) {
  std::string lower;
  AsciiLower(text, &lower);
  std::erase_if(lower, [](char c) { return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')); });
  return lower;
}

// A file that has all `columns` is of this layout; the first one that fits counts. An empty place
// in `columns` is none. The first column has the addresses.
struct Layout {
  std::string_view name;
  std::array<std::string_view, 4> columns;
  std::string_view reason, time, campaign;  // a name that is not there: none
  std::string_view default_reason = kReasonImported;
};
constexpr Layout kLayouts[] = {
    {"volley suppress export",
     {"address", "list", "reason", "createdat"},
     "reason",
     "createdat",
     "campaign"},
    {"Postmark", {"emailaddress", "suppressionreason"}, "suppressionreason", "createdat", ""},
    {"Amazon SES", {"emailaddress", "reason", "lastupdatetime"}, "reason", "lastupdatetime", ""},
    {"SparkPost", {"recipient", "source", "description"}, "source", "created", ""},
    {"SendGrid bounces and blocks",
     {"email", "status", "reason", "created"},
     "status",
     "created",
     ""},
    {"SendGrid spam reports", {"email", "ip", "created"}, "", "created", "", kReasonComplaint},
    {"Mailgun bounces", {"address", "code", "error"}, "code", "createdat", "", kHardBounce},
    {"Mailgun unsubscribes", {"address", "tags"}, "", "createdat", "", kReasonUnsubscribe},
    {"Mailgun unsubscribes", {"address", "tag"}, "", "createdat", "", kReasonUnsubscribe},
    {"Mailchimp unsubscribed",
     {"emailaddress", "unsubtime"},
     "",
     "unsubtime",
     "unsubcampaigntitle",
     kReasonUnsubscribe},
    {"Mailchimp cleaned",
     {"emailaddress", "cleantime"},
     "",
     "cleantime",
     "cleancampaigntitle",
     kHardBounce},
};

// Of files of no known layout, the most telling names first.
constexpr std::string_view kReasonNames[] = {
    "suppressionreason", "suppressiontype", "reason", "bouncetype", "type", "event", "status",
    "category"};
constexpr std::string_view kTimeNames[] = {
    "suppressedat", "unsubscribedat", "bouncedat",  "createdat",      "created",    "addedat",
    "dateadded",    "datecreated",    "createdate", "creationdate",   "optoutdate", "timestamp",
    "time",         "date",           "datetime",   "lastupdatetime", "updatedat",  "updated"};

struct Word {
  std::string_view word, reason;
};
constexpr Word kWords[] = {
    {"unsubscribe", kReasonUnsubscribe},
    {"unsubscribed", kReasonUnsubscribe},
    {"unsub", kReasonUnsubscribe},
    {"optout", kReasonUnsubscribe},
    {"optedout", kReasonUnsubscribe},
    {"listunsubscribe", kReasonUnsubscribe},
    {"unsubscribelink", kReasonUnsubscribe},
    {"globalunsubscribe", kReasonUnsubscribe},
    {"groupunsubscribe", kReasonUnsubscribe},
    {"complaint", kReasonComplaint},
    {"complained", kReasonComplaint},
    {"spam", kReasonComplaint},
    {"spamcomplaint", kReasonComplaint},
    {"spamreport", kReasonComplaint},
    {"spamnotification", kReasonComplaint},
    {"reportedspam", kReasonComplaint},
    {"abuse", kReasonComplaint},
    {"abusecomplaint", kReasonComplaint},
    {"bounce", kHardBounce},
    {"bounced", kHardBounce},
    {"hardbounce", kHardBounce},
    {"hardbounced", kHardBounce},
    {"hard", kHardBounce},
    {"permanent", kHardBounce},
    {"bouncerule", kHardBounce},
    {"cleaned", kHardBounce},
    {"softbounce", kSoftBounce},
    {"soft", kSoftBounce},
    {"transient", kSoftBounce},
    {"invalid", "invalid_address"},
    {"invalidemail", "invalid_address"},
    {"invalidaddress", "invalid_address"},
    {"compliance", "compliance"},
    {"manual", kReasonManual},
    {"manualsuppression", kReasonManual},
    {"manuallyadded", kReasonManual},
};
constexpr std::string_view kSubscribedWords[] = {"subscribed", "active",  "confirmed", "optedin",
                                                 "optin",      "enabled", "valid"};

std::optional<size_t> IndexOf(std::span<const std::string> simplified, std::string_view name) {
  if (name.empty()) return std::nullopt;
  const auto found = std::find(simplified.begin(), simplified.end(), name);
  if (found == simplified.end()) return std::nullopt;
  return static_cast<size_t>(found - simplified.begin());
}

template <size_t N>
std::optional<size_t> FirstOf(std::span<const std::string> simplified,
                              const std::string_view (&names)[N]) {
  for (const std::string_view name : names) {
    if (const auto found = IndexOf(simplified, name)) return found;
  }
  return std::nullopt;
}

bool Fits(const Layout& layout, std::span<const std::string> simplified) {
  return std::all_of(layout.columns.begin(), layout.columns.end(), [&](std::string_view name) {
    return name.empty() || IndexOf(simplified, name).has_value();
  });
}

absl::Status TakeNamed(std::span<const std::string> columns,
                       std::span<const std::string> simplified, std::string_view flag,
                       const std::string& named, std::optional<size_t>* out) {
  if (named.empty()) return absl::OkStatus();
  const auto exact = std::find(columns.begin(), columns.end(), named);
  *out = exact != columns.end() ? static_cast<size_t>(exact - columns.begin())
                                : IndexOf(simplified, Simplified(named));
  if (*out) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("there is no column {} ({}). Columns: {}",
                                                engine::message::Quoted(named), flag,
                                                QuotedList(columns)));
}

SuppressionColumns OfLayout(const Layout& layout, std::span<const std::string> simplified) {
  SuppressionColumns out;
  out.layout = layout.name;
  out.address = *IndexOf(simplified, layout.columns[0]);
  out.reason = IndexOf(simplified, layout.reason);
  out.time = IndexOf(simplified, layout.time);
  out.campaign = IndexOf(simplified, layout.campaign);
  out.default_reason = layout.default_reason;
  out.verbatim = &layout == &kLayouts[0];
  if (out.verbatim) {
    out.list = IndexOf(simplified, "list");
    out.source = IndexOf(simplified, "source");
  } else {
    out.origin = IndexOf(simplified, "origin");
  }
  return out;
}

}  // namespace

absl::StatusOr<SuppressionColumns> FindSuppressionColumns(std::span<const std::string> columns,
                                                          const ColumnNames& named,
                                                          std::span<const FieldView> first_row) {
  std::vector<std::string> simplified;
  for (const std::string& column : columns) simplified.push_back(Simplified(column));
  SuppressionColumns out;
  const auto* layout = std::find_if(std::begin(kLayouts), std::end(kLayouts),
                                    [&](const Layout& l) { return Fits(l, simplified); });
  if (layout != std::end(kLayouts)) {
    out = OfLayout(*layout, simplified);
  } else {
    out.reason = FirstOf(simplified, kReasonNames);
    out.time = FirstOf(simplified, kTimeNames);
    out.default_reason = kReasonImported;
  }
  if (out.layout.empty() || !named.address.empty()) {
    const auto address = FindAddressColumn(columns, named.address, first_row);
    if (!address.ok()) return address.status();
    out.address = *address;
  }
  absl::Status status =
      TakeNamed(columns, simplified, "--reason-column", named.reason, &out.reason);
  status.Update(TakeNamed(columns, simplified, "--time-column", named.time, &out.time));
  status.Update(TakeNamed(columns, simplified, "--list-column", named.list, &out.list));
  if (!status.ok()) return status;
  return out;
}

std::string_view KnownReason(std::string_view text) {
  text = TrimBlanks(text);
  // A reply ("550 5.1.1 no such user"), its code, or an enhanced code ("5.1.1").
  const auto digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  if ((digit(0) && digit(1) && digit(2) && !digit(3)) ||
      (digit(0) && text.size() > 2 && text[1] == '.' && digit(2))) {
    return text[0] == '5' ? kHardBounce : text[0] == '4' ? kSoftBounce : std::string_view();
  }
  constexpr size_t kLongestWord = 40;
  if (text.size() > kLongestWord) return {};
  const std::string word = Simplified(text);
  for (const Word& known : kWords) {
    if (known.word == word) return known.reason;
  }
  return {};
}

bool SaysSubscribed(std::string_view text) {
  const std::string word = Simplified(text.substr(0, 40));
  return std::find(std::begin(kSubscribedWords), std::end(kSubscribedWords), word) !=
         std::end(kSubscribedWords);
}

}  // namespace volley::pipeline
