#include "pipeline/report/recipients_csv.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/time/time.h"
#include "engine/bounce/category.h"
#include "engine/smtp/types.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/source/recipient_file.h"

namespace volley::pipeline {
namespace {

std::string CsvField(std::string_view value) {
  std::string field;
  if (!value.empty() && std::strchr("=+-@\t\r", value.front()) != nullptr) field = "'";
  field.append(value);
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + "\"";
}

std::string TimeText(UnixSeconds seconds) {
  if (seconds == 0) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(seconds),
                          absl::UTCTimeZone());
}

std::string Line(std::string_view address, const LedgerSlot& slot) {
  const bool tried = slot.first != 0;
  const auto category = static_cast<engine::bounce::Category>(slot.category);
  return fmt::format("{},{},{},{},{},{},{},{}\r\n", CsvField(address), SlotStateName(slot.state),
                     engine::bounce::InfoOf(category).name, slot.attempts,
                     tried ? engine::smtp::CommandName(slot.stage) : std::string_view(),
                     slot.code.value() == 0 ? "" : std::to_string(slot.code.value()),
                     TimeText(slot.first),
                     slot.state == SlotState::kDeferred ? TimeText(slot.due) : "");
}

}  // namespace

absl::Status WriteRecipientsCsv(const std::string& folder, std::FILE* out) {
  const auto list = RecipientFile::Open(folder + "/recipients.bin");
  if (!list.ok()) return list.status();
  const auto ledger = Ledger::OpenToRead(folder + "/ledger.bin");
  if (!ledger.ok()) return ledger.status();
  if ((*ledger)->size() != (*list)->count()) {
    return absl::DataLossError(fmt::format("{}: ledger.bin is not that of recipients.bin", folder));
  }
  RecipientRecord record;
  uint64_t offset = (*list)->first_offset();
  bool good =
      std::fputs("email,outcome,category,attempts,stage,code,first_try,next_try\r\n", out) >= 0;
  for (uint32_t i = 0; good && i < (*ledger)->size(); ++i) {
    const auto next = (*list)->ReadAt(offset, &record);
    if (!next.ok()) return next.status();
    const std::string line = Line(record.address, (*ledger)->Get(i));
    good = std::fwrite(line.data(), 1, line.size(), out) == line.size();
    offset = *next;
  }
  if (good && std::fflush(out) == 0) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("cannot write the CSV: {}", std::strerror(errno)));
}

}  // namespace volley::pipeline
