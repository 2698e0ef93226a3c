// What the columns of a suppression file mean: our own export, those of the large mail providers,
// and others by the usual names; and the reason that a provider's word stands for.
//
// Never a guess at who is suppressed: a file whose columns say why gets that reason, one that says
// nothing gets "imported", and a row that says "subscribed" is refused.
#ifndef VOLLEY_PIPELINE_SUPPRESS_COLUMNS_H_
#define VOLLEY_PIPELINE_SUPPRESS_COLUMNS_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/message/composer.h"

namespace volley::pipeline {

// Columns that were named by the user; empty: found.
struct ColumnNames {
  std::string address, reason, time, list;
};

struct SuppressionColumns {
  std::string layout;  // "SendGrid bounces and blocks"; empty: no known one
  size_t address = 0;
  std::optional<size_t> reason, time, list, source, campaign;
  std::optional<size_t> origin;  // Postmark: who made a manual entry
  std::string default_reason;    // of rows that say nothing
  bool verbatim = false;         // our own export: reasons are taken as they are
};

// `first_row`: empty if there is none. Errors are without the file's name, name the flag that helps
// and list the columns.
absl::StatusOr<SuppressionColumns> FindSuppressionColumns(
    std::span<const std::string> columns, const ColumnNames& named,
    std::span<const engine::message::FieldView> first_row);

// The reason a row's word or reply stands for: "SpamComplaint" complaint, "550 5.1.1 ..." and
// "5.0.0" hard_bounce, "Unsubscribe Link" unsubscribe. Empty: not a known one.
std::string_view KnownReason(std::string_view text);
// "subscribed", "active", ...: the row is of somebody who wants mail.
bool SaysSubscribed(std::string_view text);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SUPPRESS_COLUMNS_H_
