// TimerWheel: a hierarchical timing wheel for intrusive Timers (reactor.h).
//
// Eight levels of 64 slots; a slot of level n spans 64^n ticks, a tick is 2^20 ns (about 1.05 ms).
// A timer is filed by its deadline rounded up to a tick, so it fires at the first Advance() that is
// not before the deadline and, if Advance() comes when NextExpiry() says, at most one tick late.
//
// Most timers of a mail sender are time-outs that never fire: they are moved later with every
// reply. So moving later, and cancelling, only write deadline_; the timer is refiled (or dropped)
// when the wheel reaches the place where it is filed. Setting, refiling and dropping are O(1).
//
// Threading: the reactor's thread. LIFETIME: timers that are still set when the wheel goes are
// cancelled.
#ifndef VOLLEY_IO_REACTOR_TIMER_WHEEL_H_
#define VOLLEY_IO_REACTOR_TIMER_WHEEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "io/base/time.h"
#include "io/reactor/reactor.h"

namespace volley::io {

class TimerWheel {
 public:
  explicit TimerWheel(MonoTime now);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Sets or moves. An infinite deadline cancels. One that has passed fires at the next tick.
  void Set(Timer* timer, MonoTime deadline);
  void Cancel(Timer* timer);

  // Fires every timer that is due, by deadline and then in the order they were filed, and returns
  // how many. OnTimer() may set, cancel or destroy any timer, also its own.
  size_t Advance(MonoTime now);

  // When Advance() has something to do next: never later than a timer's deadline rounded up to a
  // tick, sometimes earlier (a slot to be spread, a moved timer to be refiled). Infinite: none set.
  MonoTime NextExpiry() const;

  size_t set_timers() const { return set_timers_; }

 private:
  friend class Timer;

  static constexpr int kTickShift = 20;
  static constexpr int kSlotBits = 6;
  static constexpr int kSlots = 1 << kSlotBits;
  static constexpr int kLevels = 8;  // 48 bits of ticks: any MonoTime

  struct Place {
    int level;
    int slot;
    uint64_t tick;  // when the slot begins
  };

  static uint64_t TickAtOrAfter(MonoTime time);
  bool FirstPlace(Place* place) const;
  void File(Timer* timer, uint64_t not_before_tick);
  void Link(Timer** head, Timer* timer);
  void Unlink(Timer* timer);
  void EmptySlot(const Place& place);
  void SortDue();
  size_t FireDue();
  void Forget(Timer* timer);  // from ~Timer
  static void Disown(Timer* head);

  std::array<std::array<Timer*, kSlots>, kLevels> slots_{};
  // A set bit: the slot may hold timers (an unlinked timer leaves its bit behind). A clear bit: it
  // holds none.
  std::array<uint64_t, kLevels> occupied_{};
  uint64_t elapsed_ticks_;  // every slot up to and with this tick has been emptied
  Timer* due_ = nullptr;    // taken out of the wheel, about to fire
  std::vector<Timer*> sorting_;
  size_t set_timers_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_TIMER_WHEEL_H_
