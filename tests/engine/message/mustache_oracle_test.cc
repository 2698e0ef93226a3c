// Random templates over random data, rendered by us and by kainjow's library, which shares no code
// with ours. Left out is what it does differently on purpose, with the reason at each place.
#include <gtest/gtest.h>

#if __has_include(<kainjow/mustache.hpp>)
#include <kainjow/mustache.hpp>
#include <nlohmann/json.hpp>

#include "engine/message/template.h"
#include "tests/engine/message/decode.h"
#include "tests/engine/message/text_sink.h"

namespace volley::engine::message {
namespace {

using nlohmann::json;

kainjow::mustache::data ToKainjow(const json& value) {
  using kainjow::mustache::data;
  if (value.is_object()) {
    data object(data::type::object);
    for (const auto& [key, member] : value.items()) object.set(key, ToKainjow(member));
    return object;
  }
  if (value.is_array()) {
    data list(data::type::list);
    for (const auto& item : value) list.push_back(ToKainjow(item));
    return list;
  }
  if (value.is_boolean()) return data(value.get<bool>());
  return data(value.get<std::string>());
}

const std::vector<std::string> kNames = {"a", "b", "list", "none", "object", "empty"};

json RandomValue(Random* random, int depth) {
  const std::vector<std::string> kText = {"x", "<&>", "\"'", " ", "{{a}}", "\n", "\xC3\xA9"};
  const size_t kind = random->Below(depth >= 2 ? 2 : 4);
  if (kind <= 1) {
    // Not empty: an empty text is false to us (a list's empty cell) and true to the library.
    return "v" + random->Text(kText, 3);
  }
  if (kind == 2) {
    json list = json::array();
    for (size_t n = random->Below(4); n > 0; --n) {
      json item = json::object();
      for (const char* key : {"a", "b"}) {
        if (random->Below(2) == 0) item[key] = RandomValue(random, 2);
      }
      item["n"] = "i" + std::to_string(n);
      list.push_back(item);
    }
    return list;
  }
  json object = json::object();
  object["n"] = "o";
  if (random->Below(2) == 0) object["a"] = RandomValue(random, 2);
  return object;
}

// A tag with text on both sides. Tags alone on a line are left out: the library decides while it
// renders, so "{{^b}}x\n{{/b}}\n" leaves a line behind when b is true, and the specification
// (whose own cases cover them) takes a line with one tag only.
std::string Tag(Random* random, const std::string& tag) {
  const std::vector<std::string> kBefore = {"x", "x ", "\nx", "\r\nx\t"};
  const std::vector<std::string> kAfter = {"y", " y", "y\n", "\ty\r\n"};
  return kBefore[random->Below(kBefore.size())] + tag + kAfter[random->Below(kAfter.size())];
}

std::string RandomTemplate(Random* random, int depth) {
  const std::vector<std::string> kStatic = {"text", " ", "\n", "\n", "  ", "<p>", "} ", " { ", "|"};
  // Names that are text wherever they are found: what a list renders as is not specified.
  const std::vector<std::string> kValues = {"{{t}}",    "{{ n }}",      "{{{t}}}",
                                            "{{& n }}", "{{object.n}}", "{{! a comment }}"};
  std::string out;
  for (size_t n = 1 + random->Below(6); n > 0; --n) {
    const std::string name = kNames[random->Below(kNames.size())];
    const size_t kind = random->Below(depth >= 3 ? 4 : 8);
    if (kind < 2) {
      out += Tag(random, kValues[random->Below(kValues.size())]);
    } else if (kind < 4) {
      out += random->Text(kStatic, 4);
    } else {
      out += Tag(random, (kind == 4 ? "{{^" : "{{#") + name + "}}") +
             RandomTemplate(random, depth + 1) + Tag(random, "{{/" + name + "}}");
    }
  }
  return out;
}

std::string RenderOurs(const std::string& text, const json& data) {
  std::vector<std::string> columns;
  std::vector<std::string> texts;
  std::vector<FieldView> fields;
  texts.reserve(data.size());
  for (const auto& [key, value] : data.items()) {
    columns.push_back(key);
    texts.push_back(value.is_string() ? value.get<std::string>() : value.dump());
    const bool falsey = value.is_boolean() && !value.get<bool>();
    fields.push_back({texts.back(), value.is_structured() ? FieldKind::kJson
                                    : falsey              ? FieldKind::kFalse
                                                          : FieldKind::kText});
  }
  const auto compiled = Template::Compile("t", text, {.columns = columns, .strict = false});
  if (!compiled.ok()) return compiled.status().ToString();
  RenderScratch scratch;
  TextSink sink(*compiled, true);
  const absl::Status status =
      RenderTemplate(*compiled, {.fields = fields, .strict = false}, &scratch, &sink);
  return status.ok() ? sink.text() : status.ToString();
}

TEST(MustacheOracle, RendersAsKainjowDoes) {
  size_t with_text = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    json data = {{"t", RandomValue(&random, 2)}, {"n", "root"}, {"empty", json::array()}};
    for (const char* key : {"a", "b"}) data[key] = RandomValue(&random, 0);
    data["list"] = RandomValue(&random, 0);
    data["object"] = json{{"n", "on"}};
    if (random.Below(2) == 0) data["b"] = random.Below(2) == 0;
    const std::string text = RandomTemplate(&random, 0);
    kainjow::mustache::mustache oracle(text);
    ASSERT_TRUE(oracle.is_valid()) << oracle.error_message();
    std::string expected = oracle.render(ToKainjow(data));
    // Old HTML readers do not know &apos;, so we write the number.
    for (size_t at = 0; (at = expected.find("&apos;", at)) != std::string::npos;) {
      expected.replace(at, 6, "&#39;");
    }
    ASSERT_EQ(RenderOurs(text, data), expected)
        << "seed " << seed << "\ntemplate: " << json(text).dump() << "\ndata: " << data.dump();
    with_text += expected.empty() ? 0 : 1;
  }
  EXPECT_GT(with_text, 2000u);
}

}  // namespace
}  // namespace volley::engine::message
#else
TEST(MustacheOracle, RendersAsKainjowDoes) {
  GTEST_SKIP() << "SKIPPED: libkainjow-mustache-dev is not installed";
}
#endif
