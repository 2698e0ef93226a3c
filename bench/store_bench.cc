// The suppression list at a sender's size: loading it, looking people up, one opt-out; bounces as
// the store thread counts them.
//
// VOLLEY_BENCH_ENTRIES sets how many entries (default 1,000,000; the figures in
// pipeline/store/README.md are of 10,000,000, which take about 1 GB of disk below $TMPDIR).
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/store/bounce_history.h"
#include "pipeline/store/suppression.h"

namespace {

using namespace volley::pipeline;

int64_t Entries() {
  const char* text = getenv("VOLLEY_BENCH_ENTRIES");
  return text == nullptr ? 1'000'000 : std::max<int64_t>(1000, atoll(text));
}

std::string Address(int64_t i) {
  return fmt::format("subscriber.{}@mail{}.example.org", i, i % 97);
}

// A filled store, removed at the end.
class Filled {
 public:
  Filled() {
    std::string path = (std::filesystem::temp_directory_path() / "volley-bench-XXXXXX").string();
    dir_ = mkdtemp(path.data());
    auto store = *Store::Open(dir_);
    auto insert = *store->Prepare("INSERT INTO suppression (address, list) VALUES (?1, 'news')");
    const auto status = store->Write([&]() -> absl::Status {
      for (int64_t i = 0; i < Entries(); ++i) {
        const std::string address = Address(2 * i);
        if (absl::Status s = insert.Bind(1, address).Run(); !s.ok()) return s;
      }
      return absl::OkStatus();
    });
    if (!status.ok()) fmt::print(stderr, "{}\n", status.ToString());
  }
  ~Filled() {
    std::error_code error;
    std::filesystem::remove_all(dir_, error);
  }
  Filled(const Filled&) = delete;
  Filled& operator=(const Filled&) = delete;
  const std::string& dir() const { return dir_; }

 private:
  std::string dir_;
};

const Filled& TheStore() {
  static const Filled filled;
  return filled;
}

std::shared_ptr<const SuppressionSnapshot> Snapshot() {
  static const auto snapshot = *SuppressionSnapshot::Load(TheStore().dir(), "news");
  return snapshot;
}

void LoadSnapshot(benchmark::State& state) {
  (void)TheStore();
  for (auto _ : state) {
    auto snapshot = SuppressionSnapshot::Load(TheStore().dir(), "news");
    state.counters["entries"] = static_cast<double>((*snapshot)->size());
  }
}
BENCHMARK(LoadSnapshot)->Iterations(1)->Unit(benchmark::kMillisecond);

// `step` 1: none of them is suppressed, as nearly all of a list; 0: all are, each verified in
// SQLite.
void Lookup(benchmark::State& state) {
  SuppressionReader reader(Snapshot());
  std::vector<std::string> addresses;
  for (int64_t i = 0; i < 65536; ++i) {
    const int64_t spread = i * 7919 % Entries();
    addresses.push_back(Address(2 * spread + state.range(0)));
  }
  size_t next = 0, found = 0;
  for (auto _ : state) {
    found += *reader.Contains(addresses[next++ % addresses.size()]) ? 1 : 0;
  }
  state.counters["found"] = static_cast<double>(found) / static_cast<double>(state.iterations());
}
BENCHMARK(Lookup)->Arg(1)->Arg(0);

// Committed and synced: what one click costs.
void AddOne(benchmark::State& state) {
  auto list = *SuppressionList::Open(TheStore().dir());
  int64_t i = 1;
  for (auto _ : state) {
    const auto added = list->Add({.address = Address(i += 2),
                                  .list = "news",
                                  .reason = "unsubscribe",
                                  .source = "one-click",
                                  .campaign = "c",
                                  .created_at = absl::FromUnixSeconds(1)});
    if (!added.ok()) state.SkipWithError(added.status().ToString().c_str());
  }
}
BENCHMARK(AddOne)->Unit(benchmark::kMicrosecond)->Iterations(200);

// Batches of `range` events: a campaign's bounces, each of another person (as nearly all are), some
// of whom bounced in the campaign before; one in twenty suppresses at once.
void CountBounces(benchmark::State& state) {
  std::string path = (std::filesystem::temp_directory_path() / "volley-bench-XXXXXX").string();
  const std::string dir = mkdtemp(path.data());
  auto history = *BounceHistory::Open(
      dir, {{.category = "recipient_unknown", .count = 1},
            {.category = "mailbox_full", .count = 3, .distinct_campaigns = true},
            {.category = "unknown", .count = 5}});
  const auto batch = static_cast<size_t>(state.range(0));
  std::vector<std::string> addresses(batch);
  std::vector<BounceEvent> events(batch);
  int64_t next = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (size_t i = 0; i < batch; ++i) {
      const int64_t n = next++;
      addresses[i] = Address(n * 7919 % 400'000);
      events[i] = {.address = addresses[i],
                   .category = n % 20 == 0  ? "recipient_unknown"
                               : n % 2 == 0 ? "mailbox_full"
                                            : "unknown",
                   .campaign = n < 400'000 ? "april" : "may",
                   .at = absl::FromUnixMillis(1'700'000'000'000 + n)};
    }
    state.ResumeTiming();
    const auto decisions = history->RecordBatch(events, "bench");
    if (!decisions.ok()) state.SkipWithError(decisions.status().ToString().c_str());
  }
  state.SetItemsProcessed(static_cast<int64_t>(batch) * state.iterations());
  history.reset();
  std::error_code error;
  std::filesystem::remove_all(dir, error);
}
BENCHMARK(CountBounces)->Arg(10'000)->Iterations(80)->Unit(benchmark::kMillisecond)->UseRealTime();

// People without a bounce: nearly everybody who gets a message.
void CountDeliveries(benchmark::State& state) {
  std::string path = (std::filesystem::temp_directory_path() / "volley-bench-XXXXXX").string();
  const std::string dir = mkdtemp(path.data());
  auto history = *BounceHistory::Open(dir, {{.category = "unknown", .count = 5}});
  const BounceEvent bounce{.address = "x@y.org",
                           .category = "unknown",
                           .campaign = "may",
                           .at = absl::FromUnixSeconds(1'700'000'000)};
  (void)history->Record(bounce, "bench");
  std::vector<std::string> addresses;
  std::vector<BounceEvent> events;
  for (int64_t i = 0; i < 10'000; ++i) addresses.push_back(Address(i));
  for (const std::string& address : addresses) {
    events.push_back({.address = address,
                      .category = "",
                      .campaign = "may",
                      .at = absl::FromUnixSeconds(1'700'000'000),
                      .kind = BounceEvent::Kind::kDelivered});
  }
  for (auto _ : state) benchmark::DoNotOptimize(history->RecordBatch(events, "bench").ok());
  state.SetItemsProcessed(10'000 * state.iterations());
  history.reset();
  std::error_code error;
  std::filesystem::remove_all(dir, error);
}
BENCHMARK(CountDeliveries)->Unit(benchmark::kMillisecond);

}  // namespace
