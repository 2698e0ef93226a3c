#include "pipeline/source/import.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/message/address.h"
#include "engine/message/utf8.h"
#include "pipeline/source/address_column.h"
#include "pipeline/source/list_reader.h"
#include "pipeline/source/recipient_file.h"
#include "pipeline/source/rejected_csv.h"
#include "pipeline/source/text.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldKind;
using engine::message::FieldView;
using engine::message::Quoted;

constexpr uint64_t kRowsPerProgress = 1 << 14;
constexpr uint64_t kRowsForEncodingGuess = 100;

bool HasValue(const FieldView& field) {
  return field.kind != FieldKind::kMissing &&
         !(field.kind == FieldKind::kText && field.bytes.empty());
}

// The variable of `{{first_name}} in welcome.txt line 3`.
std::string_view VariableIn(std::string_view used_at) {
  const size_t begin = used_at.find("{{");
  const size_t end = used_at.find("}}", begin);
  if (begin == std::string_view::npos || end == std::string_view::npos) return {};
  return used_at.substr(begin + 2, end - begin - 2);
}

std::string NoValueReason(std::string_view column, std::string_view used_at) {
  const std::string_view variable = VariableIn(used_at);
  return fmt::format("no value for {} ({}); give the template a default: {{{{{}|friend}}}}",
                     Quoted(column), used_at, variable.empty() ? column : variable);
}

// Why a row is not imported, and which of its text shows it.
struct Rejection {
  enum class Kind : uint8_t { kBad, kDuplicate, kSuppressed };
  std::string_view value;
  std::string reason;
  Kind kind = Kind::kBad;
};

class Importer {
 public:
  explicit Importer(const ImportOptions& options) : options_(options) {}
  absl::StatusOr<ImportResult> Run();

 private:
  absl::Status Open();
  absl::Status AskForRequired();
  absl::Status ReadRows();
  absl::Status TakeRow(const Row& row);
  absl::Status ChooseAddressColumn(std::span<const FieldView> first_row);
  std::optional<Rejection> CheckText(const Row& row);
  std::optional<Rejection> CheckAddress(const Row& row);
  std::optional<Rejection> CheckRequired(const Row& row) const;
  absl::StatusOr<std::optional<Rejection>> CheckDuplicate(const Row& row);
  absl::StatusOr<std::optional<Rejection>> CheckAdmitted(const Row& row);
  absl::Status Reject(const Row& row, const Rejection& rejection);
  absl::Status Finish();
  void NoteEncoding();
  void Progress() const;
  absl::Status InList(const absl::Status& status) const;

  const ImportOptions& options_;
  ImportResult result_;
  std::unique_ptr<ListReader> list_;
  std::unique_ptr<RecipientFileWriter> recipients_;
  std::unique_ptr<RejectedCsv> rejected_;
  std::vector<ImportOptions::Required> required_;
  std::optional<size_t> address_column_;
  // Lines of those who were not admitted, by a hash of the address: a second row of theirs is a
  // duplicate, as anybody's is. (One wrongly taken for a duplicate would not be mailed either.)
  absl::flat_hash_map<uint64_t, uint64_t> not_admitted_;
  uint64_t not_utf8_early_ = 0;  // of the first kRowsForEncodingGuess rows
  // Of the row at hand; address_ is kept for its memory.
  std::string address_;
  bool needs_smtputf8_ = false;
};

absl::StatusOr<ImportResult> Importer::Run() {
  if (absl::Status s = Open(); !s.ok()) return s;
  if (absl::Status s = AskForRequired(); !s.ok()) return s;
  if (absl::Status s = ReadRows(); !s.ok()) return s;
  if (absl::Status s = Finish(); !s.ok()) return s;
  return std::move(result_);
}

