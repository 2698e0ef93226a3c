#include "pipeline/route/presets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "pipeline/route/relay_url.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;

TEST(Presets, EachIsWholeAndEncrypted) {
  ASSERT_GE(Presets().size(), 20u);
  for (const Preset& listed : Presets()) {
    SCOPED_TRACE(listed.name);
    const auto preset =
        FindPreset(listed.argument.empty() ? listed.name : listed.name + ":" + listed.example);
    ASSERT_TRUE(preset.ok()) << preset.status();
    const auto url = ParseRelayUrl(preset->url);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_TRUE(url->tls == engine::smtp::TlsPolicy::kRequired ||
                url->tls == engine::smtp::TlsPolicy::kImplicit);
    EXPECT_FALSE(preset->note.empty());
    EXPECT_TRUE(preset->source.starts_with("https://"));
    EXPECT_EQ(preset->url.find('{'), std::string::npos);
    EXPECT_EQ(preset->token_url.empty(), preset->scope.empty());
  }
}

TEST(Presets, EachIsInTheDocs) {
  std::ifstream file(VOLLEY_TESTS_DIR "/../docs/relays.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const Preset& preset : Presets()) {
    const std::string shown =
        preset.argument.empty() ? preset.name : preset.name + ":" + preset.example;
    EXPECT_THAT(text, HasSubstr("| `" + shown + "` | `")) << "docs/relays.md lacks it";
  }
}

TEST(Presets, TheOnesPeopleAskForAreThere) {
  for (const char* name :
       {"gmail", "outlook", "icloud", "yahoo", "sendgrid", "mailgun", "postmark"}) {
    EXPECT_TRUE(FindPreset(name).ok()) << name;
  }
  EXPECT_EQ(FindPreset("SES:eu-west-1")->url, "smtps://email-smtp.eu-west-1.amazonaws.com:465");
}

std::string ErrorOf(const char* text) { return std::string(FindPreset(text).status().message()); }

TEST(Presets, ErrorsSayWhatWouldBeRight) {
  EXPECT_THAT(ErrorOf("gmial"), HasSubstr("did you mean \"gmail\""));
  EXPECT_THAT(ErrorOf("ses"), HasSubstr("ses:eu-west-1"));
  EXPECT_THAT(ErrorOf("ses:"), HasSubstr("ses:eu-west-1"));
  EXPECT_THAT(ErrorOf("ses:eu/west"), HasSubstr("ses:eu-west-1"));
  EXPECT_THAT(ErrorOf("gmail:x"), HasSubstr("write just gmail"));
  EXPECT_THAT(ErrorOf("127.0.0.1:25"), HasSubstr("smtp://127.0.0.1:25"));
}

}  // namespace
}  // namespace volley::pipeline
