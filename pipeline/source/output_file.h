// OutputFile: a file that appears under its name only when it is complete. It is written as
// PATH.tmp through a 1 MiB buffer, then synced and renamed; without Commit() nothing stays behind.
//
// Threading: one thread. Errors name the path and the system's reason ("No space left on device").
#ifndef VOLLEY_PIPELINE_SOURCE_OUTPUT_FILE_H_
#define VOLLEY_PIPELINE_SOURCE_OUTPUT_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace volley::pipeline {

class OutputFile {
 public:
  static constexpr size_t kBufferBytes = 1 << 20;

  // Readable by its owner only: lists are personal data.
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  absl::Status Append(std::string_view bytes);
  uint64_t size() const { return written_ + buffer_.size(); }
  // CRC-32 (as in zlib) of what was appended since the last call.
  absl::StatusOr<uint32_t> TakeChecksum();
  // Reads up to out.size() bytes at `offset`, from the buffer or the file; fewer only at the end.
  absl::StatusOr<size_t> ReadBack(uint64_t offset, std::span<char> out);
  // Overwrites bytes that were appended before.
  absl::Status Overwrite(uint64_t offset, std::string_view bytes);
  // Syncs and renames; syncs the folder, so that the name survives a power loss too.
  absl::Status Commit();

 private:
  OutputFile(int fd, std::string path, std::string temporary_path);
  absl::Status Flush();
  absl::Status WriteAll(uint64_t offset, std::string_view bytes);
  absl::Status SyncFolder() const;
  absl::Status Error(std::string_view what, int error) const;

  const int fd_;
  const std::string path_;
  const std::string temporary_path_;
  std::string buffer_;
  uint64_t written_ = 0;
  uint32_t checksum_ = 0;
  bool committed_ = false;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_OUTPUT_FILE_H_
