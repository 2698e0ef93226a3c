// Several relays: shares, failover, standing by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/pipeline/shard/simulated_world.h"

namespace volley::pipeline {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::vector<LaneOptions> Lanes(std::vector<uint32_t> weights, uint32_t connections = 3) {
  std::vector<LaneOptions> lanes;
  for (const uint32_t weight : weights) {
    lanes.push_back(
        World::LaneTo(static_cast<uint16_t>(25 + lanes.size()), connections, /*messages=*/20));
    lanes.back().relay.weight = weight;
  }
  return lanes;
}

SinkOptions SlowSink(absl::Duration latency) {
  SinkOptions options;
  options.reply_latency = latency;
  return options;
}

TEST(RelayPool, SharesByWeightHoweverFastEachIs) {
  World world(io::SimOptions{});
  world.StartSink(SlowSink(absl::Milliseconds(100)));
  world.StartSink(SlowSink(absl::Milliseconds(1)));
  const Books books = world.Run(Lanes({3, 1}));
  ExpectBalanced(books);
  EXPECT_EQ(books.delivered, uint64_t{kRecipients});
  EXPECT_NEAR(static_cast<double>(books.lanes[0].delivered), kRecipients * 0.75, 40);
}

TEST(RelayPool, ARelayThatNobodyAnswersAtIsLeftOutAndSaid) {
  World world(io::SimOptions{});
  world.StartSink(SinkOptions{});
  const Books books = world.Run(Lanes({1, 1}));
  ExpectBalanced(books);
  EXPECT_EQ(books.delivered, uint64_t{kRecipients});
  EXPECT_EQ(books.lanes[1].delivered, 0u);
  EXPECT_THAT(books.notices, Contains(HasSubstr("sim26")));
}

TEST(RelayPool, NoRelayAtAllSendsNothing) {
  World world(io::SimOptions{});
  const Books books = world.Run(Lanes({1, 0, 2}));
  EXPECT_EQ(books.state, Shard::State::kFailed);
  EXPECT_EQ(books.delivered, 0u);
}

TEST(RelayPool, AStandbyGetsNothingWhileTheOtherWorks) {
  World world(io::SimOptions{});
  world.StartSink(SlowSink(absl::Milliseconds(20)));
  world.StartSink(SinkOptions{});
  const Books books = world.Run(Lanes({1, 0}));
  ExpectBalanced(books);
  EXPECT_EQ(books.lanes[0].delivered, uint64_t{kRecipients});
  EXPECT_EQ(books.lanes[1].delivered, 0u);
}

TEST(RelayPool, AStandbyTakesAllWhenTheOtherNeverCame) {
  World world(io::SimOptions{});
  world.StartSink(SinkOptions{});
  std::vector<LaneOptions> lanes = Lanes({0, 1});
  const Books books = world.Run(std::move(lanes));
  ExpectBalanced(books);
  EXPECT_EQ(books.lanes[0].delivered, uint64_t{kRecipients});
}

TEST(RelayPool, AStandbyTakesOverWhenTheOtherGoes) {
  World world(io::SimOptions{});
  SinkOptions first = SlowSink(absl::Milliseconds(50));
  first.run_for = absl::Milliseconds(800);
  world.StartSink(first);
  world.StartSink(SinkOptions{});
  const Books books = world.Run(Lanes({1, 0}));
  ExpectBalanced(books);
  EXPECT_GT(books.lanes[0].delivered, 10u);
  EXPECT_GT(books.lanes[1].delivered, 10u);
  for (const auto& [address, outcome] : books.not_delivered) {
    EXPECT_EQ(outcome, Outcome::kUncertain) << address;
  }
}

TEST(RelayPool, BooksBalanceUnderFaultsFromManySeeds) {
  const char* many = std::getenv("VOLLEY_SIM_SEEDS");
  const uint64_t count = many != nullptr ? std::strtoull(many, nullptr, 10) : 60;
  uint64_t by_second = 0;
  for (uint64_t seed = 1; seed <= count; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(Faulty(seed));
    for (uint64_t i = 0; i < 2; ++i) {
      SinkOptions sink = SlowSink(absl::Milliseconds(static_cast<int64_t>((seed + i) % 7)));
      if (seed % 4 == i) sink.run_for = absl::Milliseconds(static_cast<int64_t>(seed * 20));
      sink.stop_grace = absl::Milliseconds(static_cast<int64_t>(seed % 5 * 100));
      world.StartSink(sink);
    }
    const Books books = world.Run(Lanes({1, static_cast<uint32_t>(seed % 3), 1}, 2));
    if (books.state == Shard::State::kFailed) {
      EXPECT_TRUE(books.arrivals.empty());
      continue;
    }
    ExpectBalanced(books);
    by_second += books.lanes[1].delivered;
    if (HasFailure()) return;
  }
  EXPECT_GT(by_second, 0u);
}

}  // namespace
}  // namespace volley::pipeline
