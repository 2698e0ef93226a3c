#include "pipeline/deliver/fair_turn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "pipeline/settle/outcome.h"

namespace volley::pipeline {
namespace {

// Who takes, a letter a job, while all of `ready` have some.
std::string Take(FairTurn* turn, FlowSet ready, int jobs) {
  std::string taken;
  for (int i = 0; i < jobs; ++i) {
    const uint32_t flow = turn->Pick(ready);
    turn->Took(flow);
    taken.push_back(static_cast<char>('a' + flow));
  }
  return taken;
}

TEST(FairTurn, OneFlowTakesAll) {
  FairTurn turn(std::vector<FlowShare>(1));
  EXPECT_EQ(Take(&turn, 1, 3), "aaa");
}

TEST(FairTurn, EqualFlowsTakeInTurn) {
  FairTurn turn(std::vector<FlowShare>(3));
  EXPECT_EQ(Take(&turn, 0b111, 7), "abcabca");
}

TEST(FairTurn, AFlowTakesAsManyAsItsWeightSays) {
  FairTurn turn({{.weight = 3}, {.weight = 1}, {.weight = 2}});
  EXPECT_EQ(Take(&turn, 0b111, 12), "aaabccaaabcc");
}

TEST(FairTurn, UrgentFlowsGoFirstAndShareAmongThemselves) {
  FairTurn turn(
      {{.weight = 1}, {.weight = 2, .urgent = true}, {.weight = 1}, {.weight = 1, .urgent = true}});
  EXPECT_EQ(Take(&turn, 0b1111, 6), "bbdbbd");
  EXPECT_EQ(Take(&turn, 0b0101, 4), "acac");
  EXPECT_EQ(Take(&turn, 0b1101, 2), "dd");
}

TEST(FairTurn, WhoHasNothingSavesUpNoClaim) {
  FairTurn turn({{.weight = 5}, {.weight = 1}});
  EXPECT_EQ(Take(&turn, 0b10, 50), std::string(50, 'b'));
  EXPECT_EQ(Take(&turn, 0b11, 7), "aaaaaba");
  // What is left of a turn is gone with it.
  EXPECT_EQ(Take(&turn, 0b10, 1), "b");
  EXPECT_EQ(Take(&turn, 0b11, 6), "aaaaab");
}

TEST(FairTurn, PickingChangesNothing) {
  FairTurn turn({{.weight = 2}, {.weight = 1}});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(turn.Pick(0b11), 0u);
  EXPECT_EQ(turn.Pick(0b10), 1u);
  EXPECT_EQ(Take(&turn, 0b11, 3), "aab");
}

// Whatever comes and goes: of those that always have jobs each gets its share, within one turn.
TEST(FairTurn, SharesHoldWithinOneTurnForAnyWeights) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const uint32_t n = 2 + random() % (kFlowsMax - 1);
    std::vector<FlowShare> shares(n);
    for (FlowShare& share : shares) share.weight = 1 + random() % 9;
    FairTurn turn(shares);
    const FlowSet all = n == kFlowsMax ? kAllFlows : FlowBit(n) - 1;
    std::vector<uint64_t> taken(n);
    for (int i = 0; i < 5000; ++i) {
      // The first two always have some, the others now and then.
      const FlowSet some = ((FlowSet{random()} << 32) | random()) & all;
      const uint32_t flow = turn.Pick(some | 0b11);
      ASSERT_LT(flow, n);
      turn.Took(flow);
      ++taken[flow];
    }
    const double a = static_cast<double>(taken[0]) / shares[0].weight;
    const double b = static_cast<double>(taken[1]) / shares[1].weight;
    EXPECT_NEAR(a, b, 1.0) << "weights " << shares[0].weight << ", " << shares[1].weight;
  }
}

}  // namespace
}  // namespace volley::pipeline
