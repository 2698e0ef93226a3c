#include "pipeline/suppress/suppression_import.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "engine/message/utf8.h"
#include "pipeline/source/address_column.h"
#include "pipeline/source/list_reader.h"
#include "pipeline/source/rejected_csv.h"
#include "pipeline/source/text.h"
#include "pipeline/store/sip_hash.h"
#include "pipeline/store/suppression.h"
#include "pipeline/suppress/pending_entries.h"
#include "pipeline/suppress/time_text.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldKind;
using engine::message::FieldView;

constexpr uint64_t kRowsPerProgress = 1 << 14;
constexpr size_t kRowsPerTransaction = 50'000;
constexpr useconds_t kPauseUs = 5000;  // over what a waiting writer sleeps (store.cc)
constexpr size_t kSamples = 10;
constexpr uint32_t kCacheKib = 32 << 10;

// What a name of an entry may hold: UTF-8 without control characters, at most 255 bytes. Mended
// rather than refused: it only explains.
void MendName(std::string_view text, std::string* out) {
  text = CutAtCodePoint(text, kSuppressionNameBytesMax);
  out->assign(text);
  const bool is_utf8 = engine::message::ValidUtf8Prefix(text) == text.size();
  for (char& c : *out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = ' ';
    if (!is_utf8 && byte >= 0x80) c = '?';
  }
}

class SuppressionImporter {
 public:
  explicit SuppressionImporter(const SuppressionImportOptions& options) : options_(options) {}
  absl::StatusOr<SuppressionImportResult> Run();

 private:
  absl::Status Open();
  absl::Status OpenList();
  absl::Status ReadRows();
  absl::Status TakeRow(const Row& row);
  absl::Status ChooseColumns(std::span<const FieldView> first_row);
  std::string Problem(const Row& row);
  void ReadReason(const Row& row);
  int64_t ReadTime(const Row& row);
  void ReadName(const Row& row, std::optional<size_t> column,
                const std::optional<std::string>& given, std::string_view otherwise,
                std::string* out);
  std::string_view Field(const Row& row, std::optional<size_t> column) const;
  absl::Status Reject(const Row& row, const std::string& reason);
  absl::Status WritePending();
  absl::Status WriteBatch(std::span<const SuppressionView> batch);
  absl::Status CountOnly(std::span<const SuppressionView> batch);
  void Progress() const;
  absl::Status InFile(const absl::Status& status) const;

  const SuppressionImportOptions& options_;
  SuppressionImportResult result_;
  std::unique_ptr<ListReader> file_;
  std::unique_ptr<SuppressionList> list_;  // null: a dry run without a database
  std::unique_ptr<RejectedCsv> rejected_;
  std::optional<SuppressionColumns> columns_;
  std::string default_source_;
  PendingEntries pending_;
  uint64_t written_ = 0;
  absl::flat_hash_set<uint64_t> seen_;  // of a dry run: the rows before
  // Of the row at hand.
  std::string address_, list_name_, reason_, source_, campaign_;
};

absl::StatusOr<SuppressionImportResult> SuppressionImporter::Run() {
  if (absl::Status s = Open(); !s.ok()) return s;
  if (absl::Status s = ReadRows(); !s.ok()) return s;
  if (absl::Status s = WritePending(); !s.ok()) return s;
  Progress();
  if (rejected_ != nullptr) {
    if (absl::Status s = rejected_->Finish(); !s.ok()) return s;
  }
  return std::move(result_);
}

absl::Status SuppressionImporter::Open() {
  auto file = ListReader::Open(options_.path);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  if (file_->has_header_line()) {
    if (absl::Status s = CheckHeaderIsNames(file_->columns()); !s.ok()) return InFile(s);
  }
  result_.format = file_->format();
  MendName(options_.path == "-" ? "standard input"
                                : std::filesystem::path(options_.path).filename().string(),
           &default_source_);
  if (!options_.rejected_path.empty()) {
    auto rejected = RejectedCsv::Create(options_.rejected_path);
    if (!rejected.ok()) return rejected.status();
    rejected_ = *std::move(rejected);
  }
  return OpenList();
}

