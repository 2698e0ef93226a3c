// The reader; recipient_file_writer.cc has the writer.
#include "pipeline/source/recipient_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "pipeline/source/recipient_format.h"

namespace volley::pipeline {

namespace format = recipient_format;

struct RecipientFile::State {
  std::string path;
  std::string_view file;  // the mapping
  format::Header header;
  std::vector<std::string> columns;
  // Where DropBefore stopped. Relaxed: it only saves work, no data hangs on it.
  mutable std::atomic<uint64_t> dropped{0};

  ~State() {
    if (file.data() != nullptr) munmap(const_cast<char*>(file.data()), file.size());
  }
  std::string_view records() const {
    return file.substr(header.records_offset(), header.records_bytes);
  }
  absl::Status Map();
  absl::Status Damaged(std::string_view what) const {
    return absl::DataLossError(fmt::format("{} {}; import the list again", path, what));
  }
  // The bytes from `offset` to the end of the records. DataLoss or OutOfRange.
  absl::StatusOr<std::string_view> BytesAt(uint64_t offset) const;
  uint64_t OffsetOf(std::string_view rest) const {
    return static_cast<uint64_t>(rest.data() - file.data());
  }
};

// Pages are read ahead as the kernel sees fit: the feeder reads in order, retries jump back.
absl::Status RecipientFile::State::Map() {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat st {};
  const bool ok = fd >= 0 && fstat(fd, &st) == 0;
  const int error = errno;
  const bool empty = ok && st.st_size == 0;
  void* at = MAP_FAILED;
  if (ok && S_ISREG(st.st_mode) && !empty) {
    at = mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ, MAP_SHARED, fd, 0);
  }
  if (fd >= 0) close(fd);
  if (!ok && error == ENOENT) return absl::NotFoundError(fmt::format("{}: no such file", path));
  if (!ok) return absl::UnavailableError(fmt::format("{}: {}", path, std::strerror(error)));
  if (empty) return Damaged("is empty");
  if (at == MAP_FAILED) return absl::UnavailableError(fmt::format("{}: cannot be mapped", path));
  file = {static_cast<const char*>(at), static_cast<size_t>(st.st_size)};
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> RecipientFile::State::BytesAt(uint64_t offset) const {
  if (offset == header.index_offset()) {
    return absl::OutOfRangeError(fmt::format("{}: there are no more recipients", path));
  }
  if (offset < header.records_offset() || offset > header.index_offset()) {
    return Damaged(fmt::format("is damaged: there is no record at byte {}", offset));
  }
  return file.substr(offset, header.index_offset() - offset);
}

RecipientFile::RecipientFile() : state_(std::make_unique<State>()) {}
RecipientFile::~RecipientFile() = default;

absl::StatusOr<std::unique_ptr<RecipientFile>> RecipientFile::Open(const std::string& path) {
  std::unique_ptr<RecipientFile> result(new RecipientFile);
  State& s = *result->state_;
  s.path = path;
  if (absl::Status mapped = s.Map(); !mapped.ok()) return mapped;
  auto header = format::DecodeHeader(s.file);
  if (!header.ok()) {
    const std::string message(header.status().message());
    if (header.status().code() == absl::StatusCode::kDataLoss) return s.Damaged(message);
    return absl::Status(header.status().code(), fmt::format("{} {}", path, message));
  }
  s.header = *header;
  auto names = format::DecodeNames(s.file.substr(format::kHeaderBytes, s.header.names_bytes),
                                   s.header.columns);
  if (!names.ok()) return s.Damaged(std::string(names.status().message()));
  s.columns = *std::move(names);
  return result;
}

uint64_t RecipientFile::count() const { return state_->header.count; }
std::span<const std::string> RecipientFile::columns() const { return state_->columns; }
uint64_t RecipientFile::total_bytes() const { return state_->file.size(); }
uint32_t RecipientFile::checksum() const { return state_->header.records_checksum; }
uint64_t RecipientFile::first_offset() const { return state_->header.records_offset(); }

absl::Status RecipientFile::Verify() const {
  constexpr size_t kChunkBytes = 4 << 20;
  const std::string_view records = state_->records();
  uint32_t checksum = 0;
  for (size_t i = 0; i < records.size(); i += kChunkBytes) {
    const std::string_view chunk = records.substr(i, kChunkBytes);
    checksum = format::Checksum(chunk, checksum);
    DropBefore(first_offset() + i + chunk.size());
  }
  if (checksum == state_->header.records_checksum) return absl::OkStatus();
  return state_->Damaged("is damaged: the records' checksum is wrong");
}

absl::StatusOr<uint64_t> RecipientFile::ReadAt(uint64_t offset, RecipientRecord* record) const {
  auto bytes = state_->BytesAt(offset);
  if (!bytes.ok()) return bytes.status();
  if (!format::TakeRecord(&*bytes, state_->columns.size(), record) ||
      record->index >= state_->header.count) {
    return state_->Damaged(fmt::format("is damaged: no whole record at byte {}", offset));
  }
  return state_->OffsetOf(*bytes);
}

absl::StatusOr<uint64_t> RecipientFile::SkipAt(uint64_t offset) const {
  auto bytes = state_->BytesAt(offset);
  if (!bytes.ok()) return bytes.status();
  if (!format::SkipRecord(&*bytes)) {
    return state_->Damaged(fmt::format("is damaged: no whole record at byte {}", offset));
  }
  return state_->OffsetOf(*bytes);
}

absl::StatusOr<uint64_t> RecipientFile::FindOffset(uint64_t index) const {
  if (index >= count()) {
    return absl::OutOfRangeError(
        fmt::format("{}: no recipient {}, there are {}", state_->path, index, count()));
  }
  uint64_t offset = format::ReadFixed64(state_->file.data() + state_->header.index_offset() +
                                        8 * (index / format::kIndexStride));
  for (uint64_t i = index % format::kIndexStride; i > 0; --i) {
    auto next = SkipAt(offset);
    if (!next.ok()) return next;
    offset = *next;
  }
  return offset;
}

void RecipientFile::DropBefore(uint64_t offset) const {
  static const auto kPageBytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t end = std::min<uint64_t>(offset, state_->file.size()) / kPageBytes * kPageBytes;
  uint64_t begin = state_->dropped.exchange(end, std::memory_order_relaxed);
  if (begin > end) begin = 0;  // a second pass over the list
  if (begin == end) return;
  // The mapping is read-only and of a file: dropped pages come back from the page cache or disk.
  madvise(const_cast<char*>(state_->file.data()) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace volley::pipeline
