#include "pipeline/throttle/quota_state.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace volley::pipeline {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kVersion = 1;
constexpr size_t kVersionWord = 1, kWindowWord = 2, kBucketWord = 3, kChecksumWord = 7;

uint64_t Magic() {
  uint64_t magic;
  std::memcpy(&magic, "volleyQT", sizeof(magic));
  return magic;
}

uint64_t Checksum(std::span<const uint64_t> header) {
  return crc32(0, reinterpret_cast<const Bytef*>(header.data()), kChecksumWord * sizeof(uint64_t));
}

bool IsAllZero(Quota::State state) {
  return std::all_of(state.begin(), state.end(), [](uint64_t word) { return word == 0; });
}

// A header without the magic, and no counts: the process that made it was killed at it.
bool IsHalfMade(Quota::State state) {
  const auto slots = state.subspan(Quota::kHeaderWords);
  return state[0] == 0 &&
         std::all_of(slots.begin(), slots.end(), [](uint64_t word) { return word == 0; });
}

void Format(Quota::State state, absl::Duration window) {
  std::fill(state.begin(), state.end(), 0);
  std::array<uint64_t, Quota::kHeaderWords> header{};
  header[0] = Magic();
  header[kVersionWord] = kVersion | uint64_t{Quota::kSlots} << 32;
  header[kWindowWord] = static_cast<uint64_t>(absl::ToInt64Nanoseconds(window));
  header[kBucketWord] = static_cast<uint64_t>(QuotaBucketNanos(window));
  header[kChecksumWord] = Checksum(header);
  std::copy(header.begin() + 1, header.end(), state.begin() + 1);
  // Through the compiler in this order: a mapped state is what a killed process leaves.
  std::atomic_ref(state[0]).store(header[0], std::memory_order_release);
}

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format("the quota's counts are damaged: {}", what));
}

absl::Status CheckHeader(Quota::State state) {
  if (state[0] != Magic()) return Damaged("they do not begin as ours do");
  if (state[kChecksumWord] != Checksum(state)) return Damaged("the header's checksum is wrong");
  const uint64_t version = state[kVersionWord] & 0xffffffff;
  if (version > kVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "the quota's counts are of format {}, this volley knows {}", version, kVersion));
  }
  const absl::Duration window = absl::Nanoseconds(static_cast<int64_t>(state[kWindowWord]));
  if (version != kVersion || state[kVersionWord] >> 32 != Quota::kSlots ||
      !CheckQuota({.count = 1, .per = window}).ok() ||
      state[kBucketWord] != static_cast<uint64_t>(QuotaBucketNanos(window))) {
    return Damaged("the header contradicts itself");
  }
  return absl::OkStatus();
}

absl::Status ReadSlots(Quota::State state, std::vector<QuotaSlot>* out) {
  uint64_t sum = 0;
  for (size_t i = 0; i < Quota::kSlots; ++i) {
    const uint64_t word = state[Quota::kHeaderWords + i];
    if (word == 0) continue;
    const QuotaSlot slot = UnpackQuotaSlot(word);
    if (slot.bucket % Quota::kSlots != i || word != PackQuotaSlot(slot, i)) {
      return Damaged(fmt::format("the check of slot {} is wrong", i));
    }
    if (slot.count > 0) out->push_back(slot);
    sum += slot.count;
  }
  if (sum > kQuotaCountMax) return Damaged("they add up to more than any quota");
  return absl::OkStatus();
}

void Add(Quota::State state, const QuotaSlot& add) {
  const size_t i = add.bucket % Quota::kSlots;
  uint64_t& word = state[Quota::kHeaderWords + i];
  QuotaSlot slot = UnpackQuotaSlot(word);
  // Two buckets of one slot: the older one is past.
  if (word == 0 || slot.bucket < add.bucket) slot = {add.bucket, 0};
  if (slot.bucket == add.bucket) slot.count += add.count;
  word = PackQuotaSlot(slot, i);
}

}  // namespace

absl::Status PrepareQuotaState(Quota::State state, absl::Duration window, int64_t unix_nanos,
                               std::string* note) {
  note->clear();
  if (IsAllZero(state) || IsHalfMade(state)) {
    Format(state, window);
    return absl::OkStatus();
  }
  if (absl::Status status = CheckHeader(state); !status.ok()) return status;
  std::vector<QuotaSlot> slots;
  if (absl::Status status = ReadSlots(state, &slots); !status.ok()) return status;

  const auto old_bucket = static_cast<int64_t>(state[kBucketWord]);
  const bool same = state[kWindowWord] == static_cast<uint64_t>(absl::ToInt64Nanoseconds(window));
  const int64_t bucket = QuotaBucketNanos(window);
  const auto newest = static_cast<uint64_t>(unix_nanos / bucket);
  uint64_t from_future = 0;
  for (QuotaSlot& slot : slots) {
    const bool future = slot.bucket > static_cast<uint64_t>(unix_nanos / old_bucket);
    if (future) {
      from_future += slot.count;
      slot.bucket = newest;
    } else if (!same) {
      const int64_t last = (static_cast<int64_t>(slot.bucket) + 1) * old_bucket - 1;
      slot.bucket = std::min(static_cast<uint64_t>(last / bucket), newest);
    }
  }
  if (same && from_future == 0) return absl::OkStatus();
  if (from_future > 0) {
    *note = fmt::format(
        "the clock stands earlier than when the quota was last used: {} messages count as sent now",
        from_future);
  }
  Format(state, window);
  for (const QuotaSlot& slot : slots) Add(state, slot);
  return absl::OkStatus();
}

}  // namespace volley::pipeline
