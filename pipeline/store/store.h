// Store: volley.db, the SQLite file of a state directory for what is relational and small (ADR:
// suppression and bounce history now; spool and idempotency keys later). This is the only place
// that includes <sqlite3.h>. What is in it: schema.h; an older schema is brought up to date by
// Open, all steps in one transaction.
//
// The file is in WAL mode: readers never wait for a writer, one writer at a time, others wait for
// at most `busy_timeout`. Commits are synced (synchronous = FULL): committed means that it survives
// a power loss. PRAGMA application_id says that the file is ours, user_version which schema it has.
//
// Threading: a Store and its statements belong to one thread; any number of them, also in other
//   processes, may be open on the same file.
// Lifetime: statements end before their Store.
// Errors name the file and say what to do. NotFound: there is none (`create` false); Unavailable:
// locked by another process for longer than busy_timeout;
//   ResourceExhausted: disk or quota full; DataLoss: the file is damaged; FailedPrecondition: it is
//   something else, of a newer volley, without a table it must have, or empty although it has been
//   written; PermissionDenied; Internal: anything else SQLite says.
#ifndef VOLLEY_PIPELINE_STORE_STORE_H_
#define VOLLEY_PIPELINE_STORE_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace volley::pipeline {

inline constexpr int32_t kStoreApplicationId = 0x766c6c79;  // "vlly"

class Statement;

struct StoreOptions {
  absl::Duration busy_timeout = absl::Seconds(5);
  // False: only to look into; a misspelled --state must not come out as "nobody is suppressed".
  bool create = true;
  // Page cache of a connection that writes a lot; 0: SQLite's own (2 MiB).
  uint32_t cache_kib = 0;
};

class Store {
 public:
  // Makes the folder (0700), the file (0600) and the schema where they are missing.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& state_dir,
                                                     const StoreOptions& options = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  static bool Exists(const std::string& state_dir);
  static std::string PathIn(const std::string& state_dir) { return state_dir + "/volley.db"; }
  const std::string& path() const { return path_; }

  // REQUIRES: one statement, without values in it: those are bound.
  absl::StatusOr<Statement> Prepare(std::string_view sql);
  // One or several statements without results.
  absl::Status Execute(const std::string& sql);
  // `work` in a transaction that has the write lock from its start; rolled back when it fails.
  absl::Status Write(const std::function<absl::Status()>& work);

  int64_t changed_rows() const;  // by the last statement
  // Moves whenever another connection has committed (PRAGMA data_version).
  absl::StatusOr<int64_t> DataVersion();

 private:
  friend class Statement;
  struct BusyWait;
  Store(sqlite3* database, std::string state_dir, std::string path);

  absl::Status Check();
  absl::Status CheckOwner();
  absl::Status CheckTables(int64_t version);
  absl::Status CreateOrUpgrade();
  absl::StatusOr<int64_t> Number(const char* sql);
  absl::Status Error(std::string_view doing, int code) const;

  sqlite3* database_;
  const std::string state_dir_, path_;
  const std::unique_ptr<BusyWait> busy_wait_;
  std::unique_ptr<Statement> data_version_;
};

// A prepared statement: bind, step, read the row, Reset, again.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Parameters are numbered from 1. LIFETIME: `text` stays as it is until Reset.
  Statement& Bind(int index, std::string_view text);
  Statement& Bind(int index, int64_t number);
  // True: there is a row. False: it is done.
  absl::StatusOr<bool> Step();
  // Columns are numbered from 0. LIFETIME: until the next Step or Reset.
  std::string_view Text(int column) const;
  int64_t Number(int column) const;
  // Ends the read transaction it holds.
  void Reset();
  // Bind, then Run: a statement without rows, ready for the next Bind.
  absl::Status Run();

 private:
  friend class Store;
  Statement(Store* store, sqlite3_stmt* statement) : store_(store), statement_(statement) {}

  Store* store_;
  sqlite3_stmt* statement_;
  int bind_error_ = 0;
};

// Ends the read transaction of a statement that was not read to its end.
class ResetAtEnd {
 public:
  explicit ResetAtEnd(Statement* statement) : statement_(*statement) {}
  ~ResetAtEnd() { statement_.Reset(); }
  ResetAtEnd(const ResetAtEnd&) = delete;
  ResetAtEnd& operator=(const ResetAtEnd&) = delete;

 private:
  Statement& statement_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_STORE_H_
