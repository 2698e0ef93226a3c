#include "pipeline/source/jsonl_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/message/utf8.h"
#include "pipeline/source/text.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldKind;
using engine::message::FieldView;
using engine::message::Quoted;
namespace ondemand = simdjson::ondemand;

static_assert(InputWindow::kPaddingBytes >= simdjson::SIMDJSON_PADDING);

// Deeper nesting is not data for a mail, and bounds what later readers of the value recurse into.
constexpr size_t kMaxNesting = 64;

size_t Nesting(std::string_view json) {
  size_t depth = 0;
  size_t deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

// Where and at what a second parser stops: simdjson does not say it for every kind of error. Only
// for rows that are wrong.
class ErrorFinder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string& last_token,
                   const nlohmann::detail::exception&) override {
    where_ = fmt::format(" at byte {}, after {}", position, Quoted(last_token));
    return false;
  }
  const std::string& where() const { return where_; }

 private:
  std::string where_;
};

std::string DescribeWrong(std::string_view line, simdjson::error_code error) {
  ErrorFinder finder;
  nlohmann::json::sax_parse(line, &finder);
  return fmt::format("not right JSON{}: {}", finder.where(), simdjson::error_message(error));
}

std::string_view TrimJsonSpace(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

// One object's fields, put into the columns' order.
class JsonlReader::ObjectParser {
 public:
  std::span<const std::string> columns() const { return columns_; }

  // Takes the keys of `object` as the columns.
  absl::Status LearnColumns(std::string_view line);
  // Empty, or what is wrong with the row. LIFETIME: fields point into `line` and into this object,
  // until the next call. REQUIRES: kPaddingBytes readable bytes behind `line`.
  std::string Parse(std::string_view line, std::vector<FieldView>* fields);

 private:
  template <typename OnField>
  std::string ForEachField(std::string_view line, OnField&& on_field);
  std::string TakeField(std::string_view key, ondemand::value& value,
                        std::vector<FieldView>* fields);
  size_t FindColumn(std::string_view key);
  static simdjson::error_code ReadValue(ondemand::value& value, FieldView* field);
  static simdjson::error_code ReadNested(ondemand::value& value, ondemand::json_type type,
                                         FieldView* field);

  ondemand::parser parser_;
  ondemand::document document_;
  std::vector<std::string> columns_;
  absl::flat_hash_map<std::string, size_t> column_by_name_;
  std::vector<uint64_t>
      row_of_column_;  // the last row that had it, to find a key that is there twice
  uint64_t row_ = 0;
  size_t next_column_ = 0;  // where the next key is most likely
};

template <typename OnField>
std::string JsonlReader::ObjectParser::ForEachField(std::string_view line, OnField&& on_field) {
  if (line.front() != '{') return "not a JSON object";
  ondemand::object object;
  const size_t allocated = line.size() + InputWindow::kPaddingBytes;
  auto error = parser_.iterate(line.data(), line.size(), allocated).get(document_);
  if (error != simdjson::SUCCESS) return DescribeWrong(line, error);
  if (error = document_.get_object().get(object); error != simdjson::SUCCESS) {
    return DescribeWrong(line, error);
  }
  for (auto entry : object) {
    std::string_view key;
    ondemand::value value;
    ondemand::field field;
    if (error = std::move(entry).get(field); error != simdjson::SUCCESS) {
      return DescribeWrong(line, error);
    }
    if (error = field.unescaped_key().get(key); error != simdjson::SUCCESS) {
      return DescribeWrong(line, error);
    }
    value = field.value();
    if (std::string problem = on_field(key, value); !problem.empty()) return problem;
  }
  // Anything but "at the end" is a location, of text that should not be there.
  if (document_.current_location().error() == simdjson::SUCCESS) {
    return "text behind the JSON object";
  }
  return {};
}

absl::Status JsonlReader::ObjectParser::LearnColumns(std::string_view line) {
  const std::string problem = ForEachField(line, [this](std::string_view key, ondemand::value&) {
    columns_.emplace_back(key);
    return std::string();
  });
  if (!problem.empty()) return absl::InvalidArgumentError(problem);
  if (columns_.empty()) return absl::InvalidArgumentError("the object has no keys");
  if (columns_.size() > kMaxColumns) {
    return absl::InvalidArgumentError(
        fmt::format("{} keys; at most {} are read", columns_.size(), kMaxColumns));
  }
  if (const size_t i = FindRepeated(columns_); i < columns_.size()) {
    return absl::InvalidArgumentError(
        fmt::format("the key {} is there twice", Quoted(columns_[i])));
  }
  for (size_t i = 0; i < columns_.size(); ++i) column_by_name_.emplace(columns_[i], i);
  row_of_column_.assign(columns_.size(), 0);
  return absl::OkStatus();
}

std::string JsonlReader::ObjectParser::Parse(std::string_view line,
                                             std::vector<FieldView>* fields) {
  fields->assign(columns_.size(), FieldView{{}, FieldKind::kMissing});
  next_column_ = 0;
  ++row_;
  return ForEachField(line, [this, fields](std::string_view key, ondemand::value& value) {
    return TakeField(key, value, fields);
  });
}

std::string JsonlReader::ObjectParser::TakeField(std::string_view key, ondemand::value& value,
                                                 std::vector<FieldView>* fields) {
  const size_t column = FindColumn(key);
  if (column == columns_.size()) {
    return fmt::format("the key {} is not in the first row", Quoted(key));
  }
  if (std::exchange(row_of_column_[column], row_) == row_) {
    return fmt::format("the key {} is there twice", Quoted(key));
  }
  next_column_ = column + 1;
  FieldView& field = (*fields)[column];
  if (const auto error = ReadValue(value, &field); error != simdjson::SUCCESS) {
    return fmt::format("the value of {} is not right JSON: {}{}", Quoted(key),
                       simdjson::error_message(error),
                       error == simdjson::STRING_ERROR
                           ? ": an escape that stands for no character, as \\ud800 without its "
                             "other half"
                           : "");
  }
  if (field.bytes.size() > kMaxFieldBytes) {
    return fmt::format("the value of {} is longer than {} bytes", Quoted(key), kMaxFieldBytes);
  }
  if (field.kind == FieldKind::kJson && Nesting(field.bytes) > kMaxNesting) {
    return fmt::format("the value of {} is nested deeper than {} levels", Quoted(key), kMaxNesting);
  }
  return {};
}

size_t JsonlReader::ObjectParser::FindColumn(std::string_view key) {
  if (next_column_ < columns_.size() && columns_[next_column_] == key) return next_column_;
  const auto it = column_by_name_.find(absl::string_view(key.data(), key.size()));
  return it == column_by_name_.end() ? columns_.size() : it->second;
}

simdjson::error_code JsonlReader::ObjectParser::ReadValue(ondemand::value& value,
                                                          FieldView* field) {
  ondemand::json_type type;
  if (auto error = value.type().get(type); error != simdjson::SUCCESS) return error;
  switch (type) {
    case ondemand::json_type::string:
      field->kind = FieldKind::kText;
      return value.get_string().get(field->bytes);
    case ondemand::json_type::number: {
      // The spelling counts ("1.10"); the value is asked for because that checks it.
      double number = 0;
      field->kind = FieldKind::kText;
      field->bytes = TrimJsonSpace(value.raw_json_token());
      return value.get_double().get(number);
    }
    case ondemand::json_type::boolean: {
      bool is_true = false;
      const auto error = value.get_bool().get(is_true);
      *field =
          is_true ? FieldView{"true", FieldKind::kText} : FieldView{"false", FieldKind::kFalse};
      return error;
    }
    case ondemand::json_type::null: {
      bool is_null = false;
      const auto error = value.is_null().get(is_null);
      return error == simdjson::SUCCESS && !is_null ? simdjson::N_ATOM_ERROR : error;
    }
    case ondemand::json_type::array:
    case ondemand::json_type::object:
      return ReadNested(value, type, field);
  }
  return simdjson::TAPE_ERROR;
}

// simdjson only looks for the end of a value that it skips, so what is inside is checked here, by
// the parser that the template will read it with.
simdjson::error_code JsonlReader::ObjectParser::ReadNested(ondemand::value& value,
                                                           ondemand::json_type type,
                                                           FieldView* field) {
  std::string_view json;
  ondemand::array array;
  ondemand::object object;
  const bool is_array = type == ondemand::json_type::array;
  auto error = is_array ? value.get_array().get(array) : value.get_object().get(object);
  if (error != simdjson::SUCCESS) return error;
  error = is_array ? array.raw_json().get(json) : object.raw_json().get(json);
  if (error != simdjson::SUCCESS) return error;
  json = TrimJsonSpace(json);
  *field = {json, FieldKind::kJson};
  return nlohmann::json::accept(json) ? simdjson::SUCCESS : simdjson::TAPE_ERROR;
}

JsonlReader::JsonlReader(InputWindow* window, std::string name)
    : window_(window), name_(std::move(name)), parser_(std::make_unique<ObjectParser>()) {}
JsonlReader::~JsonlReader() = default;

std::span<const std::string> JsonlReader::columns() const { return parser_->columns(); }

absl::StatusOr<std::unique_ptr<JsonlReader>> JsonlReader::Create(InputWindow* window,
                                                                 std::string name) {
  std::unique_ptr<JsonlReader> reader(new JsonlReader(window, std::move(name)));
  if (absl::Status s = SkipByteOrderMark(window); !s.ok()) return s;
  auto found = reader->FindLine();
  if (!found.ok()) return found.status();
  if (!*found) {
    return absl::InvalidArgumentError(
        fmt::format("{}:1: the list is empty; it needs one JSON object a line", reader->name_));
  }
  absl::Status learned = absl::InvalidArgumentError("too long");
  if (!reader->too_long_) {
    learned = reader->parser_->LearnColumns(
        TrimJsonSpace(window->bytes().substr(0, reader->line_bytes_)));
  }
  if (!learned.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: the first row gives the columns and must be right: {}", reader->name_,
                    reader->line_, std::string(learned.message())));
  }
  reader->have_first_ = true;
  return reader;
}

