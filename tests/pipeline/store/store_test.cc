#include "pipeline/store/store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/store/generation.h"
#include "pipeline/store/sip_hash.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using volley::testing::TempDir;

std::string Words(const absl::Status& status) { return std::string(status.message()); }

// As another program, or a person with the sqlite3 tool, does it.
int RunSql(const std::string& path, const char* sql) {
  sqlite3* database = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  sqlite3_busy_timeout(database, 5000);
  const int code = sqlite3_exec(database, sql, nullptr, nullptr, nullptr);
  sqlite3_close(database);
  return code;
}

TEST(Store, MakesFolderAndFileForItsOwnerOnly) {
  const TempDir dir;
  const std::string state = dir.path("a/state");
  ASSERT_TRUE(Store::Open(state).ok());
  struct stat info {};
  ASSERT_EQ(stat(state.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0700u);
  ASSERT_EQ(stat(Store::PathIn(state).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
}

TEST(Store, IsInWalModeAndSyncsItsCommits) {
  const TempDir dir;
  const auto store = Store::Open(dir.path());
  ASSERT_TRUE(store.ok()) << store.status();
  auto mode = (*store)->Prepare("PRAGMA journal_mode");
  ASSERT_TRUE(*mode->Step());
  EXPECT_EQ(mode->Text(0), "wal");
  auto synchronous = (*store)->Prepare("PRAGMA synchronous");
  ASSERT_TRUE(*synchronous->Step());
  EXPECT_EQ(synchronous->Number(0), 2);  // FULL
}

TEST(Store, ManyMayMakeItAtOnce) {
  const TempDir dir;
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(8);
  for (absl::Status& result : results) {
    threads.emplace_back([&] { result = Store::Open(dir.path("state")).status(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_TRUE(result.ok()) << result;
}

TEST(Store, RefusesANewerOneAForeignOneAndWhatIsNoDatabase) {
  const TempDir dir;
  const std::string path = Store::PathIn(dir.path());
  ASSERT_TRUE(Store::Open(dir.path()).ok());
  RunSql(path, "PRAGMA user_version = 99");
  absl::Status status = Store::Open(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Words(status), HasSubstr("schema 99"));
  EXPECT_THAT(Words(status), HasSubstr(path));

  const TempDir foreign;
  RunSql(Store::PathIn(foreign.path()), "CREATE TABLE t (x)");
  status = Store::Open(foreign.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Words(status), HasSubstr("is not volley's"));

  const TempDir text;
  text.Write("volley.db", std::string(10000, 'x'));
  status = Store::Open(text.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_EQ(text.Read("volley.db"), std::string(10000, 'x'));  // not touched
}

TEST(Store, ADamagedFileIsAnErrorThatNamesIt) {
  const TempDir dir;
  ASSERT_TRUE(Store::Open(dir.path()).ok());
  std::string bytes = dir.Read("volley.db");
  ASSERT_GE(bytes.size(), 4096u);
  for (size_t i = 100; i < 4096; ++i) bytes[i] = static_cast<char>(0xEE);  // the schema's page
  dir.Write("volley.db", bytes);
  const absl::Status status = Store::Open(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(Words(status), HasSubstr("volley.db"));
}

TEST(Store, ALockThatIsHeldTooLongIsUnavailable) {
  const TempDir dir;
  const auto holder = Store::Open(dir.path());
  const auto store = Store::Open(dir.path(), {.busy_timeout = absl::Milliseconds(20)});
  ASSERT_TRUE((*holder)->Execute("BEGIN IMMEDIATE").ok());
  const absl::Status status = (*store)->Write([] { return absl::OkStatus(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  ASSERT_TRUE((*holder)->Execute("ROLLBACK").ok());
  EXPECT_TRUE((*store)->Write([] { return absl::OkStatus(); }).ok());
}

TEST(Store, AFailedTransactionLeavesNothing) {
  const TempDir dir;
  const auto store = Store::Open(dir.path());
  const char* insert = "INSERT INTO suppression (address) VALUES ('a@b.org')";
  const absl::Status status = (*store)->Write([&]() -> absl::Status {
    EXPECT_TRUE((*store)->Execute(insert).ok());
    return absl::AbortedError("no");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  auto count = (*store)->Prepare("SELECT count(*) FROM suppression");
  ASSERT_TRUE(*count->Step());
  EXPECT_EQ(count->Number(0), 0);
}

TEST(Store, ThePeopleWithTheSqliteToolCannotMakeEntriesThatSuppressNobody) {
  const TempDir dir;
  ASSERT_TRUE(Store::Open(dir.path()).ok());
  const std::string path = Store::PathIn(dir.path());
  EXPECT_EQ(RunSql(path, "INSERT INTO suppression (address) VALUES ('a@b.org')"), SQLITE_OK);
  EXPECT_NE(RunSql(path, "INSERT INTO suppression (address) VALUES ('A@b.org')"), SQLITE_OK);
  EXPECT_NE(RunSql(path, "INSERT INTO suppression (address) VALUES ('')"), SQLITE_OK);
  EXPECT_NE(RunSql(path, "UPDATE suppression SET address = 'c@b.org'"), SQLITE_OK);
  EXPECT_EQ(RunSql(path, "UPDATE suppression SET reason = 'asked by phone'"), SQLITE_OK);
}

TEST(Generation, IsSharedAndGrows) {
  const TempDir dir;
  const auto one = Generation::Open(dir.path());
  const auto two = Generation::Open(dir.path());
  ASSERT_TRUE(one.ok() && two.ok());
  const uint64_t before = (*two)->Now();
  (*one)->Advance();
  EXPECT_EQ((*two)->Now(), before + 1);
}

TEST(Generation, RefusesAnotherFile) {
  const TempDir dir;
  for (const char* bytes : {"x", "0123456789abcdef", "volleyGN0123456789"}) {
    dir.Write("suppression.generation", bytes);
    EXPECT_FALSE(Generation::Open(dir.path()).ok()) << bytes;
  }
}

// The vectors of the paper's reference implementation (key 00..0f, input 00 01 02 ...).
TEST(SipHash, GivesThePublishedValues) {
  const SipKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::string input;
  for (char c = 0; c < 15; ++c) input.push_back(c);
  EXPECT_EQ(SipHash(key, input), 0xa129ca6149be45e5u);
  EXPECT_EQ(SipHash(key, ""), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(SipHash(key, input.substr(0, 8)), 0x93f5f5799a932462u);
}

}  // namespace
}  // namespace volley::pipeline
