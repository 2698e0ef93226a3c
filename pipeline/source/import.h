// Import: reads a recipient list as a stream and makes recipients.bin and rejected.csv of it.
//
// Formats, found from the content: CSV (RFC 4180; UTF-8 BOM; LF, CRLF or CR; separator comma,
// semicolon or tab by what the header line has; quoted fields with newlines) with a header line,
// and JSON Lines (objects; the columns are the keys of the first row, later new keys are errors of
// that row). "-" reads standard input. Memory does not grow with the list but for the set that
// finds duplicates (10 to 21 bytes a recipient).
//
// Every row ends in exactly one count: imported, duplicate, suppressed or rejected; all but the
// first are lines of rejected.csv: line, value, reason.
#ifndef VOLLEY_PIPELINE_SOURCE_IMPORT_H_
#define VOLLEY_PIPELINE_SOURCE_IMPORT_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace volley::pipeline {

struct ImportOptions {
  std::string list_path;        // "-": standard input
  std::string recipients_path;  // recipients.bin to write
  std::string rejected_path;    // rejected.csv to write (always written, header at least)
  std::string address_column;   // empty: found by name: email, e-mail, email_address, mail, to, ...
                                // (any case), or the only column that holds addresses
  uint64_t limit = 0;           // stop after so many imported recipients; 0: all
  // Called once with the column names as soon as they are known. Its columns must have a value in
  // every row; `used_at` goes into the reason. An error ends the import (nothing is left behind).
  struct Required {
    size_t column;
    std::string used_at;
  };
  std::function<absl::StatusOr<std::vector<Required>>(std::span<const std::string> columns)>
      on_columns;
  // Admission: why this address (canonical) is to get no mail; empty: it may. Asked once for each
  // person, last. An error ends the import: who cannot be looked up is not to be mailed.
  std::function<absl::StatusOr<std::string>(std::string_view address)> on_admit;
  // Called now and then: rows read so far, bytes read, total bytes (0: not known, a pipe).
  std::function<void(uint64_t rows, uint64_t bytes, uint64_t total_bytes)> on_progress;
};

struct ImportResult {
  uint64_t rows = 0;  // rows of the list, header and blank lines not counted
  uint64_t imported = 0;
  uint64_t duplicates = 0;
  uint64_t suppressed = 0;  // not admitted
  uint64_t rejected = 0;    // not counting duplicates and suppressed ones
  std::vector<std::string> columns;
  std::string address_column;
  std::string format;  // "CSV, separator ';'", "JSON Lines"
  // The first few lines of rejected.csv, for the summary.
  std::vector<std::string> rejected_samples;
  // What the user should know about the list as a whole: "list.csv does not look like UTF-8: ...".
  std::vector<std::string> notes;
};

// Errors name file, line, value and the next step: no such file, no header, no address column
// (lists the columns found), an unclosed quote (the line where it began), not UTF-8 at all, ....
absl::StatusOr<ImportResult> ImportRecipients(const ImportOptions& options);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_IMPORT_H_
