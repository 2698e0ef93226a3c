// The bytes of recipients.bin (docs/formats.md): header, record, varint. Pure functions; everything
// that reads takes foreign bytes and checks every length.
#ifndef VOLLEY_PIPELINE_SOURCE_RECIPIENT_FORMAT_H_
#define VOLLEY_PIPELINE_SOURCE_RECIPIENT_FORMAT_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/message/composer.h"
#include "pipeline/source/recipient_file.h"

namespace volley::pipeline::recipient_format {

inline constexpr std::string_view kMagic = "volleyRB";
inline constexpr uint32_t kVersion = 1;
inline constexpr size_t kHeaderBytes = 72;
inline constexpr size_t kHeaderChecksumOffset = 68;  // CRC-32 of what is before it, names and index
inline constexpr uint32_t kIndexStride = 256;        // records for one entry of the index
// More than the longest canonical address (254 bytes); the rest of a record's start is varints.
inline constexpr size_t kMaxAddressBytes = 320;
inline constexpr size_t kMaxRecordStartBytes = 5 * 10 + 1 + kMaxAddressBytes;

// Sections follow each other without a gap: header, names, records, index.
struct Header {
  uint64_t count = 0;
  uint32_t columns = 0;
  uint64_t names_bytes = 0;
  uint64_t records_bytes = 0;
  uint64_t index_bytes = 0;
  uint64_t file_bytes = 0;
  uint32_t records_checksum = 0;

  uint64_t records_offset() const { return kHeaderBytes + names_bytes; }
  uint64_t index_offset() const { return records_offset() + records_bytes; }
};

// The header with a checksum over itself and the two sections.
std::string EncodeHeader(const Header& header, std::string_view names, std::string_view index);
// Checks magic, version, that the sections fill `file` exactly, and the checksum. The error says in
// a few words what is wrong.
absl::StatusOr<Header> DecodeHeader(std::string_view file);

std::string EncodeNames(std::span<const std::string> columns);
absl::StatusOr<std::vector<std::string>> DecodeNames(std::string_view bytes, size_t columns);

void AppendVarint(uint64_t value, std::string* out);
// Takes a varint off the front. False: none there, or not the shortest form of 64 bits.
bool TakeVarint(std::string_view* bytes, uint64_t* value);
void AppendFixed64(uint64_t value, std::string* out);
uint64_t ReadFixed64(const char* bytes);

// Overwrites `out`. The record's own index and line come first, so that a reader of its start has
// what names it.
void EncodeRecord(const RecipientRecord& record, std::string* out);
// Takes the record at the front of `bytes`. False: damaged. `record` is then of no use.
bool TakeRecord(std::string_view* bytes, size_t columns, RecipientRecord* record);
// Only over it.
bool SkipRecord(std::string_view* bytes);
// Index, line, address and flag of a record of which `bytes` has at least kMaxRecordStartBytes, or
// all that there is.
bool ReadRecordStart(std::string_view bytes, RecipientRecord* record);

uint32_t Checksum(std::string_view bytes, uint32_t before = 0);

}  // namespace volley::pipeline::recipient_format

#endif  // VOLLEY_PIPELINE_SOURCE_RECIPIENT_FORMAT_H_
