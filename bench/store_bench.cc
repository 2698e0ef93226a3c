// The suppression list at a sender's size: loading it, looking people up, one opt-out.
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

}  // namespace
