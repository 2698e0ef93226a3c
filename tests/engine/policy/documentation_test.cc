// docs/providers.md against the readers: the keys, the examples.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "engine/policy/provider_pack.h"

namespace volley::engine::policy {
namespace {

using Keys = std::set<std::string>;

std::string Document() {
  std::ifstream file(std::string(VOLLEY_TESTS_DIR) + "/../docs/providers.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The text of chapter "## TITLE".
std::string Chapter(const std::string& title) {
  const std::string text = Document();
  const size_t begin = text.find("\n## " + title + "\n");
  if (begin == text.npos) return "";
  return text.substr(begin + 1, text.find("\n## ", begin + 1) - begin - 1);
}

// The first column of the table whose head begins "| key |".
Keys DocumentedKeys(const std::string& title) {
  Keys keys;
  bool inside = false;
  std::istringstream lines(Chapter(title));
  for (std::string line; std::getline(lines, line);) {
    inside = line.starts_with("|") && (inside || line.starts_with("| key |"));
    if (!inside) continue;
    const std::string cell = line.substr(1, line.find('|', 1) - 1);
    static const RE2 kName("`([a-z_]+)`");
    re2::StringPiece rest(cell);
    for (std::string key; RE2::FindAndConsume(&rest, kName, &key);) {
      EXPECT_TRUE(keys.insert(key).second) << title << ": " << key << " is there twice";
    }
  }
  return keys;
}

std::string FaultsOf(const std::string& own) {
  const auto pack = ProviderPack::WithOwnFile({.name = "own.toml", .text = own});
  return pack.ok() ? "" : std::string(pack.status().message());
}

// The reader names all keys it knows when it meets one that it does not.
Keys KnownKeys(const std::string& own) {
  std::string known;
  const std::string faults = FaultsOf(own);
  EXPECT_TRUE(RE2::PartialMatch(faults, "unknown key \"zzz\".*; known keys: ([a-z_, ]+)", &known))
      << faults;
  const std::vector<std::string> keys = absl::StrSplit(known, ", ");
  return {keys.begin(), keys.end()};
}

TEST(ProviderDocs, HasAllKeysThatTheReaderKnowsAndNoOther) {
  const std::map<std::string, std::string> tables = {
      {"Keys of the file", "zzz = 1\n"},
      {"Keys of a source", "[source.x]\nzzz = 1\n"},
      {"Keys of a provider", "[[provider]]\nname = \"google\"\nzzz = 1\n"},
      {"Keys of a value",
       "[[provider]]\nname = \"google\"\nconnections = { value = 1, zzz = 1 }\n"},
      {"Keys of retry", "[[provider]]\nname = \"google\"\nretry = { zzz = 1 }\n"},
      {"Keys of a reply rule", "[[provider]]\nname = \"google\"\n[[provider.reply]]\nzzz = 1\n"},
  };
  for (const auto& [title, own] : tables) EXPECT_EQ(DocumentedKeys(title), KnownKeys(own)) << title;
}

TEST(ProviderDocs, HasAllActionsAndNoOther) {
  std::string known;
  const std::string faults =
      FaultsOf("[[provider]]\nname = \"google\"\n[[provider.reply]]\naction = \"zzz\"\n");
  ASSERT_TRUE(RE2::PartialMatch(faults, "action = \"zzz\": write ([a-z_, ]+)", &known)) << faults;
  const std::vector<std::string> actions = absl::StrSplit(known, ", ");
  const std::string chapter = Chapter("Keys of a reply rule");
  Keys documented;
  const std::string table = chapter.substr(chapter.find("| action | does |"));
  re2::StringPiece rest(table);
  static const RE2 kRow("\n\\| `([a-z_]+)` \\|");
  for (std::string action; RE2::FindAndConsume(&rest, kRow, &action);) documented.insert(action);
  EXPECT_EQ(documented, Keys(actions.begin(), actions.end()));
  for (const std::string& action : actions) {
    EXPECT_NE(chapter.find("action = \"" + action + "\""), chapter.npos)
        << action << " has no example";
  }
}

// What can be copied from the page works.
TEST(ProviderDocs, ExamplesAreTaken) {
  const std::string text = Document();
  re2::StringPiece rest(text);
  static const RE2 kBlock("(?s)\n```toml\n(.*?)\n```\n");
  int files = 0;
  for (std::string block; RE2::FindAndConsume(&rest, kBlock, &block);) {
    if (!block.starts_with("[[provider]]")) continue;
    EXPECT_EQ(FaultsOf(block), "") << block;
    ++files;
  }
  EXPECT_EQ(files, 4);
}

TEST(ProviderDocs, ExampleChangesWhatItSays) {
  const auto pack = ProviderPack::WithOwnFile(
      {.name = "own.toml",
       .text = "[[provider]]\nname = \"google\"\nconnections = 2\nrate = \"20/min\"\n"});
  ASSERT_TRUE(pack.ok()) << pack.status();
  const Provider* google = (*pack)->ByMx("aspmx.l.google.com");
  EXPECT_EQ(google->connections.value, 2u);
  EXPECT_EQ(google->connections.source->kind, SourceKind::kOwn);
  EXPECT_EQ(google->rate.value->count, 20u);
  EXPECT_EQ(google->messages_per_connection.value,
            ProviderPack::BuiltIn()->ByName("google")->messages_per_connection.value);
}

}  // namespace
}  // namespace volley::engine::policy