absl::StatusOr<bool> JsonlReader::Next(Row* row) {
  if (!std::exchange(have_first_, false)) {
    auto found = FindLine();
    if (!found.ok() || !*found) return found;
  }
  row->line = line_;
  row->fields.clear();
  if (too_long_) {
    row->raw = kept_;
    row->problem = fmt::format("the line is longer than {} bytes", kMaxRowBytes);
    return true;
  }
  row->raw = TrimJsonSpace(window_->bytes().substr(0, line_bytes_));
  row->problem = parser_->Parse(row->raw, &row->fields);
  return true;
}

// Finds the next line that is not blank. False: the list is at its end.
absl::StatusOr<bool> JsonlReader::FindLine() {
  if (line_bytes_ != 0 || too_long_) ++line_;
  window_->Consume(std::exchange(line_bytes_, 0));
  scanned_ = 0;
  too_long_ = false;
  while (true) {
    const std::string_view bytes = window_->bytes();
    const size_t end = bytes.find('\n', scanned_);
    const bool complete = end != std::string_view::npos;
    scanned_ = complete ? end : bytes.size();
    if (scanned_ > kMaxRowBytes && !too_long_) {
      kept_ = CutAtCodePoint(bytes, kKeptOfLongRowBytes);
      too_long_ = true;
    }
    if (complete && !too_long_ && TrimJsonSpace(bytes.substr(0, end)).empty()) {
      window_->Consume(end + 1);
      scanned_ = 0;
      ++line_;
      continue;
    }
    if (complete) {
      line_bytes_ = end + 1;
      return true;
    }
    if (too_long_) window_->Consume(std::exchange(scanned_, 0));
    auto more = window_->Fill();
    if (!more.ok()) return more.status();
    if (!*more) break;
  }
  line_bytes_ = window_->bytes().size();
  return too_long_ || !TrimJsonSpace(window_->bytes()).empty();
}

}  // namespace volley::pipeline
