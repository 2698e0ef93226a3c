#include "engine/message/template.h"

#include <gtest/gtest.h>

#include "engine/message/template_render.h"
#include "tests/engine/message/text_sink.h"

namespace volley::engine::message {
namespace {

const std::vector<std::string> kColumns = {"email", "first_name", "items",
                                           "user",  "a.b",        "First Name"};

std::string Message(const absl::Status& status) {
  return "error: " + std::string(status.message().data(), status.message().size());
}

std::string CompileError(std::string_view text, const PartialLoader& partials = nullptr) {
  const auto compiled =
      Template::Compile("t.txt", text, {.columns = kColumns, .partials = partials});
  return compiled.ok() ? "" : Message(compiled.status());
}

// A row in the order of kColumns.
struct Row {
  std::string first_name = "Ann";
  std::string items = R"([{"n": 1}, {"n": "two"}])";
  std::string user = R"({"name": "ann", "tags": ["x", "y"], "deep": {"er": "d"}})";
};

std::string Render(std::string_view text, const Row& row = {},
                   const PartialLoader& partials = nullptr) {
  const auto compiled =
      Template::Compile("t.txt", text, {.columns = kColumns, .partials = partials});
  if (!compiled.ok()) return Message(compiled.status());
  const FieldView fields[] = {
      {"ann@example.org"},          {row.first_name}, {row.items, FieldKind::kJson},
      {row.user, FieldKind::kJson}, {"dotted"},       {"spaced"}};
  RenderScratch scratch;
  TextSink sink(*compiled);
  const absl::Status status = RenderTemplate(*compiled, {.fields = fields}, &scratch, &sink);
  return status.ok() ? sink.text() : Message(status);
}

TEST(Template, RendersValuesSectionsAndLists) {
  EXPECT_EQ(Render("Hi {{first_name}}!"), "Hi Ann!");
  EXPECT_EQ(Render("{{#items}}[{{n}}]{{/items}}"), "[1][two]");
  EXPECT_EQ(Render("{{#user}}{{name}}: {{#tags}}{{.}} {{/tags}}{{/user}}"), "ann: x y ");
  EXPECT_EQ(Render("{{user.deep.er}} {{#user.tags}}{{.}}{{/user.tags}}"), "d xy");
}

TEST(Template, SeesTheRowFromInsideAList) {
  EXPECT_EQ(Render("{{#items}}{{first_name}}{{n}} {{/items}}"), "Ann1 Anntwo ");
}

TEST(Template, TakesColumnNamesWithDotsAndSpaces) {
  EXPECT_EQ(Render("{{a.b}} {{First Name}}"), "dotted spaced");
}

TEST(Template, GivesTheDefaultForAnEmptyOrMissingValue) {
  const Row empty{.first_name = ""};
  EXPECT_EQ(Render("Hi {{first_name|friend}}!", empty), "Hi friend!");
  EXPECT_EQ(Render("Hi {{ first_name | dear friend }}!", empty), "Hi dear friend!");
  EXPECT_EQ(Render("Hi {{{first_name|<b>}}} {{&first_name|&}}!", empty), "Hi <b> &!");
  EXPECT_EQ(Render("Hi {{first_name|}}!", empty), "Hi !");
  EXPECT_EQ(Render("Hi {{first_name|friend}}!"), "Hi Ann!");
  EXPECT_EQ(Render("{{user.none|nobody}}"), "nobody");
  EXPECT_EQ(Render("{{#items}}{{none|-}}{{/items}}"), "--");
}

TEST(Template, RefusesAnEmptyValueWithoutADefault) {
  EXPECT_EQ(Render("Hi\n {{first_name}}!", {.first_name = ""}),
            "error: t.txt:2:2: column \"first_name\" is empty: fill it or write a default, "
            "{{first_name|...}}");
  EXPECT_EQ(Render("{{#first_name}}Hi {{first_name}}{{/first_name}}.", {.first_name = ""}), ".");
  EXPECT_EQ(Render("{{#items}}{{none}}.{{/items}}"), "..");
}

TEST(Template, SaysWhereAndWhatIsWrong) {
  const std::pair<const char*, const char*> kCases[] = {
      {"a\nb {{name", "t.txt:2:3: no }} after \"{{name\""},
      {"Hi {{first_name, bye {{email}}", "t.txt:1:4: no }} after \"{{first_name, bye {{email}}\""},
      {"{{first_name\n}} x", ""},
      {"{{first\nname}}", "t.txt:1:1: no }} after \"{{first\""},
      {"{{{first_name}}", "t.txt:1:1: no }}} after \"{{{first_name}}\""},
      {"\n\n  {{#items}} x", "t.txt:3:3: the section items is never closed: add {{/items}}"},
      {"{{#items}}{{#user}}{{/items}}{{/user}}",
       "t.txt:1:20: {{/items}} where {{/user}} must come first: that section was opened in line 1"},
      {"x {{/items}}", "t.txt:1:3: {{/items}} closes nothing"},
      {"{{}}", "t.txt:1:1: a tag without a name"},
      {"{{ | x }}", "t.txt:1:1: no name before '|'"},
      {"{{=a}}", "t.txt:1:1: no =}} after \"{{=a}}\""},
      {"{{=a=}}", "t.txt:1:1: delimiters are set as {{=<% %>=}}: two words without '='"},
      {"{{= a b c =}}", "t.txt:1:1: delimiters are set as {{=<% %>=}}: two words without '='"},
      {"\xC3\xA9\xC3\xA9 {{frist_name}}",
       "t.txt:1:4: there is no column \"frist_name\"; did you mean {{first_name}}?"},
      {"{{FIRST_NAME}}",
       "t.txt:1:1: there is no column \"FIRST_NAME\"; did you mean {{first_name}}?"},
      {"{{zzz}}",
       "t.txt:1:1: there is no column \"zzz\"; the columns are email, first_name, items, user, "
       "a.b, "
       "First Name"},
      {"{{usr.name}}", "t.txt:1:1: there is no column \"usr\"; did you mean {{user}}?"},
      {"{{#itms}}{{/itms}}", "t.txt:1:1: there is no column \"itms\"; did you mean {{items}}?"},
      {"{{^items}}{{emial}}{{/items}}",
       "t.txt:1:11: there is no column \"emial\"; did you mean {{email}}?"},
      {"{{emial|x}}", "t.txt:1:1: there is no column \"emial\"; did you mean {{email}}?"},
      {"{{.}}", "t.txt:1:1: {{.}} outside a section"},
      {"{{>footer}}", "t.txt:1:1: there is no partial \"footer\""},
      {"ok\n\xFF", "t.txt:2:1: this line is not UTF-8: save the template as UTF-8"},
  };
  for (const auto& [text, error] : kCases) {
    EXPECT_EQ(CompileError(text), *error == '\0' ? "" : std::string("error: ") + error) << text;
  }
  EXPECT_EQ(CompileError(std::string("a\0b", 3)), "error: t.txt:1:1: the template has a NUL byte");
}

TEST(Template, LetsNamesInsideSectionsComeFromTheList) {
  EXPECT_EQ(CompileError("{{#items}}{{anything}}{{.}}{{/items}}"), "");
}

TEST(Template, ForgetsAByteOrderMark) {
  EXPECT_EQ(Render("\xEF\xBB\xBF{{email|x}}"), "ann@example.org");
}

TEST(Template, NamesThePartialInErrors) {
  const PartialLoader loader = [](std::string_view name) -> std::optional<std::string> {
    if (name == "footer") return "line\nbye {{nobody}}";
    return std::nullopt;
  };
  EXPECT_EQ(CompileError("x\n  {{>footer}}\n", loader).substr(0, 60),
            "error: footer:2:5: there is no column \"nobody\"; the columns ");
}

TEST(Template, BoundsPartialsThatIncludeThemselves) {
  const PartialLoader loader = [](std::string_view name) -> std::optional<std::string> {
    if (name == "same") return "x{{>same}}";
    if (name == "two") return "{{>same_two}}{{>same_two}}";
    if (name == "same_two") return "{{#items}}{{>two}}{{/items}}";
    return "y\n  {{>deeper}}\n";
  };
  EXPECT_EQ(Render("{{>same}}", {}, loader),
            "error: same:1:2: partials include each other without end");
  EXPECT_EQ(Render("{{>deeper}}", {}, loader).substr(0, 6), "error:");
  EXPECT_EQ(Render("{{>two}}", {}, loader).substr(0, 6), "error:");
}

TEST(Template, RecursesThroughPartialsAsDeepAsTheData) {
  const PartialLoader loader = [](std::string_view) -> std::optional<std::string> {
    return "<{{name}}{{#child}}{{>node}}{{/child}}>";
  };
  const Row row{.user = R"({"name":"a","child":{"name":"b","child":{"name":"c","child":false}}})"};
  EXPECT_EQ(Render("{{#user}}{{>node}}{{/user}}", row, loader), "<a<b<c>>>");
}

TEST(Template, StopsAMessageThatExplodes) {
  std::string list = "[0";
  for (int i = 1; i < 100; ++i) list += ",0";
  list += "]";
  std::string text;
  for (int i = 0; i < 6; ++i) text += "{{#items}}";
  text += "x";
  for (int i = 0; i < 6; ++i) text += "{{/items}}";
  EXPECT_EQ(Render(text, {.items = list}),
            "error: t.txt:1:51: this makes the message too long: lists in lists, or a partial in "
            "itself");
}

TEST(Template, BoundsTheDepthOfSections) {
  std::string text;
  for (int i = 0; i < 33; ++i) text += "{{#items}}";
  EXPECT_EQ(CompileError(text), "error: t.txt:1:321: sections nested more than 32 deep");
}

TEST(Template, RefusesAListAsAValue) {
  EXPECT_EQ(Render("{{items}}"),
            "error: t.txt:1:1: items is a list or an object: use {{#items}}...{{/items}}");
}

TEST(Template, RefusesAFieldThatIsNoJson) {
  EXPECT_EQ(Render("{{#items}}{{/items}}", {.items = "[1,"}),
            "error: t.txt:1:1: column \"items\" is \"[1,\", which is not valid JSON");
  EXPECT_EQ(Render("{{first_name}}", {.items = "[1,"}), "Ann");
}

TEST(Template, ListsTheColumnsThatMustNotBeEmpty) {
  const auto compiled = Template::Compile(
      "t.txt", "{{email}}{{first_name|x}}\n{{#items}}{{user}}{{/items}}{{a.b}}{{email}}",
      {.columns = kColumns});
  ASSERT_TRUE(compiled.ok());
  ASSERT_EQ(compiled->required.size(), 2u);
  EXPECT_EQ(compiled->required[0].column, 0u);
  EXPECT_EQ(compiled->required[0].at.line, 1u);
  EXPECT_EQ(compiled->required[1].column, 4u);
  EXPECT_EQ(compiled->required[1].at.line, 2u);
}

TEST(Template, FalseRendersButItsSectionDoesNot) {
  const auto compiled = Template::Compile(
      "t", "{{email}}{{#email}}x{{/email}}{{^email}}y{{/email}}", {.columns = kColumns});
  ASSERT_TRUE(compiled.ok());
  std::vector<FieldView> fields(kColumns.size());
  fields[0] = {"", FieldKind::kFalse};
  RenderScratch scratch;
  TextSink sink(*compiled);
  ASSERT_TRUE(RenderTemplate(*compiled, {.fields = fields}, &scratch, &sink).ok());
  EXPECT_EQ(sink.text(), "falsey");
}

}  // namespace
}  // namespace volley::engine::message
