#include "pipeline/source/jsonl_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/pipeline/source/source_test_util.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

ReadList Read(const std::string& text) { return ReadAll<JsonlReader>(text); }

ReadField Text(std::string text) { return {std::move(text), FieldKind::kText}; }
const ReadField kMissing{"", FieldKind::kMissing};

TEST(JsonlReader, TakesTheColumnsFromTheFirstRowAndFieldsInAnyOrder) {
  const ReadList list = Read(
      "{\"email\":\"a@example.org\",\"name\":\"Ann\"}\n"
      "{\"name\":\"Bob\",\"email\":\"b@example.org\"}\r\n"
      "\n"
      "{\"email\":\"c@example.org\"}");
  EXPECT_EQ(list.error, "");
  EXPECT_EQ(list.format, "JSON Lines");
  EXPECT_THAT(list.columns, ElementsAre("email", "name"));
  ASSERT_THAT(list.rows, SizeIs(3));
  EXPECT_THAT(list.texts(0), ElementsAre("a@example.org", "Ann"));
  EXPECT_THAT(list.texts(1), ElementsAre("b@example.org", "Bob"));
  EXPECT_THAT(list.rows[2].fields, ElementsAre(Text("c@example.org"), kMissing));
  EXPECT_EQ(list.rows[2].line, 4u);
}

TEST(JsonlReader, GivesEveryKindOfValueItsFieldKindAndSpelling) {
  const ReadList list = Read(
      R"({"s":"a\"\u00e9\ud83d\ude00\n","n":-1.10E+2,"big":123456789012345678901234567890,)"
      R"("t":true,"f":false,"z":null,"a":[1, {"b":"]\""}, null] ,"o" : { "x" : [ ] } ,"e":""})");
  EXPECT_EQ(list.error, "");
  ASSERT_THAT(list.rows, SizeIs(1));
  EXPECT_EQ(list.rows[0].problem, "");
  EXPECT_THAT(list.rows[0].fields,
              ElementsAre(Text("a\"\xC3\xA9\xF0\x9F\x98\x80\n"), Text("-1.10E+2"),
                          Text("123456789012345678901234567890"), Text("true"),
                          ReadField{"false", FieldKind::kFalse}, kMissing,
                          ReadField{R"([1, {"b":"]\""}, null])", FieldKind::kJson},
                          ReadField{R"({ "x" : [ ] })", FieldKind::kJson}, Text("")));
}

TEST(JsonlReader, RejectsARowThatIsNotRightAndReadsOn) {
  const auto problem = [](const std::string& row) {
    const ReadList list = Read("{\"a\":1,\"b\":2}\n" + row + "\n{\"a\":5}\n");
    EXPECT_EQ(list.error, "") << row;
    EXPECT_THAT(list.rows, SizeIs(3)) << row;
    if (list.rows.size() != 3) return std::string();
    EXPECT_EQ(list.rows[1].line, 2u);
    EXPECT_EQ(list.rows[1].raw, row);
    EXPECT_EQ(list.rows[2].problem, "");
    EXPECT_EQ(list.texts(2).at(0), "5");
    return list.rows[1].problem;
  };
  EXPECT_THAT(problem(R"({"a":1,"b")"), StartsWith("not right JSON at byte 11"));
  EXPECT_THAT(problem(R"({"a":1 "b":2})"), StartsWith("not right JSON at byte 10"));
  EXPECT_THAT(problem(R"({"a":"x)"), StartsWith("not right JSON at byte"));
  EXPECT_THAT(problem(R"({"a":1}})"), HasSubstr("text behind"));
  EXPECT_THAT(problem(R"({"a":1} {"a":2})"), HasSubstr("text behind"));
  EXPECT_EQ(problem("[1]"), "not a JSON object");
  EXPECT_EQ(problem("a,b"), "not a JSON object");
  EXPECT_EQ(problem(R"({"a":1,"c":2})"), "the key \"c\" is not in the first row");
  EXPECT_EQ(problem(R"({"a":1,"a":2})"), "the key \"a\" is there twice");
  EXPECT_THAT(problem(R"({"a":01})"), HasSubstr("\"a\" is not right JSON"));
  EXPECT_THAT(problem(R"({"a":1x})"), HasSubstr("not right JSON"));
  EXPECT_THAT(problem(R"({"a":tru})"), HasSubstr("not right JSON"));
  EXPECT_THAT(problem(R"({"a":nul})"), HasSubstr("not right JSON"));
  EXPECT_THAT(problem(R"({"a":"\q"})"), HasSubstr("not right JSON"));
  EXPECT_THAT(problem(R"({"a":"\ud800"})"), HasSubstr("an escape that stands for no character"));
  EXPECT_THAT(problem(R"({"a":[1,,2]})"), HasSubstr("\"a\" is not right JSON"));
  EXPECT_THAT(problem(R"({"a":{"x":}})"), HasSubstr("not right JSON"));
  EXPECT_THAT(problem(R"({"a":[1})"), HasSubstr("not right JSON"));
  EXPECT_THAT(problem("{\"a\":" + std::string(65, '[') + std::string(65, ']') + "}"),
              HasSubstr("nested deeper than 64"));
  EXPECT_EQ(problem("{\"a\":" + std::string(64, '[') + std::string(64, ']') + "}"), "");
  EXPECT_THAT(problem("{\"a\":\"" + std::string(kMaxFieldBytes + 1, 'x') + "\"}"),
              HasSubstr("the value of \"a\" is longer than"));
}

TEST(JsonlReader, RejectsALongLineAndReadsOnBehindIt) {
  const std::string row = "{\"a\":\"" + std::string(kMaxRowBytes, 'x') + "\"}";
  const std::string text = "{\"a\":1}\n" + row + "\n{\"a\":2}\n";
  const ReadList list = Read(text);
  ASSERT_THAT(list.rows, SizeIs(3));
  EXPECT_THAT(list.rows[1].problem, HasSubstr("the line is longer than"));
  EXPECT_EQ(list.rows[1].raw, row.substr(0, kKeptOfLongRowBytes));
  EXPECT_EQ(list.rows[2].line, 3u);
  TextInput at_once(text);
  EXPECT_EQ(ReadAll<JsonlReader>(&at_once, 8 << 20), list);
  const ReadList last = Read("{\"a\":1}\n" + row);
  ASSERT_THAT(last.rows, SizeIs(2));
  EXPECT_THAT(last.rows[1].problem, HasSubstr("the line is longer than"));
}

TEST(JsonlReader, RefusesAListWhoseFirstRowIsNotRight) {
  EXPECT_THAT(Read("").error, StartsWith("list:1: the list is empty"));
  EXPECT_THAT(Read("\n\n{\"a\":}\n").error, StartsWith("list:3: the first row gives the columns"));
  EXPECT_THAT(Read("{}\n").error, HasSubstr("no keys"));
  EXPECT_THAT(Read("{\"a\":1,\"a\":2}\n").error, HasSubstr("the key \"a\" is there twice"));
}

TEST(JsonlReader, DoesNotDependOnWhereBlocksEnd) {
  ExpectSameHoweverCut<JsonlReader>(
      "\xEF\xBB\xBF\r\n{\"a\":\"1\",\"b\":[1,{\"c\":\"\\u00e9\"}]}\r\n\n \t\n{\"a\":2\n"
      "{\"b\":\"x\"}\n[]\n{\"a\":3}");
}

}  // namespace
}  // namespace volley::pipeline
