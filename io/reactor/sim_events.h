// What the simulator's world is made of: its dice and its list of things to come. Both depend on
// nothing but the seed and the calls made, so a run can be had again exactly.
#ifndef VOLLEY_IO_REACTOR_SIM_EVENTS_H_
#define VOLLEY_IO_REACTOR_SIM_EVENTS_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/base/time.h"
#include "io/reactor/reactor.h"

namespace volley::io {

// SplitMix64 (Steele, Lea, Flood 2014). Not absl's generators: those promise no stable sequence.
class SimRandom {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15); }

  // From `low` to `high`, both included. The modulo's bias does not matter here.
  uint64_t Between(uint64_t low, uint64_t high) {
    if (high <= low) return low;
    const uint64_t span = high - low + 1;
    return span == 0 ? Next() : low + Next() % span;
  }

  bool Chance(double probability) {
    if (probability <= 0) return false;  // no draw: faults that are off do not shift the sequence
    return static_cast<double>(Next() >> 11) * 0x1p-53 < probability;
  }

  static uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

struct SimEvent {
  enum class Kind : uint8_t {
    kSyn,             // a connect reaches the listener's host
    kConnectResult,   // and its answer the client; `error` as errno
    kData,            // bytes reach `stream`
    kFin,             // the peer's half-close does
    kReset,           // the peer's reset does
    kTakeMore,        // the kernel takes the rest of a short send
    kSent,            // OnSent is due
    kFinish,          // OnClosed is due
    kListenerFinish,  // OnAcceptPaused(OK) is due; `stream` names the listener
  };

  Kind kind;
  StreamId stream;
  MonoTime time;
  uint64_t order = 0;  // of two at one time the one scheduled first comes first
  int error = 0;
  StreamId sender;    // kData
  std::string bytes;  // kData
};

// A binary heap by time, then by order.
class SimEventQueue {
 public:
  void Push(SimEvent event) {
    event.order = next_order_++;
    heap_.push_back(std::move(event));
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  SimEvent Pop() {
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    SimEvent event = std::move(heap_.back());
    heap_.pop_back();
    return event;
  }
  bool empty() const { return heap_.empty(); }
  const SimEvent& front() const { return heap_.front(); }
  MonoTime NextTime() const { return heap_.empty() ? MonoTime::Infinite() : heap_.front().time; }
  uint64_t next_order() const { return next_order_; }

 private:
  static bool Later(const SimEvent& a, const SimEvent& b) {
    return a.time != b.time ? a.time > b.time : a.order > b.order;
  }

  std::vector<SimEvent> heap_;
  uint64_t next_order_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_SIM_EVENTS_H_
