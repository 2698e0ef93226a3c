#include "pipeline/suppress/suppression_export.h"

#include <array>
#include <nlohmann/json.hpp>

#include "pipeline/suppress/time_text.h"

namespace volley::pipeline {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

void AppendCsvField(std::string_view text, std::string* out) {
  // Blanks at the ends too, which readers may drop.
  const bool quoted = text.find_first_of(",;\t\"\r\n") != std::string_view::npos ||
                      text.starts_with(' ') || text.ends_with(' ');
  if (!quoted) {
    *out += text;
    return;
  }
  *out += '"';
  for (const char c : text) {
    if (c == '"') *out += '"';
    *out += c;
  }
  *out += '"';
}

}  // namespace

void AppendSuppressionLine(const Suppression& entry, ExportFormat format, std::string* out) {
  const std::string created = FormatTimeText(absl::ToUnixMillis(entry.created_at));
  if (format == ExportFormat::kJsonl) {
    const nlohmann::ordered_json object = {{"address", entry.address},   {"list", entry.list},
                                           {"reason", entry.reason},     {"source", entry.source},
                                           {"campaign", entry.campaign}, {"created_at", created}};
    // Never throws: what is not UTF-8 is replaced.
    *out += object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  } else {
    const std::array<std::string_view, 6> fields = {entry.address, entry.list,     entry.reason,
                                                    entry.source,  entry.campaign, created};
    for (size_t i = 0; i < fields.size(); ++i) {
      if (i > 0) *out += ',';
      AppendCsvField(fields[i], out);
    }
  }
  *out += '\n';
}

absl::StatusOr<uint64_t> ExportSuppressions(
    SuppressionQuery* query, const SuppressionFilter& filter, ExportFormat format,
    const std::function<absl::Status(std::string_view)>& write) {
  std::string text;
  if (format == ExportFormat::kCsv) text = "address,list,reason,source,campaign,created_at\n";
  uint64_t count = 0;
  absl::Status status = query->Each(filter, [&](const Suppression& entry) {
    AppendSuppressionLine(entry, format, &text);
    ++count;
    if (text.size() < kPieceBytes) return absl::OkStatus();
    absl::Status written = write(text);
    text.clear();
    return written;
  });
  if (status.ok()) status = write(text);
  if (!status.ok()) return status;
  return count;
}

}  // namespace volley::pipeline
