// The 136 core cases of the Mustache specification, through the same columns and fields that a
// campaign's list gives.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/message/template.h"
#include "tests/engine/message/text_sink.h"

namespace volley::engine::message {
namespace {

using nlohmann::json;

// A row as the JSON Lines importer makes it. deque-like: `texts` never moves, as views point in.
struct SpecRow {
  std::vector<std::string> columns;
  std::vector<std::string> texts;
  std::vector<FieldView> fields;
  FieldView dot{{}, FieldKind::kMissing};
};

FieldKind KindOf(const json& value) {
  if (value.is_null()) return FieldKind::kMissing;
  if (value.is_boolean() && !value.get<bool>()) return FieldKind::kFalse;
  return value.is_structured() ? FieldKind::kJson : FieldKind::kText;
}

std::string TextOf(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void MakeRow(const json& data, SpecRow* row) {
  row->texts.reserve(data.size() + 1);
  if (!data.is_object()) {
    row->texts.push_back(TextOf(data));
    row->dot = {row->texts.back(), KindOf(data)};
    return;
  }
  for (const auto& [key, value] : data.items()) {
    row->columns.push_back(key);
    row->texts.push_back(TextOf(value));
    row->fields.push_back({row->texts.back(), KindOf(value)});
  }
}

void RunCase(const json& test) {
  SCOPED_TRACE(test["name"].get<std::string>() + ": " + test["desc"].get<std::string>());
  SpecRow row;
  MakeRow(test["data"], &row);
  const json partials = test.value("partials", json::object());
  const TemplateOptions options{
      .columns = row.columns,
      .partials = [&partials](std::string_view name) -> std::optional<std::string> {
        const auto it = partials.find(std::string(name));
        if (it == partials.end()) return std::nullopt;
        return it->get<std::string>();
      },
      .strict = false};
  const auto compiled = Template::Compile("spec", test["template"].get<std::string>(), options);
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  RenderScratch scratch;
  TextSink sink(*compiled, true);
  const TemplateRow values{.fields = row.fields, .dot = row.dot, .strict = false};
  const absl::Status status = RenderTemplate(*compiled, values, &scratch, &sink);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(sink.text(), test["expected"].get<std::string>());
}

TEST(MustacheSpec, PassesEveryCoreCase) {
  const std::filesystem::path folder = VOLLEY_SHARED_DATA_DIR "/mustache";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "SKIPPED: no shared test data";
  size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!name.ends_with(".json") || name.starts_with("~")) continue;
    SCOPED_TRACE(name);
    std::ifstream file(entry.path());
    const json spec = json::parse(file);
    for (const json& test : spec["tests"]) {
      RunCase(test);
      ++cases;
    }
  }
  EXPECT_EQ(cases, 136u);
}

}  // namespace
}  // namespace volley::engine::message
