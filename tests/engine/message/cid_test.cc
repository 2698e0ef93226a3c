#include "engine/message/cid.h"

#include <gtest/gtest.h>

#include <vector>

namespace volley::engine::message {
namespace {

std::vector<CidTarget> Targets() {
  return {{"logo.png", "1.logo@x"}, {"my logo.png", "2.my@x"}, {"a", "3.a@[x]"}};
}

std::string Error(std::string_view html) {
  std::vector<CidTarget> targets = Targets();
  const absl::Status status = FindCids("t.html", html, targets);
  return {status.message().data(), status.message().size()};
}

TEST(Cid, RewritesNamesToContentIds) {
  const auto targets = Targets();
  EXPECT_EQ(RewriteCids("<img src=\"cid:logo.png\"><img src='CID:my logo.png'>", targets),
            "<img src=\"cid:1.logo@x\"><img src='CID:2.my@x'>");
  EXPECT_EQ(RewriteCids("<img src=cid:a> url(cid:my%20logo.png)", targets),
            "<img src=cid:3.a@%5Bx%5D> url(cid:2.my@x)");
  EXPECT_EQ(RewriteCids("srcset=\"cid:a 1x, cid:logo.png 2x\"", targets),
            "srcset=\"cid:3.a@%5Bx%5D 1x, cid:1.logo@x 2x\"");
  EXPECT_EQ(RewriteCids("say cid:what and placid:a", targets), "say cid:what and placid:a");
  EXPECT_EQ(RewriteCids("", targets), "");
}

TEST(Cid, MarksWhatIsUsed) {
  std::vector<CidTarget> targets = Targets();
  EXPECT_TRUE(
      FindCids("t", "<img src=\"{{#x}}cid:a{{/x}}{{^x}}cid:my%20logo.png{{/x}}\">", targets).ok());
  EXPECT_FALSE(targets[0].used);
  EXPECT_TRUE(targets[1].used);
  EXPECT_TRUE(targets[2].used);
}

TEST(Cid, NamesWhatHasNoPart) {
  EXPECT_EQ(Error("\n<p>\n<img src=\"cid:logo.gif\">"),
            "t.html:3: cid:logo.gif names no inline part of this message");
  EXPECT_EQ(Error("<img src=\"cid:{{x}}\">"),
            "t.html:1: cid: with a variable: name the inline part itself");
  EXPECT_EQ(Error("<img src=\"cid:a{{x}}\">"),
            "t.html:1: cid:a with a variable: name the inline part itself");
  EXPECT_EQ(Error("In text cid:this is only a word"), "");
  EXPECT_EQ(Error("<img src='cid:"), "t.html:1: cid: names no inline part of this message");
}

}  // namespace
}  // namespace volley::engine::message
