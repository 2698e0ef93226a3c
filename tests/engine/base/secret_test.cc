#include "engine/base/secret.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <ostream>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace volley::engine {
namespace {

Secret Make(std::string_view bytes) { return *Secret::Make(bytes); }

// Also of memory that was given back: it stays mapped for the next secret, and AddressSanitizer is
// told not to mind.
__attribute__((no_sanitize("address"))) bool IsZero(const char* bytes, size_t size) {
  const volatile char* byte = bytes;
  for (size_t i = 0; i < size; ++i) {
    if (byte[i] != 0) return false;
  }
  return true;
}

TEST(Secret, IsOverwrittenBeforeItIsFreed) {
  for (const size_t size : {7u, 64u, 65u, 3000u, 16384u}) {
    const char* memory = nullptr;
    {
      const Secret secret = Secret::Concat({std::string(size, 'x')});
      memory = secret.reveal().data();
      EXPECT_FALSE(IsZero(memory, size));  // the look sees what it should
    }
    EXPECT_TRUE(IsZero(memory, size)) << size;
  }
}

TEST(Secret, IsOverwrittenWhenAnotherIsAssigned) {
  Secret secret = Make("hunter2");
  const char* memory = secret.reveal().data();
  secret = Make("better");
  EXPECT_TRUE(IsZero(memory, 7));
  EXPECT_EQ(secret.reveal(), "better");
}

TEST(Secret, HasMemoryOfItsOwnThatIsZeroAtFirst) {
  for (const size_t size : {1u, 64u, 65u, 256u, 1025u, 16384u, 16385u, 200000u}) {
    std::vector<Secret> secrets;
    for (int i = 0; i < 20; ++i) {
      secrets.push_back(Secret::Sized(size));
      ASSERT_TRUE(IsZero(secrets.back().reveal().data(), size)) << size;
      std::fill_n(secrets.back().bytes(), size, static_cast<char>('a' + i));
    }
    for (int i = 0; i < 20; ++i) {
      const auto n = static_cast<size_t>(i);
      EXPECT_EQ(secrets[n].reveal(), std::string(size, static_cast<char>('a' + i)));
    }
  }
}

TEST(Secret, IsMadeAndFreedInManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const std::string text(static_cast<size_t>(50 + 100 * t), static_cast<char>('a' + t));
      std::vector<Secret> kept;
      for (int i = 0; i < 2000; ++i) {
        kept.push_back(Make(text));
        ASSERT_EQ(kept.front().reveal(), text);
        if (kept.size() > 50) kept.erase(kept.begin());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The flags of the mapping that `address` is in, "rd wr mr mw me dd ac "; empty: not told.
std::string MappingFlags(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    char* dash = nullptr;
    const uintptr_t begin = std::strtoull(line.c_str(), &dash, 16);  // "7f00...-7f01... rw-p"
    if (*dash == '-') {
      const uintptr_t end = std::strtoull(dash + 1, nullptr, 16);
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line.substr(line.find(' ') + 1);
    }
  }
  return {};
}

TEST(Secret, IsLeftOutOfCoreDumps) {
  const std::string plain(3000, 'x');
  const std::string plain_flags = MappingFlags(plain.data());
  if (plain_flags.empty()) GTEST_SKIP() << "SKIPPED: /proc/self/smaps has no VmFlags here";
  EXPECT_EQ(plain_flags.find("dd "), std::string::npos) << plain_flags;
  for (const size_t size : {1u, 100u, 1000u, 3000u, 12288u, 70000u}) {
    const Secret secret = Secret::Sized(size);
    EXPECT_NE(MappingFlags(secret.reveal().data()).find("dd "), std::string::npos) << size;
    EXPECT_NE(MappingFlags(secret.reveal().data() + size - 1).find("dd "), std::string::npos);
  }
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
