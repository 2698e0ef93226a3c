// How `volley` shows what a preflight found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tools/volley/preflight.h"

namespace volley::tools {
namespace {

using engine::preflight::Severity;
using pipeline::PreflightResult;
using ::testing::HasSubstr;
using ::testing::Not;

PreflightResult Result() {
  PreflightResult result;
  const std::string record = "publish  example.org.  TXT  \"" + std::string(200, 'k') + "\"";
  result.findings = {
      {"spf-allows-all", Severity::kNote, "anybody may send", "It matters.", "RFC 1", "change it"},
      {"dmarc-missing", Severity::kError, "there is none " + std::string(100, 'x') + " at all",
       "It matters a lot.", "RFC 2", record},
      {"tls-off", Severity::kWarning, "it is off", "It matters.", "RFC 3", "switch it on"}};
  result.passed = {"spf-missing", "spf-syntax"};
  result.skipped = {"ptr-missing: mail goes: through a relay"};
  return result;
}

std::string Printed(const PreflightResult& result, bool verbose) {
  char* text = nullptr;
  size_t bytes = 0;
  FILE* out = open_memstream(&text, &bytes);
  PrintPreflight(result, out, verbose);
  std::fclose(out);
  std::string printed(text, bytes);
  std::free(text);
  return printed;
}

TEST(PrintPreflight, ShowsTheWorstFirstAndSumsUp) {
  const std::string text = Printed(Result(), false);
  EXPECT_EQ(text.find("error: dmarc-missing\n"), 0u);
  EXPECT_LT(text.find("warning: tls-off\n"), text.find("note: spf-allows-all\n"));
  EXPECT_THAT(text,
              HasSubstr("preflight: 1 error, 1 warning, 1 note; 2 checks passed, 1 not made"));
  EXPECT_THAT(text, Not(HasSubstr("ptr-missing")));
}

TEST(PrintPreflight, KeepsARecordInOneLineAndWrapsSentences) {
  const std::string text = Printed(Result(), false);
  EXPECT_THAT(text, HasSubstr("  mend   publish  example.org.  TXT  \"" + std::string(200, 'k')));
  EXPECT_THAT(text, HasSubstr("  found  there is none\n         xxx"));
  EXPECT_THAT(text, HasSubstr("x\n         at all\n"));
}

TEST(PrintPreflight, VerboselyShowsWhatPassedAndWhatWasNotMade) {
  const std::string text = Printed(Result(), true);
  EXPECT_THAT(text, HasSubstr("passed   spf-syntax\n"));
  EXPECT_THAT(text, HasSubstr("skipped  ptr-missing: mail goes: through a relay\n"));
}

TEST(PrintPreflight, WithNothingToSayOneLineIsEnough) {
  EXPECT_EQ(Printed({}, false),
            "preflight: 0 errors, 0 warnings, 0 notes; 0 checks passed, 0 not made\n");
}

TEST(PreflightJson, HasEverything) {
  const nlohmann::json json = nlohmann::json::parse(PreflightJson(Result()).dump());
  EXPECT_EQ(json["errors"], 1);
  EXPECT_EQ(json["warnings"], 1);
  ASSERT_EQ(json["findings"].size(), 3u);
  EXPECT_EQ(json["findings"][1]["id"], "dmarc-missing");
  EXPECT_EQ(json["findings"][1]["severity"], "error");
  EXPECT_EQ(json["findings"][1]["source"], "RFC 2");
  for (const char* key : {"found", "why", "mend"}) {
    EXPECT_FALSE(json["findings"][0][key].get<std::string>().empty());
  }
  EXPECT_EQ(json["passed"], nlohmann::json({"spf-missing", "spf-syntax"}));
  EXPECT_EQ(json["skipped"][0]["id"], "ptr-missing");
  EXPECT_EQ(json["skipped"][0]["why"], "mail goes: through a relay");
}

}  // namespace
}  // namespace volley::tools
