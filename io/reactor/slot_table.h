// SlotTable: records named by slot and generation. A record never moves (the kernel, timers and
// callers' stacks point at it), a slot is used again after Free() under a new generation, and a
// stale name is noticed. Memory grows with the highest number of records there were at one time.
//
// Threading: the reactor's thread.
#ifndef VOLLEY_IO_REACTOR_SLOT_TABLE_H_
#define VOLLEY_IO_REACTOR_SLOT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "io/base/check.h"
#include "io/reactor/limits.h"

namespace volley::io {

// REQUIRES: T has members `uint32_t slot` and `uint32_t generation`; the table sets them.
template <typename T>
class SlotTable {
 public:
  T& Allocate() {
    if (free_.empty()) Grow();
    const uint32_t slot = free_.back();
    free_.pop_back();
    Slot& place = at(slot);
    T& record = place.record.emplace();
    record.slot = slot;
    record.generation = place.generation;
    return record;
  }

  void Free(T& record) {
    Slot& place = at(record.slot);
    VOLLEY_CHECK(place.record.has_value() && &*place.record == &record);
    const uint32_t slot = record.slot;
    ++place.generation;
    place.record.reset();
    free_.push_back(slot);  // has room: Grow() reserved it
  }

  // nullptr: the name is stale (or was never valid).
  T* Find(uint32_t slot, uint32_t generation) {
    if (slot >= capacity_) [[unlikely]]
      return nullptr;
    Slot& place = at(slot);
    if (place.generation != generation || !place.record) [[unlikely]]
      return nullptr;
    return &*place.record;
  }
  const T* Find(uint32_t slot, uint32_t generation) const {
    return const_cast<SlotTable*>(this)->Find(slot, generation);
  }

  // The record in `slot` whatever its generation, or nullptr.
  T* Peek(uint32_t slot) {
    if (slot >= capacity_) return nullptr;
    Slot& place = at(slot);
    return place.record ? &*place.record : nullptr;
  }

  size_t size() const { return capacity_ - free_.size(); }
  uint32_t capacity() const { return capacity_; }

 private:
  struct Slot {
    std::optional<T> record;
    uint32_t generation = 1;
  };

  Slot& at(uint32_t slot) { return chunks_[slot / kSlotsPerChunk][slot % kSlotsPerChunk]; }

  void Grow() {
    chunks_.push_back(std::make_unique<Slot[]>(kSlotsPerChunk));
    const uint32_t first = capacity_;
    capacity_ += kSlotsPerChunk;
    free_.reserve(capacity_);
    // Lowest slot on top: records in use stay close together.
    for (uint32_t slot = capacity_; slot > first; --slot) free_.push_back(slot - 1);
  }

  std::vector<std::unique_ptr<Slot[]>> chunks_;
  std::vector<uint32_t> free_;  // a stack: the record used last is the warmest
  uint32_t capacity_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_SLOT_TABLE_H_
