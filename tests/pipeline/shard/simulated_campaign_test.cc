// Whole campaigns in the simulator: a shard and a sink on one virtual network that splits, stalls,
// truncates and resets by a seed. After each run the books must balance, recipient by recipient.
// A failure prints its seed; VOLLEY_SIM_SEED=n runs just that one, VOLLEY_SIM_SEEDS=n the first n.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/pipeline/shard/simulated_world.h"

namespace volley::pipeline {
namespace {

TEST(SimulatedCampaign, DeliversToEveryoneOnceOnAGoodNetwork) {
  for (const bool chunking : {true, false}) {
    for (const bool pipelining : {true, false}) {
      World world(io::SimOptions{});
      SinkOptions sink;
      sink.server.chunking = chunking;
      sink.server.pipelining = pipelining;
      world.StartSink(sink);
      const Books books = world.Run(7, 10);
      ExpectBalanced(books);
      EXPECT_EQ(books.delivered, uint64_t{kRecipients});
    }
  }
}

TEST(SimulatedCampaign, BooksBalanceUnderFaultsFromManySeeds) {
  const char* only = std::getenv("VOLLEY_SIM_SEED");
  const char* many = std::getenv("VOLLEY_SIM_SEEDS");
  const uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const uint64_t count = many != nullptr ? std::strtoull(many, nullptr, 10) : 100;
  const uint64_t last = only != nullptr ? first : count;
  uint64_t resets = 0, truncations = 0, uncertain = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("replay with VOLLEY_SIM_SEED=" + std::to_string(seed));
    World world(Faulty(seed));
    SinkOptions sink;
    sink.server.chunking = seed % 2 == 0;
    sink.server.pipelining = seed % 5 != 0;
    world.StartSink(sink);
    const Books books = world.Run(1 + static_cast<uint32_t>(seed % 9), seed % 4 * 5);
    // The first session may be refused or reset before it is ready: then nothing may be sent.
    if (books.state == Shard::State::kFailed) {
      EXPECT_TRUE(books.arrivals.empty());
      continue;
    }
    ExpectBalanced(books);
    resets += books.stats.resets;
    truncations += books.stats.truncations;
    for (const auto& [address, outcome] : books.not_delivered) {
      uncertain += outcome == Outcome::kUncertain;
    }
    if (HasFailure()) return;
  }
  if (only != nullptr) return;
  EXPECT_GT(resets, 0u);
  EXPECT_GT(truncations, 0u);
  EXPECT_GT(uncertain, 0u);
}

TEST(SimulatedCampaign, IsTheSameRunForTheSameSeed) {
  const auto run = [] {
    World world(Faulty(11));
    world.StartSink(SinkOptions{});
    return world.Run(4, 20);
  };
  const Books one = run(), two = run();
  EXPECT_EQ(one.delivered, two.delivered);
  EXPECT_EQ(one.arrivals, two.arrivals);
}

TEST(SimulatedCampaign, SaysWhyWhenNobodyListens) {
  World world(io::SimOptions{});
  const Books books = world.Run(3, 0);
  EXPECT_EQ(books.state, Shard::State::kFailed);
  EXPECT_EQ(books.delivered, 0u);
}

}  // namespace
}  // namespace volley::pipeline
