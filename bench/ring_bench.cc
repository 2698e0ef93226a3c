// The parts of io that every message passes: handing jobs between threads, and moving its session's
// time-out.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "io/base/spsc_ring.h"
#include "io/reactor/timer_wheel.h"

namespace volley::io {
namespace {

struct Job {
  uint64_t words[4];
};

// One thread, both ends in cache: what the indices cost.
void BM_RingPushPop(benchmark::State& state) {
  const auto batch = static_cast<size_t>(state.range(0));
  SpscRing<Job> ring(4096);
  std::vector<Job> jobs(batch);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ring.PushSome(jobs));
    benchmark::DoNotOptimize(ring.PopSome(jobs));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch));
}
BENCHMARK(BM_RingPushPop)->Arg(1)->Arg(16)->Arg(256);

// Two threads: what a job costs on its way from the list reader to a shard.
void BM_RingHandOver(benchmark::State& state) {
  const auto batch = static_cast<size_t>(state.range(0));
  SpscRing<Job> ring(4096);
  std::atomic<bool> stop{false};
  std::thread producer([&] {
    std::vector<Job> jobs(batch);
    while (!stop.load(std::memory_order_relaxed)) {
      if (ring.PushSome(jobs) == 0) std::this_thread::yield();
    }
  });
  std::vector<Job> jobs(batch);
  size_t popped = 0;
  for (auto _ : state) {
    size_t n = 0;
    while ((n = ring.PopSome(jobs)) == 0) std::this_thread::yield();
    popped += n;
  }
  stop = true;
  producer.join();
  state.SetItemsProcessed(static_cast<int64_t>(popped));
}
BENCHMARK(BM_RingHandOver)->Arg(1)->Arg(16)->Arg(256)->UseRealTime();

class NoTimer : public Timer {
  void OnTimer() override {}
};

// A reply came: every session's time-out moves on. `range` sessions, in turn.
void BM_TimerMoveLater(benchmark::State& state) {
  TimerWheel wheel(MonotonicNow());
  std::vector<NoTimer> timers(static_cast<size_t>(state.range(0)));
  MonoTime now = MonotonicNow();
  size_t next = 0;
  for (auto _ : state) {
    now = now + absl::Microseconds(5);
    wheel.Set(&timers[next], now + absl::Minutes(5));
    if (++next == timers.size()) {
      next = 0;
      wheel.Advance(now);
    }
  }
}
BENCHMARK(BM_TimerMoveLater)->Arg(100)->Arg(10'000);

// Set anywhere within ten minutes, again and again: half of the moves are to an earlier time.
void BM_TimerSetAnywhere(benchmark::State& state) {
  TimerWheel wheel(MonotonicNow());
  std::vector<NoTimer> timers(static_cast<size_t>(state.range(0)));
  const MonoTime now = MonotonicNow();
  std::minstd_rand random(1);
  for (auto _ : state) {
    wheel.Set(&timers[random() % timers.size()], now + absl::Microseconds(random() % 600'000'000));
  }
}
BENCHMARK(BM_TimerSetAnywhere)->Arg(100)->Arg(10'000);

void BM_TimerSetAndFire(benchmark::State& state) {
  MonoTime now = MonotonicNow();
  TimerWheel wheel(now);
  std::vector<NoTimer> timers(1000);
  for (auto _ : state) {
    for (size_t i = 0; i < timers.size(); ++i) {
      wheel.Set(&timers[i], now + absl::Microseconds(static_cast<int64_t>(i) * 37));
    }
    now = now + absl::Milliseconds(50);
    benchmark::DoNotOptimize(wheel.Advance(now));
  }
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(BM_TimerSetAndFire);

void BM_TimerNextExpiry(benchmark::State& state) {
  TimerWheel wheel(MonotonicNow());
  std::vector<NoTimer> timers(10'000);
  for (NoTimer& timer : timers) wheel.Set(&timer, MonotonicNow() + absl::Minutes(5));
  for (auto _ : state) benchmark::DoNotOptimize(wheel.NextExpiry());
}
BENCHMARK(BM_TimerNextExpiry);

}  // namespace
}  // namespace volley::io
