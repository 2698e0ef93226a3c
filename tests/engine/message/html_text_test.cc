#include "engine/message/html_text.h"

#include <gtest/gtest.h>

#include "engine/message/template.h"
#include "engine/message/utf8.h"
#include "tests/engine/message/message_spec.h"
#include "tests/engine/message/text_sink.h"

namespace volley::engine::message {
namespace {

TEST(HtmlToText, MakesParagraphsAndLinesOfBlocks) {
  EXPECT_EQ(HtmlToText("<p>One\n two</p><p>Three</p>"), "One two\n\nThree\n");
  EXPECT_EQ(HtmlToText("<h1>Title</h1>text<div>a</div><div>b</div>c"), "Title\n\ntext\na\nb\nc");
  EXPECT_EQ(HtmlToText("a<br>b<br><br>c<BR/><br/><br/>d"), "a\nb\n\nc\n\nd");
  EXPECT_EQ(HtmlToText("  <p>  </p><p>&nbsp;</p> x"), "x");
  EXPECT_EQ(HtmlToText("a<hr>b"), "a\n\n----------\n\nb");
}

TEST(HtmlToText, ShowsLinksWithTheirAddress) {
  EXPECT_EQ(HtmlToText("<a href=\"https://x.example/?a=1&amp;b=2\">Read more</a>."),
            "Read more (https://x.example/?a=1&b=2).");
  EXPECT_EQ(HtmlToText("<a href='https://x.example'>https://x.example</a>"), "https://x.example");
  EXPECT_EQ(HtmlToText("<a href=https://x.example/>x.example</a>"), "x.example");
  EXPECT_EQ(HtmlToText("<a href=\"{{url}}\">here</a> now"), "here ({{url}}) now");
  EXPECT_EQ(HtmlToText("<a href=\"mailto:a@b.example\">Write</a>"), "Write (a@b.example)");
  EXPECT_EQ(HtmlToText("<a href=\"#top\">up</a> <a name=x>y</a>"), "up y");
  EXPECT_EQ(HtmlToText("<a href=\"https://x.example\"><img src=a.png></a>"), "https://x.example");
  EXPECT_EQ(HtmlToText("<a href=\"https://x.example\"><img alt='Our &lt;shop&gt;'></a>"),
            "Our <shop> (https://x.example)");
}

TEST(HtmlToText, MarksListItems) {
  EXPECT_EQ(
      HtmlToText("<p>We have:</p><ul><li>one</li><li>two <b>big</b><ul><li>deep</ul></ul>End"),
      "We have:\n\n- one\n- two big\n  - deep\n\nEnd");
  EXPECT_EQ(HtmlToText("<ol><li><p>one</p></li><li></li><li>two</li></ol>"), "- one\n\n- two\n");
}

TEST(HtmlToText, PutsATableRowOnALine) {
  EXPECT_EQ(HtmlToText("<table>\n<tr><th>What</th>\n<th>Price</th></tr>\n"
                       "<tr><td>Chair</td><td>10</td></tr></table>after"),
            "What  Price\nChair  10\nafter");
}

TEST(HtmlToText, DropsWhatNobodyReads) {
  EXPECT_EQ(
      HtmlToText("<html><head><title>T</title><style>p{}</style></head><body>x</body></html>"),
      "x\n");
  EXPECT_EQ(HtmlToText("<head><meta charset=utf-8><body>x"), "x");
  EXPECT_EQ(HtmlToText("<head>never closed"), "never closed");
  EXPECT_EQ(HtmlToText("a<style>p > b { }</style><script>if (a<b) \"</p>\"</script>b"), "ab");
  EXPECT_EQ(HtmlToText("a<!-- <p>x</p> -->b<![if !mso]>c<![endif]>"), "abc");
  EXPECT_EQ(HtmlToText("<div style=\"DISPLAY: none;\">pre<div>view</div>er</div>x"), "x");
  EXPECT_EQ(HtmlToText("<span hidden>a</span><img hidden alt=b>x"), "x");
  EXPECT_EQ(HtmlToText("<b unclosed"), "");
  EXPECT_EQ(HtmlToText("1 < 2 <3 && 4 > 3"), "1 < 2 <3 && 4 > 3");
  EXPECT_EQ(HtmlToText("<p title='a > b'>x"), "x");
}

TEST(HtmlToText, DecodesReferences) {
  EXPECT_EQ(HtmlToText("&lt;&eacute;&euro;&#233;&#xE9;&#128;&apos;&hellip;&thetasym;"),
            "<\xC3\xA9\xE2\x82\xAC\xC3\xA9\xC3\xA9\xE2\x82\xAC'\xE2\x80\xA6\xCF\x91");
  EXPECT_EQ(HtmlToText("AT&T &unknown; &copy 2025 &copy=1 &#; &"),
            "AT&T &unknown; \xC2\xA9 2025 &copy=1 &#; &");
  EXPECT_EQ(HtmlToText("a&nbsp;b&#8203;c&shy;d"), "a bcd");
  EXPECT_EQ(HtmlToText("&#0;&#xD800;&#99999999999;&#x7f;"),
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(DecodeReference("&amp;x")->bytes, 5u);
  EXPECT_FALSE(DecodeReference("&").has_value());
  EXPECT_FALSE(DecodeReference("x&amp;").has_value());
}

TEST(HtmlToText, BreaksLinesBetweenWords) {
  std::string words;
  for (int i = 0; i < 100; ++i) words += "word ";
  const std::string text = HtmlToText("<p>" + words + "</p>");
  size_t lines = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 76u);
    EXPECT_NE(text[end - 1], ' ');
    at = end + 1;
    ++lines;
  }
  EXPECT_EQ(lines, 7u);
  const std::string tag = "{{a|" + std::string(100, 'x') + " y}}";
  EXPECT_EQ(HtmlToText("word " + tag + " z"), "word\n" + tag + "\nz");
  EXPECT_EQ(HtmlToText("<pre>a  b\n  c\n\n" + std::string(90, 'x') + " y</pre>"),
            "a  b\n  c\n\n" + std::string(90, 'x') + " y\n");
}

TEST(HtmlToText, LeavesMustacheTagsAlone) {
  EXPECT_EQ(HtmlToText("<p>Hi {{name|a & b}}, {{{raw}}} {{&amp}}</p>"),
            "Hi {{name|a & b}}, {{{raw}}} {{&amp}}\n");
  EXPECT_EQ(HtmlToText("<p class=\"{{#a}}x{{/a}}\" {{#b}}id=\"y\"{{/b}}>t</p>"), "t\n");
  EXPECT_EQ(HtmlToText("{{! a comment with <b> }}x"), "x");
  // A line with nothing but this tag is taken away by Mustache.
  EXPECT_EQ(HtmlToText("{{=<% %>=}}<p><% name %> {{x}}</p>"), "{{=<% %>=}}\n<% name %> {{x}}\n");
}

TEST(HtmlToText, NeverMakesATagOfWhatIsNone) {
  EXPECT_EQ(HtmlToText("&#123;&#123;name}}"), "{ {name}}");
  EXPECT_EQ(HtmlToText("{<b>{</b>name}}"), "{ {name}}");
  EXPECT_EQ(HtmlToText("&#123;{{name}}"), "{ {{name}}");
  EXPECT_EQ(HtmlToText("<a href=\"https://x/&#123;&#123;a}}\">b</a>"), "b (https://x/%7B%7Ba}})");
}

std::string Rendered(const std::string& html, const TestRow& row = {}) {
  const std::string text = HtmlToText(html);
  const auto compiled = Template::Compile("t", text, {.columns = kTestColumns});
  EXPECT_TRUE(compiled.ok()) << compiled.status() << "\n" << text;
  if (!compiled.ok()) return "";
  const FieldView fields[] = {
      {row.first_name}, {row.token}, {row.items, FieldKind::kJson}, {row.city}};
  RenderScratch scratch;
  TextSink sink(*compiled);
  EXPECT_TRUE(RenderTemplate(*compiled, {.fields = fields}, &scratch, &sink).ok());
  return sink.text();
}

TEST(HtmlToText, KeepsSectionsWorking) {
  const std::string list =
      "<p>Yours:</p>\n<ul>\n{{#items}}\n  <li>{{n}}</li>\n{{/items}}\n</ul>\n<p>Bye</p>\n";
  EXPECT_EQ(Rendered(list, {.items = R"([{"n":1},{"n":2}])"}), "Yours:\n\n- 1\n- 2\n\nBye\n");
  EXPECT_EQ(
      Rendered("<ul>{{#items}}<li>{{n}}</li>{{/items}}</ul>End", {.items = R"([{"n":1},{"n":2}])"}),
      "- 1\n- 2\n\nEnd");
  const std::string inline_section = "<p>Hello\n{{#city}}\nyou in {{city}}\n{{/city}}\nbye</p>";
  EXPECT_EQ(Rendered(inline_section), "Hello you in Paris bye\n");
  EXPECT_EQ(Rendered(inline_section, {.city = ""}), "Hello bye\n");
  EXPECT_EQ(Rendered("<p>a</p>\n{{#city}}\n<p>b</p>\n{{/city}}\n<p>c</p>"), "a\n\nb\n\nc\n");
  EXPECT_EQ(Rendered("<p>a</p>\n{{#city}}\n<p>b</p>\n{{/city}}\n<p>c</p>", {.city = ""}),
            "a\n\nc\n");
  EXPECT_EQ(Rendered("<ul><li>{{#city}}x{{/city}} y</li></ul>", {.city = ""}), "-  y\n");
}

TEST(HtmlToText, KeepsSectionsThatBeginOrEndInWhatIsDropped) {
  for (const char* html :
       {"<style>{{#city}}</style>x{{/city}}", "<!-- {{^city}} -->x{{/city}}",
        "<p class='{{#city}}'>x{{/city}}</p>", "<div hidden>{{#city}}</div>x{{/city}}",
        "<a href='{{#city}}https://y'>x</a>{{/city}}",
        "<head>{{#city}}</head><body>x</body>{{/city}}"}) {
    const std::string text = HtmlToText(html);
    EXPECT_TRUE(Template::Compile("t", text, {.strict = false}).ok()) << html << "\n" << text;
    EXPECT_NE(text.find('x'), std::string::npos) << html;
  }
}

TEST(HtmlToText, IsLinearInHostileInput) {
  constexpr size_t kBytes = 2 << 20;
  // Quadratic work would take hours and run into the test's time limit.
  for (const std::string piece : {"<",
                                  "{{",
                                  "{{x ",
                                  "<b {{",
                                  "<a href=",
                                  "&#1",
                                  "<!--",
                                  "<svg>",
                                  "<head></head>",
                                  "<head>",
                                  "<ul>",
                                  "<li>",
                                  "<div hidden>",
                                  "<p style='",
                                  "</",
                                  "<a b = ",
                                  " ",
                                  "{",
                                  "<x a={{ b",
                                  "<img alt={{a}}",
                                  "<td>",
                                  "{{#a}}",
                                  "<br>",
                                  "<title>"}) {
    std::string html;
    while (html.size() < kBytes) html += piece;
    EXPECT_LE(HtmlToText(html).size(), html.size() * 8) << piece;
  }
}

}  // namespace
}  // namespace volley::engine::message
