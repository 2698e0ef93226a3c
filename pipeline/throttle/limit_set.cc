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
  counters_ = std::exchange(other.counters_, {});
  connections_ = other.connections_;
  connections_size_ = std::exchange(other.connections_size_, 0);
  recipients_ = std::exchange(other.recipients_, 0);
  messages_ = std::exchange(other.messages_, 0);
  lost_ = std::exchange(other.lost_, 0);
  shared_turn_ = std::exchange(other.shared_turn_, {});
  own_turns_ = std::exchange(other.own_turns_, {});
  return *this;
}

void LimitSet::ForgetUsers() {
  for (const Counter& counter : counters_) {
    if (counter.rate != nullptr) counter.rate->RemoveUser();
  }
  counters_.clear();
}

bool LimitSet::Add(const Counter& counter) {
  // What every flow needs counts with each.
  const auto same = std::count_if(counters_.begin(), counters_.end(), [&](const Counter& c) {
    return counter.flow == kEveryFlow || c.counts(counter.flow);
  });
  if (static_cast<size_t>(same) == kPermitLimitsMax) return false;
  if (counter.rate != nullptr) counter.rate->AddUser();
  if (counter.flow != kEveryFlow && counter.flow >= own_turns_.size()) {
    own_turns_.resize(counter.flow + 1);
  }
  counters_.push_back(counter);
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

ThrottleAnswer LimitSet::Take(io::MonoTime now, uint32_t n, Permit* permit, uint32_t flow) {
  VOLLEY_CHECK(n >= 1 && !permit->taken_);
  for (size_t i = 0; i < connections_size_; ++i) {
    const io::MonoTime until = connections_[i]->suspended_until();
    if (until > now) return {until, connections_[i], LimitKind::kSuspended};
  }
  const Counter* latest = nullptr;
  io::MonoTime again = now;
  for (const Counter& c : counters_) {
    if (!c.counts(flow)) continue;
    const io::MonoTime when = c.rate != nullptr ? c.rate->When(now, n) : c.quota->When(now, n);
    if (when > again) {
      again = when;
      latest = &c;
    }
  }
  if (latest != nullptr) return Park(now, *latest, again);
  permit->flow_ = flow;
  size_t taken = 0;
  for (const Counter& c : counters_) {
    if (!c.counts(flow)) continue;
    const io::MonoTime when = TakeFrom(c, now, n, &permit->undo_[taken]);
    if (when <= now) {
      ++taken;
      continue;
    }
    GiveBack(permit, taken);
    return Park(now, c, when);
  }
  permit->taken_ = true;
  shared_turn_.of = nullptr;
  if (flow < own_turns_.size()) own_turns_[flow].of = nullptr;
  return {.again = now};
}

io::MonoTime LimitSet::TakeFrom(const Counter& counter, io::MonoTime now, uint32_t n,
                                Permit::Undo* undo) {
  if (counter.rate != nullptr) return counter.rate->Take(now, n, &undo->rate);
  return counter.quota->Take(now, n, &undo->quota);
}

// The last one taken first: the others are more likely to have been taken from since.
void LimitSet::GiveBack(Permit* permit, size_t count) {
  std::array<const Counter*, kPermitLimitsMax> of;
  size_t found = 0;
  for (size_t i = 0; found < count; ++i) {
    if (counters_[i].counts(permit->flow_)) of[found++] = &counters_[i];
  }
  while (count-- > 0) {
    if (of[count]->rate == nullptr) {
      of[count]->quota->Return(permit->undo_[count].quota);
    } else if (!of[count]->rate->Return(permit->undo_[count].rate)) {
      ++lost_;
    }
  }
}

void LimitSet::Return(Permit* permit) {
  if (!permit->taken_) return;
  const auto count = std::count_if(counters_.begin(), counters_.end(),
                                   [&](const Counter& c) { return c.counts(permit->flow_); });
  GiveBack(permit, static_cast<size_t>(count));
  permit->taken_ = false;
}

LimitSet::Turn& LimitSet::TurnOf(const Counter& counter) {
  return counter.flow == kEveryFlow ? shared_turn_ : own_turns_[counter.flow];
}

ThrottleAnswer LimitSet::Park(io::MonoTime now, const Counter& counter, io::MonoTime earliest) {
  ThrottleAnswer answer{.again = earliest, .limit = counter.limit, .kind = counter.kind};
  Turn& turn = TurnOf(counter);
  if (counter.rate == nullptr) {
    turn.of = nullptr;
    return answer;
  }
  const bool has_turn = turn.of == counter.rate;
  turn.kept = has_turn && now >= turn.at && !turn.kept;
  if (!turn.kept) {
    const io::MonoTime mine = has_turn && now < turn.at ? turn.at : io::MonoTime();
    answer.again = counter.rate->ClaimTurn(earliest, mine);
  }
  turn.of = counter.rate;
  turn.at = answer.again;
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
  for (const Counter& c : counters_) {
    most = std::min(most, c.rate != nullptr ? c.rate->most_at_once() : c.quota->limit());
  }
  return most;
}

}  // namespace volley::pipeline
