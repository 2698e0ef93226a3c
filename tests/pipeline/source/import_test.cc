#include "pipeline/source/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/source/recipient_file.h"
#include "tests/pipeline/source/source_test_util.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldKind;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class Import : public ::testing::Test {
 protected:
  ImportOptions Options(const std::string& list_path) const {
    ImportOptions options;
    options.list_path = list_path;
    options.recipients_path = out_.Path("recipients.bin");
    options.rejected_path = out_.Path("rejected.csv");
    return options;
  }
  std::string List(std::string_view text, std::string_view name = "list.csv") const {
    return lists_.Write(name, text);
  }
  // REQUIRES the import to succeed.
  ImportResult Run(const ImportOptions& options) const {
    auto result = ImportRecipients(options);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    if (!result.ok()) return {};
    EXPECT_EQ(result->rows,
              result->imported + result->duplicates + result->suppressed + result->rejected);
    EXPECT_THAT(out_.Names(), ElementsAre("recipients.bin", "rejected.csv"));
    return *std::move(result);
  }
  // REQUIRES the import to fail; and it leaves nothing behind.
  std::string Error(const ImportOptions& options) const {
    auto result = ImportRecipients(options);
    EXPECT_FALSE(result.ok());
    EXPECT_THAT(out_.Names(), IsEmpty());
    return result.ok() ? "" : std::string(result.status().message());
  }
  std::vector<std::string> Addresses() const {
    std::vector<std::string> addresses;
    auto file = RecipientFile::Open(out_.Path("recipients.bin"));
    EXPECT_TRUE(file.ok());
    RecipientRecord record;
    uint64_t offset = (*file)->first_offset();
    for (uint64_t i = 0; i < (*file)->count(); ++i) {
      offset = (*file)->ReadAt(offset, &record).value();
      addresses.emplace_back(record.address);
    }
    return addresses;
  }
  // The lines of rejected.csv below its header.
  std::vector<std::string> Rejected() const {
    std::string text = ReadFile(out_.Path("rejected.csv"));
    std::vector<std::string> lines;
    for (size_t end; (end = text.find("\r\n")) != std::string::npos; text.erase(0, end + 2)) {
      lines.push_back(text.substr(0, end));
    }
    EXPECT_EQ(text, "");
    EXPECT_EQ(lines.at(0), "line,value,reason");
    lines.erase(lines.begin());
    return lines;
  }

  TempFolder lists_;
  TempFolder out_;
};

TEST_F(Import, KeepsTheFirstOfTwoSpellingsAndWritesTheRestDown) {
  const ImportResult result = Run(Options(
      List("email,name\nAnn@Example.ORG,Ann\nbob@example.org,Bob\nann@EXAMPLE.org,Twice\nnobody,x\n"
           ",none\nonly-one-field\n\"carl@example.org\",\"Carl\nO\"\"Neil\"\n")));
  EXPECT_EQ(result.rows, 7u);
  EXPECT_EQ(result.imported, 3u);
  EXPECT_EQ(result.duplicates, 1u);
  EXPECT_EQ(result.rejected, 3u);
  EXPECT_EQ(result.address_column, "email");
  EXPECT_EQ(result.format, "CSV, separator ','");
  EXPECT_THAT(result.columns, ElementsAre("email", "name"));
  EXPECT_THAT(result.notes, IsEmpty());
  EXPECT_THAT(Addresses(), ElementsAre("Ann@example.org", "bob@example.org", "carl@example.org"));
  EXPECT_THAT(Rejected(), ElementsAre("4,ann@EXAMPLE.org,duplicate of line 2",
                                      StartsWith("5,nobody,not an address: "), "6,,no address",
                                      "7,only-one-field,\"1 field, but the header has 2\""));
  EXPECT_EQ(result.rejected_samples, Rejected());
}

