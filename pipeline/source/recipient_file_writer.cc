#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "io/base/check.h"
#include "pipeline/source/output_file.h"
#include "pipeline/source/recipient_file.h"
#include "pipeline/source/recipient_format.h"
#include "pipeline/source/text.h"

namespace volley::pipeline {
namespace {

namespace format = recipient_format;
using engine::message::FieldView;

// The set of addresses seen, 8 bytes an entry: 24 bits of the address's hash and 40 bits of its
// record's offset in the file. Whether equal hash bits are the same address only the record knows,
// so look-ups pass a function that asks it. Split in 256 by 8 further hash bits: these cost
// nothing, and one part's growth does not double the memory of all.
class SeenSet {
 public:
  static constexpr unsigned kOffsetBits = 40;  // 1 TiB
  static constexpr uint64_t kMaxOffset = (uint64_t{1} << kOffsetBits) - 1;

  // `is_same(offset)`: is the record there of the address looked for?
  template <typename IsSame>
  const uint64_t* Find(uint64_t hash, const IsSame& is_same) const {
    const auto& part = parts_[hash >> 56];
    const auto it = part.find(Probe<IsSame>{Tag(hash), is_same});
    return it == part.end() ? nullptr : &*it;
  }
  void Insert(uint64_t hash, uint64_t offset) {
    parts_[hash >> 56].insert(Tag(hash) << kOffsetBits | offset);
  }
  static uint64_t OffsetOf(uint64_t entry) { return entry & kMaxOffset; }

 private:
  template <typename IsSame>
  struct Probe {
    uint64_t tag;
    const IsSame& is_same;
  };
  struct Hash {
    using is_transparent = void;
    static size_t OfTag(uint64_t tag) { return absl::HashOf(tag); }
    size_t operator()(uint64_t entry) const { return OfTag(entry >> kOffsetBits); }
    template <typename IsSame>
    size_t operator()(const Probe<IsSame>& probe) const {
      return OfTag(probe.tag);
    }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(uint64_t a, uint64_t b) const { return a == b; }
    template <typename IsSame>
    bool operator()(uint64_t entry, const Probe<IsSame>& probe) const {
      return entry >> kOffsetBits == probe.tag && probe.is_same(OffsetOf(entry));
    }
  };

  static uint64_t Tag(uint64_t hash) { return hash >> 32 & 0xFFFFFF; }

  std::array<absl::flat_hash_set<uint64_t, Hash, Equal>, 256> parts_;
};

}  // namespace

struct RecipientFileWriter::State {
  std::unique_ptr<OutputFile> file;
  std::string path;
  size_t columns = 0;
  std::string names;
  std::string index;
  uint64_t count = 0;
  SeenSet seen;
  // Kept between calls for their memory.
  RecipientRecord record;
  std::string encoded;
  std::string lower;
  std::string lower_other;

  // The hash of `address` with its letters in lower case, which stay in `lower`. absl's hash is
  // seeded by each process: nobody can make a list of addresses that collide.
  uint64_t HashOf(std::string_view address) {
    AsciiLower(address, &lower);
    return absl::HashOf(absl::string_view(lower));
  }
  // The record's line if its address is the one in `lower`.
  absl::StatusOr<std::optional<uint64_t>> LineIfSame(uint64_t offset);
};

absl::StatusOr<std::optional<uint64_t>> RecipientFileWriter::State::LineIfSame(uint64_t offset) {
  std::array<char, format::kMaxRecordStartBytes> bytes;
  auto got = file->ReadBack(offset, bytes);
  if (!got.ok()) return got.status();
  RecipientRecord other;
  if (!format::ReadRecordStart({bytes.data(), *got}, &other)) {
    return absl::DataLossError(
        fmt::format("{}.tmp: was changed by someone while the list was imported", path));
  }
  AsciiLower(other.address, &lower_other);
  if (lower_other != lower) return std::nullopt;
  return other.source_line;
}

RecipientFileWriter::RecipientFileWriter() : state_(std::make_unique<State>()) {}
RecipientFileWriter::~RecipientFileWriter() = default;

absl::StatusOr<std::unique_ptr<RecipientFileWriter>> RecipientFileWriter::Create(
    const std::string& path, std::span<const std::string> columns) {
  auto file = OutputFile::Create(path);
  if (!file.ok()) return file.status();
  std::unique_ptr<RecipientFileWriter> writer(new RecipientFileWriter);
  State& s = *writer->state_;
  s.file = *std::move(file);
  s.path = path;
  s.columns = columns.size();
  s.names = format::EncodeNames(columns);
  // Until Finish() writes the header its place is zeros: no reader takes that for a whole file.
  if (absl::Status st = s.file->Append(std::string(format::kHeaderBytes, '\0')); !st.ok()) {
    return st;
  }
  if (absl::Status st = s.file->Append(s.names); !st.ok()) return st;
  if (auto ignored = s.file->TakeChecksum(); !ignored.ok()) return ignored.status();
  return writer;
}

absl::Status RecipientFileWriter::Append(std::string_view address, bool needs_smtputf8,
                                         uint64_t source_line, std::span<const FieldView> fields) {
  State& s = *state_;
  VOLLEY_CHECK(fields.size() == s.columns);
  VOLLEY_CHECK(address.size() <= format::kMaxAddressBytes);
  const uint64_t offset = s.file->size();
  if (offset > SeenSet::kMaxOffset) {
    return absl::ResourceExhaustedError(fmt::format("{}: the list is over 1 TiB", s.path));
  }
  s.record.index = s.count;
  s.record.source_line = source_line;
  s.record.address = address;
  s.record.needs_smtputf8 = needs_smtputf8;
  s.record.fields.assign(fields.begin(), fields.end());
  format::EncodeRecord(s.record, &s.encoded);
  if (s.count % format::kIndexStride == 0) format::AppendFixed64(offset, &s.index);
  if (absl::Status st = s.file->Append(s.encoded); !st.ok()) return st;
  s.seen.Insert(s.HashOf(address), offset);
  ++s.count;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<uint64_t>> RecipientFileWriter::FirstLineOf(std::string_view address) {
  State& s = *state_;
  absl::Status error;
  std::optional<uint64_t> line;
  const auto is_same = [&s, &error, &line](uint64_t offset) {
    auto found = s.LineIfSame(offset);
    if (!found.ok()) error = found.status();
    if (found.ok()) line = *found;
    return line.has_value();
  };
  s.seen.Find(s.HashOf(address), is_same);
  if (!error.ok()) return error;
  return line;
}

uint64_t RecipientFileWriter::count() const { return state_->count; }

absl::Status RecipientFileWriter::Finish() {
  State& s = *state_;
  format::Header header;
  header.count = s.count;
  header.columns = static_cast<uint32_t>(s.columns);
  header.names_bytes = s.names.size();
  header.records_bytes = s.file->size() - header.records_offset();
  header.index_bytes = s.index.size();
  auto checksum = s.file->TakeChecksum();
  if (!checksum.ok()) return checksum.status();
  header.records_checksum = *checksum;
  if (absl::Status st = s.file->Append(s.index); !st.ok()) return st;
  header.file_bytes = s.file->size();
  const std::string encoded = format::EncodeHeader(header, s.names, s.index);
  if (absl::Status st = s.file->Overwrite(0, encoded); !st.ok()) return st;
  return s.file->Commit();
}

}  // namespace volley::pipeline
