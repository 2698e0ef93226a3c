// recipients.csv: what became of each recipient, from list and ledger: email, outcome, category,
// attempts, stage, code, first_try, next_try; one record a line (RFC 4180). An address that a
// spreadsheet would take for a formula (=, +, -, @ first) has an apostrophe before it.
//
// Threading: one thread; blocks on files. Errors: NotFound, DataLoss: list or ledger; Unavailable:
// `out` cannot be written.
#ifndef VOLLEY_PIPELINE_REPORT_RECIPIENTS_CSV_H_
#define VOLLEY_PIPELINE_REPORT_RECIPIENTS_CSV_H_

#include <cstdio>
#include <string>

#include "absl/status/status.h"

namespace volley::pipeline {

absl::Status WriteRecipientsCsv(const std::string& folder, std::FILE* out);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_REPORT_RECIPIENTS_CSV_H_
