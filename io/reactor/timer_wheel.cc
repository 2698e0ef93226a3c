#include "io/reactor/timer_wheel.h"

#include <algorithm>
#include <bit>

#include "io/base/check.h"

namespace volley::io {

Timer::~Timer() {
  if (wheel_ != nullptr) wheel_->Forget(this);
}

TimerWheel::TimerWheel(MonoTime now)
    : elapsed_ticks_(static_cast<uint64_t>(now.nanos()) >> kTickShift) {}

TimerWheel::~TimerWheel() {
  for (auto& level : slots_) {
    for (Timer* head : level) Disown(head);
  }
  Disown(due_);
}

void TimerWheel::Disown(Timer* head) {
  while (head != nullptr) {
    Timer* next = head->next_;
    head->deadline_ = head->filed_ = MonoTime::Infinite();
    head->wheel_ = nullptr;
    head->next_ = nullptr;
    head->previous_link_ = nullptr;
    head = next;
  }
}

uint64_t TimerWheel::TickAtOrAfter(MonoTime time) {
  if (time.nanos() <= 0) return 0;
  return (static_cast<uint64_t>(time.nanos()) + (uint64_t{1} << kTickShift) - 1) >> kTickShift;
}

void TimerWheel::Set(Timer* timer, MonoTime deadline) {
  if (deadline.is_infinite()) return Cancel(timer);
  VOLLEY_CHECK(timer->wheel_ == nullptr || timer->wheel_ == this);
  if (!timer->is_set()) ++set_timers_;
  timer->deadline_ = deadline;
  if (timer->previous_link_ != nullptr) {
    if (deadline >= timer->filed_) return;  // later: the wheel finds out when it gets to filed_
    Unlink(timer);
  }
  timer->wheel_ = this;
  // Never into a slot that has been emptied: a deadline that has passed fires with the next tick,
  // which also keeps a timer that sets itself to "now" from holding Advance() for ever.
  File(timer, elapsed_ticks_ + 1);
}

void TimerWheel::Cancel(Timer* timer) {
  if (!timer->is_set()) return;
  VOLLEY_CHECK(timer->wheel_ == this);
  timer->deadline_ = MonoTime::Infinite();
  --set_timers_;
}

void TimerWheel::Forget(Timer* timer) {
  Cancel(timer);
  if (timer->previous_link_ != nullptr) Unlink(timer);
}

// The level is that of the highest bit in which the tick differs from the elapsed one. So a level
// only holds ticks of the current slot of the level above, all of them still to come: the first set
// bit of the lowest level that is not empty is the next slot in time.
void TimerWheel::File(Timer* timer, uint64_t not_before_tick) {
  const uint64_t tick = std::max(TickAtOrAfter(timer->deadline_), not_before_tick);
  const uint64_t differs = (tick ^ elapsed_ticks_) | 1;
  const int level = (std::bit_width(differs) - 1) / kSlotBits;
  const int slot = static_cast<int>(tick >> (level * kSlotBits)) & (kSlots - 1);
  occupied_[level] |= uint64_t{1} << slot;
  timer->filed_ = timer->deadline_;
  Link(&slots_[level][slot], timer);
}

void TimerWheel::Link(Timer** head, Timer* timer) {
  timer->next_ = *head;
  if (*head != nullptr) (*head)->previous_link_ = &timer->next_;
  *head = timer;
  timer->previous_link_ = head;
}

void TimerWheel::Unlink(Timer* timer) {
  *timer->previous_link_ = timer->next_;
  if (timer->next_ != nullptr) timer->next_->previous_link_ = timer->previous_link_;
  timer->next_ = nullptr;
  timer->previous_link_ = nullptr;
  timer->filed_ = MonoTime::Infinite();
}

bool TimerWheel::FirstPlace(Place* place) const {
  for (int level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const int slot = std::countr_zero(occupied_[level]);
    const int shift = level * kSlotBits;
    const uint64_t block = elapsed_ticks_ >> (shift + kSlotBits) << (shift + kSlotBits);
    *place = {level, slot, block + (static_cast<uint64_t>(slot) << shift)};
    return true;
  }
  return false;
}

MonoTime TimerWheel::NextExpiry() const {
  Place place;
  if (set_timers_ == 0 || !FirstPlace(&place)) return MonoTime::Infinite();
  if (place.tick >= static_cast<uint64_t>(INT64_MAX) >> kTickShift) return MonoTime::Infinite();
  return MonoTime::FromNanos(static_cast<int64_t>(place.tick << kTickShift));
}

size_t TimerWheel::Advance(MonoTime now) {
  const uint64_t now_tick = static_cast<uint64_t>(std::max<int64_t>(now.nanos(), 0)) >> kTickShift;
  size_t fired = 0;
  Place place;
  while (FirstPlace(&place) && place.tick <= now_tick) {
    elapsed_ticks_ = place.tick;
    EmptySlot(place);
    if (due_ != nullptr) fired += FireDue();
  }
  elapsed_ticks_ = std::max(elapsed_ticks_, now_tick);
  return fired;
}

// Each timer of the slot is due, belongs further down or, moved since it was filed, further away.
void TimerWheel::EmptySlot(const Place& place) {
  occupied_[place.level] &= ~(uint64_t{1} << place.slot);
  // Turned round, then pushed to the front again where they go: the youngest stays first.
  Timer* oldest_first = nullptr;
  while (Timer* timer = slots_[place.level][place.slot]) {
    Unlink(timer);
    Link(&oldest_first, timer);
  }
  while (Timer* timer = oldest_first) {
    Unlink(timer);
    if (!timer->is_set()) {
      timer->wheel_ = nullptr;
    } else if (TickAtOrAfter(timer->deadline_) <= elapsed_ticks_) {
      Link(&due_, timer);
    } else {
      File(timer, elapsed_ticks_);
    }
  }
  SortDue();
}

// A slot's list has the youngest first, and a slot is a tick wide: order the few that fire
// together.
void TimerWheel::SortDue() {
  if (due_ == nullptr || due_->next_ == nullptr) return;
  sorting_.clear();
  while (due_ != nullptr) {
    sorting_.push_back(due_);
    Unlink(due_);
  }
  // Link() pushes to the front: the latest goes in first, of equals the youngest.
  std::stable_sort(sorting_.begin(), sorting_.end(),
                   [](const Timer* a, const Timer* b) { return a->deadline_ > b->deadline_; });
  for (Timer* timer : sorting_) Link(&due_, timer);
}

size_t TimerWheel::FireDue() {
  size_t fired = 0;
  // One at a time from the head: a callback may cancel, move or destroy any of the others.
  while (Timer* timer = due_) {
    Unlink(timer);
    if (timer->is_set() && TickAtOrAfter(timer->deadline_) > elapsed_ticks_) {
      File(timer, elapsed_ticks_ + 1);  // moved later by a callback before this one
      continue;
    }
    timer->wheel_ = nullptr;
    if (!timer->is_set()) continue;
    timer->deadline_ = MonoTime::Infinite();
    --set_timers_;
    ++fired;
    timer->OnTimer();
  }
  return fired;
}

}  // namespace volley::io
