#include "engine/message/json_view.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/engine/message/decode.h"

namespace volley::engine::message {
namespace {

TEST(JsonView, AcceptsExactlyJson) {
  for (const char* text :
       {"null", "true", "false", "0", "-0.5e+3", "12", "\"\"", "[]", "{}", " [1, 2] ",
        "{\"a\": [1, {\"b\": null}]}", "\"\\u00e9\\n\\\"\"", "\"\\ud83d\\ude00\"", "[[], {}]"}) {
    EXPECT_TRUE(IsJson(text)) << text;
  }
  for (const char* text : {"",
                           " ",
                           "nul",
                           "truex",
                           "01",
                           "1.",
                           ".5",
                           "-",
                           "1e",
                           "+1",
                           "\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"a\nb\"",
                           "[1,]",
                           "[1 2]",
                           "[",
                           "]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{a:1}",
                           "{\"a\":1,}",
                           "[1]]",
                           "\"\\ud83d\"",
                           "\"\\ude00\"",
                           "\"\\ud83d\\u0041\"",
                           "'a'",
                           "1 2",
                           "{\"a\":1"}) {
    EXPECT_FALSE(IsJson(text)) << text;
  }
}

TEST(JsonView, BoundsTheDepth) {
  EXPECT_TRUE(IsJson(std::string(32, '[') + std::string(32, ']')));
  EXPECT_FALSE(IsJson(std::string(33, '[') + std::string(33, ']')));
  EXPECT_FALSE(IsJson(std::string(1'000'000, '[')));
}

TEST(JsonView, FindsMembers) {
  const JsonView json("{ \"a\" : 1 , \"b\":{\"c\":\"x]}\\\"\"},\"\\u0064\":[1],\"a\":2}");
  EXPECT_EQ(json.Member("a")->text(), "1");
  EXPECT_EQ(json.Member("b")->Member("c")->raw_string(), "x]}\\\"");
  EXPECT_EQ(json.Member("d")->text(), "[1]");
  EXPECT_FALSE(json.Member("c").has_value());
  EXPECT_FALSE(JsonView("{}").Member("a").has_value());
}

TEST(JsonView, WalksElements) {
  const JsonView array("[ 1 ,\"a,]\",[2, 3], {\"x\":[]} , null]");
  JsonView::Elements elements(array);
  std::vector<std::string> seen;
  while (const auto element = elements.Next()) seen.emplace_back(element->text());
  EXPECT_EQ(seen, (std::vector<std::string>{"1", "\"a,]\"", "[2, 3]", "{\"x\":[]}", "null"}));
  EXPECT_FALSE(JsonView::Elements(JsonView("[ ]")).Next().has_value());
}

TEST(JsonView, DecodesStrings) {
  std::string out;
  AppendDecodedString("a\\n\\t\\\"\\\\\\/\\u00e9\\ud83d\\ude00\\u0041", &out);
  EXPECT_EQ(out,
            "a\n\t\"\\/\xC3\xA9\xF0\x9F\x98\x80"
            "A");
}

// Compares every part of `view` with the tree nlohmann makes of the same text.
void ExpectSame(const JsonView& view, const nlohmann::json& tree) {
  switch (view.type()) {
    case JsonType::kArray: {
      ASSERT_TRUE(tree.is_array());
      JsonView::Elements elements(view);
      for (const auto& item : tree) {
        const auto element = elements.Next();
        ASSERT_TRUE(element.has_value());
        ExpectSame(*element, item);
      }
      ASSERT_FALSE(elements.Next().has_value());
      break;
    }
    case JsonType::kObject: {
      ASSERT_TRUE(tree.is_object());
      for (const auto& [key, value] : tree.items()) {
        const auto member = view.Member(key);
        ASSERT_TRUE(member.has_value()) << key;
        ExpectSame(*member, value);
      }
      break;
    }
    case JsonType::kString: {
      std::string decoded;
      AppendDecodedString(view.raw_string(), &decoded);
      ASSERT_EQ(decoded, tree.get<std::string>());
      break;
    }
    default:
      ASSERT_EQ(nlohmann::json::parse(view.text()), tree);
  }
}

nlohmann::json RandomTree(Random* random, int depth) {
  const std::vector<std::string> kText = {"a",
                                          "\"",
                                          "\\",
                                          "\n",
                                          "\xC3\xA9",
                                          "]",
                                          "}",
                                          ",",
                                          " ",
                                          "\xF0\x9F\x98\x80",
                                          std::string(1, '\x01')};
  switch (random->Below(depth > 3 ? 5 : 8)) {
    case 0:
      return nullptr;
    case 1:
      return random->Below(2) == 0;
    case 2:
      return static_cast<int>(random->Below(2000)) - 1000;
    case 3:
      return 0.25 * static_cast<double>(random->Below(1000));
    case 4:
      return random->Text(kText, 8);
    case 5: {
      auto array = nlohmann::json::array();
      for (size_t n = random->Below(5); n > 0; --n) array.push_back(RandomTree(random, depth + 1));
      return array;
    }
    default: {
      auto object = nlohmann::json::object();
      for (size_t n = random->Below(5); n > 0; --n) {
        object[random->Text(kText, 3)] = RandomTree(random, depth + 1);
      }
      return object;
    }
  }
}

TEST(JsonView, ReadsWhatNlohmannWrites) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    Random random(seed);
    const nlohmann::json tree = RandomTree(&random, 0);
    const std::string text = tree.dump(random.Below(2) == 0 ? -1 : 2, ' ', random.Below(2) == 0);
    SCOPED_TRACE(testing::Message() << "seed " << seed << ": " << text);
    ASSERT_TRUE(IsJson(text));
    ExpectSame(JsonView(text), tree);
    if (HasFatalFailure()) return;
  }
}

TEST(JsonView, AgreesWithNlohmannOnDamagedText) {
  size_t valid = 0;
  for (uint64_t seed = 1; seed <= 5000; ++seed) {
    Random random(seed);
    std::string text = RandomTree(&random, 0).dump(-1, ' ', true);
    for (size_t n = 1 + random.Below(2); n > 0 && !text.empty(); --n) {
      constexpr std::string_view kBytes = "[]{},:\"\\0a 1-.u";
      const size_t at = random.Below(text.size());
      if (random.Below(2) == 0) {
        text[at] = kBytes[random.Below(kBytes.size())];
      } else {
        text.erase(at, 1);
      }
    }
    ASSERT_EQ(IsJson(text), nlohmann::json::accept(text)) << "seed " << seed << ": " << text;
    valid += IsJson(text) ? 1 : 0;
  }
  EXPECT_GT(valid, 100u);
  EXPECT_LT(valid, 4900u);
}

}  // namespace
}  // namespace volley::engine::message
