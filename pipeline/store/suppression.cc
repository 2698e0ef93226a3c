#include "pipeline/store/suppression.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "engine/message/address.h"

namespace volley::pipeline {
namespace {

constexpr size_t kNameBytesMax = kSuppressionNameBytesMax;

absl::Status CheckName(std::string_view what, std::string_view text) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (text.size() <= kNameBytesMax && std::none_of(text.begin(), text.end(), control)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format(
      "the {} of a suppression is over {} bytes or has control characters", what, kNameBytesMax));
}

template <typename T>
absl::Status Keep(absl::StatusOr<T> made, std::optional<T>* out) {
  if (!made.ok()) return made.status();
  out->emplace(*std::move(made));
  return absl::OkStatus();
}

}  // namespace

void LowerAscii(std::string* text) {
  for (char& c : *text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
}

absl::StatusOr<std::string> CanonicalForSuppression(std::string_view address) {
  std::string canonical;
  const auto info = engine::message::AppendCanonicalAddress(
      address, {.allow_literal = true, .require_dot = false}, &canonical);
  if (!info.ok()) return info.status();
  LowerAscii(&canonical);
  return canonical;
}

absl::Status CheckSuppressionNames(const Suppression& entry) {
  if (absl::Status s = CheckName("list", entry.list); !s.ok()) return s;
  if (absl::Status s = CheckName("reason", entry.reason); !s.ok()) return s;
  if (absl::Status s = CheckName("source", entry.source); !s.ok()) return s;
  return CheckName("campaign", entry.campaign);
}

// --- SuppressionList ---

absl::StatusOr<std::unique_ptr<SuppressionList>> SuppressionList::Open(
    const std::string& state_dir, const StoreOptions& options) {
  auto store = Store::Open(state_dir, options);
  if (!store.ok()) return store.status();
  auto generation = Generation::Open(state_dir);
  if (!generation.ok()) return generation.status();
  std::unique_ptr<SuppressionList> list(
      new SuppressionList(*std::move(store), *std::move(generation)));
  if (absl::Status s = list->PrepareAll(); !s.ok()) return s;
  return list;
}

absl::Status SuppressionList::PrepareAll() {
  if (absl::Status s = Keep(SuppressionWriter::Create(store_.get()), &writer_); !s.ok()) return s;
  if (absl::Status s = Keep(
          store_->Prepare("DELETE FROM suppression WHERE address = ?1 AND list = ?2"), &delete_);
      !s.ok()) {
    return s;
  }
  if (absl::Status s = Keep(
          store_->Prepare("INSERT INTO suppression_removed (address, list, reason, source, "
                          "campaign, created_at, removed_at, removed_by, why) "
                          "SELECT address, list, reason, source, campaign, created_at, ?3, ?4, ?5 "
                          "FROM suppression WHERE address = ?1 AND list = ?2"),
          &keep_removed_);
      !s.ok()) {
    return s;
  }
  if (absl::Status s =
          Keep(store_->Prepare("DELETE FROM bounce_history WHERE address = ?1"), &forget_bounces_);
      !s.ok()) {
    return s;
  }
  return Keep(store_->Prepare("SELECT id, address, list, reason, source, campaign, created_at "
                              "FROM suppression WHERE address = ?1 AND list IN ('', ?2) "
                              "ORDER BY list DESC LIMIT 1"),
              &select_);
}

absl::StatusOr<bool> SuppressionList::Add(const Suppression& entry) {
  const auto address = CanonicalForSuppression(entry.address);
  if (!address.ok()) return address.status();
  if (absl::Status s = CheckSuppressionNames(entry); !s.ok()) return s;
  const SuppressionView view{.address = *address,
                             .list = entry.list,
                             .reason = entry.reason,
                             .source = entry.source,
                             .campaign = entry.campaign,
                             .created_ms = absl::ToUnixMillis(entry.created_at)};
  const auto changes = AddBatch({&view, 1});
  if (!changes.ok()) return changes.status();
  return changes->added > 0;
}

absl::StatusOr<SuppressionChanges> SuppressionList::AddBatch(
    std::span<const SuppressionView> entries) {
  SuppressionChanges changes;
  const absl::Status status = store_->Write([&]() -> absl::Status {
    for (const SuppressionView& entry : entries) {
      const auto result = writer_->Put(entry);
      if (!result.ok()) return result.status();
      changes.Count(*result);
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  generation_->Advance();
  return changes;
}

absl::StatusOr<PutResult> SuppressionList::WhatWouldAdd(const SuppressionView& entry) {
  return writer_->Compare(entry);
}

absl::StatusOr<bool> SuppressionList::Remove(std::string_view address, std::string_view list,
                                             const RemovedBy& by) {
  const auto canonical = CanonicalForSuppression(address);
  if (!canonical.ok()) return canonical.status();
  bool removed = false;
  const absl::Status status = store_->Write([&]() -> absl::Status {
    keep_removed_->Bind(1, *canonical).Bind(2, list);
    keep_removed_->Bind(3, absl::ToUnixMillis(by.at)).Bind(4, by.who).Bind(5, by.why);
    if (absl::Status s = keep_removed_->Run(); !s.ok()) return s;
    if (absl::Status s = delete_->Bind(1, *canonical).Bind(2, list).Run(); !s.ok()) return s;
    removed = store_->changed_rows() > 0;
    return removed ? forget_bounces_->Bind(1, *canonical).Run() : absl::OkStatus();
  });
  if (!status.ok()) return status;
  generation_->Advance();
  return removed;
}

absl::StatusOr<std::optional<Suppression>> SuppressionList::Lookup(std::string_view address,
                                                                   std::string_view list) {
  const auto canonical = CanonicalForSuppression(address);
  if (!canonical.ok()) return canonical.status();
  Statement& row = *select_;
  const ResetAtEnd reset(&row);
  const absl::StatusOr<bool> found = row.Bind(1, *canonical).Bind(2, list).Step();
  if (!found.ok()) return found.status();
  if (!*found) return std::nullopt;
  return Suppression{.address = std::string(row.Text(1)),
                     .list = std::string(row.Text(2)),
                     .reason = std::string(row.Text(3)),
                     .source = std::string(row.Text(4)),
                     .campaign = std::string(row.Text(5)),
                     .created_at = absl::FromUnixMillis(row.Number(6)),
                     .id = row.Number(0)};
}

absl::StatusOr<uint64_t> SuppressionList::Count() {
  auto count = store_->Prepare("SELECT count(*) FROM suppression");
  if (!count.ok()) return count.status();
  const absl::StatusOr<bool> row = count->Step();
  if (!row.ok()) return row.status();
  return static_cast<uint64_t>(count->Number(0));
}

// --- SuppressionSnapshot ---

absl::StatusOr<std::shared_ptr<const SuppressionSnapshot>> SuppressionSnapshot::Load(
    const std::string& state_dir, std::string_view list) {
  auto store = Store::Open(state_dir);
  if (!store.ok()) return store.status();
  std::shared_ptr<SuppressionSnapshot> snapshot(new SuppressionSnapshot());
  snapshot->state_dir_ = state_dir;
  snapshot->list_ = list;
  auto generation = Generation::Open(state_dir);
  if (!generation.ok()) return generation.status();
  snapshot->generation_ = *std::move(generation);
  // Before reading: a commit in between is then seen as new, and read twice at worst.
  snapshot->generation_then_ = snapshot->generation_->Now();
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&snapshot->key_), sizeof(SipKey)) != 1) {
    return absl::InternalError("OpenSSL has no random bytes");
  }
  if (absl::Status s = snapshot->Read(store->get()); !s.ok()) return s;
  snapshot->MakeIndex();
  return snapshot;
}

absl::Status SuppressionSnapshot::Read(Store* store) {
  auto count = store->Prepare("SELECT count(*) FROM suppression");
  if (!count.ok()) return count.status();
  if (const auto row = count->Step(); !row.ok()) return row.status();
  hashes_.reserve(static_cast<size_t>(count->Number(0)));
  count->Reset();
  auto rows = store->Prepare("SELECT id, address, list FROM suppression");
  if (!rows.ok()) return rows.status();
  for (;;) {
    const absl::StatusOr<bool> row = rows->Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    last_id_ = std::max(last_id_, rows->Number(0));
    const std::string_view list = rows->Text(2);
    if (list.empty() || list == list_) hashes_.push_back(SipHash(key_, rows->Text(1)));
  }
  if (hashes_.size() > UINT32_MAX) {
    return absl::ResourceExhaustedError("the suppression list has over 4,294,967,295 entries");
  }
  return absl::OkStatus();
}

void SuppressionSnapshot::MakeIndex() {
  std::sort(hashes_.begin(), hashes_.end());
  prefix_begin_.resize(kPrefixes + 1);
  size_t next = 0;
  for (size_t prefix = 0; prefix < kPrefixes; ++prefix) {
    prefix_begin_[prefix] = static_cast<uint32_t>(next);
    while (next < hashes_.size() && hashes_[next] >> 48 == prefix) ++next;
  }
  prefix_begin_[kPrefixes] = static_cast<uint32_t>(next);
}

bool SuppressionSnapshot::MayContain(std::string_view address) const {
  const uint64_t hash = SipHash(key_, address);
  const auto begin = hashes_.begin() + prefix_begin_[hash >> 48];
  const auto end = hashes_.begin() + prefix_begin_[(hash >> 48) + 1];
  return std::binary_search(begin, end, hash);
}

// --- SuppressionReader ---

SuppressionReader::SuppressionReader(std::shared_ptr<const SuppressionSnapshot> snapshot)
    : snapshot_(std::move(snapshot)),
      generation_seen_(snapshot_->generation_then_),
      last_id_(snapshot_->last_id_) {}

absl::StatusOr<bool> SuppressionReader::Contains(std::string_view canonical_address) {
  if (absl::Status s = CatchUp(); !s.ok()) return s;
  lower_.assign(canonical_address);
  LowerAscii(&lower_);
  if (!snapshot_->MayContain(lower_) &&
      (added_.empty() || !added_.contains(SipHash(snapshot_->key_, lower_)))) {
    return false;
  }
  return Verify(lower_);
}

absl::Status SuppressionReader::Open() {
  auto store = Store::Open(snapshot_->state_dir_);
  if (!store.ok()) return store.status();
  if (absl::Status s = Keep(
          (*store)->Prepare("SELECT id, address, list FROM suppression WHERE id > ?1 ORDER BY id"),
          &new_rows_);
      !s.ok()) {
    return s;
  }
  if (absl::Status s = Keep((*store)->Prepare("SELECT 1 FROM suppression WHERE address = ?1 "
                                              "AND list IN ('', ?2) LIMIT 1"),
                            &verify_);
      !s.ok()) {
    return s;
  }
  store_ = *std::move(store);
  return absl::OkStatus();
}

// What is seen is noted only after it was read: an error is met again at the next call.
absl::Status SuppressionReader::CatchUp() {
  constexpr int64_t kLookEveryNs = 1'000'000'000;
  const uint64_t generation = snapshot_->generation_->Now();
  // COARSE: a few nanoseconds instead of 30, and a tick of 4 ms is fine for a second.
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const int64_t now_ns = now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
  const bool moved = generation != generation_seen_;
  if (!moved && now_ns < next_look_ns_) [[likely]] {
    return absl::OkStatus();
  }
  const bool first = store_ == nullptr;
  if (first) {
    if (absl::Status s = Open(); !s.ok()) return s;
  }
  const absl::StatusOr<int64_t> version = store_->DataVersion();
  if (!version.ok()) return version.status();
  if (moved || first || *version != data_version_seen_) {
    if (absl::Status s = ReadNew(); !s.ok()) return s;
  }
  generation_seen_ = generation;
  data_version_seen_ = *version;
  next_look_ns_ = now_ns + kLookEveryNs;
  return absl::OkStatus();
}

absl::Status SuppressionReader::ReadNew() {
  const ResetAtEnd reset(&*new_rows_);
  new_rows_->Bind(1, last_id_);
  for (;;) {
    const absl::StatusOr<bool> row = new_rows_->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    const std::string_view list = new_rows_->Text(2);
    if (list.empty() || list == snapshot_->list_) {
      added_.insert(SipHash(snapshot_->key_, new_rows_->Text(1)));
    }
    last_id_ = new_rows_->Number(0);
  }
}

absl::StatusOr<bool> SuppressionReader::Verify(std::string_view address) {
  const ResetAtEnd reset(&*verify_);
  return verify_->Bind(1, address).Bind(2, snapshot_->list_).Step();
}

}  // namespace volley::pipeline
