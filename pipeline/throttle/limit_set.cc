#include "pipeline/throttle/limit_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/base/check.h"

namespace volley::pipeline {
namespace {

// The smaller of two limits, of which 0 is none.
uint32_t LesserLimit(uint32_t a, uint32_t b) {
  if (a == 0 || b == 0) return a + b;
  return std::min(a, b);
}

}  // namespace

std::string ThrottleAnswer::Why() const {
  return fmt::format("{}: {}", Describe(limit->key()), limit->Text(kind));
}

ConnectionLease::ConnectionLease(ConnectionLease&& other) noexcept
    : leases_(std::move(other.leases_)),
      messages_(other.messages_),
      held_(std::exchange(other.held_, false)) {}

ConnectionLease& ConnectionLease::operator=(ConnectionLease&& other) noexcept {
  leases_ = std::move(other.leases_);
  messages_ = other.messages_;
  held_ = std::exchange(other.held_, false);
  return *this;
}

bool ConnectionLease::wanted() const {
  return held_ && std::any_of(leases_.begin(), leases_.end(),
                              [](const Lease& lease) { return lease.wanted(); });
}

LimitSet::~LimitSet() { ForgetUsers(); }

LimitSet::LimitSet(LimitSet&& other) noexcept { *this = std::move(other); }

LimitSet& LimitSet::operator=(LimitSet&& other) noexcept {
  if (this == &other) return *this;
  ForgetUsers();
  counters_ = other.counters_;
  connections_ = other.connections_;
  counters_size_ = std::exchange(other.counters_size_, 0);
  connections_size_ = std::exchange(other.connections_size_, 0);
  recipients_ = std::exchange(other.recipients_, 0);
  messages_ = std::exchange(other.messages_, 0);
  lost_ = std::exchange(other.lost_, 0);
  turn_of_ = std::exchange(other.turn_of_, nullptr);
  turn_at_ = other.turn_at_;
  turn_kept_ = other.turn_kept_;
  return *this;
}

void LimitSet::ForgetUsers() {
  for (size_t i = 0; i < counters_size_; ++i) {
    if (counters_[i].rate != nullptr) counters_[i].rate->RemoveUser();
  }
  counters_size_ = 0;
}

bool LimitSet::AddRate(Limit* limit) {
  if (counters_size_ == kPermitLimitsMax) return false;
  limit->rate()->AddUser();
  counters_[counters_size_++] = {limit, LimitKind::kRate, limit->rate(), nullptr};
  return true;
}

bool LimitSet::AddQuota(Limit* limit, LimitKind kind, Quota* quota) {
  if (counters_size_ == kPermitLimitsMax) return false;
  counters_[counters_size_++] = {limit, kind, nullptr, quota};
  return true;
}

bool LimitSet::AddConnections(Limit* limit) {
  if (connections_size_ == kConnectionLimitsMax) return false;
  connections_[connections_size_++] = limit;
  return true;
}

void LimitSet::AddNumbers(const LimitSpec& spec) {
  recipients_ = LesserLimit(recipients_, spec.recipients_per_transaction.value_or(0));
  messages_ = LesserLimit(messages_, spec.messages_per_connection.value_or(0));
}

ThrottleAnswer LimitSet::Take(io::MonoTime now, uint32_t n, Permit* permit) {
  VOLLEY_CHECK(n >= 1 && !permit->taken_);
  for (size_t i = 0; i < connections_size_; ++i) {
    const io::MonoTime until = connections_[i]->suspended_until();
    if (until > now) return {until, connections_[i], LimitKind::kSuspended};
  }
  const Counter* latest = nullptr;
  io::MonoTime again = now;
  for (size_t i = 0; i < counters_size_; ++i) {
    const Counter& c = counters_[i];
    const io::MonoTime when = c.rate != nullptr ? c.rate->When(now, n) : c.quota->When(now, n);
    if (when > again) {
      again = when;
      latest = &c;
    }
  }
  if (latest != nullptr) return Park(now, *latest, again);
  for (size_t i = 0; i < counters_size_; ++i) {
    const io::MonoTime when = TakeFrom(counters_[i], now, n, &permit->undo_[i]);
    if (when <= now) continue;
    GiveBack(permit, i);
    return Park(now, counters_[i], when);
  }
  permit->taken_ = true;
  turn_of_ = nullptr;
  return {.again = now};
}

io::MonoTime LimitSet::TakeFrom(const Counter& counter, io::MonoTime now, uint32_t n,
                                Permit::Undo* undo) {
  if (counter.rate != nullptr) return counter.rate->Take(now, n, &undo->rate);
  return counter.quota->Take(now, n, &undo->quota);
}

// The last one taken first: the others are more likely to have been taken from since.
void LimitSet::GiveBack(Permit* permit, size_t count) {
  for (size_t i = count; i-- > 0;) {
    const Counter& c = counters_[i];
    if (c.rate == nullptr) {
      c.quota->Return(permit->undo_[i].quota);
    } else if (!c.rate->Return(permit->undo_[i].rate)) {
      ++lost_;
    }
  }
}

void LimitSet::Return(Permit* permit) {
  if (!permit->taken_) return;
  GiveBack(permit, counters_size_);
  permit->taken_ = false;
}

ThrottleAnswer LimitSet::Park(io::MonoTime now, const Counter& counter, io::MonoTime earliest) {
  ThrottleAnswer answer{.again = earliest, .limit = counter.limit, .kind = counter.kind};
  if (counter.rate == nullptr) {
    turn_of_ = nullptr;
    return answer;
  }
  const bool has_turn = turn_of_ == counter.rate;
  turn_kept_ = has_turn && now >= turn_at_ && !turn_kept_;
  if (!turn_kept_) {
    const io::MonoTime mine = has_turn && now < turn_at_ ? turn_at_ : io::MonoTime();
    answer.again = counter.rate->ClaimTurn(earliest, mine);
  }
  turn_of_ = counter.rate;
  turn_at_ = answer.again;
  return answer;
}

ThrottleAnswer LimitSet::Open(ConnectionLease* lease, bool in_need) {
  const auto refused = [](Limit* limit) {
    return ThrottleAnswer{io::MonoTime::Infinite(), limit, LimitKind::kConnections};
  };
  lease->Release();
  for (size_t i = 0; i < connections_size_; ++i) {
    if (!connections_[i]->connections()->HasRoom(in_need)) return refused(connections_[i]);
  }
  ConnectionLease taken;
  for (size_t i = 0; i < connections_size_; ++i) {
    taken.leases_[i] = connections_[i]->connections()->TryAcquire(in_need);
    if (!taken.leases_[i]) return refused(connections_[i]);
    taken.messages_ = LesserLimit(taken.messages_, taken.leases_[i].messages_per_connection());
  }
  taken.messages_ = LesserLimit(taken.messages_, messages_);
  taken.held_ = true;
  *lease = std::move(taken);
  return {};
}

uint64_t LimitSet::most_at_once() const {
  uint64_t most = UINT64_MAX;
  for (size_t i = 0; i < counters_size_; ++i) {
    const Counter& c = counters_[i];
    most = std::min(most, c.rate != nullptr ? c.rate->most_at_once() : c.quota->limit());
  }
  return most;
}

}  // namespace volley::pipeline
