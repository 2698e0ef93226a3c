#include "pipeline/store/unsubscribe_key.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "engine/compliance/token.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using volley::testing::TempDir;

std::string TokenOf(const engine::compliance::KeyRing& keys) {
  return *engine::compliance::MakeUnsubscribeToken(keys, {"", "c", "a@b.org"});
}

TEST(UnsubscribeKey, IsMadeOnFirstUseForItsOwnerOnlyAndStays) {
  const TempDir dir;
  EXPECT_FALSE(HasUnsubscribeKey(dir.path("state")));
  const auto first = LoadOrCreateUnsubscribeKey(dir.path("state"), "");
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat info {};
  ASSERT_EQ(stat(dir.path("state/unsubscribe.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
  EXPECT_TRUE(HasUnsubscribeKey(dir.path("state")));
  const auto second = LoadOrCreateUnsubscribeKey(dir.path("state"), "");
  EXPECT_EQ(TokenOf(**first), TokenOf(**second));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path("state")), {}), 1);
  const auto other = LoadOrCreateUnsubscribeKey(dir.path("other"), "");
  EXPECT_NE(TokenOf(**first), TokenOf(**other));
}

TEST(UnsubscribeKey, AllWhoMakeItAtOnceHaveTheSame) {
  const TempDir dir;
  std::vector<std::thread> threads;
  std::vector<std::string> tokens(8);
  for (std::string& token : tokens) {
    threads.emplace_back([&] { token = TokenOf(**LoadOrCreateUnsubscribeKey(dir.path("s"), "")); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(tokens, ::testing::Each(tokens[0]));
}

TEST(UnsubscribeKey, ANamedFileIsNeverMade) {
  const TempDir dir;
  const absl::Status status =
      LoadOrCreateUnsubscribeKey(dir.path(), dir.path("misspelled")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(dir.path("misspelled")));
}

TEST(UnsubscribeKey, RefusesAFileThatOthersCanReadOrThatIsDamaged) {
  const TempDir dir;
  ASSERT_TRUE(LoadOrCreateUnsubscribeKey(dir.path(), "").ok());
  ASSERT_EQ(chmod(dir.path("unsubscribe.key").c_str(), 0644), 0);
  absl::Status status = LoadOrCreateUnsubscribeKey(dir.path(), "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("chmod 600"));
  ASSERT_EQ(chmod(dir.path("unsubscribe.key").c_str(), 0600), 0);
  dir.Write("unsubscribe.key", "1 abc\n");
  status = LoadOrCreateUnsubscribeKey(dir.path(), "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("unsubscribe.key: line 1"));
}

}  // namespace
}  // namespace volley::pipeline
