// ImportSuppressions: takes a file of suppressed people (CSV or JSON Lines, of volley or of a mail
// provider, columns.h) into the list.
//
// Rows are collected, sorted by address and written in transactions of 50,000, with a pause between
// them in which others get the lock: an unsubscribe that comes meanwhile waits for some tenths of a
// second. Sorted, because the index of 10 million addresses would be rewritten once a row
// otherwise. Every transaction is all or nothing and running senders see it at once; an import that
// was broken off is simply run again: what is there stays (suppression_writer.h). Memory: up to
// 170 MiB, whatever the length.
//
// Every row ends in exactly one count. A row is only refused when it names nobody: a time that is
// not understood, or a reason that is too long, must not get somebody mailed who said no.
//
// Threading: the caller's thread. Errors: as ListReader and Store.
#ifndef VOLLEY_PIPELINE_SUPPRESS_SUPPRESSION_IMPORT_H_
#define VOLLEY_PIPELINE_SUPPRESS_SUPPRESSION_IMPORT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "pipeline/suppress/columns.h"

namespace volley::pipeline {

struct SuppressionImportProgress {
  uint64_t rows = 0;                    // read
  uint64_t written = 0;                 // of them
  uint64_t bytes = 0, total_bytes = 0;  // total 0: not known
};

struct SuppressionImportOptions {
  std::string state_dir;
  std::string path;  // "-": standard input
  // Over what the file says; not given: the file's, or all lists, "imported", and the file's name.
  std::optional<std::string> list, reason, source;
  ColumnNames columns;
  std::string rejected_path;     // a rejected.csv (source/rejected_csv.h); empty: none
  bool dry_run = false;          // counts, and writes nothing
  absl::Time now = absl::Now();  // of rows without a time
  std::function<void(const SuppressionImportProgress&)> on_progress;
};

struct SuppressionImportResult {
  uint64_t rows = 0;
  uint64_t added = 0;
  uint64_t replaced = 0;  // was there with a weaker reason or a later time
  uint64_t already = 0;   // was there, or came before in this file
  uint64_t rejected = 0;
  uint64_t times_not_understood = 0;  // of rows that were taken, with `now`
  std::string format, layout;         // "CSV, separator ','", "SendGrid bounces and blocks"
  std::string address_column;
  bool has_reason = false;                    // the file or the caller says why
  std::vector<std::string> rejected_samples;  // "line 17: \"x\": no @"
};

absl::StatusOr<SuppressionImportResult> ImportSuppressions(const SuppressionImportOptions& options);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SUPPRESS_SUPPRESSION_IMPORT_H_
