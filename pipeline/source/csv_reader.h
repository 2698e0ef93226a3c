// CsvReader: rows of a CSV list with a header line. RFC 4180, and what lists out of the world have
// beside it: a UTF-8 BOM, LF, CRLF or CR as line end, comma, semicolon or tab as separator (found
// from the header line), quotes inside an unquoted field (kept as they are), blank lines (skipped).
//
// It reads in blocks and goes on where it stopped: a field is a view of the block unless it has
// doubled quotes. A row with too few or too many fields, with text behind a closing quote or over a
// bound is handed out with its problem; a quote that is never closed ends the reading, with the
// line where it began, because everything after it would be swallowed.
//
// Threading: one thread. Lifetime: the window outlives the reader.
#ifndef VOLLEY_PIPELINE_SOURCE_CSV_READER_H_
#define VOLLEY_PIPELINE_SOURCE_CSV_READER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/source/input.h"
#include "pipeline/source/row_reader.h"

namespace volley::pipeline {

class CsvReader final : public RowReader {
 public:
  // Reads the header line. `name` of the list goes into errors.
  static absl::StatusOr<std::unique_ptr<CsvReader>> Create(InputWindow* window, std::string name);

  std::span<const std::string> columns() const override { return columns_; }
  std::string format() const override;
  char separator() const { return separator_; }
  // Line of the header: not 1 when blank lines are before it.
  uint64_t header_line() const { return header_line_; }
  absl::StatusOr<bool> Next(Row* row) override;

 private:
  // Where the scan stands between two bytes.
  enum class State : uint8_t { kFieldStart, kUnquoted, kQuoted, kQuoteInQuoted };
  // A field of the current row, in bytes from the row's start; without its quotes.
  struct Field {
    uint32_t begin;
    uint32_t end;
    bool has_doubled_quotes;
  };

  CsvReader(InputWindow* window, std::string name) : window_(window), name_(std::move(name)) {}

  absl::Status FindSeparator();
  absl::Status ReadHeader();
  absl::Status TakeHeader(const Row& row);
  // False: the list is at its end.
  absl::StatusOr<bool> ScanRow();
  absl::StatusOr<bool> EndOfInput();
  void BeginRow();
  // Moves pos_ on, one method a state. True: the row is complete.
  bool Scan();
  void ScanFieldStart(std::string_view bytes);
  bool ScanUnquoted(std::string_view bytes);
  void ScanQuoted(std::string_view bytes);
  bool ScanQuoteInQuoted(std::string_view bytes);
  void EndField(size_t end);
  bool EndFieldAtDelimiter(std::string_view bytes, size_t end);
  void EndLine(std::string_view bytes);
  absl::Status CheckUnfinished();
  bool IsBlank() const;
  void HandOut(Row* row);
  std::string_view Unescape(std::string_view quoted);
  std::string Problem() const;
  std::string ColumnName(size_t column) const;
  absl::Status QuoteError(std::string_view what) const;

  InputWindow* const window_;
  const std::string name_;
  std::vector<std::string> columns_;
  char separator_ = ',';
  std::array<bool, 256> ends_field_{};  // separator, CR, LF
  uint64_t header_line_ = 1;

  // The row being read. Once it is too long its bytes are dropped as they come, and only the counts
  // and the state stay true.
  State state_ = State::kFieldStart;
  size_t pos_ = 0;  // next byte to look at, from the row's start
  size_t field_begin_ = 0;
  size_t row_end_ = 0;
  size_t field_count_ = 0;  // finished ones; fields_ holds no more than the header has, plus one
  std::vector<Field> fields_;
  bool doubled_quotes_ = false;             // in the field being read
  std::optional<size_t> text_after_quote_;  // first field that has it
  bool too_long_ = false;
  bool dropped_ = false;  // bytes of this row are gone
  bool quoted_too_long_ = false;
  std::string kept_;  // the start of a row that is too long
  std::string unescaped_;

  uint64_t line_ = 1;  // of the byte at pos_
  uint64_t row_line_ = 1;
  uint64_t quote_line_ = 1;  // where the last quoted field began
  bool after_cr_ = false;    // an LF right here belongs to the CR before it
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_CSV_READER_H_
