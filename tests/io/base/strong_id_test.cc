#include "io/base/strong_id.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace volley::io {
namespace {

using LaneId = StrongId<struct LaneTag>;
using ShardId = StrongId<struct ShardTag>;
using BigId = StrongId<struct BigTag, uint64_t>;

static_assert(!std::is_convertible_v<uint32_t, LaneId>, "only explicitly");
static_assert(!std::is_convertible_v<LaneId, uint32_t>, "only explicitly");
static_assert(!std::is_convertible_v<LaneId, ShardId>, "ids of two kinds do not mix");
static_assert(!std::is_constructible_v<LaneId, ShardId>, "not even explicitly");
static_assert(sizeof(LaneId) == sizeof(uint32_t) && std::is_trivially_copyable_v<LaneId>);

TEST(StrongId, ComparesAndKeepsItsValue) {
  EXPECT_EQ(LaneId(7), LaneId(7));
  EXPECT_LT(LaneId(7), LaneId(8));
  EXPECT_EQ(LaneId().value(), 0u);
  EXPECT_EQ(BigId(1ull << 40).value(), 1ull << 40);
}

}  // namespace
}  // namespace volley::io
