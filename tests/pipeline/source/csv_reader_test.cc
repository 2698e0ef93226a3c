#include "pipeline/source/csv_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/pipeline/source/source_test_util.h"

namespace volley::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

ReadList Read(const std::string& text) { return ReadAll<CsvReader>(text); }

TEST(CsvReader, ReadsEveryFileOfCsvSpectrumAsItsJsonSays) {
  const std::filesystem::path folder = std::filesystem::path(VOLLEY_SHARED_DATA_DIR) / "csv";
  if (!std::filesystem::is_directory(folder)) {
    GTEST_SKIP() << "SKIPPED: no csv-spectrum files in " << folder;
  }
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "csvs")) {
    const std::string text = ReadFile(entry.path());
    const auto expected = nlohmann::json::parse(
        ReadFile(folder / "json" / entry.path().stem().replace_extension(".json")));
    const ReadList list = Read(text);
    EXPECT_EQ(list.error, "") << entry.path();
    nlohmann::json got = nlohmann::json::array();
    for (size_t r = 0; r < list.rows.size(); ++r) {
      EXPECT_EQ(list.rows[r].problem, "") << entry.path();
      nlohmann::json object;
      for (size_t c = 0; c < list.columns.size(); ++c) {
        object[list.columns[c]] = list.texts(r).at(c);
      }
      got.push_back(object);
    }
    EXPECT_EQ(got, expected) << entry.path();
    ExpectSameHoweverCut<CsvReader>(text);
    ++files;
  }
  EXPECT_EQ(files, 11u);
}

TEST(CsvReader, DoesNotDependOnWhereBlocksEnd) {
  for (const char* text : {
           "a,b\r\n1,2\r\n\r\n3,\"4\r\n5\"\r\n",
           "a,b\r1,2\r\r3,\"4\r5\"\r6,7",
           "\xEF\xBB\xBF"
           "a;b\n\"x;\"\"y\"\"\";\"\"\n;\n\n \t\n1;2;3\n1\n",
           "a\tb\n\"1\"x\t2\n3\t\"4\"\"\"",
           "\r\n\na,b\r\n\"never\nclosed,1\n2,3\n",
           "a\n\"\"\n\n  \nx\"y\"\n\"p\r\n\r\"\"\n\n\"\nz\r\n",
           "a,b\n1,",
           "a,b\n,",
           "a,\"b\r\n\",c\r\n\"\r\n\",\"\r\",\"\n\r\"\r\n1,2,3",
           "\xEF\xBB",
           "",
       }) {
    ExpectSameHoweverCut<CsvReader>(text);
  }
}

TEST(CsvReader, TakesTheSeparatorThatTheHeaderLineHasMostOutsideQuotes) {
  EXPECT_THAT(Read("email,name\nx,y\n").columns, ElementsAre("email", "name"));
  EXPECT_THAT(Read("email;name\nx;y,z\n").columns, ElementsAre("email", "name"));
  EXPECT_THAT(Read("email\tname\n").columns, ElementsAre("email", "name"));
  EXPECT_THAT(Read("\"a,b,c\";d\n").columns, ElementsAre("a,b,c", "d"));
  EXPECT_THAT(Read("\"a\"\",,,b\";d\n").columns, ElementsAre("a\",,,b", "d"));
  EXPECT_THAT(Read("email\nx\n").columns, ElementsAre("email"));
  EXPECT_EQ(Read("a;b\n").format, "CSV, separator ';'");
  EXPECT_EQ(Read("a\tb\n").format, "CSV, separator tab");
  EXPECT_EQ(Read("a\n").format, "CSV, one column");
}

TEST(CsvReader, TrimsColumnNamesAndKeepsValuesAsTheyAre) {
  const ReadList list = Read("email , first name\nx , y\n");
  EXPECT_THAT(list.columns, ElementsAre("email", "first name"));
  EXPECT_THAT(list.texts(0), ElementsAre("x ", " y"));
}

TEST(CsvReader, CountsLinesForEveryKindOfLineEnd) {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const ReadList list =
        Read("a,b" + end + "1,2" + end + end + "\"x" + end + end + "y\",3" + end + "4,5");
    ASSERT_THAT(list.rows, SizeIs(3));
    EXPECT_EQ(list.rows[0].line, 2u);
    EXPECT_EQ(list.rows[1].line, 4u);
    EXPECT_EQ(list.rows[1].fields[0].text, "x" + end + end + "y");
    EXPECT_EQ(list.rows[2].line, 7u);
  }
}

TEST(CsvReader, SkipsBlankLinesButNotAnEmptyQuotedValue) {
  const ReadList list = Read("a\n\n  \t\n\"\"\nx\n");
  ASSERT_THAT(list.rows, SizeIs(2));
  EXPECT_THAT(list.texts(0), ElementsAre(""));
  EXPECT_EQ(list.rows[0].line, 4u);
  EXPECT_THAT(list.texts(1), ElementsAre("x"));
}

TEST(CsvReader, KeepsQuotesInsideAnUnquotedField) {
  EXPECT_THAT(Read("a,b\nx\"y\"z,5\" disk\n").texts(0), ElementsAre("x\"y\"z", "5\" disk"));
}

TEST(CsvReader, HandsOutARowWithTheWrongNumberOfFieldsWithItsProblem) {
  const ReadList list = Read("a,b\n1\n1,2,3\n1,2\n");
  ASSERT_THAT(list.rows, SizeIs(3));
  EXPECT_EQ(list.rows[0].problem, "1 field, but the header has 2");
  EXPECT_EQ(list.rows[0].raw, "1");
  EXPECT_EQ(list.rows[1].problem,
            "3 fields, but the header has 2; a value that holds ',' must be in quotes");
  EXPECT_EQ(list.rows[1].raw, "1,2,3");
  EXPECT_EQ(list.rows[2].problem, "");
}

