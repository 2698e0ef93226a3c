#include "pipeline/source/list_reader.h"

#include <fmt/format.h>

#include <utility>

#include "pipeline/source/csv_reader.h"
#include "pipeline/source/jsonl_reader.h"

namespace volley::pipeline {
namespace {

using namespace std::string_view_literals;

// Files that people take for a CSV list, known by how they begin.
struct OtherFormat {
  std::string_view magic;
  std::string_view advice;
};
constexpr OtherFormat kOtherFormats[] = {
    {"\xFF\xFE"sv, "is UTF-16 text; convert it with iconv -f UTF-16 -t UTF-8"},
    {"\xFE\xFF"sv, "is UTF-16 text; convert it with iconv -f UTF-16 -t UTF-8"},
    {"PK\x03\x04"sv, "is a spreadsheet or ZIP file; save the sheet as CSV (UTF-8)"},
    {"\xD0\xCF\x11\xE0"sv, "is a spreadsheet of an old kind; save the sheet as CSV (UTF-8)"},
    {"\x1F\x8B"sv, "is compressed; pipe it in: gzip -dc LIST | volley ... (list path \"-\")"},
    {"\x28\xB5\x2F\xFD"sv,
     "is compressed; pipe it in: zstd -dc LIST | volley ... (list path \"-\")"},
    {"\xFD"
     "7zXZ"sv,
     "is compressed; pipe it in: xz -dc LIST | volley ... (list path \"-\")"},
};

// The first byte that is neither byte order mark nor white space; 0 if there is none yet.
char FirstCharacter(std::string_view bytes) {
  if (bytes.substr(0, 3) == "\xEF\xBB\xBF") bytes.remove_prefix(3);
  const size_t i = bytes.find_first_not_of(" \t\r\n");
  return i == std::string_view::npos ? '\0' : bytes[i];
}

}  // namespace

absl::StatusOr<std::unique_ptr<ListReader>> ListReader::Open(const std::string& path) {
  auto input = OpenInput(path);
  if (!input.ok()) return input.status();
  return Create(*std::move(input), path == "-" ? "standard input" : path);
}

absl::StatusOr<std::unique_ptr<ListReader>> ListReader::Create(std::unique_ptr<Input> input,
                                                               std::string name) {
  std::unique_ptr<ListReader> reader(new ListReader(std::move(input), std::move(name)));
  if (absl::Status s = reader->Start(); !s.ok()) return s;
  return reader;
}

absl::Status ListReader::Start() {
  // At least the longest magic; more when the list begins with blank lines.
  constexpr size_t kLookedAtBytes = 8;
  while (window_.bytes().size() < kLookedAtBytes ||
         (FirstCharacter(window_.bytes()) == '\0' && window_.bytes().size() <= kMaxRowBytes)) {
    auto more = window_.Fill();
    if (!more.ok()) return more.status();
    if (!*more) break;
  }
  for (const OtherFormat& other : kOtherFormats) {
    if (window_.bytes().substr(0, other.magic.size()) == other.magic) {
      return absl::InvalidArgumentError(fmt::format("{}:1: this {}", name_, other.advice));
    }
  }
  const char first = FirstCharacter(window_.bytes());
  if (first == '[') {
    return absl::InvalidArgumentError(
        fmt::format("{}:1: this is a JSON array; JSON Lines has one object a line: jq -c '.[]' "
                    "LIST > LIST.jsonl",
                    name_));
  }
  if (first == '{') {
    auto rows = JsonlReader::Create(&window_, name_);
    if (!rows.ok()) return rows.status();
    rows_ = *std::move(rows);
  } else {
    auto rows = CsvReader::Create(&window_, name_);
    if (!rows.ok()) return rows.status();
    rows_ = *std::move(rows);
    has_header_line_ = true;
  }
  return absl::OkStatus();
}

}  // namespace volley::pipeline
