// Plays every dialogue of this folder that is not a server's against the client machine, with whole
// segments and byte by byte.
#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/dialogues/cases.h"
#include "tests/dialogues/client_player.h"
#include "tests/dialogues/runner.h"

namespace volley::dialogues {
namespace {

std::vector<std::string> ClientDialogues() {
  return List(VOLLEY_TESTS_DIR "/dialogues",
              [](std::string_view name) { return !name.starts_with("server-"); });
}

class ClientDialogue : public testing::TestWithParam<Case> {};

TEST_P(ClientDialogue, GoesAsWritten) {
  const auto& [path, segmentation] = GetParam();
  const absl::StatusOr<Dialogue> dialogue = Load(path);
  ASSERT_TRUE(dialogue.ok()) << dialogue.status().message();
  ClientPlayer player(&*dialogue, segmentation);
  EXPECT_EQ(player.Play(), "");
}

INSTANTIATE_TEST_SUITE_P(All, ClientDialogue,
                         testing::Combine(testing::ValuesIn(ClientDialogues()),
                                          testing::Values(Segmentation::kWhole,
                                                          Segmentation::kByteByByte)),
                         CaseName);

// What the player is for is to fail. Each of these has one fault.
std::string Fault(std::string_view text) {
  const absl::StatusOr<Dialogue> dialogue = Parse("d.smtp", text);
  if (!dialogue.ok()) return std::string(dialogue.status().message());
  return ClientPlayer(&*dialogue, Segmentation::kWhole).Play();
}

TEST(ClientPlayerTest, FindsOutputThatIsNotWrittenDown) {
  EXPECT_THAT(Fault("S: 220 hi\n@close\n= closed peer-closed\n"),
              testing::StartsWith("d.smtp:2: before this the client also sends\nEHLO"));
}

TEST(ClientPlayerTest, FindsOutputThatDiffers) {
  EXPECT_THAT(Fault("S: 220 hi\nC: HELO client.example\n"), testing::StartsWith("d.smtp:2: "));
}

TEST(ClientPlayerTest, FindsOutputThatDoesNotCome) {
  EXPECT_THAT(Fault("S: 220 hi\nC: EHLO client.example\nC: MAIL FROM:<>\n= open\n"),
              testing::HasSubstr("but sends\nnothing"));
}

TEST(ClientPlayerTest, FindsAnEventThatIsNotWrittenDown) {
  EXPECT_THAT(Fault("S: 199 hi\n"), testing::StartsWith("d.smtp:1: after the last line: "));
}

TEST(ClientPlayerTest, FindsAnEventThatDiffers) {
  EXPECT_THAT(Fault("# c\nS: 199 hi\n= closed quit\n"),
              testing::StartsWith("d.smtp:3: the client reports 'closed protocol-error"));
}

TEST(ClientPlayerTest, WantsTheEndOfTheSessionSaid) {
  EXPECT_THAT(Fault("S: 220 hi\nC: EHLO client.example\n"), testing::HasSubstr("neither closed"));
}

TEST(ClientPlayerTest, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(Fault("X: 220 hi\n"), testing::StartsWith("d.smtp:1: a line begins with"));
  EXPECT_THAT(Fault("@jump\n"), testing::StartsWith("d.smtp:1: unknown directive"));
  EXPECT_THAT(Fault("= happy very\n"), testing::StartsWith("d.smtp:1: unknown expectation"));
  EXPECT_THAT(Fault("S~ 220\\q\n"), testing::StartsWith("d.smtp:1: an unknown escape"));
}

}  // namespace
}  // namespace volley::dialogues
