#include "pipeline/source/csv_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/message/utf8.h"
#include "pipeline/source/text.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldView;

bool IsLineEnd(char c) { return c == '\n' || c == '\r'; }

// Counts the separators that the first line with text in it has outside quotes. In the order that
// decides a tie.
struct HeaderScan {
  static constexpr std::string_view kCandidates = ",;\t";
  std::array<size_t, kCandidates.size()> counts{};
  bool complete = false;  // the line's end was seen
};

HeaderScan ScanHeaderLine(std::string_view bytes) {
  HeaderScan scan;
  bool quoted = false;
  bool at_field_start = true;
  bool closed_quote = false;  // just now: another quote here is the second one of a pair
  bool seen_text = false;
  for (const char c : bytes) {
    if (!quoted && IsLineEnd(c)) {
      scan.complete = seen_text;
      if (seen_text) return scan;
      continue;
    }
    seen_text = true;
    const size_t candidate = quoted ? std::string_view::npos : HeaderScan::kCandidates.find(c);
    if (candidate != std::string_view::npos) ++scan.counts[candidate];
    const bool was_quoted = quoted;
    if (c == '"') quoted = !quoted && (at_field_start || closed_quote);
    closed_quote = was_quoted && !quoted;
    at_field_start = candidate != std::string_view::npos;
  }
  return scan;
}

std::string Fields(size_t n) { return fmt::format("{} field{}", n, n == 1 ? "" : "s"); }

}  // namespace

absl::StatusOr<std::unique_ptr<CsvReader>> CsvReader::Create(InputWindow* window,
                                                             std::string name) {
  std::unique_ptr<CsvReader> reader(new CsvReader(window, std::move(name)));
  if (absl::Status s = SkipByteOrderMark(window); !s.ok()) return s;
  if (absl::Status s = reader->FindSeparator(); !s.ok()) return s;
  if (absl::Status s = reader->ReadHeader(); !s.ok()) return s;
  return reader;
}

std::string CsvReader::format() const {
  if (columns_.size() == 1) return "CSV, one column";
  if (separator_ == '\t') return "CSV, separator tab";
  return fmt::format("CSV, separator '{}'", separator_);
}

absl::Status CsvReader::FindSeparator() {
  HeaderScan scan = ScanHeaderLine(window_->bytes());
  while (!scan.complete && window_->bytes().size() <= kMaxRowBytes) {
    auto more = window_->Fill();
    if (!more.ok()) return more.status();
    if (!*more) break;
    scan = ScanHeaderLine(window_->bytes());
  }
  const auto most = std::max_element(scan.counts.begin(), scan.counts.end());
  separator_ = HeaderScan::kCandidates[static_cast<size_t>(most - scan.counts.begin())];
  for (const char c : {separator_, '\r', '\n'}) ends_field_[static_cast<unsigned char>(c)] = true;
  return absl::OkStatus();
}

absl::Status CsvReader::ReadHeader() {
  Row row;
  auto found = Next(&row);
  if (!found.ok()) return found.status();
  if (!*found) {
    return absl::InvalidArgumentError(
        fmt::format("{}:1: the list is empty; its first line must hold the column names, for "
                    "example: email,first_name",
                    name_));
  }
  if (absl::Status s = TakeHeader(row); !s.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: the header line: {}", name_, row.line, std::string(s.message())));
  }
  header_line_ = row.line;
  return absl::OkStatus();
}

