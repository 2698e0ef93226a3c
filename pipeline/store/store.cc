#include "pipeline/store/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "pipeline/store/generation.h"
#include "pipeline/store/schema.h"

namespace volley::pipeline {
namespace {

// A quota or a size limit is as full as a disk, but SQLite has only "I/O error" for it.
bool IsFull(int system_error) {
  return system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
}

absl::StatusCode CodeOf(int code, int system_error) {
  if (IsFull(system_error)) return absl::StatusCode::kResourceExhausted;
  switch (code & 0xff) {  // the primary of an extended code
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string_view AdviceOn(absl::StatusCode code, bool is_database) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return "; another process has been writing to it for a long time: try again, or find it with "
             "\"fuser volley.db\"";
    case absl::StatusCode::kResourceExhausted:
      return "; make room on that disk and try again: nothing of this transaction was kept";
    case absl::StatusCode::kPermissionDenied:
      return "; run this as the user whose file it is, and check that file, folder and file system "
             "can be written to";
    case absl::StatusCode::kDataLoss:
      return is_database
                 ? "; the file is damaged: keep a copy, then try \"sqlite3 volley.db .recover\" or "
                   "go back to a backup"
                 : "; it is no SQLite file, or its first page is damaged: move it away or go back "
                   "to a backup";
    default:
      return "";
  }
}

absl::Status MakeFolder(const std::string& state_dir) {
  std::error_code error;
  if (std::filesystem::is_directory(state_dir, error)) return absl::OkStatus();
  const std::filesystem::path path(state_dir);
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  // Lists of people are in there: nobody else's to read.
  if (mkdir(state_dir.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::PermissionDeniedError(
      fmt::format("cannot make the folder {}: {}", state_dir, std::strerror(errno)));
}

// SQLite would make it with the umask's mode. Its -wal and -shm files get the same mode.
absl::Status MakeFile(const std::string& path) {
  const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOCTTY, 0600);
  if (fd < 0) {
    return absl::PermissionDeniedError(
        fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  }
  close(fd);
  return absl::OkStatus();
}

}  // namespace

// --- Store ---

// SQLite's own handler sleeps longer and longer, up to 100 ms, and would hardly ever meet the few
// milliseconds that an import leaves between its transactions.
struct Store::BusyWait {
  static constexpr useconds_t kSleepUs = 1000;
  int64_t timeout_us = 0;
  std::chrono::steady_clock::time_point since;
  static int OnBusy(void* self, int times) {
    auto* wait = static_cast<BusyWait*>(self);
    const auto now = std::chrono::steady_clock::now();
    if (times == 0) wait->since = now;
    const auto waited = std::chrono::duration_cast<std::chrono::microseconds>(now - wait->since);
    if (waited.count() >= wait->timeout_us) return 0;
    usleep(kSleepUs);
    return 1;
  }
};

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& state_dir,
                                                   const StoreOptions& options) {
  const std::string path = PathIn(state_dir);
  if (options.create) {
    if (absl::Status s = MakeFolder(state_dir); !s.ok()) return s;
    if (absl::Status s = MakeFile(path); !s.ok()) return s;
  } else if (!Exists(state_dir)) {
    return absl::NotFoundError(
        fmt::format("there is no {}: name the state directory with --state", path));
  }
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Store> store(new Store(database, state_dir, path));
  if (code != SQLITE_OK) return store->Error("opening it", code);
  sqlite3_extended_result_codes(database, 1);
  store->busy_wait_->timeout_us = absl::ToInt64Microseconds(options.busy_timeout);
  sqlite3_busy_handler(database, BusyWait::OnBusy, store->busy_wait_.get());
  // What a damaged or planted file says of itself is not trusted.
  sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  if (absl::Status s = store->Check(); !s.ok()) return s;
  if (options.cache_kib > 0) {
    const auto cache = fmt::format("PRAGMA cache_size = -{0}; PRAGMA wal_autocheckpoint = {1};",
                                   options.cache_kib, options.cache_kib / 8);
    if (absl::Status s = store->Execute(cache); !s.ok()) return s;
  }
  return store;
}

Store::Store(sqlite3* database, std::string state_dir, std::string path)
    : database_(database),
      state_dir_(std::move(state_dir)),
      path_(std::move(path)),
      busy_wait_(std::make_unique<BusyWait>()) {}

bool Store::Exists(const std::string& state_dir) {
  struct stat info {};
  return stat(PathIn(state_dir).c_str(), &info) == 0;
}

Store::~Store() {
  data_version_.reset();
  sqlite3_close(database_);
}

// Whose file it is, before anything is written to it: not even the WAL mode.
absl::Status Store::Check() {
  // One look at all three: another process may be making the file just now.
  if (absl::Status s = Execute("BEGIN"); !s.ok()) return s;
  absl::Status whose = CheckOwner();
  if (absl::Status s = Execute("COMMIT"); whose.ok() && !s.ok()) return s;
  if (!whose.ok()) return whose;
  if (absl::Status s = Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"); !s.ok()) {
    return s;
  }
  const auto version = Number("PRAGMA user_version");
  if (!version.ok()) return version.status();
  return *version == kStoreSchemaVersion ? absl::OkStatus() : CreateOrUpgrade();
}

absl::Status Store::CheckOwner() {
  const auto version = Number("PRAGMA user_version");
  if (!version.ok()) return version.status();
  const auto id = Number("PRAGMA application_id");
  if (!id.ok()) return id.status();
  const auto objects = Number("SELECT count(*) FROM sqlite_schema");
  if (!objects.ok()) return objects.status();
  const bool empty = *version == 0 && *id == 0 && *objects == 0;
  if (!empty && *id != kStoreApplicationId) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not volley's: another program made it; move it away", path_));
  }
  if (*version > kStoreSchemaVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "{} is of a newer volley (schema {}; this one knows {}): use that one, or another --state",
        path_, *version, kStoreSchemaVersion));
  }
  return empty ? absl::OkStatus() : CheckTables(*version);
}

