// Any bytes as recipients.bin, once as they are and once with a header made right around them, so
// that the records are reached: Open, Verify and every way to read give an error or a record whose
// views lie in the file.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pipeline/source/recipient_file.h"
#include "pipeline/source/recipient_format.h"

namespace volley::pipeline {
namespace {

namespace format = recipient_format;

void ReadAll(const RecipientFile& file) {
  RecipientRecord record;
  uint64_t offset = file.first_offset();
  size_t total = 0;
  for (uint64_t i = 0; i < file.count() && i < 1000; ++i) {
    (void)file.SkipAt(offset);
    auto next = file.ReadAt(offset, &record);
    if (!next.ok()) break;
    if (*next <= offset || *next > file.total_bytes()) std::abort();
    if (record.fields.size() != file.columns().size()) std::abort();
    for (const char c : record.address) total += static_cast<unsigned char>(c);
    for (const auto& field : record.fields) {
      for (const char c : field.bytes) total += static_cast<unsigned char>(c);
    }
    offset = *next;
  }
  file.DropBefore(offset);
  for (const uint64_t i : {uint64_t{0}, file.count() / 2, file.count() - 1, file.count()}) {
    auto found = file.FindOffset(i);
    if (found.ok()) (void)file.ReadAt(*found, &record);
  }
  (void)file.Verify();
  if (total == SIZE_MAX) std::abort();  // keeps the reads
}

void TryFile(std::string_view bytes) {
  const int fd = memfd_create("recipients", MFD_CLOEXEC);
  if (fd < 0 || write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    std::abort();
  }
  auto file = RecipientFile::Open("/proc/self/fd/" + std::to_string(fd));
  if (file.ok()) ReadAll(**file);
  close(fd);
}

}  // namespace
}  // namespace volley::pipeline

// Input: columns, count (a byte each), then records; the rest of the file is made to fit.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace format = volley::pipeline::recipient_format;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  volley::pipeline::TryFile(bytes);
  if (size < 2) return 0;
  const std::string_view records = bytes.substr(2);
  const std::string names(data[0] % 8, '\0');  // that many empty names
  format::Header header;
  header.columns = static_cast<uint32_t>(names.size());
  header.count = data[1];
  header.names_bytes = names.size();
  header.records_bytes = records.size();
  header.records_checksum = format::Checksum(records);
  std::string index;
  for (uint64_t i = 0; i < header.count; i += format::kIndexStride) {
    format::AppendFixed64(header.records_offset() + i, &index);
  }
  header.index_bytes = index.size();
  header.file_bytes = header.index_offset() + index.size();
  std::string file = format::EncodeHeader(header, names, index);
  file.append(names).append(records).append(index);
  volley::pipeline::TryFile(file);
  return 0;
}
