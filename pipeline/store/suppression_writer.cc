#include "pipeline/store/suppression_writer.h"

namespace volley::pipeline {
namespace {

bool Replaces(const SuppressionView& entry, std::string_view old_reason, int64_t old_created_ms) {
  const bool needs_consent = NeedsConsent(entry.reason);
  if (needs_consent != NeedsConsent(old_reason)) return needs_consent;
  return entry.created_ms < old_created_ms;
}

}  // namespace

absl::StatusOr<SuppressionWriter> SuppressionWriter::Create(Store* store) {
  auto insert = store->Prepare(
      "INSERT INTO suppression (address, list, reason, source, campaign, created_at) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (address, list) DO NOTHING");
  if (!insert.ok()) return insert.status();
  auto select =
      store->Prepare("SELECT reason, created_at FROM suppression WHERE address = ?1 AND list = ?2");
  if (!select.ok()) return select.status();
  auto update = store->Prepare(
      "UPDATE suppression SET reason = ?3, source = ?4, campaign = ?5, created_at = ?6 "
      "WHERE address = ?1 AND list = ?2");
  if (!update.ok()) return update.status();
  return SuppressionWriter(store, *std::move(insert), *std::move(select), *std::move(update));
}

absl::StatusOr<PutResult> SuppressionWriter::Put(const SuppressionView& entry) {
  const auto bind = [&](Statement& statement) -> Statement& {
    return statement.Bind(1, entry.address)
        .Bind(2, entry.list)
        .Bind(3, entry.reason)
        .Bind(4, entry.source)
        .Bind(5, entry.campaign)
        .Bind(6, entry.created_ms);
  };
  if (absl::Status s = bind(insert_).Run(); !s.ok()) return s;
  if (store_->changed_rows() > 0) return PutResult::kAdded;
  auto result = Compare(entry);
  if (!result.ok() || *result != PutResult::kReplaced) return result;
  if (absl::Status s = bind(update_).Run(); !s.ok()) return s;
  return PutResult::kReplaced;
}

absl::StatusOr<PutResult> SuppressionWriter::Compare(const SuppressionView& entry) {
  const ResetAtEnd reset(&select_);
  const auto row = select_.Bind(1, entry.address).Bind(2, entry.list).Step();
  if (!row.ok()) return row.status();
  if (!*row) return PutResult::kAdded;
  return Replaces(entry, select_.Text(0), select_.Number(1)) ? PutResult::kReplaced
                                                             : PutResult::kKept;
}

}  // namespace volley::pipeline
