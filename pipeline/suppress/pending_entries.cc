#include "pipeline/suppress/pending_entries.h"

#include <algorithm>

#include "io/base/check.h"

namespace volley::pipeline {
namespace {

// Together some 110 MiB when full.
constexpr size_t kItemsMax = 1'300'000;
constexpr size_t kTextBytesMax = 44 << 20;
constexpr size_t kNameBytesMax = 8 << 20;
constexpr size_t kNameCost = 96;  // of one, beside its bytes

uint64_t PrefixOf(std::string_view text) {
  uint64_t prefix = 0;
  for (size_t i = 0; i < 8; ++i) {
    prefix = prefix << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0);
  }
  return prefix;
}

}  // namespace

// Reserved at once: pages that are not touched cost nothing, a vector that grows is there twice.
PendingEntries::PendingEntries() {
  items_.reserve(kItemsMax);
  text_.reserve(kTextBytesMax + 1024);
}

bool PendingEntries::full() const {
  return items_.size() >= kItemsMax || text_.size() >= kTextBytesMax ||
         name_bytes_ >= kNameBytesMax;
}

uint32_t PendingEntries::Name(std::string_view text) {
  const auto found = name_index_.find(absl::string_view(text.data(), text.size()));
  if (found != name_index_.end()) return found->second;
  const auto index = static_cast<uint32_t>(names_.size());
  names_.emplace_back(text);
  name_index_.emplace(names_.back(), index);
  name_bytes_ += 2 * text.size() + kNameCost;
  return index;
}

void PendingEntries::Add(const SuppressionView& entry) {
  VOLLEY_CHECK(!full() && entry.address.size() <= UINT16_MAX);
  items_.push_back({.prefix = PrefixOf(entry.address),
                    .created_ms = entry.created_ms,
                    .begin = static_cast<uint32_t>(text_.size()),
                    .address_bytes = static_cast<uint16_t>(entry.address.size()),
                    .list = Name(entry.list),
                    .reason = Name(entry.reason),
                    .source = Name(entry.source),
                    .campaign = Name(entry.campaign)});
  text_ += entry.address;
}

void PendingEntries::Sort() {
  std::sort(items_.begin(), items_.end(), [this](const Item& a, const Item& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    if (const int order = AddressOf(a).compare(AddressOf(b)); order != 0) return order < 0;
    if (a.list != b.list) return names_[a.list] < names_[b.list];
    return a.begin < b.begin;  // addresses stand in text_ as they came
  });
}

SuppressionView PendingEntries::operator[](size_t i) const {
  const Item& item = items_[i];
  return {.address = AddressOf(item),
          .list = names_[item.list],
          .reason = names_[item.reason],
          .source = names_[item.source],
          .campaign = names_[item.campaign],
          .created_ms = item.created_ms};
}

void PendingEntries::Clear() {
  items_.clear();
  text_.clear();
  names_.clear();
  name_index_.clear();
  name_bytes_ = 0;
}

}  // namespace volley::pipeline
