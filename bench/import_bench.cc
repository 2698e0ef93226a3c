// Import of a recipient list: CSV and JSON Lines, and reading recipients.bin back.
//
//   build/release/bench/import_bench --benchmark_repetitions=5
//
// A row is some 60 bytes (email,first_name,last_name,city). Rows a second are items_per_second.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "pipeline/source/import.h"
#include "pipeline/source/list_reader.h"
#include "pipeline/source/recipient_file.h"

namespace volley::pipeline {
namespace {

constexpr std::string_view kFirstNames[] = {"Ann", "Bob", "Çağla", "Dieter", "Félix", "Grace"};
constexpr std::string_view kLastNames[] = {"Example", "Smith", "Müller", "Papadopoulos", "Li"};
constexpr std::string_view kCities[] = {"Berlin", "New York", "San Francisco", "Rio de Janeiro"};

template <size_t N>
std::string_view Pick(const std::string_view (&from)[N], uint64_t i) {
  return from[i * 2654435761 % N];
}

// The benchmarks' folder, made once, removed at exit.
const std::string& Folder() {
  struct Made {
    std::string path = (std::filesystem::temp_directory_path() / "volley-bench-XXXXXX").string();
    Made() {
      if (mkdtemp(path.data()) == nullptr) std::abort();
    }
    ~Made() { std::filesystem::remove_all(path); }
  };
  static const Made made;
  return made.path;
}

enum Format : int64_t { kCsv, kQuotedCsv, kJsonLines };

std::string Row(Format format, uint64_t i) {
  constexpr std::string_view kLayouts[] = {
      "user{:07}@mail{}.example.com,{},{},{}\n",
      "\"user{:07}@mail{}.example.com\",\"{}\",\"{}\",\"{}\"\n",
      "{{\"email\":\"user{:07}@mail{}.example.com\",\"first_name\":\"{}\",\"last_name\":\"{}\","
      "\"city\":\"{}\"}}\n"};
  return fmt::format(fmt::runtime(kLayouts[format]), i, i % 2000, Pick(kFirstNames, i),
                     Pick(kLastNames, i), Pick(kCities, i));
}

std::string MakeList(Format format, uint64_t rows) {
  std::string path = fmt::format("{}/list-{}-{}", Folder(), int64_t{format}, rows);
  if (std::filesystem::exists(path)) return path;
  std::ofstream out(path, std::ios::binary);
  if (format != kJsonLines) out << "email,first_name,last_name,city\n";
  for (uint64_t i = 0; i < rows; ++i) out << Row(format, i);
  return path;
}

ImportOptions Options(const std::string& list) {
  ImportOptions options;
  options.list_path = list;
  options.recipients_path = Folder() + "/recipients.bin";
  options.rejected_path = Folder() + "/rejected.csv";
  return options;
}

void BM_Import(benchmark::State& state) {
  const auto rows = static_cast<uint64_t>(state.range(1));
  const ImportOptions options = Options(MakeList(static_cast<Format>(state.range(0)), rows));
  for (auto _ : state) {
    auto result = ImportRecipients(options);
    if (!result.ok() || result->imported != rows) state.SkipWithError("import failed");
  }
  state.SetItemsProcessed(state.iterations() * state.range(1));
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(std::filesystem::file_size(options.list_path)));
}
BENCHMARK(BM_Import)
    ->ArgNames({"format", "rows"})
    ->ArgsProduct({{kCsv, kQuotedCsv, kJsonLines}, {100'000, 1'000'000}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();

void BM_ReadList(benchmark::State& state) {
  constexpr int64_t kRows = 100'000;
  const std::string path = MakeList(static_cast<Format>(state.range(0)), kRows);
  for (auto _ : state) {
    auto list = ListReader::Open(path);
    pipeline::Row row;
    int64_t rows = 0;
    while (list.ok() && (*list)->Next(&row).value_or(false)) ++rows;
    if (rows != kRows) state.SkipWithError("reading failed");
  }
  state.SetItemsProcessed(state.iterations() * kRows);
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(std::filesystem::file_size(path)));
}
BENCHMARK(BM_ReadList)
    ->ArgName("format")
    ->Arg(kCsv)
    ->Arg(kQuotedCsv)
    ->Arg(kJsonLines)
    ->Unit(benchmark::kMillisecond);

void BM_ReadRecords(benchmark::State& state) {
  constexpr uint64_t kRows = 100'000;
  const ImportOptions options = Options(MakeList(kCsv, kRows));
  if (!ImportRecipients(options).ok()) return state.SkipWithError("import failed");
  auto file = RecipientFile::Open(options.recipients_path);
  if (!file.ok()) return state.SkipWithError("cannot open");
  RecipientRecord record;
  for (auto _ : state) {
    uint64_t offset = (*file)->first_offset();
    for (uint64_t i = 0; i < kRows; ++i) offset = (*file)->ReadAt(offset, &record).value();
    benchmark::DoNotOptimize(offset);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRows));
}
BENCHMARK(BM_ReadRecords)->Unit(benchmark::kMillisecond);

void BM_Verify(benchmark::State& state) {
  const ImportOptions options = Options(MakeList(kCsv, 100'000));
  if (!ImportRecipients(options).ok()) return state.SkipWithError("import failed");
  auto file = RecipientFile::Open(options.recipients_path);
  if (!file.ok()) return state.SkipWithError("cannot open");
  for (auto _ : state) {
    if (!(*file)->Verify().ok()) state.SkipWithError("damaged");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>((*file)->total_bytes()));
}
BENCHMARK(BM_Verify)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace volley::pipeline
