#include "pipeline/source/recipient_format.h"

#include <fmt/format.h>
#include <zlib.h>

#include <cstring>

#include "io/base/check.h"
#include "pipeline/source/row_reader.h"

namespace volley::pipeline::recipient_format {
namespace {

using engine::message::FieldKind;
using engine::message::FieldView;

constexpr uint8_t kNeedsSmtpUtf8 = 1;
// A field's length and kind in one varint: 63 bytes and fewer with one byte.
constexpr unsigned kKindBits = 2;
// In a field's place: its text is the record's address, as it is in most lists, and not stored
// twice. (A missing field of one byte, which there cannot be otherwise.)
constexpr uint64_t kSameAsAddress = 1u << kKindBits | static_cast<unsigned>(FieldKind::kMissing);
static_assert(static_cast<unsigned>(FieldKind::kMissing) < 1u << kKindBits);

absl::Status Damaged(std::string_view what) { return absl::DataLossError(std::string(what)); }

template <typename Int>
void AppendFixed(Int value, std::string* out) {
  for (size_t i = 0; i < sizeof(Int); ++i) {
    out->push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  }
}

// REQUIRES: sizeof(Int) bytes.
template <typename Int>
Int ReadFixed(const char* bytes) {
  Int value = 0;
  for (size_t i = 0; i < sizeof(Int); ++i) {
    value |= static_cast<Int>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

bool TakeBytes(std::string_view* bytes, uint64_t n, std::string_view* out) {
  if (n > bytes->size()) return false;
  *out = bytes->substr(0, n);
  bytes->remove_prefix(n);
  return true;
}

bool TakeStart(std::string_view* body, RecipientRecord* record) {
  uint64_t address_bytes;
  std::string_view flags;
  if (!TakeVarint(body, &record->index) || !TakeVarint(body, &record->source_line) ||
      !TakeBytes(body, 1, &flags) || !TakeVarint(body, &address_bytes) ||
      address_bytes > kMaxAddressBytes || !TakeBytes(body, address_bytes, &record->address)) {
    return false;
  }
  record->needs_smtputf8 = flags[0] == kNeedsSmtpUtf8;
  return record->needs_smtputf8 || flags[0] == 0;
}

bool TakeField(std::string_view* body, std::string_view address, FieldView* field) {
  uint64_t length_and_kind;
  if (!TakeVarint(body, &length_and_kind)) return false;
  if (length_and_kind == kSameAsAddress) {
    *field = {address, FieldKind::kText};
    return true;
  }
  field->kind = static_cast<FieldKind>(length_and_kind & ((1u << kKindBits) - 1));
  const uint64_t length = length_and_kind >> kKindBits;
  if (field->kind == FieldKind::kMissing && length != 0) return false;
  return TakeBytes(body, length, &field->bytes);
}

void AppendField(const FieldView& field, std::string_view address, std::string* out) {
  if (field.kind == FieldKind::kMissing) {
    AppendVarint(static_cast<unsigned>(FieldKind::kMissing), out);
  } else if (field.kind == FieldKind::kText && field.bytes == address) {
    AppendVarint(kSameAsAddress, out);
  } else {
    AppendVarint(field.bytes.size() << kKindBits | static_cast<unsigned>(field.kind), out);
    *out += field.bytes;
  }
}

// The sums cannot overflow where each part is checked against the file's size.
bool SectionsFill(const Header& h, uint64_t file_bytes) {
  uint64_t left = file_bytes - kHeaderBytes;
  for (const uint64_t section : {h.names_bytes, h.records_bytes, h.index_bytes}) {
    if (section > left) return false;
    left -= section;
  }
  return left == 0;
}

bool CountsFit(const Header& h) {
  if (h.count > h.records_bytes) return false;  // also bounds the multiplication
  const uint64_t entries = h.count / kIndexStride + (h.count % kIndexStride != 0);
  return h.index_bytes == 8 * entries && h.columns <= kMaxColumns && h.columns <= h.names_bytes;
}

uint32_t HeaderChecksum(std::string_view header, std::string_view names, std::string_view index) {
  return Checksum(index, Checksum(names, Checksum(header.substr(0, kHeaderChecksumOffset))));
}

}  // namespace

uint32_t Checksum(std::string_view bytes, uint32_t before) {
  return static_cast<uint32_t>(
      crc32_z(before, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

std::string EncodeHeader(const Header& header, std::string_view names, std::string_view index) {
  std::string out(kMagic);
  AppendFixed(kVersion, &out);
  AppendFixed(header.columns, &out);
  AppendFixed(header.count, &out);
  AppendFixed(header.names_bytes, &out);
  AppendFixed(header.records_bytes, &out);
  AppendFixed(header.index_bytes, &out);
  AppendFixed(header.file_bytes, &out);
  AppendFixed(kIndexStride, &out);
  AppendFixed(uint32_t{0}, &out);  // reserved
  AppendFixed(header.records_checksum, &out);
  VOLLEY_CHECK(out.size() == kHeaderChecksumOffset);
  AppendFixed(HeaderChecksum(out, names, index), &out);
  return out;
}

absl::StatusOr<Header> DecodeHeader(std::string_view file) {
  if (file.substr(0, kMagic.size()) != kMagic.substr(0, file.size())) {
    return Damaged("is not a recipient file");
  }
  if (file.size() < kHeaderBytes) return Damaged("is cut short");
  const char* p = file.data() + kMagic.size();
  const auto version = ReadFixed<uint32_t>(p);
  if (version != kVersion) {
    return absl::FailedPreconditionError(
        fmt::format("has format version {}, this program reads version {}; import the list again",
                    version, kVersion));
  }
  Header h;
  h.columns = ReadFixed<uint32_t>(p + 4);
  h.count = ReadFixed<uint64_t>(p + 8);
  h.names_bytes = ReadFixed<uint64_t>(p + 16);
  h.records_bytes = ReadFixed<uint64_t>(p + 24);
  h.index_bytes = ReadFixed<uint64_t>(p + 32);
  h.file_bytes = ReadFixed<uint64_t>(p + 40);
  const auto stride = ReadFixed<uint32_t>(p + 48);
  h.records_checksum = ReadFixed<uint32_t>(p + 56);
  if (h.file_bytes > file.size()) return Damaged("is cut short");
  if (h.file_bytes != file.size() || stride != kIndexStride || !SectionsFill(h, h.file_bytes) ||
      !CountsFit(h)) {
    return Damaged("is damaged: its sizes do not fit");
  }
  const uint32_t expected =
      HeaderChecksum(file, file.substr(kHeaderBytes, h.names_bytes), file.substr(h.index_offset()));
  if (ReadFixed<uint32_t>(file.data() + kHeaderChecksumOffset) != expected) {
    return Damaged("is damaged: the header's checksum is wrong");
  }
  return h;
}

std::string EncodeNames(std::span<const std::string> columns) {
  std::string out;
  for (const std::string& name : columns) {
    AppendVarint(name.size(), &out);
    out += name;
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> DecodeNames(std::string_view bytes, size_t columns) {
  std::vector<std::string> names;
  for (size_t i = 0; i < columns; ++i) {
    uint64_t length;
    std::string_view name;
    if (!TakeVarint(&bytes, &length) || !TakeBytes(&bytes, length, &name)) {
      return Damaged("is damaged: the column names do not fit");
    }
    names.emplace_back(name);
  }
  if (!bytes.empty()) return Damaged("is damaged: text behind the column names");
  return names;
}

void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

bool TakeVarint(std::string_view* bytes, uint64_t* value) {
  *value = 0;
  for (size_t i = 0; i < bytes->size() && i < 10; ++i) {
    const auto byte = static_cast<unsigned char>((*bytes)[i]);
    *value |= static_cast<uint64_t>(byte & 0x7F) << (7 * i);
    if ((byte & 0x80) != 0) continue;
    // One form for each number: the tenth byte has one bit, and no form ends in a zero byte.
    if ((i == 9 && byte > 1) || (i > 0 && byte == 0)) return false;
    bytes->remove_prefix(i + 1);
    return true;
  }
  return false;
}

void AppendFixed64(uint64_t value, std::string* out) { AppendFixed(value, out); }
uint64_t ReadFixed64(const char* bytes) { return ReadFixed<uint64_t>(bytes); }

void EncodeRecord(const RecipientRecord& record, std::string* out) {
  constexpr size_t kLengthRoom = 10;  // the body's length stands before it but is known after it
  out->assign(kLengthRoom, '\0');
  AppendVarint(record.index, out);
  AppendVarint(record.source_line, out);
  out->push_back(record.needs_smtputf8 ? kNeedsSmtpUtf8 : 0);
  AppendVarint(record.address.size(), out);
  *out += record.address;
  for (const FieldView& field : record.fields) AppendField(field, record.address, out);
  std::string length;
  AppendVarint(out->size() - kLengthRoom, &length);
  out->replace(0, kLengthRoom, length);
}

bool TakeRecord(std::string_view* bytes, size_t columns, RecipientRecord* record) {
  uint64_t body_bytes;
  std::string_view body;
  if (!TakeVarint(bytes, &body_bytes) || !TakeBytes(bytes, body_bytes, &body) ||
      !TakeStart(&body, record)) {
    return false;
  }
  record->fields.resize(columns);
  for (FieldView& field : record->fields) {
    if (!TakeField(&body, record->address, &field)) return false;
  }
  return body.empty();
}

bool SkipRecord(std::string_view* bytes) {
  uint64_t body_bytes;
  std::string_view body;
  return TakeVarint(bytes, &body_bytes) && TakeBytes(bytes, body_bytes, &body);
}

bool ReadRecordStart(std::string_view bytes, RecipientRecord* record) {
  uint64_t body_bytes;
  return TakeVarint(&bytes, &body_bytes) && TakeStart(&bytes, record);
}

}  // namespace volley::pipeline::recipient_format
