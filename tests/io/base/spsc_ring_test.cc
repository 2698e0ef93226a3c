#include "io/base/spsc_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

namespace volley::io {
namespace {

TEST(SpscRing, KeepsTheOrderAcrossManyWraps) {
  SpscRing<uint32_t> ring(8);
  uint32_t pushed = 0, popped = 0;
  for (int round = 0; round < 1000; ++round) {
    const int burst = 1 + round % 8;
    for (int i = 0; i < burst; ++i) EXPECT_TRUE(ring.Push(pushed++));
    for (int i = 0; i < burst; ++i) {
      uint32_t value = 0;
      ASSERT_TRUE(ring.Pop(&value));
      EXPECT_EQ(value, popped++);
    }
  }
  uint32_t value = 0;
  EXPECT_FALSE(ring.Pop(&value));
}

TEST(SpscRing, TakesExactlyItsCapacity) {
  SpscRing<int> ring(4);
  EXPECT_EQ(ring.capacity(), 4u);
  const std::array<int, 6> items{1, 2, 3, 4, 5, 6};
  EXPECT_EQ(ring.PushSome(items), 4u);
  EXPECT_EQ(ring.size_approx(), 4u);
  EXPECT_FALSE(ring.Push(9));
  std::array<int, 6> out{};
  EXPECT_EQ(ring.PopSome({out.data(), 3}), 3u);
  EXPECT_EQ(ring.PushSome({items.data() + 4, 2}), 2u);
  EXPECT_EQ(ring.PopSome(out), 3u);
  EXPECT_EQ((std::array<int, 3>{out[0], out[1], out[2]}), (std::array<int, 3>{4, 5, 6}));
  EXPECT_EQ(ring.size_approx(), 0u);
  EXPECT_EQ(ring.PushSome({}), 0u);
  EXPECT_EQ(ring.PopSome({}), 0u);
}

TEST(SpscRing, ARingOfOneWorks) {
  SpscRing<int> ring(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(ring.Push(i));
    EXPECT_FALSE(ring.Push(i));
    int value = -1;
    EXPECT_TRUE(ring.Pop(&value));
    EXPECT_EQ(value, i);
  }
}

TEST(SpscRingDeathTest, TheCapacityIsAPowerOfTwo) {
  EXPECT_DEATH(SpscRing<int>(0), "check failed");
  EXPECT_DEATH(SpscRing<int>(12), "check failed");
}

// Each element carries its number in every word: a torn or early read shows.
struct Element {
  std::array<uint64_t, 5> words;
};

// Two threads, a ring much smaller than the traffic, bursts of changing size. Under ThreadSanitizer
// this is the proof of the orderings: the slots themselves are plain memory.
TEST(SpscRing, TwoThreadsHandOverEverythingInOrder) {
  constexpr uint64_t kElements = 400'000;
  SpscRing<Element> ring(64);
  std::thread producer([&] {
    std::minstd_rand random(1);
    std::vector<Element> burst;
    for (uint64_t next = 0; next < kElements;) {
      burst.resize(std::min<uint64_t>(1 + random() % 90, kElements - next));
      for (size_t i = 0; i < burst.size(); ++i) burst[i].words.fill(next + i);
      const size_t taken = ring.PushSome(burst);
      next += taken;
      if (taken == 0) std::this_thread::yield();
    }
  });
  std::minstd_rand random(2);
  std::vector<Element> out(90);
  uint64_t expected = 0;
  uint64_t wrong = 0;
  while (expected < kElements) {
    const size_t n = ring.PopSome({out.data(), 1 + random() % out.size()});
    if (n == 0) std::this_thread::yield();
    for (size_t i = 0; i < n; ++i, ++expected) {
      for (const uint64_t word : out[i].words) wrong += word != expected;
    }
    if (ring.size_approx() > ring.capacity()) ++wrong;
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(ring.size_approx(), 0u);
}

}  // namespace
}  // namespace volley::io
