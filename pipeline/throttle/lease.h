// ConnectionLimit and Lease: at most N connections at one time, over all shards.
//
// One atomic word holds the maximum, how many are out, and whether somebody was refused. There is
// no time at which a connection becomes free, so who is refused is not told one: the release that
// makes room says so to a listener, and nobody polls. The mark "somebody waits" is in the same word
// as the count, so a release either sees the mark or happened before the refusal, which then is
// none.
//
// The listener's part: on OnRoom ask again, in order, until one is refused; that refusal sets the
// mark again for all who still wait. So a release costs two tries a shard, however many lanes wait.
//
// Threading: any thread. Lifetime: the limit outlives its leases, the listener the limit.
// Errors: none.
#ifndef VOLLEY_PIPELINE_THROTTLE_LEASE_H_
#define VOLLEY_PIPELINE_THROTTLE_LEASE_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "io/base/check.h"

namespace volley::pipeline {

class RoomListener {
 public:
  virtual ~RoomListener() = default;
  // A limit that had refused somebody has room, or allows more than before. From whichever thread
  // made the room, with nothing locked: hand it on (wake the shards) and return.
  virtual void OnRoom() = 0;
  // Somebody is refused for want of a connection, and nobody was before: whoever has one that does
  // nothing is to give it back. From the refused one's thread, as OnRoom.
  virtual void OnWanted() {}
};

class ConnectionLimit;

// One connection's place, given back by the destructor. Move-only.
class [[nodiscard]] Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept
      : limit_(std::exchange(other.limit_, nullptr)), messages_(other.messages_) {}
  Lease& operator=(Lease&& other) noexcept {
    if (this == &other) return *this;
    Lease old(std::move(*this));  // given back at the end
    limit_ = std::exchange(other.limit_, nullptr);
    messages_ = other.messages_;
    return *this;
  }
  inline ~Lease();

  explicit operator bool() const { return limit_ != nullptr; }
  uint32_t messages_per_connection() const { return messages_; }  // 0: no limit
  // Somebody was refused for want of it.
  inline bool wanted() const;

 private:
  friend class ConnectionLimit;
  Lease(ConnectionLimit* limit, uint32_t messages) : limit_(limit), messages_(messages) {}

  ConnectionLimit* limit_ = nullptr;
  uint32_t messages_ = 0;
};

class ConnectionLimit {
 public:
  static constexpr uint32_t kMax = (uint32_t{1} << 31) - 1;

  // `listener` may be null.
  explicit ConnectionLimit(uint32_t max, uint32_t messages_per_connection = 0,
                           RoomListener* listener = nullptr)
      : listener_(listener), messages_(messages_per_connection), word_(Word(0, max)) {
    VOLLEY_CHECK(max <= kMax);
  }
  ~ConnectionLimit() { VOLLEY_CHECK(in_use() == 0); }
  ConnectionLimit(const ConnectionLimit&) = delete;
  ConnectionLimit& operator=(const ConnectionLimit&) = delete;

  // An empty lease: there is no room now, and the next room will be told to the listener. Who is
  // not `in_need`, as he has another connection, gets none either while somebody waits, and is told
  // nothing.
  Lease TryAcquire(bool in_need = true) {
    uint64_t word = word_.load(std::memory_order_acquire);
    for (;;) {
      const bool room = IsRoom(word, in_need);
      if (!room && !in_need) return Lease();
      const uint64_t next = room ? word + 1 : word | kWaiting;
      if (next == word || word_.compare_exchange_weak(word, next, std::memory_order_acq_rel)) {
        if (!room && next != word && listener_ != nullptr) listener_->OnWanted();
        return room ? Lease(this, messages_.load(std::memory_order_relaxed)) : Lease();
      }
    }
  }
  // Whether TryAcquire would succeed; marks that somebody waits if not.
  bool HasRoom(bool in_need = true) {
    uint64_t word = word_.load(std::memory_order_acquire);
    while (!IsRoom(word, in_need)) {
      if (!in_need) return false;
      const uint64_t next = word | kWaiting;
      if (next == word) return false;
      if (word_.compare_exchange_weak(word, next, std::memory_order_acq_rel)) {
        if (listener_ != nullptr) listener_->OnWanted();
        return false;
      }
    }
    return true;
  }

  // At run time 0 is possible: nobody opens one. Those that are out stay; they are not replaced.
  void SetMax(uint32_t max) {
    VOLLEY_CHECK(max <= kMax);
    Update([max](uint64_t word) { return Word(InUse(word), max) | (word & kWaiting); });
  }
  // For leases from now on.
  void SetMessagesPerConnection(uint32_t messages) {
    messages_.store(messages, std::memory_order_relaxed);
  }

  bool somebody_waits() const { return (word_.load(std::memory_order_acquire) & kWaiting) != 0; }
  uint32_t in_use() const { return InUse(word_.load(std::memory_order_acquire)); }
  uint32_t max() const { return Max(word_.load(std::memory_order_acquire)); }

 private:
  friend class Lease;
  static constexpr uint64_t kWaiting = uint64_t{1} << 63;

  static uint64_t Word(uint32_t in_use, uint32_t max) { return uint64_t{max} << 32 | in_use; }
  static bool IsRoom(uint64_t word, bool in_need) {
    return InUse(word) < Max(word) && (in_need || (word & kWaiting) == 0);
  }
  static uint32_t InUse(uint64_t word) { return static_cast<uint32_t>(word); }
  static uint32_t Max(uint64_t word) { return static_cast<uint32_t>(word >> 32) & kMax; }

  void Release() {
    Update([](uint64_t word) { return word - 1; });
  }

  // Clears the mark and tells the listener if there is room for one who waits.
  template <typename Change>
  void Update(Change change) {
    uint64_t word = word_.load(std::memory_order_acquire);
    bool tell;
    uint64_t next;
    do {
      next = change(word);
      tell = (next & kWaiting) != 0 && InUse(next) < Max(next);
      if (tell) next &= ~kWaiting;
    } while (!word_.compare_exchange_weak(word, next, std::memory_order_acq_rel));
    if (tell && listener_ != nullptr) listener_->OnRoom();
  }

  RoomListener* const listener_;
  std::atomic<uint32_t> messages_;
  std::atomic<uint64_t> word_;  // waiting (1 bit), max (31), in use (32)
};

inline bool Lease::wanted() const { return limit_ != nullptr && limit_->somebody_waits(); }

inline Lease::~Lease() {
  if (limit_ != nullptr) limit_->Release();
}

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_LEASE_H_
