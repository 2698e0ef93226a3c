// recipients.bin: the imported list, one record a recipient, read by memory map.
//
// Layout (docs/formats.md has it byte by byte): a header with magic, version, counts, offsets and
// column names; records back to back; an index with the offset of every 256th record; a checksum
// over header, column names and index, and one over the records. A damaged, cut or newer file is
// refused with an error that says which. The file appears under its name when it is complete, never
// before, and is not changed afterwards (whoever cut it while it is mapped would kill the process).
//
// Threading: a writer belongs to one thread; a reader is immutable and may be used by any number.
#ifndef VOLLEY_PIPELINE_SOURCE_RECIPIENT_FILE_H_
#define VOLLEY_PIPELINE_SOURCE_RECIPIENT_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/message/composer.h"

namespace volley::pipeline {

struct RecipientRecord {
  uint64_t index = 0;
  uint64_t source_line = 0;  // 1-based line of the list where the row began
  std::string_view address;  // canonical
  bool needs_smtputf8 = false;
  std::vector<engine::message::FieldView> fields;  // reused by the caller between reads
};

class RecipientFileWriter {
 public:
  static absl::StatusOr<std::unique_ptr<RecipientFileWriter>> Create(
      const std::string& path, std::span<const std::string> columns);
  ~RecipientFileWriter();  // without Finish(): the unfinished file is removed

  // Takes one recipient, with the next index. REQUIRES: `fields` has one value for each column.
  absl::Status Append(std::string_view address, bool needs_smtputf8, uint64_t source_line,
                      std::span<const engine::message::FieldView> fields);
  // The source line of the record that was appended with this canonical address, the case of ASCII
  // letters not looked at: one person, whatever the shift key did. Exact: a hash match is compared
  // with the record. Costs 10 to 21 bytes of memory a recipient.
  absl::StatusOr<std::optional<uint64_t>> FirstLineOf(std::string_view address);
  uint64_t count() const;
  // Writes index and header, syncs, and moves the file to its name.
  absl::Status Finish();

 private:
  RecipientFileWriter();
  struct State;
  std::unique_ptr<State> state_;
};

class RecipientFile {
 public:
  static absl::StatusOr<std::unique_ptr<RecipientFile>> Open(const std::string& path);
  ~RecipientFile();

  uint64_t count() const;
  std::span<const std::string> columns() const;
  uint64_t total_bytes() const;
  uint32_t checksum() const;  // of the records, as the header says it
  // Reads all records and compares their checksum: DataLoss when a byte of them is not as written.
  // Open checks everything else.
  absl::Status Verify() const;

  // Offset of the first record, for sequential reading.
  uint64_t first_offset() const;
  // Reads the record at `offset` (one that first_offset, ReadAt or FindOffset gave) and returns the
  // next one's offset. DataLoss for a damaged record, OutOfRange behind the last one. The views
  // live as long as this object.
  absl::StatusOr<uint64_t> ReadAt(uint64_t offset, RecipientRecord* record) const;
  // Only where the next record starts: what the feeder needs.
  absl::StatusOr<uint64_t> SkipAt(uint64_t offset) const;
  // OutOfRange: no such index. Skips up to 255 records.
  absl::StatusOr<uint64_t> FindOffset(uint64_t index) const;
  // The pages before `offset` will hardly be read again: give them back to the kernel, so that a
  // list of any length needs little resident memory. Reading them later still works.
  void DropBefore(uint64_t offset) const;

 private:
  RecipientFile();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_RECIPIENT_FILE_H_