TEST_F(Import, CountsEveryRowOfALongListExactlyOnce) {
  std::string text = "email,first_name\n";
  uint64_t good = 0, twice = 0, bad = 0;
  for (uint64_t i = 0; i < 100'000; ++i) {
    if (i % 10 == 3) {
      text += fmt::format("USER{}@example.org,again\n", i - 1);
      ++twice;
    } else if (i % 10 == 7) {
      text += fmt::format("user{}.example.org,bad\n", i);
      ++bad;
    } else if (i % 1000 == 8) {
      text += fmt::format("user{}@example.org,bad,field\n", i);
      ++bad;
    } else {
      text += fmt::format("user{}@example.org,\"Ann, {}\"\r\n", i, i);
      ++good;
    }
  }
  ImportOptions options = Options(List(text));
  uint64_t rows = 0, bytes = 0, total = 0;
  options.on_progress = [&](uint64_t r, uint64_t b, uint64_t t) {
    EXPECT_GE(r, rows);
    rows = r;
    bytes = b;
    total = t;
  };
  const ImportResult result = Run(options);
  EXPECT_EQ(result.rows, 100'000u);
  EXPECT_EQ(result.imported, good);
  EXPECT_EQ(result.duplicates, twice);
  EXPECT_EQ(result.rejected, bad);
  EXPECT_EQ(rows, 100'000u);
  EXPECT_EQ(bytes, text.size());
  EXPECT_EQ(total, text.size());
  EXPECT_THAT(Rejected(), SizeIs(twice + bad));
  EXPECT_THAT(result.rejected_samples, SizeIs(5));
  EXPECT_EQ(Rejected()[0], "5,USER2@example.org,duplicate of line 4");
  EXPECT_THAT(Addresses(), SizeIs(good));
}

TEST_F(Import, ReadsStandardInputFromAPipe) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const int saved = dup(STDIN_FILENO);
  ASSERT_EQ(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
  close(ends[0]);
  // More than a pipe holds, in pieces that end anywhere.
  std::thread sender([fd = ends[1]] {
    std::string text = "email\n";
    for (int i = 0; i < 20'000; ++i) text += fmt::format("user{}@example.org\n", i);
    for (size_t at = 0; at < text.size();) {
      const ssize_t n = write(fd, text.data() + at, std::min<size_t>(777, text.size() - at));
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    close(fd);
  });
  ImportOptions options = Options("-");
  uint64_t total = 1;
  options.on_progress = [&](uint64_t, uint64_t, uint64_t t) { total = t; };
  const ImportResult result = Run(options);
  sender.join();
  EXPECT_EQ(dup2(saved, STDIN_FILENO), STDIN_FILENO);
  close(saved);
  EXPECT_EQ(result.imported, 20'000u);
  EXPECT_EQ(total, 0u) << "a pipe's length is not known";
}

TEST_F(Import, StopsAtItsLimit) {
  ImportOptions options =
      Options(List("email\na@example.org\nbad\nb@example.org\nc@example.org\n"));
  options.limit = 2;
  const ImportResult result = Run(options);
  EXPECT_EQ(result.imported, 2u);
  EXPECT_EQ(result.rows, 3u);
}

TEST_F(Import, RejectsRowsWithoutARequiredValue) {
  ImportOptions options =
      Options(List("email,first_name\na@example.org,Ann\nb@example.org,\nb@example.org,Bob\n"));
  options.on_columns = [](std::span<const std::string> columns) {
    EXPECT_THAT(columns, ElementsAre("email", "first_name"));
    return std::vector<ImportOptions::Required>{{1, "{{first_name}} in welcome.txt line 3"}};
  };
  const ImportResult result = Run(options);
  // The row without a name was not taken, so the next one with that address is no duplicate.
  EXPECT_THAT(Addresses(), ElementsAre("a@example.org", "b@example.org"));
  EXPECT_EQ(result.rejected, 1u);
  EXPECT_THAT(Rejected(),
              ElementsAre("3,b@example.org,\"no value for \"\"first_name\"\" ({{first_name}} in "
                          "welcome.txt line 3); give the template a default: "
                          "{{first_name|friend}}\""));
}

TEST_F(Import, HandsOnTheTemplatesErrorAndLeavesNothing) {
  ImportOptions options = Options(List("email,name\na@example.org,Ann\n"));
  options.on_columns =
      [](std::span<const std::string>) -> absl::StatusOr<std::vector<ImportOptions::Required>> {
    return absl::InvalidArgumentError("welcome.txt:3:7: no column \"nam\"");
  };
  EXPECT_EQ(Error(options), "welcome.txt:3:7: no column \"nam\"");
}

TEST_F(Import, RejectsTextThatIsNotUtf8AndSaysHowToConvertTheList) {
  std::string text = "email,name\n";
  for (int i = 0; i < 20; ++i) {
    text += fmt::format("u{}@example.org,{}\n", i, i % 5 == 0 ? "J\xF6rg" : "J\xC3\xB6rg");
  }
  const ImportResult result = Run(Options(List(text)));
  EXPECT_EQ(result.rejected, 4u);
  EXPECT_EQ(Rejected()[0],
            "2,J\xEF\xBF\xBDrg,\"not UTF-8 in column \"\"name\"\" at byte 2 of the value\"");
  ASSERT_THAT(result.notes, SizeIs(1));
  EXPECT_THAT(result.notes[0],
              AllOf(HasSubstr("list.csv: the list does not look like UTF-8 (4 of "),
                    HasSubstr("iconv -f WINDOWS-1252 -t UTF-8")));
}

TEST_F(Import, SaysNothingAboutTheEncodingForOneBadRow) {
  std::string text = "email,name\n";
  for (int i = 0; i < 20; ++i) {
    text += fmt::format("u{}@example.org,{}\n", i, i == 7 ? "J\xF6rg" : "Ann");
  }
  const ImportResult result = Run(Options(List(text)));
  EXPECT_EQ(result.rejected, 1u);
  EXPECT_THAT(result.notes, IsEmpty());
}

TEST_F(Import, RejectsNulBytes) {
  Run(Options(List(std::string("email,name\na@example.org,A\0n\nb@example.org,Bob\n", 47))));
  EXPECT_THAT(Addresses(), ElementsAre("b@example.org"));
  EXPECT_THAT(Rejected(), ElementsAre("2,A\xEF\xBF\xBDn,\"a NUL byte in column \"\"name\"\"\""));
  Run(Options(List("{\"email\":\"a@example.org\",\"name\":\"\\u0000\"}\n", "list.jsonl")));
  EXPECT_THAT(Addresses(), IsEmpty());
}

TEST_F(Import, ReadsJsonLinesWithNestedValues) {
  const ImportResult result = Run(Options(List(
      "{\"email\":\"a@example.org\",\"age\":1.50,\"tags\":[\"x\",{\"y\":null}],\"vip\":false}\n"
      "{\"email\":\"A@example.org\"}\n"
      "{\"email\":17}\n"
      "{\"email\":[\"b@example.org\"]}\n"
      "{\"email\":null}\n"
      "{\"email\":\"c@example.org\",\"new\":1}\n"
      "{\"email\":\"d@example.org\"\n",
      "list.jsonl")));
  EXPECT_EQ(result.format, "JSON Lines");
  EXPECT_EQ(result.imported, 1u);
  EXPECT_EQ(result.duplicates, 1u);
  EXPECT_THAT(Rejected(),
              ElementsAre("2,A@example.org,duplicate of line 1", StartsWith("3,17,not an address"),
                          HasSubstr("the address is not a string"), "5,,no address",
                          HasSubstr("the key \"\"new\"\" is not in the first row"),
                          HasSubstr("not right JSON at byte")));
  auto file = RecipientFile::Open(out_.Path("recipients.bin"));
  ASSERT_TRUE(file.ok());
  RecipientRecord record;
  ASSERT_TRUE((*file)->ReadAt((*file)->first_offset(), &record).ok());
  ASSERT_THAT(record.fields, SizeIs(4));
  EXPECT_EQ(record.fields[1].bytes, "1.50");
  EXPECT_EQ(record.fields[2].bytes, "[\"x\",{\"y\":null}]");
  EXPECT_EQ(record.fields[2].kind, FieldKind::kJson);
  EXPECT_EQ(record.fields[3].kind, FieldKind::kFalse);
}

TEST_F(Import, TakesTheAddressColumnFromTheFirstRowThatCanBeRead) {
  const ImportResult result =
      Run(Options(List("who,name\nbroken\nann@example.org,Ann\nbob@example.org,Bob\n")));
  EXPECT_EQ(result.address_column, "who");
  EXPECT_EQ(result.imported, 2u);
}

TEST_F(Import, TakesAListWithoutRows) {
  const ImportResult result = Run(Options(List("email,name\n")));
  EXPECT_EQ(result.rows, 0u);
  EXPECT_EQ(result.address_column, "email");
}

TEST_F(Import, NamesFileAndLineInEveryError) {
  const std::string path = lists_.Path("list.csv");
  const auto error = [&](std::string_view text) { return Error(Options(List(text))); };
  EXPECT_THAT(error(""), StartsWith(path + ":1: the list is empty"));
  EXPECT_THAT(error("ann@example.org,Ann\nbob@example.org,Bob\n"),
              AllOf(StartsWith(path + ":1: the first line holds an address"),
                    HasSubstr("for example: email,field2")));
  EXPECT_THAT(error("who,name\nx,y\n"),
              AllOf(StartsWith(path + ":1: no column of addresses was found"),
                    HasSubstr("--address-column"), HasSubstr("\"who\", \"name\"")));
  EXPECT_THAT(error("email,name\na@example.org,\"Ann\nb@example.org,Bob\n"),
              StartsWith(path + ":2: the quote that opens column \"name\" here is never closed"));
  EXPECT_THAT(error("email,Stra\xDF"
                    "e\n"),
              StartsWith(path + ":1: the header line: column 2"));
  EXPECT_THAT(error("email,x,x\n"), StartsWith(path + ":1: the header line: two columns"));
  EXPECT_THAT(error("{\"email\":}\n"), StartsWith(path + ":1: the first row gives the columns"));
  EXPECT_THAT(error("[{\"email\":\"a@example.org\"}]"),
              AllOf(StartsWith(path + ":1: this is a JSON array"), HasSubstr("jq -c '.[]'")));
  EXPECT_THAT(
      error("\xFF\xFE"
            "e"),
      AllOf(StartsWith(path + ":1: this is UTF-16"), HasSubstr("iconv -f UTF-16 -t UTF-8")));
  EXPECT_THAT(error("PK\x03\x04zip"), StartsWith(path + ":1: this is a spreadsheet"));
  EXPECT_THAT(error("\x1F\x8Bzip"), StartsWith(path + ":1: this is compressed"));
  ImportOptions named = Options(List("email,name\na@example.org,Ann\n"));
  named.address_column = "mial";
  EXPECT_THAT(Error(named), StartsWith(path + ":1: there is no column \"mial\""));
}

TEST_F(Import, SaysWhatIsWrongWithTheFilesThemselves) {
  EXPECT_EQ(Error(Options(lists_.Path("none.csv"))),
            lists_.Path("none.csv") + ": No such file or directory");
  EXPECT_THAT(Error(Options(lists_.Path(""))), HasSubstr("is a folder"));
  ImportOptions options = Options(List("email\na@example.org\n"));
  options.recipients_path = out_.Path("no/recipients.bin");
  EXPECT_THAT(Error(options), StartsWith(options.recipients_path));
  options = Options(List("email\na@example.org\n"));
  options.rejected_path = out_.Path("no/rejected.csv");
  EXPECT_THAT(Error(options), StartsWith(options.rejected_path));
}

TEST_F(Import, LeavesOutWhoIsNotAdmittedAndCountsEachPersonOnce) {
  ImportOptions options =
      Options(List("email\na@example.org\nNo@example.org\nbad\nno@example.org\nb@example.org\n"
                   "A@example.org\n"));
  std::vector<std::string> asked;
  options.on_admit = [&](std::string_view address) -> absl::StatusOr<std::string> {
    asked.emplace_back(address);
    return std::string(address == "No@example.org" ? "said no" : "");
  };
  const ImportResult result = Run(options);
  EXPECT_EQ(result.imported, 2u);
  EXPECT_EQ(result.suppressed, 1u);
  EXPECT_EQ(result.duplicates, 2u);
  EXPECT_EQ(result.rejected, 1u);
  EXPECT_THAT(asked, ElementsAre("a@example.org", "No@example.org", "b@example.org"));
  EXPECT_THAT(Addresses(), ElementsAre("a@example.org", "b@example.org"));
  EXPECT_THAT(Rejected(), ElementsAre("3,No@example.org,said no", "4,bad,not an address: no @",
                                      "5,no@example.org,duplicate of line 3",
                                      "7,A@example.org,duplicate of line 2"));
  EXPECT_THAT(result.rejected_samples, SizeIs(3));  // nothing is to be mended about a "no"
}

TEST_F(Import, EndsWhenSomebodyCannotBeLookedUp) {
  ImportOptions options = Options(List("email\na@example.org\n"));
  options.on_admit = [](std::string_view) -> absl::StatusOr<std::string> {
    return absl::DataLossError("volley.db is damaged");
  };
  EXPECT_EQ(Error(options), "volley.db is damaged");
}

// A file size limit stands for a full disk.
TEST_F(Import, LeavesNothingBehindWhenTheDiskIsFull) {
  std::string text = "email\n";
  for (int i = 0; i < 2000; ++i) text += fmt::format("user{}@example.org\n", i);
  const ImportOptions options = Options(List(text));
  rlimit saved;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &saved), 0);
  const rlimit small = {16 << 10, saved.rlim_max};
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = Error(options);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &saved), 0);
  signal(SIGXFSZ, old_handler);
  EXPECT_EQ(error, options.recipients_path + ": cannot be written: File too large");
}

TEST_F(Import, TakesRejectedCsvBackWhenTheRecipientsCannotGetTheirName) {
  const TempFolder taken;
  std::filesystem::create_directories(taken.Path("recipients.bin/full"));
  ImportOptions options = Options(List("email\na@example.org\nbad\n"));
  options.recipients_path = taken.Path("recipients.bin");
  EXPECT_THAT(Error(options), StartsWith(options.recipients_path + ": cannot get its name"));
  EXPECT_THAT(taken.Names(), ElementsAre("recipients.bin"));
}

}  // namespace
}  // namespace volley::pipeline
