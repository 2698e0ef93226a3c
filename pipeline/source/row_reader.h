// RowReader: what CsvReader and JsonlReader have in common, and the row they give.
//
// Two kinds of trouble: a row that cannot be used (Row::problem; the rows after it can), and a list
// that cannot be read on (an error of Next: "list.csv:17: ...", complete, with file and line).
#ifndef VOLLEY_PIPELINE_SOURCE_ROW_READER_H_
#define VOLLEY_PIPELINE_SOURCE_ROW_READER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/message/composer.h"

namespace volley::pipeline {

// Bounds of foreign bytes. A person's row is some 100 bytes; these leave room for a text column and
// keep the reader's memory bounded whatever the list is.
inline constexpr size_t kMaxFieldBytes = 1 << 20;
inline constexpr size_t kMaxRowBytes = 4 << 20;
inline constexpr size_t kMaxColumns = 1000;
// What a row over its bound keeps of itself, for the reject file.
inline constexpr size_t kKeptOfLongRowBytes = 256;

// LIFETIME: the views are good until the reader's next call.
struct Row {
  uint64_t line = 0;                               // 1-based line of the list where the row begins
  std::string_view raw;                            // as it stands in the list, without its line end
  std::vector<engine::message::FieldView> fields;  // one a column; no UTF-8 checked
  std::string problem;                             // not empty: why the row cannot be used
};

class RowReader {
 public:
  virtual ~RowReader() = default;
  virtual std::span<const std::string> columns() const = 0;
  virtual std::string format() const = 0;  // "CSV, separator ';'"
  // False: the list is at its end.
  virtual absl::StatusOr<bool> Next(Row* row) = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_ROW_READER_H_
