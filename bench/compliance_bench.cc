// What a copy's unsubscribe token and bounce path cost, and checking a token at the endpoint.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>

#include "engine/compliance/bounce_path.h"
#include "engine/compliance/token.h"

namespace {

using namespace volley::engine::compliance;

std::shared_ptr<const KeyRing> Ring() {
  return std::make_shared<const KeyRing>(
      *KeyRing::Parse("1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));
}

constexpr char kRecipient[] = "annabel.lindstrom@example.org";

void UnsubscribeToken(benchmark::State& state) {
  TokenMaker maker(Ring(), "weekly.example.org", "november-2025");
  std::string token;
  for (auto _ : state) {
    token.clear();
    if (!maker.Append(kRecipient, &token).ok()) state.SkipWithError("no token");
    benchmark::DoNotOptimize(token.data());
  }
}
BENCHMARK(UnsubscribeToken);

// Without a kept maker: what looking the algorithms up costs.
void UnsubscribeTokenAlone(benchmark::State& state) {
  const auto ring = Ring();
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        MakeUnsubscribeToken(*ring, {"weekly.example.org", "november-2025", kRecipient}));
  }
}
BENCHMARK(UnsubscribeTokenAlone);

void OpenToken(benchmark::State& state) {
  const auto ring = Ring();
  const std::string token =
      *MakeUnsubscribeToken(*ring, {"weekly.example.org", "november-2025", kRecipient});
  for (auto _ : state) benchmark::DoNotOptimize(OpenUnsubscribeToken(*ring, token));
}
BENCHMARK(OpenToken);

void BouncePath(benchmark::State& state) {
  const auto ring = Ring();
  auto maker = BouncePathMaker::Make(*ring, "bounces@example.org", "november-2025");
  std::string path;
  uint64_t index = 0;
  for (auto _ : state) {
    path.clear();
    if (!maker->Append(index++, &path).ok()) state.SkipWithError("no path");
    benchmark::DoNotOptimize(path.data());
  }
}
BENCHMARK(BouncePath);

}  // namespace
