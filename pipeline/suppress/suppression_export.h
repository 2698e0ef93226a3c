// The suppression list as text: CSV with a header line, or JSON Lines, with the columns address,
// list, reason, source, campaign, created_at. Importing it gives the same entries.
#ifndef VOLLEY_PIPELINE_SUPPRESS_SUPPRESSION_EXPORT_H_
#define VOLLEY_PIPELINE_SUPPRESS_SUPPRESSION_EXPORT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/store/suppression_query.h"

namespace volley::pipeline {

enum class ExportFormat : uint8_t { kCsv, kJsonl };

// Appends the entry and a line feed.
void AppendSuppressionLine(const Suppression& entry, ExportFormat format, std::string* out);

// Gives the text to `write` in pieces; its error ends the export. Returns how many entries.
absl::StatusOr<uint64_t> ExportSuppressions(
    SuppressionQuery* query, const SuppressionFilter& filter, ExportFormat format,
    const std::function<absl::Status(std::string_view)>& write);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SUPPRESS_SUPPRESSION_EXPORT_H_
