#include "pipeline/store/suppression_query.h"

#include <utility>

namespace volley::pipeline {
namespace {

constexpr uint64_t kPiece = 4096;

// Seven columns from `first` on.
Suppression EntryOf(const Statement& row, int first = 0) {
  return {.address = std::string(row.Text(first + 1)),
          .list = std::string(row.Text(first + 2)),
          .reason = std::string(row.Text(first + 3)),
          .source = std::string(row.Text(first + 4)),
          .campaign = std::string(row.Text(first + 5)),
          .created_at = absl::FromUnixMillis(row.Number(first + 6)),
          .id = row.Number(first)};
}

constexpr const char* kFiltered =
    "SELECT id, address, list, reason, source, campaign, created_at FROM suppression "
    "WHERE (?1 = 0 OR list = ?2) AND (?3 = '' OR reason = ?3) AND (?4 = '' OR source = ?4) "
    "AND created_at >= ?5 ";

// Calls `take` for each row of `sql`, with the address bound to ?1.
absl::Status EachRow(Store* store, std::string_view sql, std::string_view address,
                     const std::function<void(const Statement&)>& take) {
  auto statement = store->Prepare(sql);
  if (!statement.ok()) return statement.status();
  if (!address.empty()) statement->Bind(1, address);
  for (;;) {
    const auto row = statement->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    take(*statement);
  }
}

}  // namespace

absl::StatusOr<SuppressionQuery> SuppressionQuery::Open(const std::string& state_dir) {
  auto store = Store::Open(state_dir, {.create = false});
  if (!store.ok()) return store.status();
  return SuppressionQuery(*std::move(store));
}

absl::StatusOr<std::vector<Suppression>> SuppressionQuery::Lookup(std::string_view address) {
  const auto canonical = CanonicalForSuppression(address);
  if (!canonical.ok()) return canonical.status();
  std::vector<Suppression> entries;
  const absl::Status status =
      EachRow(store_.get(),
              "SELECT id, address, list, reason, source, campaign, created_at FROM suppression "
              "WHERE address = ?1 ORDER BY list",
              *canonical, [&](const Statement& row) { entries.push_back(EntryOf(row)); });
  if (!status.ok()) return status;
  return entries;
}

absl::StatusOr<std::vector<RemovedSuppression>> SuppressionQuery::Removals(
    std::string_view address) {
  const auto canonical = CanonicalForSuppression(address);
  if (!canonical.ok()) return canonical.status();
  std::vector<RemovedSuppression> removals;
  const absl::Status status =
      EachRow(store_.get(),
              "SELECT id, address, list, reason, source, campaign, created_at, removed_by, why, "
              "removed_at FROM suppression_removed WHERE address = ?1 ORDER BY id",
              *canonical, [&](const Statement& row) {
                removals.push_back({.entry = EntryOf(row),
                                    .removed_by = std::string(row.Text(7)),
                                    .why = std::string(row.Text(8)),
                                    .removed_at = absl::FromUnixMillis(row.Number(9))});
              });
  if (!status.ok()) return status;
  return removals;
}

absl::StatusOr<std::vector<CountedBounces>> SuppressionQuery::Bounces(std::string_view address) {
  const auto canonical = CanonicalForSuppression(address);
  if (!canonical.ok()) return canonical.status();
  std::vector<CountedBounces> bounces;
  const absl::Status status =
      EachRow(store_.get(),
              "SELECT category, count(*), max(at) FROM bounce_history WHERE address = ?1 "
              "GROUP BY category",
              *canonical, [&](const Statement& row) {
                bounces.push_back({.category = std::string(row.Text(0)),
                                   .count = static_cast<uint64_t>(row.Number(1)),
                                   .last = absl::FromUnixMillis(row.Number(2))});
              });
  if (!status.ok()) return status;
  return bounces;
}

absl::StatusOr<std::vector<Suppression>> SuppressionQuery::Read(const std::string& sql,
                                                                const SuppressionFilter& filter,
                                                                int64_t after, uint64_t limit) {
  auto statement = store_->Prepare(sql);
  if (!statement.ok()) return statement.status();
  const int64_t since =
      filter.since == absl::InfinitePast() ? INT64_MIN : absl::ToUnixMillis(filter.since);
  statement->Bind(1, int64_t{filter.list.has_value()})
      .Bind(2, filter.list ? std::string_view(*filter.list) : std::string_view())
      .Bind(3, filter.reason)
      .Bind(4, filter.source)
      .Bind(5, since)
      .Bind(6, after)
      .Bind(7, static_cast<int64_t>(std::min<uint64_t>(limit, INT64_MAX)));
  std::vector<Suppression> entries;
  for (;;) {
    const auto row = statement->Step();
    if (!row.ok()) return row.status();
    if (!*row) return entries;
    entries.push_back(EntryOf(*statement));
  }
}

absl::Status SuppressionQuery::Each(const SuppressionFilter& filter,
                                    const std::function<absl::Status(const Suppression&)>& take) {
  const std::string sql = std::string(kFiltered) + "AND id > ?6 ORDER BY id LIMIT ?7";
  for (int64_t after = INT64_MIN;;) {
    const auto entries = Read(sql, filter, after, kPiece);
    if (!entries.ok()) return entries.status();
    for (const Suppression& entry : *entries) {
      if (absl::Status s = take(entry); !s.ok()) return s;
    }
    if (entries->size() < kPiece) return absl::OkStatus();
    after = entries->back().id;
  }
}

absl::StatusOr<std::vector<Suppression>> SuppressionQuery::Newest(const SuppressionFilter& filter,
                                                                  uint64_t limit) {
  return Read(std::string(kFiltered) + "AND id > ?6 ORDER BY id DESC LIMIT ?7", filter, INT64_MIN,
              limit);
}

absl::StatusOr<std::vector<SuppressionTotal>> SuppressionQuery::Totals() {
  std::vector<SuppressionTotal> totals;
  const absl::Status status =
      EachRow(store_.get(),
              "SELECT list, reason, count(*), max(created_at) FROM suppression "
              "GROUP BY list, reason ORDER BY 3 DESC, list, reason",
              "", [&](const Statement& row) {
                totals.push_back({.list = std::string(row.Text(0)),
                                  .reason = std::string(row.Text(1)),
                                  .count = static_cast<uint64_t>(row.Number(2)),
                                  .newest = absl::FromUnixMillis(row.Number(3))});
              });
  if (!status.ok()) return status;
  return totals;
}

absl::StatusOr<uint64_t> SuppressionQuery::RemovedCount() {
  uint64_t count = 0;
  const absl::Status status =
      EachRow(store_.get(), "SELECT count(*) FROM suppression_removed", "",
              [&](const Statement& row) { count = static_cast<uint64_t>(row.Number(0)); });
  if (!status.ok()) return status;
  return count;
}

}  // namespace volley::pipeline
