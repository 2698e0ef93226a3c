// PendingEntries: rows on their way into the list, compact, to be sorted and handed out in batches.
//
// Threading: one thread.
#ifndef VOLLEY_PIPELINE_SUPPRESS_PENDING_ENTRIES_H_
#define VOLLEY_PIPELINE_SUPPRESS_PENDING_ENTRIES_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pipeline/store/suppression_writer.h"

namespace volley::pipeline {

class PendingEntries {
 public:
  PendingEntries();

  // Copies. REQUIRES: !full().
  void Add(const SuppressionView& entry);
  bool full() const;
  size_t size() const { return items_.size(); }
  // By address and list; rows of one address and list stay in the order in which they came.
  void Sort();
  // LIFETIME: until Clear.
  SuppressionView operator[](size_t i) const;
  void Clear();

 private:
  struct Item {
    uint64_t prefix;  // the address's first 8 bytes: most comparisons need no more
    int64_t created_ms;
    uint32_t begin;  // in text_
    uint16_t address_bytes;
    uint32_t list, reason, source, campaign;  // in names_
  };
  uint32_t Name(std::string_view text);
  std::string_view AddressOf(const Item& item) const {
    return std::string_view(text_).substr(item.begin, item.address_bytes);
  }

  std::vector<Item> items_;
  std::string text_;  // the addresses
  // Lists, reasons, sources and campaigns: few, and each many times.
  std::deque<std::string> names_;
  absl::flat_hash_map<std::string, uint32_t> name_index_;
  uint64_t name_bytes_ = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SUPPRESS_PENDING_ENTRIES_H_
