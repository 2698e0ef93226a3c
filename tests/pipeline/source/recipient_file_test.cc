#include "pipeline/source/recipient_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pipeline/source/recipient_format.h"
#include "tests/pipeline/source/source_test_util.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldKind;
using engine::message::FieldView;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string AddressOf(uint64_t i) { return fmt::format("user{}@example.org", i); }

// Writes `count` recipients with the columns email, name, tags.
std::string WriteRecipients(const TempFolder& folder, uint64_t count) {
  const std::string path = folder.Path("recipients.bin");
  const std::vector<std::string> columns = {"email", "name", "tags"};
  auto writer = RecipientFileWriter::Create(path, columns);
  EXPECT_TRUE(writer.ok());
  for (uint64_t i = 0; i < count; ++i) {
    const std::string address = AddressOf(i);
    const std::string name = std::string(i % 100, 'n');
    const FieldView fields[] = {
        {address},
        {name, i % 7 == 0 ? FieldKind::kMissing : FieldKind::kText},
        {i % 2 == 0 ? "[1,2]" : "false", i % 2 == 0 ? FieldKind::kJson : FieldKind::kFalse}};
    EXPECT_TRUE((*writer)->Append(address, i % 3 == 0, 2 * i + 2, fields).ok());
  }
  EXPECT_TRUE((*writer)->Finish().ok());
  return path;
}

void ExpectRecord(const RecipientRecord& record, uint64_t i) {
  EXPECT_EQ(record.index, i);
  EXPECT_EQ(record.source_line, 2 * i + 2);
  EXPECT_EQ(record.address, AddressOf(i));
  EXPECT_EQ(record.needs_smtputf8, i % 3 == 0);
  ASSERT_EQ(record.fields.size(), 3u);
  EXPECT_EQ(record.fields[0].bytes, AddressOf(i));
  EXPECT_EQ(record.fields[0].kind, FieldKind::kText);
  EXPECT_EQ(record.fields[1].bytes, i % 7 == 0 ? "" : std::string(i % 100, 'n'));
  EXPECT_EQ(record.fields[1].kind, i % 7 == 0 ? FieldKind::kMissing : FieldKind::kText);
  EXPECT_EQ(record.fields[2].bytes, i % 2 == 0 ? "[1,2]" : "false");
  EXPECT_EQ(record.fields[2].kind, i % 2 == 0 ? FieldKind::kJson : FieldKind::kFalse);
}

// Opens and reads all of it. Empty, or the first error: what a campaign would meet.
std::string ErrorOfReadingAll(const std::string& path) {
  auto file = RecipientFile::Open(path);
  if (!file.ok()) return std::string(file.status().message());
  RecipientRecord record;
  uint64_t offset = (*file)->first_offset();
  std::string error;
  for (uint64_t i = 0; i < (*file)->count(); ++i) {
    (void)(*file)->FindOffset(i);
    auto next = (*file)->ReadAt(offset, &record);
    if (!next.ok()) {
      error = std::string(next.status().message());
      break;
    }
    offset = *next;
  }
  const absl::Status verified = (*file)->Verify();
  return verified.ok() ? error : std::string(verified.message());
}

TEST(RecipientFile, GivesBackWhatWasWritten) {
  TempFolder folder;
  constexpr uint64_t kCount = 1000;
  const std::string path = WriteRecipients(folder, kCount);
  EXPECT_THAT(folder.Names(), ElementsAre("recipients.bin"));
  auto file = RecipientFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ((*file)->count(), kCount);
  EXPECT_EQ((*file)->total_bytes(), std::filesystem::file_size(path));
  EXPECT_THAT((*file)->columns(), ElementsAre("email", "name", "tags"));
  EXPECT_TRUE((*file)->Verify().ok());
  RecipientRecord record;
  uint64_t offset = (*file)->first_offset();
  for (uint64_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(*(*file)->FindOffset(i), offset);
    EXPECT_EQ((*file)->SkipAt(offset).value(), (*file)->ReadAt(offset, &record).value());
    ExpectRecord(record, i);
    offset = *(*file)->SkipAt(offset);
    if (i % 100 == 0) (*file)->DropBefore(offset);
  }
  EXPECT_EQ((*file)->ReadAt(offset, &record).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*file)->FindOffset(kCount).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*file)->ReadAt(1, &record).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*file)->ReadAt(UINT64_MAX, &record).status().code(), absl::StatusCode::kDataLoss);
}

