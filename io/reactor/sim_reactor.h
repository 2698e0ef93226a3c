// SimReactor: a network and a clock in memory, driven by a seed. Streams connect to listeners of
// the same SimReactor. The clock stands still while callbacks run and jumps to the next event, so
// an hour of timeouts takes microseconds, and the same seed gives the same run, event by event.
//
// Run() returns when nothing is left that could happen (a real reactor would wait for ever). Faults
// of a send are drawn once for each Send(), on the first part that the "kernel" takes. A connect is
// answered when the listener has accepted it. Wake() may come from any thread, all else from one.
#ifndef VOLLEY_IO_REACTOR_SIM_REACTOR_H_
#define VOLLEY_IO_REACTOR_SIM_REACTOR_H_

#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "io/reactor/reactor.h"

namespace volley::io {

// Probabilities are per event, 0 to 1.
struct SimOptions {
  uint64_t seed = 1;
  absl::Duration latency_min = absl::Microseconds(50);  // one way
  absl::Duration latency_max = absl::Microseconds(200);
  double split = 0;  // a send arrives in several OnData calls, cut at random places
  double stall = 0;  // a send is held back by stall_duration
  absl::Duration stall_duration = absl::Seconds(1);
  double truncate = 0;             // only a part of a send arrives, then the connection resets
  double reset = 0;                // the connection resets instead of delivering a send (both ends)
  double refuse = 0;               // a connect is refused
  double short_send = 0;           // the "kernel" takes a part, the rest later
  uint32_t max_streams = 100'000;  // stands for the descriptor limit
};

struct SimStats {
  uint64_t events = 0;  // callbacks made
  uint64_t splits = 0, stalls = 0, truncations = 0, resets = 0, refusals = 0, short_sends = 0;
  uint64_t trace_hash = 0;  // hash over every event and its time: equal for equal seeds
};

class SimReactor : public Reactor {
 public:
  static std::unique_ptr<SimReactor> Create(const SimOptions& options);
  // Ends a stream as a crash of its owner would: its own handler hears OnClosed(OK) as after
  // Close(), the peer gets what was already on its way and then a reset instead of an end.
  virtual void Reset(StreamId id) = 0;
  // Runs until nothing is left that could happen, Stop() is called, or virtual time passes `limit`.
  virtual void RunUntilIdle(absl::Duration limit) = 0;
  virtual SimStats stats() const = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_SIM_REACTOR_H_
