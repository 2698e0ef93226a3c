#include "engine/base/secret.h"

#include <cstdlib>
#include <new>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

#include "gtest/gtest.h"

// The only honest way to see what is in memory at the moment it is freed: this program's own
// operator new[] and delete[]. Watched memory that is not all zero when it goes is counted.
namespace {
struct Watch {
  const void* memory = nullptr;
  size_t size = 0;
  int freed_clean = 0;
  int freed_dirty = 0;
};
Watch g_watch;

void FreeWatched(void* memory) noexcept {
  if (memory != nullptr && memory == g_watch.memory) {
    const char* bytes = static_cast<const char*>(memory);
    bool clean = true;
    for (size_t i = 0; i < g_watch.size; ++i) clean &= bytes[i] == 0;
    ++(clean ? g_watch.freed_clean : g_watch.freed_dirty);
    g_watch.memory = nullptr;
  }
  std::free(memory);
}
}  // namespace

void* operator new[](size_t size) {
  void* memory = std::malloc(size > 0 ? size : 1);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete[](void* memory) noexcept { FreeWatched(memory); }
void operator delete[](void* memory, size_t) noexcept { FreeWatched(memory); }

namespace volley::engine {
namespace {

Secret Make(std::string_view bytes) { return *Secret::Make(bytes); }

void WatchMemoryOf(const Secret& secret) {
  g_watch = {.memory = secret.reveal().data(), .size = secret.size()};
}

TEST(Secret, IsOverwrittenBeforeItIsFreed) {
  {
    const Secret secret = Make("hunter2");
    WatchMemoryOf(secret);
  }
  EXPECT_EQ(g_watch.freed_clean, 1);
  EXPECT_EQ(g_watch.freed_dirty, 0);
}

// Shows that the watch sees what it should: plain memory goes as it is.
TEST(Secret, PlainMemoryWouldBeFoundDirty) {
  auto* bytes = new char[8];
  std::fill_n(bytes, 8, 'x');
  g_watch = {.memory = bytes, .size = 8};
  delete[] bytes;
  EXPECT_EQ(g_watch.freed_dirty, 1);
}

TEST(Secret, IsOverwrittenWhenAnotherIsAssigned) {
  Secret secret = Make("hunter2");
  WatchMemoryOf(secret);
  secret = Make("better");
  EXPECT_EQ(g_watch.freed_clean, 1);
  EXPECT_EQ(secret.reveal(), "better");
}

TEST(Secret, MovesWithoutLeavingACopyBehind) {
  Secret from = Make("hunter2");
  const char* memory = from.reveal().data();
  const Secret to = std::move(from);
  EXPECT_EQ(to.reveal().data(), memory);
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move): that is the claim
  EXPECT_EQ(from.reveal(), "");
}

TEST(Secret, SurvivesBeingAssignedToItself) {
  Secret secret = Make("hunter2");
  Secret& same = secret;
  secret = std::move(same);
  EXPECT_EQ(secret.reveal(), "hunter2");
}

TEST(Secret, NeverPrints) {
  const Secret secret = Make("hunter2");
  EXPECT_EQ(fmt::format("{}", secret), "(secret)");
  EXPECT_EQ(fmt::format("[{:>10}]", secret), "[  (secret)]");
  EXPECT_EQ(testing::PrintToString(secret).find("hunter2"), std::string::npos);
}

template <typename T, typename = void>
struct Streams : std::false_type {};
template <typename T>
struct Streams<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<const T&>())>>
    : std::true_type {};

TEST(Secret, DoesNotStreamConvertOrCopy) {
  EXPECT_TRUE(Streams<std::string>::value);
  EXPECT_FALSE(Streams<Secret>::value);
  EXPECT_FALSE((std::is_convertible_v<Secret, std::string>));
  EXPECT_FALSE((std::is_convertible_v<Secret, std::string_view>));
  EXPECT_FALSE((std::is_convertible_v<Secret, bool>));
  EXPECT_FALSE(std::is_copy_constructible_v<Secret>);
}

TEST(Secret, HasABound) {
  EXPECT_TRUE(Secret::Make(std::string(Secret::kBytesMax, 'x')).ok());
  const absl::StatusOr<Secret> over = Secret::Make(std::string(Secret::kBytesMax + 1, 'x'));
  ASSERT_FALSE(over.ok());
  EXPECT_EQ(over.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(over.status().ToString().find("xx"), std::string::npos);
}

TEST(Secret, TakesAStringAndWipesIt) {
  std::string text = "a password longer than the small string buffer";
  const std::string copy = text;
  const char* memory = text.data();
  const absl::StatusOr<Secret> secret = Secret::Take(&text);
  ASSERT_TRUE(secret.ok());
  EXPECT_EQ(secret->reveal(), copy);
  EXPECT_EQ(text, "");
  ASSERT_EQ(text.data(), memory);  // still ours to look at
  for (size_t i = 0; i < copy.size(); ++i) EXPECT_EQ(memory[i], '\0') << i;
}

TEST(Secret, TakeWipesWhatIsTooLong) {
  std::string text(Secret::kBytesMax + 1, 'x');
  const char* memory = text.data();
  EXPECT_FALSE(Secret::Take(&text).ok());
  EXPECT_EQ(text, "");
  EXPECT_EQ(memory[100], '\0');
}

TEST(Secret, ConcatenatesWithNulBytes) {
  using std::string_view_literals::operator""sv;
  const Secret secret = Secret::Concat({"\0"sv, "user", "\0"sv, "", "pass"});
  EXPECT_EQ(secret.reveal(), "\0user\0pass"sv);
  EXPECT_TRUE(Secret::Concat({}).empty());
}

TEST(Secret, ComparesByContent) {
  EXPECT_TRUE(EqualInConstantTime("abc", "abc"));
  EXPECT_TRUE(EqualInConstantTime("", ""));
  EXPECT_FALSE(EqualInConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualInConstantTime("abc", "ab"));
}

}  // namespace
}  // namespace volley::engine