TEST(RecipientFile, CanBeReadAgainAfterItsPagesWereDropped) {
  TempFolder folder;
  const std::string path = WriteRecipients(folder, 5000);
  auto file = RecipientFile::Open(path);
  ASSERT_TRUE(file.ok());
  RecipientRecord record;
  for (int pass = 0; pass < 2; ++pass) {
    uint64_t offset = (*file)->first_offset();
    for (uint64_t i = 0; i < 5000; ++i) {
      offset = (*file)->ReadAt(offset, &record).value();
      ExpectRecord(record, i);
      if (i % 512 == 0) (*file)->DropBefore(offset);
    }
    (*file)->DropBefore(UINT64_MAX);
  }
}

TEST(RecipientFile, HoldsAListWithoutRecipients) {
  TempFolder folder;
  auto file = RecipientFile::Open(WriteRecipients(folder, 0));
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ((*file)->count(), 0u);
  EXPECT_TRUE((*file)->Verify().ok());
  EXPECT_FALSE((*file)->FindOffset(0).ok());
}

TEST(RecipientFile, FindsDuplicatesExactlyAndWithoutRegardToCase) {
  TempFolder folder;
  const std::vector<std::string> columns = {"email"};
  auto writer = RecipientFileWriter::Create(folder.Path("r.bin"), columns);
  ASSERT_TRUE(writer.ok());
  // Over a buffer's size, so that some records are looked up in the file and some in the buffer.
  constexpr uint64_t kCount = 50'000;
  for (uint64_t i = 0; i < kCount; ++i) {
    const std::string address = AddressOf(i);
    ASSERT_EQ((*writer)->FirstLineOf(address).value(), std::nullopt);
    const FieldView fields[] = {{address}};
    ASSERT_TRUE((*writer)->Append(address, false, i + 2, fields).ok());
  }
  for (uint64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ((*writer)->FirstLineOf(AddressOf(i)).value(), i + 2);
    ASSERT_EQ((*writer)->FirstLineOf(fmt::format("USER{}@example.org", i)).value(), i + 2);
    ASSERT_EQ((*writer)->FirstLineOf(fmt::format("other{}@example.org", i)).value(), std::nullopt);
  }
}

TEST(RecipientFile, LeavesNothingBehindWithoutFinish) {
  TempFolder folder;
  const std::vector<std::string> columns = {"email"};
  {
    auto writer = RecipientFileWriter::Create(folder.Path("r.bin"), columns);
    ASSERT_TRUE(writer.ok());
    const FieldView fields[] = {{"a@example.org"}};
    ASSERT_TRUE((*writer)->Append("a@example.org", false, 2, fields).ok());
    EXPECT_THAT(folder.Names(), ElementsAre("r.bin.tmp"));
  }
  EXPECT_THAT(folder.Names(), IsEmpty());
  EXPECT_FALSE(RecipientFileWriter::Create(folder.Path("no/r.bin"), columns).ok());
}

TEST(RecipientFile, RefusesAFileCutAtAnyLength) {
  TempFolder folder;
  const std::string whole = ReadFile(WriteRecipients(folder, 16));
  for (size_t n = 0; n < whole.size(); ++n) {
    const std::string path = folder.Write("cut.bin", whole.substr(0, n));
    auto file = RecipientFile::Open(path);
    ASSERT_FALSE(file.ok()) << n;
    ASSERT_EQ(file.status().code(), absl::StatusCode::kDataLoss) << n;
    ASSERT_THAT(std::string(file.status().message()), HasSubstr(path));
  }
  EXPECT_FALSE(RecipientFile::Open(folder.Write("long.bin", whole + "x")).ok());
}

TEST(RecipientFile, RefusesEveryFlippedBit) {
  TempFolder folder;
  const std::string whole = ReadFile(WriteRecipients(folder, 16));
  ASSERT_EQ(ErrorOfReadingAll(folder.Write("flip.bin", whole)), "");
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_NE(ErrorOfReadingAll(folder.Write("flip.bin", bytes)), "") << "bit " << bit;
  }
}

