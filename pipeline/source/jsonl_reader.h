// JsonlReader: rows of a JSON Lines list, one object a line. The columns are the keys of the first
// row, so that one must be right; a later row that is not JSON, not an object, has a new key or one
// key twice is handed out with its problem. Source: RFC 8259, jsonlines.org.
//
// A value becomes (FieldKind): a string its text; a number or true its JSON spelling; false kFalse;
// null, or a key the row does not have, kMissing; an array or object its JSON text, kJson.
//
// Threading: one thread. Lifetime: the window outlives the reader.
#ifndef VOLLEY_PIPELINE_SOURCE_JSONL_READER_H_
#define VOLLEY_PIPELINE_SOURCE_JSONL_READER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/source/input.h"
#include "pipeline/source/row_reader.h"

namespace volley::pipeline {

class JsonlReader final : public RowReader {
 public:
  // Reads the first row's keys; Next gives that row too. `name` of the list goes into errors.
  static absl::StatusOr<std::unique_ptr<JsonlReader>> Create(InputWindow* window, std::string name);
  ~JsonlReader() override;

  std::span<const std::string> columns() const override;
  std::string format() const override { return "JSON Lines"; }
  absl::StatusOr<bool> Next(Row* row) override;

 private:
  class ObjectParser;

  JsonlReader(InputWindow* window, std::string name);
  absl::StatusOr<bool> FindLine();

  InputWindow* const window_;
  const std::string name_;
  std::unique_ptr<ObjectParser> parser_;
  uint64_t line_ = 1;      // of the window's first byte
  size_t scanned_ = 0;     // bytes of the window that hold no line end
  size_t line_bytes_ = 0;  // of the line found, with its end
  bool too_long_ = false;
  std::string kept_;         // the start of a line that is too long
  bool have_first_ = false;  // the line found is the first row, read for its keys
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_JSONL_READER_H_