absl::Status SuppressionImporter::OpenList() {
  if (options_.dry_run && !Store::Exists(options_.state_dir)) return absl::OkStatus();
  auto list = SuppressionList::Open(options_.state_dir, {.cache_kib = kCacheKib});
  if (!list.ok()) return list.status();
  list_ = *std::move(list);
  return absl::OkStatus();
}

absl::Status SuppressionImporter::ReadRows() {
  Row row;
  for (;;) {
    const auto found = file_->Next(&row);
    if (!found.ok()) return found.status();
    if (!*found) break;
    ++result_.rows;
    if (absl::Status s = TakeRow(row); !s.ok()) return s;
    if (result_.rows % kRowsPerProgress == 0) Progress();
  }
  // A file without a row that could be used: only names can decide.
  return columns_ ? absl::OkStatus() : ChooseColumns({});
}

absl::Status SuppressionImporter::TakeRow(const Row& row) {
  if (!row.problem.empty()) return Reject(row, row.problem);
  if (!columns_) {
    if (absl::Status s = ChooseColumns(row.fields); !s.ok()) return s;
  }
  if (const std::string problem = Problem(row); !problem.empty()) return Reject(row, problem);
  ReadName(row, columns_->list, options_.list, "", &list_name_);
  LowerAscii(&list_name_);
  ReadReason(row);
  ReadName(row, columns_->source, options_.source, default_source_, &source_);
  ReadName(row, columns_->campaign, std::nullopt, "", &campaign_);
  pending_.Add({.address = address_,
                .list = list_name_,
                .reason = reason_,
                .source = source_,
                .campaign = campaign_,
                .created_ms = ReadTime(row)});
  return pending_.full() ? WritePending() : absl::OkStatus();
}

absl::Status SuppressionImporter::ChooseColumns(std::span<const FieldView> first_row) {
  auto columns = FindSuppressionColumns(file_->columns(), options_.columns, first_row);
  if (!columns.ok()) return InFile(columns.status());
  columns_ = *std::move(columns);
  result_.layout = columns_->layout;
  result_.address_column = file_->columns()[columns_->address];
  result_.has_reason = options_.reason.has_value() || columns_->reason.has_value() ||
                       columns_->default_reason != kReasonImported;
  return absl::OkStatus();
}

// Why the row names nobody to suppress; else the address is in address_.
std::string SuppressionImporter::Problem(const Row& row) {
  const FieldView& field = row.fields[columns_->address];
  if (field.kind == FieldKind::kMissing || field.bytes.empty()) return "no address";
  if (field.kind != FieldKind::kText) return "the address is not a string";
  auto address = CanonicalForSuppression(field.bytes);
  if (!address.ok()) {
    return fmt::format("not an address: {}", std::string(address.status().message()));
  }
  address_ = *std::move(address);
  const std::string_view word = Field(row, columns_->reason);
  if (!options_.reason && !columns_->verbatim && SaysSubscribed(word)) {
    return fmt::format("{} is {}: this is no suppression; --reason takes the row all the same",
                       engine::message::Quoted(file_->columns()[*columns_->reason]),
                       engine::message::Quoted(word));
  }
  return "";
}

std::string_view SuppressionImporter::Field(const Row& row, std::optional<size_t> column) const {
  if (!column || row.fields[*column].kind == FieldKind::kMissing) return {};
  return row.fields[*column].bytes;
}

void SuppressionImporter::ReadName(const Row& row, std::optional<size_t> column,
                                   const std::optional<std::string>& given,
                                   std::string_view otherwise, std::string* out) {
  if (given) return out->assign(*given), void();
  const std::string_view text = Field(row, column);
  MendName(columns_->verbatim ? text : TrimBlanks(text), out);
  if (out->empty() && !columns_->verbatim) out->assign(otherwise);
}