absl::Status Importer::Open() {
  auto list = ListReader::Open(options_.list_path);
  if (!list.ok()) return list.status();
  list_ = *std::move(list);
  if (list_->has_header_line()) {
    if (absl::Status s = CheckHeaderIsNames(list_->columns()); !s.ok()) return InList(s);
  }
  result_.columns.assign(list_->columns().begin(), list_->columns().end());
  result_.format = list_->format();
  auto recipients = RecipientFileWriter::Create(options_.recipients_path, list_->columns());
  if (!recipients.ok()) return recipients.status();
  recipients_ = *std::move(recipients);
  auto rejected = RejectedCsv::Create(options_.rejected_path);
  if (!rejected.ok()) return rejected.status();
  rejected_ = *std::move(rejected);
  return absl::OkStatus();
}

absl::Status Importer::AskForRequired() {
  if (!options_.on_columns) return absl::OkStatus();
  auto required = options_.on_columns(list_->columns());
  if (!required.ok()) return required.status();
  required_ = *std::move(required);
  for (const auto& r : required_) {
    if (r.column >= list_->columns().size()) {
      return absl::InternalError(fmt::format("required column {} does not exist", r.column));
    }
  }
  return absl::OkStatus();
}

absl::Status Importer::ReadRows() {
  Row row;
  while (options_.limit == 0 || result_.imported < options_.limit) {
    auto found = list_->Next(&row);
    if (!found.ok()) return found.status();
    if (!*found) break;
    ++result_.rows;
    if (absl::Status s = TakeRow(row); !s.ok()) return s;
    if (result_.rows % kRowsPerProgress == 0) Progress();
  }
  Progress();
  // A list without a row that could be used: only names can decide.
  return address_column_ ? absl::OkStatus() : ChooseAddressColumn({});
}

absl::Status Importer::TakeRow(const Row& row) {
  std::optional<Rejection> rejection = CheckText(row);
  if (!rejection && !address_column_) {
    if (absl::Status s = ChooseAddressColumn(row.fields); !s.ok()) return s;
  }
  if (!rejection) rejection = CheckAddress(row);
  if (!rejection) rejection = CheckRequired(row);
  if (!rejection) {
    auto duplicate = CheckDuplicate(row);
    if (!duplicate.ok()) return duplicate.status();
    rejection = *std::move(duplicate);
  }
  if (!rejection && options_.on_admit) {
    auto refused = CheckAdmitted(row);
    if (!refused.ok()) return refused.status();
    rejection = *std::move(refused);
  }
  if (rejection) return Reject(row, *rejection);
  ++result_.imported;
  return recipients_->Append(address_, needs_smtputf8_, row.line, row.fields);
}

absl::Status Importer::ChooseAddressColumn(std::span<const FieldView> first_row) {
  auto column = FindAddressColumn(list_->columns(), options_.address_column, first_row);
  if (!column.ok()) return InList(column.status());
  address_column_ = *column;
  result_.address_column = list_->columns()[*column];
  return absl::OkStatus();
}

// The row as a whole, then each value: UTF-8 without NUL.
std::optional<Rejection> Importer::CheckText(const Row& row) {
  const size_t valid = engine::message::ValidUtf8Prefix(row.raw);
  if (valid != row.raw.size()) {
    if (result_.rows <= kRowsForEncodingGuess) ++not_utf8_early_;
    for (size_t i = 0; row.problem.empty() && i < row.fields.size(); ++i) {
      const std::string_view text = row.fields[i].bytes;
      const size_t at = engine::message::ValidUtf8Prefix(text);
      if (at == text.size()) continue;
      return Rejection{text, fmt::format("not UTF-8 in column {} at byte {} of the value",
                                         Quoted(list_->columns()[i]), at + 1)};
    }
    return Rejection{row.raw, fmt::format("not UTF-8 at byte {} of the row", valid + 1)};
  }
  if (!row.problem.empty()) return Rejection{row.raw, row.problem};
  for (size_t i = 0; i < row.fields.size(); ++i) {
    if (row.fields[i].bytes.find('\0') == std::string_view::npos) continue;
    return Rejection{row.fields[i].bytes,
                     fmt::format("a NUL byte in column {}", Quoted(list_->columns()[i]))};
  }
  return std::nullopt;
}

