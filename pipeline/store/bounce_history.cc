#include "pipeline/store/bounce_history.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "pipeline/store/suppression.h"

namespace volley::pipeline {
namespace {

// Holds the index of some 400,000 addresses.
constexpr uint32_t kCacheKib = 32 << 10;

// First row still counted at `at`.
int64_t WindowBegin(absl::Time at, absl::Duration window) {
  return window == absl::InfiniteDuration() ? INT64_MIN : absl::ToUnixMillis(at - window) + 1;
}

template <typename T>
absl::Status Keep(absl::StatusOr<T> made, std::optional<T>* out) {
  if (!made.ok()) return made.status();
  out->emplace(*std::move(made));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BounceHistory>> BounceHistory::Open(
    const std::string& state_dir, std::vector<BounceThreshold> thresholds,
    const StoreOptions& options) {
  StoreOptions with_cache = options;
  if (with_cache.cache_kib == 0) with_cache.cache_kib = kCacheKib;
  auto store = Store::Open(state_dir, with_cache);
  if (!store.ok()) return store.status();
  auto generation = Generation::Open(state_dir);
  if (!generation.ok()) return generation.status();
  std::unique_ptr<BounceHistory> history(
      new BounceHistory(*std::move(store), *std::move(generation)));
  for (BounceThreshold& threshold : thresholds) {
    if (threshold.category.empty() || threshold.count == 0 ||
        threshold.window <= absl::ZeroDuration()) {
      return absl::InvalidArgumentError(fmt::format(
          "suppress after bounces of \"{}\": count and window must be over 0", threshold.category));
    }
    std::string category = threshold.category;
    if (!history->thresholds_.emplace(std::move(category), std::move(threshold)).second) {
      return absl::InvalidArgumentError("two thresholds for the bounces of one category");
    }
  }
  if (absl::Status s = history->Prepare(); !s.ok()) return s;
  if (absl::Status s = history->LoadCounted(); !s.ok()) return s;
  return history;
}

absl::Status BounceHistory::Prepare() {
  if (absl::Status s = Keep(SuppressionWriter::Create(store_.get()), &suppress_); !s.ok()) return s;
  if (absl::Status s =
          Keep(store_->Prepare("INSERT INTO bounce_history (address, category, at, campaign, "
                               "returned) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"),
               &insert_);
      !s.ok()) {
    return s;
  }
  // Bounded: an address that has bounced for years costs no more than another.
  if (absl::Status s = Keep(
          store_->Prepare("SELECT campaign FROM bounce_history WHERE address = ?1 AND "
                          "category = ?2 AND at >= ?3 AND at <= ?4 ORDER BY at DESC LIMIT 1000"),
          &count_);
      !s.ok()) {
    return s;
  }
  return Keep(store_->Prepare("DELETE FROM bounce_history WHERE address = ?1 AND returned = 0"),
              &forget_);
}

absl::Status BounceHistory::LoadCounted() {
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&key_), sizeof key_) != 1) {
    return absl::InternalError("OpenSSL has no random bytes");
  }
  auto rows = store_->Prepare("SELECT address FROM bounce_history WHERE returned = 0");
  if (!rows.ok()) return rows.status();
  for (;;) {
    const auto row = rows->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    counted_.insert(SipHash(key_, rows->Text(0)));
  }
}

absl::StatusOr<std::vector<BounceHistory::Decision>> BounceHistory::RecordBatch(
    std::span<const BounceEvent> events, std::string_view source) {
  std::vector<Decision> decisions;
  const absl::Status status = store_->Write([&] { return Apply(events, source, &decisions); });
  if (!status.ok()) return status;
  if (!decisions.empty()) generation_->Advance();
  return decisions;
}

absl::StatusOr<std::optional<std::string>> BounceHistory::Record(const BounceEvent& event,
                                                                 std::string_view source) {
  auto decisions = RecordBatch({&event, 1}, source);
  if (!decisions.ok()) return decisions.status();
  if (decisions->empty()) return std::nullopt;
  return std::move(decisions->front().reason);
}

bool BounceHistory::Counts(std::string_view address) {
  if (counted_.empty()) return false;
  lower_.assign(address);
  LowerAscii(&lower_);
  return counted_.contains(SipHash(key_, lower_));
}

