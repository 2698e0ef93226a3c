// rejected.csv: the rows that were not imported, and those that turned out while sending to make no
// message, for a person with an editor or a spreadsheet.
// Columns line, value, reason; one record a line, quoted by RFC 4180 where needed. A value is cut
// at 200 bytes; line ends and tabs in it become spaces, other control characters and bytes that are
// not UTF-8 become U+FFFD, so that the file can be shown on any terminal.
//
// Threading: one thread. The file gets its name with Finish(); without it nothing stays behind. A
// RejectedRows adds to a finished one.
#ifndef VOLLEY_PIPELINE_SOURCE_REJECTED_CSV_H_
#define VOLLEY_PIPELINE_SOURCE_REJECTED_CSV_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/source/output_file.h"

namespace volley::pipeline {

class RejectedCsv {
 public:
  static constexpr size_t kMaxValueBytes = 200;
  static constexpr size_t kSamples = 5;

  static absl::StatusOr<std::unique_ptr<RejectedCsv>> Create(const std::string& path);

  absl::Status Add(uint64_t line, std::string_view value, std::string_view reason,
                   bool is_sample = true);
  // The first few lines of those that may be one.
  const std::vector<std::string>& samples() const { return samples_; }
  absl::Status Finish() { return file_->Commit(); }

 private:
  explicit RejectedCsv(std::unique_ptr<OutputFile> file) : file_(std::move(file)) {}

  std::unique_ptr<OutputFile> file_;
  std::vector<std::string> samples_;
  std::string line_;  // kept for its memory
};

class RejectedRows {
 public:
  void set_path(std::string path) { path_ = std::move(path); }  // before the first Add
  void Add(uint64_t line, std::string_view value, std::string_view reason);
  // Writes what is buffered. The error of any write since the start, if there was one.
  absl::Status Flush();

 private:
  struct CloseFile {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  void NoteError();

  std::string path_;
  std::unique_ptr<std::FILE, CloseFile> file_;  // null: nothing added yet
  absl::Status error_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_REJECTED_CSV_H_
