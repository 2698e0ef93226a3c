// The schema of volley.db: one step for each version, in order. A step is never changed once it was
// released; docs/formats.md describes the result.
#ifndef VOLLEY_PIPELINE_STORE_SCHEMA_H_
#define VOLLEY_PIPELINE_STORE_SCHEMA_H_

#include <iterator>
#include <string_view>

namespace volley::pipeline {

// Step i leads from version i to i + 1.
inline constexpr const char* kStoreSchemaSteps[] = {
    // 1. Addresses are checked again here, because people edit this file with the sqlite3 tool,
    // where a capital letter would make an entry that suppresses nobody. For the same reason an
    // address cannot be changed in place: senders that run see new rows and removals
    // (suppression.h), not that.
    R"(
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
)",
    // 2. Bounces that do not suppress at once, one row each (bounce_history.h), and what was taken
    // off the list, by whom.
    R"(
CREATE TABLE bounce_history (
  address TEXT NOT NULL,
  category TEXT NOT NULL,
  at INTEGER NOT NULL,
  campaign TEXT NOT NULL,
  returned INTEGER NOT NULL,
  PRIMARY KEY (address, category, at, campaign)
) STRICT, WITHOUT ROWID;
CREATE TABLE suppression_removed (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  address TEXT NOT NULL,
  list TEXT NOT NULL,
  reason TEXT NOT NULL,
  source TEXT NOT NULL,
  campaign TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  removed_at INTEGER NOT NULL,
  removed_by TEXT NOT NULL,
  why TEXT NOT NULL
) STRICT;
CREATE INDEX suppression_removed_address ON suppression_removed (address);
)",
};
inline constexpr int kStoreSchemaVersion = static_cast<int>(std::size(kStoreSchemaSteps));

struct StoreTable {
  std::string_view name;
  int since_version;
};
inline constexpr StoreTable kStoreTables[] = {
    {"suppression", 1}, {"bounce_history", 2}, {"suppression_removed", 2}};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_SCHEMA_H_