// Sorted by address, so that neighbours in the index are met together; what is of one address stays
// in its order.
absl::Status BounceHistory::Apply(std::span<const BounceEvent> events, std::string_view source,
                                  std::vector<Decision>* decisions) {
  std::vector<size_t> order(events.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return events[a].address < events[b].address; });
  for (const size_t i : order) {
    const auto suppressed = ApplyOne(events[i], source);
    if (!suppressed.ok()) return suppressed.status();
    if (*suppressed) decisions->push_back({i, std::string(events[i].category)});
  }
  std::sort(decisions->begin(), decisions->end(),
            [](const Decision& a, const Decision& b) { return a.event < b.event; });
  return absl::OkStatus();
}

absl::StatusOr<bool> BounceHistory::ApplyOne(const BounceEvent& event, std::string_view source) {
  lower_.assign(event.address);
  LowerAscii(&lower_);
  if (event.kind == BounceEvent::Kind::kDelivered) {
    if (absl::Status s = Forget(); !s.ok()) return s;
    return false;
  }
  const auto threshold = thresholds_.find(event.category);
  if (threshold == thresholds_.end()) return false;
  const auto enough = IsEnough(event, threshold->second);
  if (!enough.ok() || !*enough) return enough;
  if (absl::Status s = Suppress(event, source); !s.ok()) return s;
  return true;
}

// A hash stays in counted_ when the transaction fails or is another address's: that costs one look.
absl::Status BounceHistory::Forget() {
  if (counted_.empty() || !counted_.contains(SipHash(key_, lower_))) return absl::OkStatus();
  return forget_->Bind(1, lower_).Run();
}

absl::StatusOr<bool> BounceHistory::IsEnough(const BounceEvent& event,
                                             const BounceThreshold& threshold) {
  if (threshold.count == 1) return true;
  const int64_t returned = event.kind == BounceEvent::Kind::kReturned ? 1 : 0;
  insert_->Bind(1, lower_).Bind(2, event.category).Bind(3, absl::ToUnixMillis(event.at));
  if (absl::Status s = insert_->Bind(4, event.campaign).Bind(5, returned).Run(); !s.ok()) return s;
  if (returned == 0) counted_.insert(SipHash(key_, lower_));
  return Count(event, threshold);
}

absl::StatusOr<bool> BounceHistory::Count(const BounceEvent& event,
                                          const BounceThreshold& threshold) {
  const ResetAtEnd reset(&*count_);
  count_->Bind(1, lower_).Bind(2, event.category);
  count_->Bind(3, WindowBegin(event.at, threshold.window)).Bind(4, absl::ToUnixMillis(event.at));
  absl::flat_hash_set<std::string> campaigns;
  for (uint32_t count = 0;;) {
    const auto row = count_->Step();
    if (!row.ok()) return row.status();
    if (!*row) return false;
    if (threshold.distinct_campaigns && !campaigns.emplace(count_->Text(0)).second) continue;
    if (++count == threshold.count) return true;
  }
}

absl::Status BounceHistory::Suppress(const BounceEvent& event, std::string_view source) {
  return suppress_
      ->Put({.address = lower_,
             .list = "",
             .reason = event.category,
             .source = source,
             .campaign = event.campaign,
             .created_ms = absl::ToUnixMillis(event.at)})
      .status();
}

absl::StatusOr<uint64_t> BounceHistory::Purge(absl::Time now) {
  auto remove = store_->Prepare("DELETE FROM bounce_history WHERE category = ?1 AND at < ?2");
  if (!remove.ok()) return remove.status();
  uint64_t removed = 0;
  const absl::Status status = store_->Write([&]() -> absl::Status {
    for (const auto& [category, threshold] : thresholds_) {
      if (threshold.window == absl::InfiniteDuration()) continue;
      remove->Bind(1, category).Bind(2, WindowBegin(now, threshold.window));
      if (absl::Status s = remove->Run(); !s.ok()) return s;
      removed += static_cast<uint64_t>(store_->changed_rows());
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return removed;
}

}  // namespace volley::pipeline
