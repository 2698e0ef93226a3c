#include "pipeline/store/store.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/store/generation.h"
#include "pipeline/store/schema.h"
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

// As the first version with a suppression list made it.
constexpr const char* kSchemaOne = R"(
CREATE TABLE suppression (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  address TEXT NOT NULL CHECK (address = lower(address) AND length(address) BETWEEN 3 AND 320),
  list TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT 'manual',
  source TEXT NOT NULL DEFAULT '',
  campaign TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL DEFAULT (unixepoch() * 1000),
  UNIQUE (address, list)
) STRICT;
CREATE TRIGGER suppression_keeps_addresses BEFORE UPDATE OF id, address, list ON suppression
BEGIN
  SELECT RAISE(ABORT, 'an entry cannot be changed: delete it and insert a new one');
END;
INSERT INTO suppression (address) VALUES ('a@b.org');
PRAGMA application_id = 0x766c6c79;
PRAGMA user_version = 1;
)";

int64_t NumberIn(Store& store, std::string_view sql) {
  auto statement = store.Prepare(sql);
  EXPECT_TRUE(statement.ok()) << statement.status();
  EXPECT_TRUE(*statement->Step());
  return statement->Number(0);
}

TEST(Store, BringsAnOlderSchemaUpToDateAndKeepsItsRows) {
  const TempDir dir;
  ASSERT_EQ(RunSql(Store::PathIn(dir.path()), kSchemaOne), SQLITE_OK);
  std::vector<std::thread> threads;  // all at once
  std::vector<absl::Status> results(4);
  for (absl::Status& result : results) {
    threads.emplace_back([&] { result = Store::Open(dir.path()).status(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_TRUE(result.ok()) << result;
  auto store = *Store::Open(dir.path());
  EXPECT_EQ(NumberIn(*store, "PRAGMA user_version"), kStoreSchemaVersion);
  EXPECT_EQ(NumberIn(*store, "SELECT count(*) FROM suppression"), 1);
  EXPECT_EQ(NumberIn(*store, "SELECT count(*) FROM bounce_history"), 0);
  EXPECT_EQ(NumberIn(*store, "SELECT count(*) FROM suppression_removed"), 0);
}

TEST(Store, AnUpgradeThatFailsLeavesTheOldSchema) {
  const TempDir dir;
  const std::string path = Store::PathIn(dir.path());
  ASSERT_EQ(RunSql(path, kSchemaOne), SQLITE_OK);
  ASSERT_EQ(RunSql(path, "CREATE TABLE suppression_removed (x)"), SQLITE_OK);  // in the way
  EXPECT_FALSE(Store::Open(dir.path()).ok());
  ASSERT_EQ(RunSql(path, "DROP TABLE suppression_removed"), SQLITE_OK);
  const auto store = Store::Open(dir.path());
  ASSERT_TRUE(store.ok()) << store.status();  // bounce_history of the first try is not there
  EXPECT_EQ(NumberIn(**store, "SELECT count(*) FROM suppression"), 1);
}

TEST(Store, RefusesADatabaseThatLacksATable) {
  const TempDir dir;
  ASSERT_TRUE(Store::Open(dir.path()).ok());
  ASSERT_EQ(RunSql(Store::PathIn(dir.path()), "DROP TABLE suppression"), SQLITE_OK);
  const absl::Status status = Store::Open(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(Words(status), HasSubstr("no table suppression"));
}

// Nobody's opt-out is forgotten because a file was lost: everybody would get mail again.
TEST(Store, RefusesToBeginAnewWhereAListHasBeen) {
  const TempDir dir;
  ASSERT_TRUE(Store::Open(dir.path()).ok());
  (*Generation::Open(dir.path()))->Advance();
  for (const bool empty : {true, false}) {
    for (const char* name : {"volley.db", "volley.db-wal", "volley.db-shm"}) {
      std::filesystem::remove(dir.path(name));
    }
    if (empty) dir.Write("volley.db", "");
    const absl::Status status = Store::Open(dir.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(Words(status), HasSubstr("go back to a backup"));
  }
  std::filesystem::remove(dir.path("suppression.generation"));
  std::filesystem::remove(dir.path("volley.db"));
  EXPECT_TRUE(Store::Open(dir.path()).ok());
}

TEST(Store, OnlyToBeReadItIsNotMade) {
  const TempDir dir;
  const absl::Status status = Store::Open(dir.path("state"), {.create = false}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Words(status), HasSubstr("--state"));
  EXPECT_FALSE(std::filesystem::exists(dir.path("state")));
}

// SQLite says "disk full" also when a database may not grow: the nearest thing to a full disk that
// a test can have.
TEST(Store, AFullDiskIsSaidWithWhatToDoAndKeepsWhatWasThere) {
  const TempDir dir;
  const auto store = Store::Open(dir.path());
  ASSERT_TRUE((*store)->Execute("PRAGMA max_page_count = 20").ok());
  auto insert = (*store)->Prepare("INSERT INTO suppression (address, reason) VALUES (?1, ?2)");
  const std::string reason(2000, 'x');
  const auto add = [&](int n) {
    return (*store)->Write([&]() -> absl::Status {
      return insert->Bind(1, "u" + std::to_string(n) + "@b.org").Bind(2, reason).Run();
    });
  };
  int kept = 0;
  while (kept < 1000 && add(kept).ok()) ++kept;
  ASSERT_LT(kept, 1000);
  const absl::Status status = add(kept);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(Words(status), HasSubstr("make room"));
  EXPECT_THAT(Words(status), HasSubstr("volley.db"));
  EXPECT_EQ(NumberIn(**store, "SELECT count(*) FROM suppression"), kept);
  ASSERT_TRUE((*store)->Execute("PRAGMA max_page_count = 10000").ok());  // room was made
  EXPECT_TRUE(add(kept).ok());
}

// As a quota: SQLite itself calls it an I/O error.
TEST(Store, AFileSizeLimitIsAFullDiskToo) {
  const TempDir dir;
  const auto store = Store::Open(dir.path());
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_IGN);
  const rlimit small{64 << 10, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = (*store)->Execute(
      "INSERT INTO suppression (address, reason) VALUES ('a@b.org', hex(randomblob(100000)))");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE((*store)->Execute("INSERT INTO suppression (address) VALUES ('a@b.org')").ok());
}

TEST(Store, AReadOnlyFileIsSaidWithWhatToDo) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write to everything";
  const TempDir dir;
  ASSERT_TRUE(Store::Open(dir.path()).ok());
  ASSERT_EQ(chmod(Store::PathIn(dir.path()).c_str(), 0400), 0);
  const absl::Status status = Store::Open(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(Words(status), HasSubstr("volley.db"));
}

// Not SQLite's own waiting, which sleeps up to 100 ms at a time.
TEST(Store, AWriterThatWaitsGetsInThroughAShortGap) {
  const TempDir dir;
  const auto holder = *Store::Open(dir.path());
  const auto store = *Store::Open(dir.path());
  ASSERT_TRUE(holder->Execute("BEGIN IMMEDIATE").ok());
  std::atomic<bool> got_in{false};
  std::thread waiter([&] {
    EXPECT_TRUE(store->Write([] { return absl::OkStatus(); }).ok());
    got_in = true;
  });
  for (int i = 0; i < 60 && !got_in; ++i) {
    usleep(50'000);
    EXPECT_TRUE(holder->Execute("COMMIT").ok());
    usleep(5000);
    EXPECT_TRUE(holder->Execute("BEGIN IMMEDIATE").ok());
  }
  EXPECT_TRUE(got_in);
  EXPECT_TRUE(holder->Execute("COMMIT").ok());
  waiter.join();
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
