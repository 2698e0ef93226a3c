// What the tests of pipeline/source share: inputs of text cut where a test wants it, rows that own
// their bytes, a folder that goes away.
#ifndef VOLLEY_TESTS_PIPELINE_SOURCE_SOURCE_TEST_UTIL_H_
#define VOLLEY_TESTS_PIPELINE_SOURCE_SOURCE_TEST_UTIL_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/composer.h"
#include "pipeline/source/input.h"
#include "pipeline/source/row_reader.h"

namespace volley::pipeline {

// Gives `text` in two reads, before and after byte `cut` (0: as the reader asks).
class TextInput final : public Input {
 public:
  explicit TextInput(std::string text, size_t cut = 0) : text_(std::move(text)), cut_(cut) {}
  absl::StatusOr<size_t> Read(std::span<char> out) override {
    size_t n = std::min(out.size(), text_.size() - at_);
    if (at_ < cut_) n = std::min(n, cut_ - at_);
    std::memcpy(out.data(), text_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  const std::string text_;
  const size_t cut_;
  size_t at_ = 0;
};

struct ReadField {
  std::string text;
  engine::message::FieldKind kind = engine::message::FieldKind::kText;
  bool operator==(const ReadField&) const = default;
};
struct ReadRow {
  uint64_t line = 0;
  std::string raw;
  std::vector<ReadField> fields;
  std::string problem;
  bool operator==(const ReadRow&) const = default;
};
// All that a reader says about a list.
struct ReadList {
  std::vector<std::string> columns;
  std::string format;
  std::vector<ReadRow> rows;
  std::string error;
  bool operator==(const ReadList&) const = default;

  std::vector<std::string> texts(size_t row) const {
    std::vector<std::string> out;
    for (const ReadField& f : rows.at(row).fields) out.push_back(f.text);
    return out;
  }
};

template <typename Reader>
ReadList ReadAll(Input* input, size_t block_bytes = InputWindow::kBlockBytes) {
  ReadList list;
  InputWindow window(input, block_bytes);
  auto reader = Reader::Create(&window, "list");
  if (!reader.ok()) {
    list.error = std::string(reader.status().message());
    return list;
  }
  list.columns.assign((*reader)->columns().begin(), (*reader)->columns().end());
  list.format = (*reader)->format();
  Row row;
  while (true) {
    auto found = (*reader)->Next(&row);
    if (!found.ok()) list.error = std::string(found.status().message());
    if (!found.ok() || !*found) return list;
    ReadRow copy{row.line, std::string(row.raw), {}, row.problem};
    for (const auto& f : row.fields) copy.fields.push_back({std::string(f.bytes), f.kind});
    list.rows.push_back(std::move(copy));
  }
}

template <typename Reader>
ReadList ReadAll(const std::string& text) {
  TextInput input(text);
  return ReadAll<Reader>(&input);
}

// The list comes out the same wherever a block ends, and whatever a block's size.
template <typename Reader>
void ExpectSameHoweverCut(const std::string& text) {
  const ReadList whole = ReadAll<Reader>(text);
  for (size_t cut = 1; cut < text.size(); ++cut) {
    TextInput input(text, cut);
    ASSERT_EQ(ReadAll<Reader>(&input), whole) << "cut at byte " << cut << " of: " << text;
  }
  for (const size_t block : {1, 2, 3, 7}) {
    TextInput input(text);
    ASSERT_EQ(ReadAll<Reader>(&input, block), whole) << "blocks of " << block << " of: " << text;
  }
}

class TempFolder {
 public:
  TempFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "volley-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) ADD_FAILURE() << "mkdtemp: " << std::strerror(errno);
    path_ = path;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string Path(std::string_view name) const { return path_ + "/" + std::string(name); }
  std::string Write(std::string_view name, std::string_view bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::string path_;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace volley::pipeline

#endif  // VOLLEY_TESTS_PIPELINE_SOURCE_SOURCE_TEST_UTIL_H_
