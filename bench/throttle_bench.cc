// What a permit costs: one job over five limits of one lane, alone and against another thread, and
// what being refused costs.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "pipeline/throttle/limit_table.h"

namespace {

using namespace volley::pipeline;
using volley::io::MonoTime;

const LimitKey kLane{"news", "192.0.2.1", "gmail.com", "ses"};

// Campaign, source, provider and lane have a rate, the relay a quota: wide enough never to refuse,
// unless `provider` does.
std::unique_ptr<LimitTable> Table(const RateSpec& provider) {
  auto table = std::make_unique<LimitTable>(LimitTable::Options());
  const ClockReading now{volley::io::MonotonicNow(), absl::Now()};
  const LimitSpec wide{.rate = RateSpec{kRatePerSecondMax, absl::Seconds(1)}, .burst = 5'000'000};
  const auto add = [&](const LimitKey& key, const LimitSpec& spec) {
    if (!table->FindOrAdd(key, spec, now).ok()) std::abort();
  };
  add({.campaign = "news"}, wide);
  add({.source = "192.0.2.1"}, wide);
  add({.provider = "gmail.com"}, {.rate = provider});
  add({.source = "192.0.2.1", .provider = "gmail.com"}, wide);
  add({.relay = "ses"}, {.quota = RateSpec{kQuotaCountMax, absl::Hours(24)}});
  return table;
}

std::unique_ptr<LimitTable> table;

// Each permit is given back, so that the limits never end; the pace of two threads is not limited
// by it, as `now` moves on by what a message takes at full speed.
void PermitOverFiveLimits(benchmark::State& state) {
  if (state.thread_index() == 0) table = Table({kRatePerSecondMax, absl::Seconds(1)});
  LimitSet set;
  int64_t now = volley::io::MonotonicNow().nanos();
  uint64_t granted = 0, refused = 0;
  bool ready = false;
  for (auto _ : state) {
    if (!ready) {  // the loop's begin is where the threads have met
      set = *table->SetFor(kLane);
      ready = true;
    }
    now += 1000;
    Permit permit;
    if (set.Take(MonoTime::FromNanos(now), 1, &permit).granted()) {
      ++granted;
    } else {
      ++refused;
    }
    benchmark::DoNotOptimize(permit);
  }
  state.counters["granted"] = static_cast<double>(granted);
  state.counters["refused"] = static_cast<double>(refused);
}
BENCHMARK(PermitOverFiveLimits)->Threads(1)->Threads(2)->UseRealTime();

void PermitAndReturn(benchmark::State& state) {
  table = Table({kRatePerSecondMax, absl::Seconds(1)});
  LimitSet set = *table->SetFor(kLane);
  int64_t now = volley::io::MonotonicNow().nanos();
  for (auto _ : state) {
    Permit permit;
    if (!set.Take(MonoTime::FromNanos(now += 1000), 1, &permit).granted()) std::abort();
    set.Return(&permit);
  }
}
BENCHMARK(PermitAndReturn);

void RefusedByOneOfFive(benchmark::State& state) {
  table = Table({1, absl::Hours(24)});
  LimitSet set = *table->SetFor(kLane);
  int64_t now = volley::io::MonotonicNow().nanos();
  Permit first;
  if (!set.Take(MonoTime::FromNanos(now), 1, &first).granted()) std::abort();
  for (auto _ : state) {
    Permit permit;
    benchmark::DoNotOptimize(set.Take(MonoTime::FromNanos(now += 1000), 1, &permit));
  }
}
BENCHMARK(RefusedByOneOfFive);

void ConnectionOverFiveLimits(benchmark::State& state) {
  LimitTable limits({});
  const ClockReading now{volley::io::MonotonicNow(), absl::Now()};
  for (const LimitKey& key :
       {LimitKey{}, LimitKey{.campaign = "news"}, LimitKey{.provider = "gmail.com"},
        LimitKey{.source = "192.0.2.1", .provider = "gmail.com"}, LimitKey{.relay = "ses"}}) {
    if (!limits.FindOrAdd(key, {.connections = 100}, now).ok()) std::abort();
  }
  LimitSet set = *limits.SetFor(kLane);
  for (auto _ : state) {
    ConnectionLease lease;
    if (!set.Open(&lease).granted()) std::abort();
  }
}
BENCHMARK(ConnectionOverFiveLimits);

}  // namespace