// A right checksum does not make wrong lengths safe.
TEST(RecipientFile, RefusesDamagedRecordsBehindARightChecksum) {
  TempFolder folder;
  const std::string whole = ReadFile(WriteRecipients(folder, 16));
  auto header = recipient_format::DecodeHeader(whole);
  ASSERT_TRUE(header.ok());
  const std::string_view names =
      std::string_view(whole).substr(recipient_format::kHeaderBytes, header->names_bytes);
  const std::string_view index = std::string_view(whole).substr(header->index_offset());
  size_t refused = 0;
  for (size_t i = 0; i < header->records_bytes; ++i) {
    for (const char c : {'\x00', '\x7F', '\x80', '\xFF'}) {
      std::string records = whole.substr(header->records_offset(), header->records_bytes);
      records[i] = c;
      recipient_format::Header changed = *header;
      changed.records_checksum = recipient_format::Checksum(records);
      std::string bytes = recipient_format::EncodeHeader(changed, names, index);
      bytes.append(names).append(records).append(index);
      refused += !ErrorOfReadingAll(folder.Write("bad.bin", bytes)).empty();
    }
  }
  EXPECT_GT(refused, header->records_bytes / 10);  // most of the bytes are text
}

TEST(RecipientFile, SaysWhichVersionItCannotRead) {
  TempFolder folder;
  std::string bytes = ReadFile(WriteRecipients(folder, 3));
  bytes[8] = 2;
  const auto file = RecipientFile::Open(folder.Write("new.bin", bytes));
  EXPECT_EQ(file.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("new.bin has format version 2, this program reads version 1"));
  const auto other = RecipientFile::Open(folder.Write("other.bin", "email,name\nann,x\n"));
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("is not a recipient file"));
  EXPECT_EQ(RecipientFile::Open(folder.Path("none.bin")).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(RecipientFormat, TakesOnlyTheShortestVarint) {
  const auto take = [](std::string_view bytes) {
    uint64_t value = 0;
    return recipient_format::TakeVarint(&bytes, &value) ? std::to_string(value) : "refused";
  };
  for (const uint64_t value : {uint64_t{0}, uint64_t{127}, uint64_t{128}, UINT64_MAX}) {
    std::string bytes;
    recipient_format::AppendVarint(value, &bytes);
    EXPECT_EQ(take(bytes), std::to_string(value));
    EXPECT_EQ(take(std::string_view(bytes).substr(0, bytes.size() - 1)), "refused");
  }
  using namespace std::string_view_literals;
  EXPECT_EQ(take("\x80\x00"sv), "refused");
  EXPECT_EQ(take("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"sv), "refused");
  EXPECT_EQ(take("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv), "refused");
}

TEST(RecipientFormat, TakesNoRecordThatIsCutAnywhere) {
  RecipientRecord record;
  record.index = 300;
  record.source_line = 70'000;
  record.address = "ann@example.org";
  record.fields = {{"ann@example.org"}, {"Ann"}, {{}, FieldKind::kMissing}, {""}};
  std::string whole;
  recipient_format::EncodeRecord(record, &whole);
  const size_t start_bytes = whole.find(record.address) + record.address.size();
  for (size_t n = 0; n <= whole.size(); ++n) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n));
    const std::string_view bytes(exact.data(), n);
    std::string_view rest = bytes;
    EXPECT_EQ(recipient_format::SkipRecord(&rest), n == whole.size()) << n;
    rest = bytes;
    RecipientRecord got;
    EXPECT_EQ(recipient_format::TakeRecord(&rest, 4, &got), n == whole.size()) << n;
    EXPECT_EQ(recipient_format::ReadRecordStart(bytes, &got), n >= start_bytes) << n;
  }
  for (const size_t columns : {0, 3, 5}) {
    std::string_view rest = whole;
    RecipientRecord got;
    EXPECT_FALSE(recipient_format::TakeRecord(&rest, columns, &got)) << columns;
  }
}

}  // namespace
}  // namespace volley::pipeline