std::optional<Rejection> Importer::CheckAddress(const Row& row) {
  const FieldView& field = row.fields[*address_column_];
  if (!HasValue(field)) return Rejection{{}, "no address"};
  if (field.kind != FieldKind::kText) return Rejection{field.bytes, "the address is not a string"};
  address_.clear();
  auto info = engine::message::AppendCanonicalAddress(field.bytes, {}, &address_);
  if (!info.ok()) {
    return Rejection{field.bytes,
                     fmt::format("not an address: {}", std::string(info.status().message()))};
  }
  needs_smtputf8_ = info->needs_smtputf8;
  return std::nullopt;
}

std::optional<Rejection> Importer::CheckRequired(const Row& row) const {
  for (const auto& required : required_) {
    if (HasValue(row.fields[required.column])) continue;
    return Rejection{row.fields[*address_column_].bytes,
                     NoValueReason(list_->columns()[required.column], required.used_at)};
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Rejection>> Importer::CheckDuplicate(const Row& row) {
  auto line = recipients_->FirstLineOf(address_);
  if (!line.ok()) return line.status();
  std::optional<Rejection> rejection;
  if (*line) {
    rejection = Rejection{row.fields[*address_column_].bytes,
                          fmt::format("duplicate of line {}", **line), Rejection::Kind::kDuplicate};
  }
  return rejection;
}

absl::StatusOr<std::optional<Rejection>> Importer::CheckAdmitted(const Row& row) {
  std::optional<Rejection> rejection;
  const std::string_view value = row.fields[*address_column_].bytes;
  std::string lower;
  AsciiLower(address_, &lower);
  const uint64_t hash = std::hash<std::string>{}(lower);
  if (const auto seen = not_admitted_.find(hash); seen != not_admitted_.end()) {
    rejection = Rejection{value, fmt::format("duplicate of line {}", seen->second),
                          Rejection::Kind::kDuplicate};
    return rejection;
  }
  auto reason = options_.on_admit(address_);
  if (!reason.ok()) return reason.status();
  if (reason->empty()) return rejection;
  not_admitted_.emplace(hash, row.line);
  rejection = Rejection{value, *std::move(reason), Rejection::Kind::kSuppressed};
  return rejection;
}

absl::Status Importer::Reject(const Row& row, const Rejection& rejection) {
  using Kind = Rejection::Kind;
  ++(rejection.kind == Kind::kDuplicate    ? result_.duplicates
     : rejection.kind == Kind::kSuppressed ? result_.suppressed
                                           : result_.rejected);
  const bool to_be_mended = rejection.kind != Kind::kSuppressed;
  return rejected_->Add(row.line, rejection.value, rejection.reason, to_be_mended);
}

// rejected.csv first: recipients.bin under its name says that the import is complete.
absl::Status Importer::Finish() {
  NoteEncoding();
  result_.rejected_samples = rejected_->samples();
  if (absl::Status s = rejected_->Finish(); !s.ok()) return s;
  absl::Status s = recipients_->Finish();
  if (!s.ok()) unlink(options_.rejected_path.c_str());
  return s;
}

void Importer::NoteEncoding() {
  const uint64_t looked_at = std::min(result_.rows, kRowsForEncodingGuess);
  if (not_utf8_early_ * 10 <= looked_at) return;
  result_.notes.push_back(fmt::format(
      "{}: the list does not look like UTF-8 ({} of the first {} rows are not): convert "
      "it with iconv -f WINDOWS-1252 -t UTF-8",
      list_->name(), not_utf8_early_, looked_at));
}

void Importer::Progress() const {
  if (!options_.on_progress) return;
  options_.on_progress(result_.rows, list_->bytes_read(), list_->total_bytes());
}

absl::Status Importer::InList(const absl::Status& status) const {
  return absl::Status(status.code(),
                      fmt::format("{}:1: {}", list_->name(), std::string(status.message())));
}

}  // namespace

absl::StatusOr<ImportResult> ImportRecipients(const ImportOptions& options) {
  return Importer(options).Run();
}

}  // namespace volley::pipeline