TEST(CsvReader, HandsOutARowWithTextBehindAClosingQuoteWithItsProblem) {
  const ReadList list = Read("a,b\n\"Bob \"the builder\" Smith\",2\n3,4\n");
  ASSERT_THAT(list.rows, SizeIs(2));
  EXPECT_THAT(list.rows[0].problem, HasSubstr("text behind the closing quote of column \"a\""));
  EXPECT_THAT(list.texts(1), ElementsAre("3", "4"));
}

TEST(CsvReader, NamesTheLineWhereAQuoteThatIsNeverClosedBegan) {
  const ReadList list = Read("a,b\n1,2\n3,\"4\n5,6\n7,8\n");
  EXPECT_THAT(list.rows, SizeIs(1));
  EXPECT_THAT(list.error, StartsWith("list:3: the quote that opens column \"b\" here is never"));
}

TEST(CsvReader, StopsAtAQuotedFieldOverItsBound) {
  const std::string text = "a,b\n1,\"" + std::string(kMaxFieldBytes + 1, 'x') + "\"\n3,4\n";
  const ReadList list = Read(text);
  EXPECT_THAT(list.error,
              StartsWith("list:2: the quote that opens column \"b\" here is not closed"));
  TextInput cut(text, kMaxFieldBytes / 2);
  EXPECT_EQ(ReadAll<CsvReader>(&cut, 4 * kMaxFieldBytes), list);
  EXPECT_EQ(Read("a,b\n1,\"" + std::string(kMaxFieldBytes, 'x') + "\"\n").error, "");
}

TEST(CsvReader, RejectsALongRowAndReadsOnBehindIt) {
  const std::string field(kMaxFieldBytes + 1, 'x');
  const std::string fits(kMaxFieldBytes, 'y');
  for (const std::string& row : {field + ",2", "1," + fits + fits,
                                 fits + "," + fits + "," + fits + "," + fits + ",\"z\n\""}) {
    const std::string text = "a,b\n" + row + "\n3,4\n";
    const ReadList list = Read(text);
    ASSERT_THAT(list.rows, SizeIs(2)) << list.error;
    EXPECT_THAT(list.rows[0].problem, HasSubstr("longer than"));
    EXPECT_EQ(list.rows[0].raw, row.substr(0, kKeptOfLongRowBytes));
    EXPECT_THAT(list.rows[0].fields, IsEmpty());
    EXPECT_THAT(list.texts(1), ElementsAre("3", "4"));
    TextInput at_once(text);
    EXPECT_EQ(ReadAll<CsvReader>(&at_once, 8 * kMaxFieldBytes), list) << "in one block";
    TextInput small(text);
    EXPECT_EQ(ReadAll<CsvReader>(&small, 1000), list) << "in small blocks";
  }
}

TEST(CsvReader, MeasuresAQuotedFieldOverDroppedBytesOfALongRow) {
  const std::string long_row(kMaxFieldBytes + 1, 'x');
  const auto with_quoted = [&](size_t quoted_bytes) {
    const std::string text =
        "a,b\n" + long_row + ",\"" + std::string(quoted_bytes, '\n') + "\"\n3,4\n";
    const ReadList list = Read(text);
    TextInput small(text);
    EXPECT_EQ(ReadAll<CsvReader>(&small, 1000), list) << "in small blocks";
    return list;
  };
  const ReadList fits = with_quoted(5000);
  ASSERT_THAT(fits.rows, SizeIs(2)) << fits.error;
  EXPECT_EQ(fits.rows[1].line, 5003u);
  EXPECT_THAT(with_quoted(kMaxFieldBytes + 1).error, HasSubstr("list:2: the quote that opens"));
}

TEST(CsvReader, KeepsLittleOfARowWithoutEnd) {
  std::string text = "a\n" + std::string(40 << 20, 'x');
  TextInput input(std::move(text));
  InputWindow window(&input);
  auto reader = CsvReader::Create(&window, "list");
  ASSERT_TRUE(reader.ok());
  Row row;
  auto found = (*reader)->Next(&row);
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_THAT(row.problem, HasSubstr("longer than"));
  EXPECT_LE(window.bytes().size(), kMaxRowBytes);
}

TEST(CsvReader, RefusesAHeaderThatCannotBeOne) {
  const auto header_error = [](const std::string& text) {
    const ReadList list = Read(text);
    EXPECT_THAT(list.columns, IsEmpty());
    return list.error;
  };
  EXPECT_THAT(header_error(""), HasSubstr("list:1: the list is empty"));
  EXPECT_THAT(header_error("\n\n"), HasSubstr("the list is empty"));
  EXPECT_THAT(header_error("email,name,email\n"),
              HasSubstr("list:1: the header line: two columns are named \"email\""));
  EXPECT_THAT(header_error("email,Stra\xDF"
                           "e\n"),
              HasSubstr("list:1: the header line: column 2 is not UTF-8"));
  EXPECT_THAT(header_error(std::string("em\0ail\n", 7)), HasSubstr("NUL"));
  EXPECT_THAT(header_error("\n\"a\"b,c\n"),
              HasSubstr("list:2: the header line: text behind the closing quote of column 1"));
  EXPECT_THAT(header_error("\"a,b\n1,2\n"), HasSubstr("list:1: the quote that opens column 1"));
  std::string wide = "c0";
  for (size_t i = 1; i <= kMaxColumns; ++i) wide += ",c" + std::to_string(i);
  EXPECT_THAT(header_error(wide), HasSubstr("1001 columns; at most 1000"));
  EXPECT_THAT(Read(wide.substr(0, wide.rfind(','))).columns, SizeIs(kMaxColumns));
}

}  // namespace
}  // namespace volley::pipeline
