// What the fuzz targets of the list readers share.
#ifndef VOLLEY_TESTS_FUZZ_LIST_FUZZ_H_
#define VOLLEY_TESTS_FUZZ_LIST_FUZZ_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "pipeline/source/input.h"
#include "pipeline/source/row_reader.h"

namespace volley::pipeline {

class BytesInput final : public Input {
 public:
  explicit BytesInput(std::string_view bytes) : bytes_(bytes) {}
  absl::StatusOr<size_t> Read(std::span<char> out) override {
    const size_t n = std::min(out.size(), bytes_.size());
    std::memcpy(out.data(), bytes_.data(), n);
    bytes_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view bytes_;
};

// Everything that a reader says, as text with lengths, so that two readings can be compared.
template <typename Reader, typename OnRow>
std::string Transcript(std::string_view bytes, size_t block_bytes, const OnRow& on_row) {
  BytesInput input(bytes);
  InputWindow window(&input, block_bytes);
  auto reader = Reader::Create(&window, "list");
  if (!reader.ok()) return std::string(reader.status().message());
  std::string out = (*reader)->format();
  const auto add = [&out](std::string_view text) {
    out += std::to_string(text.size()) + ":" + std::string(text);
  };
  for (const std::string& name : (*reader)->columns()) add(name);
  if ((*reader)->columns().size() > kMaxColumns) std::abort();
  Row row;
  while (true) {
    auto found = (*reader)->Next(&row);
    if (!found.ok()) return out + std::string(found.status().message());
    if (!*found) return out;
    on_row(row);
    if (row.problem.empty() && row.fields.size() != (*reader)->columns().size()) std::abort();
    out += std::to_string(row.line) + " ";
    add(row.raw);
    add(row.problem);
    for (const auto& field : row.fields) {
      if (row.problem.empty() && field.bytes.size() > kMaxFieldBytes) std::abort();
      out += std::to_string(static_cast<int>(field.kind));
      add(field.bytes);
    }
  }
}

// The input's first byte chooses the block size of the second reading.
template <typename Reader, typename OnRow>
void FuzzListReader(const uint8_t* data, size_t size, const OnRow& on_row) {
  if (size == 0) return;
  const size_t block_bytes = data[0] % 32 + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = Transcript<Reader>(bytes, InputWindow::kBlockBytes, on_row);
  if (Transcript<Reader>(bytes, block_bytes, on_row) != whole) std::abort();
}
template <typename Reader>
void FuzzListReader(const uint8_t* data, size_t size) {
  FuzzListReader<Reader>(data, size, [](const Row&) {});
}

}  // namespace volley::pipeline

#endif  // VOLLEY_TESTS_FUZZ_LIST_FUZZ_H_
