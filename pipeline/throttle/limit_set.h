// LimitSet: every limit that applies to one lane; a permit is taken from all of them or from none.
//
// Take() first looks at all, without taking, and if any refuses, answers with the latest of their
// times and which limit that is. Only if all would grant it takes, in one order everywhere: rates
// before quotas, and the widest shared first. If one then refuses after all (somebody was quicker
// in between), what was taken is given back.
//
//   No limit is ever exceeded by this: each taking is a grant of that limit's own, and each giving
//   back is its own exact Return (gcra.h, quota.h), so at any time a limit has counted at least the
//   permits that are out.
//   Nothing can stick: nobody waits while he holds something.
//   What it costs: where a limit is fought for it is the widest one, which comes first, so whoever
//   loses has nothing to give back. A rate permit that cannot be returned any more, as somebody
//   took one after it, stays spent; permits_lost() counts them. Quotas come last because theirs are
//   dear: a permit another lane sees taken for a moment could send it away for hours.
//
// WHO WAITS parks until Answer::again and asks then; there is nothing to poll. On the limit that
// refused, the waiting lanes get turns one interval apart (Gcra::ClaimTurn), so a thousand lanes on
// one rate wake one by one, each about once a permit, in the order they came. A lane that came in
// its turn and was beaten to it by one that had not waited keeps its turn, once. A parked lane must
// not ask earlier than told, except when RoomListener::OnRoom says so. For quotas all are told the
// begin of the bucket in which room comes: one wake-up a lane in 1/288 of the window at most. For
// connections there is no time (Infinite): OnRoom.
//
// Several campaigns may send through one lane (flows). What belongs to one of them is asked for its
// jobs only; what they share is one set, so that the lane has one turn on it, whoever's job is
// next.
//
// Threading: one thread (its shard's); the limits behind it are shared. Lifetime: the LimitTable
// outlives it; leases outlive neither. No allocation, no lock after making it.
#ifndef VOLLEY_PIPELINE_THROTTLE_LIMIT_SET_H_
#define VOLLEY_PIPELINE_THROTTLE_LIMIT_SET_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/base/time.h"
#include "pipeline/throttle/limit.h"

namespace volley::pipeline {

// Rates and quotas that one job needs, and connection limits of a lane: five keys' worth and some
// to spare.
inline constexpr size_t kPermitLimitsMax = 12;
inline constexpr size_t kConnectionLimitsMax = 8;

// Whether, and if not, when and why.
struct ThrottleAnswer {
  io::MonoTime again = {};       // when to ask again; Infinite: when OnRoom says so
  const Limit* limit = nullptr;  // that refused; null: granted
  LimitKind kind = LimitKind::kRate;

  bool granted() const { return limit == nullptr; }
  // "provider gmail.com: rate 500/min". REQUIRES: not granted.
  std::string Why() const;
};

// What was taken for one job. Plain memory: one that is neither used nor returned stays taken.
class Permit {
 public:
  bool taken() const { return taken_; }

 private:
  friend class LimitSet;
  union Undo {
    Gcra::Undo rate;
    Quota::Undo quota;
  };
  std::array<Undo, kPermitLimitsMax> undo_;  // as many as the set has for the flow
  uint32_t flow_ = 0;
  bool taken_ = false;
};

// One connection's places in every connection limit; given back by the destructor. Move-only.
class [[nodiscard]] ConnectionLease {
 public:
  bool held() const { return held_; }
  // The least of the limits'; 0: no limit.
  uint32_t messages_per_connection() const { return messages_; }
  // Another lane was refused a connection for want of this one.
  bool wanted() const;
  void Release() { *this = ConnectionLease(); }

  ConnectionLease() = default;
  ConnectionLease(ConnectionLease&& other) noexcept;
  ConnectionLease& operator=(ConnectionLease&& other) noexcept;

 private:
  friend class LimitSet;
  std::array<Lease, kConnectionLimitsMax> leases_;
  uint32_t messages_ = 0;
  bool held_ = false;
};

class LimitSet {
 public:
  LimitSet() = default;  // limits nothing
  ~LimitSet();
  LimitSet(LimitSet&& other) noexcept;
  LimitSet& operator=(LimitSet&& other) noexcept;

  bool empty() const { return counters_.empty(); }
  bool limits_connections() const { return connections_size_ > 0; }
  // For a job of `flow` with n recipients in one transaction. REQUIRES: n >= 1, `permit` is not
  // taken.
  ThrottleAnswer Take(io::MonoTime now, uint32_t n, Permit* permit, uint32_t flow = 0);
  // A permit whose message was not begun. Nothing happens if it is not taken.
  void Return(Permit* permit);
  // The permit is used up: a Return after it does nothing.
  static void Use(Permit* permit) { permit->taken_ = false; }

  // A place for one more connection. Refused: `lease` is empty. `in_need`: the lane has no other;
  // only then others give theirs up for it, and OnRoom tells it when.
  ThrottleAnswer Open(ConnectionLease* lease, bool in_need = true);

  // What Open says when there is no room. REQUIRES: limits_connections().
  ThrottleAnswer NoRoom() const {
    return {io::MonoTime::Infinite(), connections_[0], LimitKind::kConnections};
  }

  // The least of the limits'; 0: no limit. A transaction's recipients must also fit what the rates
  // grant at once, or Take would answer Infinite.
  uint32_t recipients_per_transaction() const { return recipients_; }
  uint64_t most_at_once() const;
  uint64_t permits_lost() const { return lost_; }

 private:
  friend class LimitTable;
  static constexpr uint32_t kEveryFlow = UINT32_MAX;
  struct Counter {
    uint32_t flow = kEveryFlow;  // whose jobs it counts
    bool counts(uint32_t of) const { return flow == kEveryFlow || flow == of; }
    Limit* limit = nullptr;
    LimitKind kind = LimitKind::kRate;  // kRate: rate; else quota
    Gcra* rate = nullptr;
    Quota* quota = nullptr;
  };

  // What a lane waits for on one rate.
  struct Turn {
    const Gcra* of = nullptr;
    io::MonoTime at;
    bool kept = false;
  };

  // In the order of taking. False: the set is full.
  bool Add(const Counter& counter);
  bool AddConnections(Limit* limit);
  void AddNumbers(const LimitSpec& spec);

  io::MonoTime TakeFrom(const Counter& counter, io::MonoTime now, uint32_t n, Permit::Undo* undo);
  void GiveBack(Permit* permit, size_t count);  // the first `count` of its flow's
  Turn& TurnOf(const Counter& counter);
  ThrottleAnswer Park(io::MonoTime now, const Counter& counter, io::MonoTime earliest);
  void ForgetUsers();

  std::vector<Counter> counters_;
  std::array<Limit*, kConnectionLimitsMax> connections_{};
  size_t connections_size_ = 0;
  uint32_t recipients_ = 0, messages_ = 0;
  uint64_t lost_ = 0;

  Turn shared_turn_;
  std::vector<Turn> own_turns_;  // by flow
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_LIMIT_SET_H_