absl::Status CsvReader::TakeHeader(const Row& row) {
  if (!row.problem.empty()) return absl::InvalidArgumentError(row.problem);
  if (field_count_ > kMaxColumns) {
    return absl::InvalidArgumentError(
        fmt::format("{} columns; at most {} are read", field_count_, kMaxColumns));
  }
  for (const FieldView& field : row.fields) {
    const std::string_view text = TrimBlanks(field.bytes);
    if (!engine::message::IsUtf8(text)) {
      return absl::InvalidArgumentError(
          fmt::format("column {} is not UTF-8: {}; convert the list with iconv -f WINDOWS-1252 -t "
                      "UTF-8",
                      columns_.size() + 1, engine::message::Quoted(text)));
    }
    if (text.find('\0') != std::string_view::npos) {
      return absl::InvalidArgumentError(
          fmt::format("column {} holds a NUL byte: is this a text file?", columns_.size() + 1));
    }
    columns_.emplace_back(text);
  }
  if (const size_t i = FindRepeated(columns_); i < columns_.size()) {
    return absl::InvalidArgumentError(fmt::format("two columns are named {}; rename one of them",
                                                  engine::message::Quoted(columns_[i])));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> CsvReader::Next(Row* row) {
  auto found = ScanRow();
  if (!found.ok() || !*found) return found;
  if (quoted_too_long_) {
    return QuoteError(fmt::format("is not closed within {} bytes", kMaxFieldBytes));
  }
  HandOut(row);
  return true;
}

absl::StatusOr<bool> CsvReader::ScanRow() {
  BeginRow();
  while (true) {
    if (Scan()) {
      if (!IsBlank()) return true;
      BeginRow();
      continue;
    }
    if (absl::Status s = CheckUnfinished(); !s.ok()) return s;
    auto more = window_->Fill();
    if (!more.ok()) return more.status();
    if (!*more) return EndOfInput();
  }
}

// Forgets the last row, whose bytes the caller may have looked at until now.
void CsvReader::BeginRow() {
  window_->Consume(pos_);
  pos_ = field_begin_ = row_end_ = 0;
  field_count_ = 0;
  fields_.clear();
  state_ = State::kFieldStart;
  text_after_quote_.reset();
  too_long_ = dropped_ = quoted_too_long_ = false;
  row_line_ = line_;
}

bool CsvReader::Scan() {
  const std::string_view bytes = window_->bytes();
  while (pos_ < bytes.size()) {
    bool complete = false;
    switch (state_) {
      case State::kFieldStart:
        ScanFieldStart(bytes);
        break;
      case State::kUnquoted:
        complete = ScanUnquoted(bytes);
        break;
      case State::kQuoted:
        ScanQuoted(bytes);
        break;
      case State::kQuoteInQuoted:
        complete = ScanQuoteInQuoted(bytes);
        break;
    }
    if (complete) return true;
  }
  return false;
}

void CsvReader::ScanFieldStart(std::string_view bytes) {
  const char c = bytes[pos_];
  if (c != '\n') after_cr_ = false;
  doubled_quotes_ = false;
  if (c == '"') {
    state_ = State::kQuoted;
    quote_line_ = line_;
    ++pos_;
  } else {
    state_ = State::kUnquoted;
  }
  field_begin_ = pos_;
}

bool CsvReader::ScanUnquoted(std::string_view bytes) {
  size_t i = pos_;
  while (i < bytes.size() && !ends_field_[static_cast<unsigned char>(bytes[i])]) ++i;
  pos_ = i;
  return i < bytes.size() && EndFieldAtDelimiter(bytes, i);
}

// To the next quote, counting lines. CRLF is one line end, also with a block's end in its middle.
void CsvReader::ScanQuoted(std::string_view bytes) {
  for (; pos_ < bytes.size(); ++pos_) {
    const char c = bytes[pos_];
    if (c == '\n' && after_cr_) {
      after_cr_ = false;
      continue;
    }
    after_cr_ = c == '\r';
    if (IsLineEnd(c)) ++line_;
    if (c == '"') {
      state_ = State::kQuoteInQuoted;
      ++pos_;
      return;
    }
  }
}

bool CsvReader::ScanQuoteInQuoted(std::string_view bytes) {
  const char c = bytes[pos_];
  if (ends_field_[static_cast<unsigned char>(c)]) return EndFieldAtDelimiter(bytes, pos_ - 1);
  if (c == '"') {
    doubled_quotes_ = true;
    state_ = State::kQuoted;
    ++pos_;
  } else {
    if (!text_after_quote_) text_after_quote_ = field_count_;
    state_ = State::kUnquoted;
  }
  return false;
}

void CsvReader::EndField(size_t end) {
  if (end - field_begin_ > kMaxFieldBytes) {
    too_long_ = true;
    quoted_too_long_ = state_ == State::kQuoteInQuoted;
    if (quoted_too_long_) return;
  }
  if (!dropped_ && field_count_ < kMaxColumns) {
    fields_.push_back(
        {static_cast<uint32_t>(field_begin_), static_cast<uint32_t>(end), doubled_quotes_});
  }
  ++field_count_;
}

// The field ends at `end`, and the separator or line end behind it is at pos_. True: at a line end.
bool CsvReader::EndFieldAtDelimiter(std::string_view bytes, size_t end) {
  EndField(end);
  if (quoted_too_long_) return true;  // the end of all reading
  state_ = State::kFieldStart;
  if (bytes[pos_] == separator_) {
    ++pos_;
    // A line end or the end of input right here still ends an (empty) field.
    field_begin_ = pos_;
    return false;
  }
  EndLine(bytes);
  return true;
}

void CsvReader::EndLine(std::string_view bytes) {
  row_end_ = pos_;
  if (row_end_ > kMaxRowBytes) too_long_ = true;
  const char c = bytes[pos_++];
  // The second half of a CRLF whose CR was the end of a block: a blank line to us, and not counted.
  if (!(c == '\n' && after_cr_)) ++line_;
  after_cr_ = c == '\r';
  if (after_cr_ && pos_ < bytes.size() && bytes[pos_] == '\n') {
    ++pos_;
    after_cr_ = false;
  }
}

// The row goes on behind what is in the window: is there still room for it?
absl::Status CsvReader::CheckUnfinished() {
  const bool in_quotes = state_ == State::kQuoted || state_ == State::kQuoteInQuoted;
  const size_t field_bytes = pos_ - field_begin_ - (state_ == State::kQuoteInQuoted ? 1 : 0);
  if (state_ != State::kFieldStart && field_bytes > kMaxFieldBytes) {
    if (in_quotes) {
      return QuoteError(fmt::format("is not closed within {} bytes", kMaxFieldBytes));
    }
    too_long_ = true;
  }
  if (pos_ > kMaxRowBytes) too_long_ = true;
  if (!too_long_) return absl::OkStatus();
  if (!dropped_) kept_ = CutAtCodePoint(window_->bytes(), kKeptOfLongRowBytes);
  dropped_ = true;
  window_->Consume(pos_);
  // Wraps round below zero; pos_ - field_begin_ stays the field's length.
  field_begin_ -= pos_;
  pos_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<bool> CsvReader::EndOfInput() {
  if (state_ == State::kQuoted) return QuoteError("is never closed");
  if (state_ == State::kFieldStart && field_count_ == 0) return false;
  if (state_ == State::kFieldStart) doubled_quotes_ = false;
  EndField(state_ == State::kQuoteInQuoted ? pos_ - 1 : pos_);
  row_end_ = pos_;
  if (row_end_ > kMaxRowBytes) too_long_ = true;
  return !IsBlank();
}

bool CsvReader::IsBlank() const {
  if (field_count_ != 1 || too_long_) return false;
  if (fields_[0].begin != 0) return false;  // quoted: a value, if an empty one
  return TrimBlanks(window_->bytes().substr(0, row_end_)).empty();
}

void CsvReader::HandOut(Row* row) {
  const std::string_view bytes = window_->bytes();
  row->line = row_line_;
  row->problem.clear();
  row->fields.clear();
  if (too_long_) {
    if (!dropped_) kept_ = CutAtCodePoint(bytes.substr(0, row_end_), kKeptOfLongRowBytes);
    row->raw = kept_;
    row->problem = Problem();
    return;
  }
  row->raw = bytes.substr(0, row_end_);
  unescaped_.clear();
  unescaped_.reserve(row_end_);  // enough for all of them: the views into it stay good
  for (const Field& field : fields_) {
    std::string_view text = bytes.substr(field.begin, field.end - field.begin);
    if (field.has_doubled_quotes) [[unlikely]]
      text = Unescape(text);
    row->fields.push_back({text});
  }
  if (text_after_quote_ || field_count_ != columns_.size()) [[unlikely]]
    row->problem = Problem();
}

std::string_view CsvReader::Unescape(std::string_view quoted) {
  const size_t begin = unescaped_.size();
  while (true) {
    const size_t quote = quoted.find('"');
    if (quote == std::string_view::npos) break;
    unescaped_ += quoted.substr(0, quote + 1);
    quoted.remove_prefix(std::min(quote + 2, quoted.size()));
  }
  unescaped_ += quoted;
  return std::string_view(unescaped_).substr(begin);
}

std::string CsvReader::Problem() const {
  if (too_long_) {
    return fmt::format("the row is longer than {} bytes, or a field of it longer than {}",
                       kMaxRowBytes, kMaxFieldBytes);
  }
  if (text_after_quote_) {
    return fmt::format("text behind the closing quote of {}; a quote inside quotes is written \"\"",
                       ColumnName(*text_after_quote_));
  }
  if (columns_.empty() || field_count_ == columns_.size()) return {};  // no columns: the header
  return fmt::format("{}, but the header has {}{}", Fields(field_count_), columns_.size(),
                     field_count_ > columns_.size()
                         ? fmt::format("; a value that holds '{}' must be in quotes", separator_)
                         : "");
}

std::string CsvReader::ColumnName(size_t column) const {
  if (column >= columns_.size()) return fmt::format("column {}", column + 1);
  return fmt::format("column {}", engine::message::Quoted(columns_[column]));
}

absl::Status CsvReader::QuoteError(std::string_view what) const {
  return absl::InvalidArgumentError(fmt::format(
      "{}:{}: the quote that opens {} here {}; close it, or write a quote inside quotes "
      "as \"\"",
      name_, quote_line_, ColumnName(field_count_), what));
}

}  // namespace volley::pipeline
