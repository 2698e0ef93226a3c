#include "pipeline/sink/journal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using volley::testing::TempDir;

TEST(EnvelopeJournal, WritesValidJsonWhateverAPeerSays) {
  TempDir dir;
  const std::vector<std::string> hostile = {"\"\\\n\r\t\x01", std::string("\0nul", 4),
                                            "\xff\xfe\xc3",   "\xed\xa0\x80",
                                            "\xe2\x82\xac",   "{}[],:"};
  {
    auto journal = EnvelopeJournal::Open(dir.path("j"));
    ASSERT_TRUE(journal.ok()) << journal.status();
    for (const std::string& text : hostile) {
      EXPECT_TRUE((*journal)->Append({absl::UnixEpoch(), text, text, text, hostile, 7}).ok());
    }
    EXPECT_EQ(dir.Read("j"), "");  // gathered
  }
  const std::string written = dir.Read("j");
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 6);
  size_t at = 0;
  for (const std::string& text : hostile) {
    const size_t end = written.find('\n', at);
    const nlohmann::json line = nlohmann::json::parse(written.substr(at, end - at));
    EXPECT_EQ(line["rcpt_to"].size(), hostile.size());
    EXPECT_EQ(line["time"], "1970-01-01T00:00:00.000Z");
    if (text.find_first_of("\xff\xed") == std::string::npos) {
      EXPECT_EQ(line["mail_from"], text);
    }
    at = end + 1;
  }
}

TEST(EnvelopeJournal, AppendsToWhatIsThere) {
  TempDir dir;
  const std::vector<std::string> to = {"b@example.org"};
  for (int i = 0; i < 2; ++i) {
    auto journal = EnvelopeJournal::Open(dir.path("j"));
    ASSERT_TRUE((*journal)->Append({absl::UnixEpoch(), "p", "h", "f", to, 1}).ok());
    ASSERT_TRUE((*journal)->Flush().ok());
  }
  const std::string written = dir.Read("j");
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 2);
}

TEST(EnvelopeJournal, WritesManyLinesBeforeAnyoneFlushes) {
  TempDir dir;
  auto journal = EnvelopeJournal::Open(dir.path("j"));
  const std::vector<std::string> to = {std::string(1000, 'x')};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE((*journal)->Append({absl::UnixEpoch(), "p", "h", "f", to, 1}).ok());
  }
  EXPECT_GT(dir.Read("j").size(), 64u << 10);
}

}  // namespace
}  // namespace volley::pipeline
