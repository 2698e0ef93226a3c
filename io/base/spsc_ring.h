// SpscRing: a bounded lock-free queue between exactly one producer thread and one consumer thread.
//
// Threading: Push* from one thread, Pop* from one other; size_approx from any. Each index is
// written by one side only. Orderings: the producer publishes a slot with a release store of tail_,
// the consumer takes it with an acquire load; head_ the other way round frees the slot. Each side
// keeps a private copy of the other's index, so the shared cache line moves once per wrap or batch
// and not once per element.
//
// Lifetime: elements are trivially copyable; nothing is destroyed one by one.
#ifndef VOLLEY_IO_BASE_SPSC_RING_H_
#define VOLLEY_IO_BASE_SPSC_RING_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

#include "io/base/check.h"

namespace volley::io {

inline constexpr size_t kCacheLineBytes = 64;

template <typename T>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // REQUIRES: capacity is a power of two.
  explicit SpscRing(size_t capacity)
      : mask_(capacity - 1), slots_(std::make_unique_for_overwrite<T[]>(capacity)) {
    VOLLEY_CHECK(capacity != 0 && (capacity & mask_) == 0);
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  size_t capacity() const { return mask_ + 1; }

  // Producer. Takes as many of `items` as fit, in order, and returns how many it took.
  size_t PushSome(std::span<const T> items) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    size_t room = capacity() - (tail - head_seen_);
    if (room < items.size()) {
      head_seen_ = head_.load(std::memory_order_acquire);
      room = capacity() - (tail - head_seen_);
    }
    const size_t n = std::min(room, items.size());
    for (size_t i = 0; i < n; ++i) slots_[(tail + i) & mask_] = items[i];
    tail_.store(tail + n, std::memory_order_release);
    return n;
  }
  bool Push(const T& item) { return PushSome({&item, 1}) == 1; }

  // Consumer. Moves up to out.size() elements into `out`, returns how many.
  size_t PopSome(std::span<T> out) {
    const size_t head = head_.load(std::memory_order_relaxed);
    size_t ready = tail_seen_ - head;
    if (ready < out.size()) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      ready = tail_seen_ - head;
    }
    const size_t n = std::min(ready, out.size());
    for (size_t i = 0; i < n; ++i) out[i] = slots_[(head + i) & mask_];
    head_.store(head + n, std::memory_order_release);
    return n;
  }
  bool Pop(T* out) { return PopSome({out, 1}) == 1; }

  // Any thread: may be out of date by the time it returns.
  size_t size_approx() const {
    const size_t head = head_.load(std::memory_order_acquire);
    const size_t tail = tail_.load(std::memory_order_acquire);
    return tail >= head ? tail - head : 0;
  }

 private:
  const size_t mask_;
  const std::unique_ptr<T[]> slots_;
  alignas(kCacheLineBytes) std::atomic<size_t> tail_{0};  // next slot to write; producer's
  size_t head_seen_ = 0;                                  // producer's copy of head_
  alignas(kCacheLineBytes) std::atomic<size_t> head_{0};  // next slot to read; consumer's
  size_t tail_seen_ = 0;                                  // consumer's copy of tail_
};

}  // namespace volley::io

#endif  // VOLLEY_IO_BASE_SPSC_RING_H_
