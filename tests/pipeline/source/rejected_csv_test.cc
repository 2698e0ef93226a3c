#include "pipeline/source/rejected_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/source/text.h"
#include "tests/pipeline/source/source_test_util.h"

namespace volley::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(RejectedCsv, QuotesWhatNeedsItAndShowsNoControlCharacters) {
  TempFolder folder;
  auto rejected = RejectedCsv::Create(folder.Path("r.csv"));
  ASSERT_TRUE(rejected.ok());
  ASSERT_TRUE((*rejected)->Add(2, "plain", "why").ok());
  ASSERT_TRUE((*rejected)->Add(3, "a,\"b\"", "x \"y\"").ok());
  ASSERT_TRUE((*rejected)->Add(4, "a\r\nb\x1B[31m\xFF\xC2\x9B", "bad").ok());
  EXPECT_THAT((*rejected)->samples(), SizeIs(3));
  EXPECT_THAT(folder.Names(), ElementsAre("r.csv.tmp"));
  ASSERT_TRUE((*rejected)->Finish().ok());
  EXPECT_THAT(folder.Names(), ElementsAre("r.csv"));
  EXPECT_EQ(ReadFile(folder.Path("r.csv")),
            "line,value,reason\r\n2,plain,why\r\n3,\"a,\"\"b\"\"\",\"x \"\"y\"\"\"\r\n"
            "4,\"a  b\xEF\xBF\xBD[31m\xEF\xBF\xBD\xEF\xBF\xBD\",bad\r\n");
}

TEST(RejectedCsv, CutsALongValueBetweenCharacters) {
  TempFolder folder;
  auto rejected = RejectedCsv::Create(folder.Path("r.csv"));
  ASSERT_TRUE(rejected.ok());
  ASSERT_TRUE((*rejected)->Add(2, std::string(199, 'x') + "\xC3\xA9yz", "why").ok());
  EXPECT_EQ((*rejected)->samples()[0], "2," + std::string(199, 'x') + ",why");
  EXPECT_EQ(CutAtCodePoint("ab\xF0\x9F\x98\x80", 5), "ab");
  EXPECT_EQ(CutAtCodePoint("ab\xF0\x9F\x98\x80", 6), "ab\xF0\x9F\x98\x80");
  EXPECT_EQ(CutAtCodePoint("\x80\x80\x80\x80\x80\x80", 5).size(), 2u);
}

TEST(RejectedCsv, LeavesNothingBehindWithoutFinish) {
  TempFolder folder;
  { ASSERT_TRUE(RejectedCsv::Create(folder.Path("r.csv")).ok()); }
  EXPECT_THAT(folder.Names(), IsEmpty());
}

}  // namespace
}  // namespace volley::pipeline
