#include "pipeline/store/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace volley::pipeline {
namespace {

// Addresses are checked again here, because people edit this file with the sqlite3 tool, where a
// capital letter would make an entry that suppresses nobody. For the same reason an address cannot
// be changed in place: senders that run see new rows and removals (suppression.h), not that.
constexpr const char* kSchema = R"(
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
)";

absl::StatusCode CodeOf(int code) {
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

std::string_view AdviceOn(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "; another process is writing to it for a long time";
    case SQLITE_CORRUPT:
      return "; the file is damaged: keep a copy, then try \"sqlite3 volley.db .recover\" or go "
             "back to a backup";
    case SQLITE_NOTADB:
      return "; it is no SQLite file, or its first page is damaged: move it away or go back to a "
             "backup";
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

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& state_dir,
                                                   const StoreOptions& options) {
  if (absl::Status s = MakeFolder(state_dir); !s.ok()) return s;
  const std::string path = PathIn(state_dir);
  if (absl::Status s = MakeFile(path); !s.ok()) return s;
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Store> store(new Store(database, path));
  if (code != SQLITE_OK) return store->Error("opening it", code);
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, static_cast<int>(absl::ToInt64Milliseconds(options.busy_timeout)));
  // What a damaged or planted file says of itself is not trusted.
  sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  if (absl::Status s = store->Check(); !s.ok()) return s;
  return store;
}

Store::~Store() {
  data_version_.reset();
  sqlite3_close(database_);
}

// Whose file it is, before anything is written to it: not even the WAL mode.
absl::Status Store::Check() {
  // One look at all three: another process may be making the file just now.
  if (absl::Status s = Execute("BEGIN"); !s.ok()) return s;
  const absl::Status whose = CheckOwner();
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
  return absl::OkStatus();
}

absl::Status Store::CreateOrUpgrade() {
  return Write([this]() -> absl::Status {
    // Another process may have been faster.
    const auto version = Number("PRAGMA user_version");
    if (!version.ok()) return version.status();
    if (*version != 0) return absl::OkStatus();
    return Execute(fmt::format("{} PRAGMA application_id = {}; PRAGMA user_version = {};", kSchema,
                               kStoreApplicationId, kStoreSchemaVersion));
  });
}

absl::Status Store::Error(std::string_view doing, int code) const {
  const std::string text = fmt::format(
      "{}: {}: {}{}", path_, doing,
      database_ != nullptr ? sqlite3_errmsg(database_) : sqlite3_errstr(code), AdviceOn(code));
  return absl::Status(CodeOf(code), text);
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
