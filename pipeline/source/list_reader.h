// ListReader: a recipient list of either format, from a file or standard input, row by row.
//
// Threading: one thread. Errors are complete: "list.csv:17: ...".
#ifndef VOLLEY_PIPELINE_SOURCE_LIST_READER_H_
#define VOLLEY_PIPELINE_SOURCE_LIST_READER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/source/input.h"
#include "pipeline/source/row_reader.h"

namespace volley::pipeline {

class ListReader {
 public:
  // Finds the format from the first bytes and reads the column names. `path` "-": standard input.
  // A file that is something else (UTF-16, a spreadsheet, compressed, a JSON array) is an error
  // that says what to do.
  static absl::StatusOr<std::unique_ptr<ListReader>> Open(const std::string& path);
  // From any input; `name` goes into errors.
  static absl::StatusOr<std::unique_ptr<ListReader>> Create(std::unique_ptr<Input> input,
                                                            std::string name);

  std::span<const std::string> columns() const { return rows_->columns(); }
  std::string format() const { return rows_->format(); }
  const std::string& name() const { return name_; }
  // Is there a line with column names (CSV)?
  bool has_header_line() const { return has_header_line_; }
  // False: the list is at its end. LIFETIME: the row's views are good until the next call.
  absl::StatusOr<bool> Next(Row* row) { return rows_->Next(row); }

  // Progress.
  uint64_t bytes_read() const { return window_.bytes_read(); }
  uint64_t total_bytes() const { return input_->total_bytes(); }  // 0: not known

 private:
  ListReader(std::unique_ptr<Input> input, std::string name)
      : name_(std::move(name)), input_(std::move(input)), window_(input_.get()) {}
  absl::Status Start();

  const std::string name_;  // "standard input" for "-"
  const std::unique_ptr<Input> input_;
  InputWindow window_;
  std::unique_ptr<RowReader> rows_;
  bool has_header_line_ = false;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_LIST_READER_H_