// Somebody's DROP TABLE, or the backup of only a part: an empty list would be the worst guess.
absl::Status Store::CheckTables(int64_t version) {
  for (const StoreTable& table : kStoreTables) {
    if (version < table.since_version) continue;
    const auto found = Number(
        fmt::format("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '{}'",
                    table.name)
            .c_str());
    if (!found.ok()) return found.status();
    if (*found == 1) continue;
    return absl::FailedPreconditionError(fmt::format(
        "{} has no table {}, which schema {} must have: it was damaged or changed by another "
        "program; go back to a backup",
        path_, table.name, version));
  }
  return absl::OkStatus();
}

absl::Status Store::CreateOrUpgrade() {
  return Write([this]() -> absl::Status {
    // Another process may have been faster.
    const auto version = Number("PRAGMA user_version");
    if (!version.ok()) return version.status();
    if (*version == 0 && Generation::HasMoved(state_dir_)) {
      return absl::FailedPreconditionError(fmt::format(
          "{0} is new or empty, but {1}/suppression.generation says that people have been "
          "suppressed: go back to a backup; only to begin without them, remove both",
          path_, state_dir_));
    }
    for (int64_t v = *version; v < kStoreSchemaVersion; ++v) {
      if (absl::Status s = Execute(kStoreSchemaSteps[v]); !s.ok()) return s;
    }
    return Execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};",
                               kStoreApplicationId, kStoreSchemaVersion));
  });
}

absl::Status Store::Error(std::string_view doing, int code) const {
  const int last_errno = errno;  // before anything here changes it
  const bool of_system = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN ||
                         (code & 0xff) == SQLITE_FULL;
  int system_error = of_system && database_ != nullptr ? sqlite3_system_errno(database_) : 0;
  // SQLite notes it for a statement, but not for the commit at its end.
  if (of_system && system_error == 0 && IsFull(last_errno)) system_error = last_errno;
  const absl::StatusCode status = CodeOf(code, system_error);
  const char* what = database_ != nullptr ? sqlite3_errmsg(database_) : sqlite3_errstr(code);
  const std::string why =
      system_error != 0 ? fmt::format(" ({})", std::strerror(system_error)) : "";
  return absl::Status(status, fmt::format("{}: {}: {}{}{}", path_, doing, what, why,
                                          AdviceOn(status, (code & 0xff) != SQLITE_NOTADB)));
}

absl::Status Store::Execute(const std::string& sql) {
  const int code = sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error("writing", code);
}

absl::Status Store::Write(const std::function<absl::Status()>& work) {
  if (absl::Status s = Execute("BEGIN IMMEDIATE"); !s.ok()) return s;
  absl::Status status = work();
  if (status.ok()) status = Execute("COMMIT");
  // SQLite rolls back by itself after some errors; then this one has nothing to do.
  if (!status.ok() && sqlite3_get_autocommit(database_) == 0) (void)Execute("ROLLBACK");
  return status;
}

absl::StatusOr<Statement> Store::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Error("reading", code);
  return Statement(this, statement);
}

absl::StatusOr<int64_t> Store::Number(const char* sql) {
  absl::StatusOr<Statement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  const absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? statement->Number(0) : 0;
}

int64_t Store::changed_rows() const { return sqlite3_changes64(database_); }

absl::StatusOr<int64_t> Store::DataVersion() {
  if (data_version_ == nullptr) {
    absl::StatusOr<Statement> statement = Prepare("PRAGMA data_version");
    if (!statement.ok()) return statement.status();
    data_version_ = std::make_unique<Statement>(*std::move(statement));
  }
  const absl::StatusOr<bool> row = data_version_->Step();
  const int64_t version = row.ok() && *row ? data_version_->Number(0) : 0;
  data_version_->Reset();
  if (!row.ok()) return row.status();
  return version;
}

// --- Statement ---

Statement::Statement(Statement&& other) noexcept
    : store_(other.store_),
      statement_(std::exchange(other.statement_, nullptr)),
      bind_error_(other.bind_error_) {}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Bind(int index, std::string_view text) {
  // Not null for an empty view, which SQLite would take for NULL.
  const char* bytes = text.data() != nullptr ? text.data() : "";
  const int code =
      sqlite3_bind_text64(statement_, index, bytes, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::Bind(int index, int64_t number) {
  const int code = sqlite3_bind_int64(statement_, index, number);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = bind_error_ != SQLITE_OK ? bind_error_ : sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return store_->Error(sqlite3_stmt_readonly(statement_) != 0 ? "reading" : "writing", code);
}

std::string_view Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return {};
  return {text, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

int64_t Statement::Number(int column) const { return sqlite3_column_int64(statement_, column); }

void Statement::Reset() {
  sqlite3_reset(statement_);
  bind_error_ = SQLITE_OK;
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  Reset();
  return row.status();
}

}  // namespace volley::pipeline