void SuppressionImporter::ReadReason(const Row& row) {
  ReadName(row, columns_->reason, options_.reason, columns_->default_reason, &reason_);
  if (reason_.empty()) reason_ = columns_->default_reason;
  if (options_.reason || columns_->verbatim) return;
  if (const std::string_view known = KnownReason(reason_); !known.empty()) reason_ = known;
  // Postmark: who made a manual entry; "Recipient" used the unsubscribe link.
  if (reason_ == kReasonManual && Field(row, columns_->origin) == "Recipient") {
    reason_ = kReasonUnsubscribe;
  }
}

int64_t SuppressionImporter::ReadTime(const Row& row) {
  const std::string_view text = Field(row, columns_->time);
  if (const auto time = ParseTimeText(text)) return *time;
  if (!TrimBlanks(text).empty()) ++result_.times_not_understood;
  return absl::ToUnixMillis(options_.now);
}

absl::Status SuppressionImporter::Reject(const Row& row, const std::string& reason) {
  ++result_.rejected;
  const bool has_address = columns_ && row.problem.empty();
  const std::string_view value = has_address ? Field(row, columns_->address) : row.raw;
  if (result_.rejected_samples.size() < kSamples) {
    result_.rejected_samples.push_back(fmt::format(
        "line {}: {}: {}", row.line, engine::message::Quoted(CutAtCodePoint(value, 60)), reason));
  }
  return rejected_ != nullptr ? rejected_->Add(row.line, value, reason) : absl::OkStatus();
}

absl::Status SuppressionImporter::WritePending() {
  pending_.Sort();
  std::vector<SuppressionView> batch;
  for (size_t begin = 0; begin < pending_.size(); begin += kRowsPerTransaction) {
    const size_t end = std::min(pending_.size(), begin + kRowsPerTransaction);
    batch.clear();
    for (size_t i = begin; i < end; ++i) batch.push_back(pending_[i]);
    const absl::Status status = options_.dry_run ? CountOnly(batch) : WriteBatch(batch);
    if (!status.ok()) {
      return absl::Status(
          status.code(),
          fmt::format("{}\n{} rows of {} were taken before; run the import again: what is there "
                      "stays",
                      std::string(status.message()), written_, file_->name()));
    }
    written_ += batch.size();
    Progress();
  }
  pending_.Clear();
  return absl::OkStatus();
}

absl::Status SuppressionImporter::WriteBatch(std::span<const SuppressionView> batch) {
  if (written_ > 0) usleep(kPauseUs);
  const auto changes = list_->AddBatch(batch);
  if (!changes.ok()) return changes.status();
  result_.added += changes->added;
  result_.replaced += changes->replaced;
  result_.already += changes->kept;
  return absl::OkStatus();
}

absl::Status SuppressionImporter::CountOnly(std::span<const SuppressionView> batch) {
  SuppressionChanges changes;
  for (const SuppressionView& entry : batch) {
    std::string key(entry.address);
    key.append(1, '\0').append(entry.list);
    if (!seen_.insert(SipHash({}, key)).second) {
      changes.Count(PutResult::kKept);
      continue;
    }
    if (list_ == nullptr) {
      changes.Count(PutResult::kAdded);
      continue;
    }
    const auto result = list_->WhatWouldAdd(entry);
    if (!result.ok()) return result.status();
    changes.Count(*result);
  }
  result_.added += changes.added;
  result_.replaced += changes.replaced;
  result_.already += changes.kept;
  return absl::OkStatus();
}

void SuppressionImporter::Progress() const {
  if (!options_.on_progress) return;
  options_.on_progress({.rows = result_.rows,
                        .written = written_,
                        .bytes = file_->bytes_read(),
                        .total_bytes = file_->total_bytes()});
}

absl::Status SuppressionImporter::InFile(const absl::Status& status) const {
  return absl::Status(status.code(),
                      fmt::format("{}:1: {}", file_->name(), std::string(status.message())));
}

}  // namespace

absl::StatusOr<SuppressionImportResult> ImportSuppressions(
    const SuppressionImportOptions& options) {
  return SuppressionImporter(options).Run();
}

}  // namespace volley::pipeline
