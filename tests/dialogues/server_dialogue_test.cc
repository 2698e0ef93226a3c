// Plays the server-*.smtp dialogues against the server machine, with whole groups and byte by byte.
// C: lines that follow one another are one group: they reach the server before any reply to them is
// taken. Every reply must be written down, in full. The handler's rules are in server_peer.h.
//   @options lmtp no-pipelining no-chunking no-smtputf8 size-max=N recipients-max=N mail-max=N
//            rcpt-max=N errors-max=N     (before the first S:)
//   @repeat count=N char=X               N bytes X are sent, part of the group
//   @hang-up                             the client is gone
//   = message from=F to=A,B content=TEXT the next message that was taken
//   = errors N                           protocol errors so far
//   = open | = closed                    at the end: whether the server wants to close
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/dialogues/cases.h"
#include "tests/dialogues/client_player.h"
#include "tests/dialogues/runner.h"
#include "tests/engine/smtp/server_peer.h"

namespace volley::dialogues {
namespace {

using engine::smtp::Protocol;
using engine::smtp::ServerPeer;

class ServerPlayer {
 public:
  ServerPlayer(const Dialogue* dialogue, Segmentation segmentation)
      : dialogue_(*dialogue), segmentation_(segmentation) {}

  // Empty when everything was as written; else "file:line: what".
  std::string Play() {
    for (const Step& step : dialogue_.steps) {
      const std::string fault = PlayStep(step);
      if (!fault.empty()) return dialogue_.At(step, fault);
    }
    const Step& last = dialogue_.steps.back();
    if (std::string rest = Take(); !rest.empty()) {
      return dialogue_.At(last, "after the last line the server also says\n" + Escape(rest));
    }
    if (messages_seen_ != peer_.handler.messages.size()) {
      return dialogue_.At(last, "a message was taken that is not written down");
    }
    if (!end_said_) return dialogue_.At(last, "the end must say = open or = closed");
    return "";
  }

 private:
  std::string PlayStep(const Step& step) {
    switch (step.kind) {
      case StepKind::kClient:
        group_ += step.text;
        return "";
      case StepKind::kServer:
        return PlayServer(step);
      case StepKind::kDirective:
        return PlayDirective(step);
      case StepKind::kExpect:
        return PlayExpect(step);
    }
    return "?";
  }

  std::string PlayServer(const Step& step) {
    replies_ += Take();
    if (!std::string_view(replies_).starts_with(step.text)) {
      return "the server should say\n" + Escape(step.text) + "but says\n" +
             (replies_.empty() ? "nothing" : Escape(replies_));
    }
    replies_.erase(0, step.text.size());
    return "";
  }

  // Delivers the group, then everything the server has to say to it.
  std::string Take() {
    if (!peer_.server) peer_.Start();
    const std::string before = std::exchange(replies_, "");
    if (group_.empty()) return before + peer_.Take();
    const std::string group = std::exchange(group_, "");
    const size_t step = segmentation_ == Segmentation::kWhole ? group.size() : 1;
    return before + peer_.SayInSteps(group, step);
  }

  std::string PlayDirective(const Step& step) {
    const absl::StatusOr<Words> words = SplitWords(step.text);
    if (!words.ok()) return std::string(words.status().message());
    if (words->verb == "options") return SetOptions(*words);
    if (words->verb == "repeat") {
      group_ += std::string(std::stoul(words->Get("count", "0")), words->Get("char", "x").at(0));
      return "";
    }
    if (words->verb == "hang-up") {
      replies_ += Take();
      peer_.server->OnConnectionClosed();
      return "";
    }
    return "unknown directive " + words->verb;
  }

  std::string SetOptions(const Words& words) {
    if (peer_.server) return "@options must come first";
    engine::smtp::ServerOptions& options = peer_.options;
    for (const std::string& flag : words.flags) {
      if (flag == "lmtp") {
        options.protocol = Protocol::kLmtp;
        options.banner_text = "LMTP volley";
      } else if (flag == "no-pipelining") {
        options.pipelining = false;
      } else if (flag == "no-chunking") {
        options.chunking = false;
      } else if (flag == "no-smtputf8") {
        options.smtputf8 = false;
      } else {
        return "unknown option " + flag;
      }
    }
    for (const auto& [key, value] : words.values) {
      const auto number = static_cast<uint32_t>(std::stoul(value));
      if (key == "size-max") {
        options.size_max = number;
      } else if (key == "recipients-max") {
        options.recipients_max = number;
      } else if (key == "mail-max") {
        options.mail_max = number;
      } else if (key == "rcpt-max") {
        options.rcpt_max = number;
      } else if (key == "errors-max") {
        options.protocol_errors_max = number;
      } else {
        return "unknown option " + key;
      }
    }
    return "";
  }

  std::string PlayExpect(const Step& step) {
    replies_ += Take();
    if (!replies_.empty()) return "before this the server also says\n" + Escape(replies_);
    const absl::StatusOr<Words> words = SplitWords(step.text);
    if (!words.ok()) return std::string(words.status().message());
    if (words->verb == "message") return ExpectMessage(*words);
    if (words->verb == "errors") {
      const std::string count = std::to_string(peer_.server->protocol_errors());
      return words->Has(count) ? "" : "the server counts " + count;
    }
    if (words->verb == "open" || words->verb == "closed") {
      end_said_ = true;
      return peer_.server->closed() == (words->verb == "closed") ? "" : "it is not " + words->verb;
    }
    return "unknown expectation " + words->verb;
  }

  std::string ExpectMessage(const Words& words) {
    const auto& messages = peer_.handler.messages;
    if (messages_seen_ == messages.size()) return "no further message was taken";
    const engine::smtp::ReceivedMessage& message = messages[messages_seen_++];
    std::string to;
    for (const std::string& recipient : message.recipients) {
      to += (to.empty() ? "" : ",") + recipient;
    }
    if (message.reverse_path != words.Get("from")) return "it is from " + message.reverse_path;
    if (to != words.Get("to")) return "it is to " + to;
    if (message.content != words.Get("content")) return "it says\n" + Escape(message.content);
    return "";
  }

  const Dialogue& dialogue_;
  const Segmentation segmentation_;
  ServerPeer peer_;
  std::string group_;    // what the client has said and the server has not heard yet
  std::string replies_;  // taken, not yet written down
  size_t messages_seen_ = 0;
  bool end_said_ = false;
};

std::vector<std::string> ServerDialogues() {
  return List(VOLLEY_TESTS_DIR "/dialogues",
              [](std::string_view name) { return name.starts_with("server-"); });
}

class ServerDialogue : public testing::TestWithParam<Case> {};

TEST_P(ServerDialogue, GoesAsWritten) {
  const auto& [path, segmentation] = GetParam();
  const absl::StatusOr<Dialogue> dialogue = Load(path);
  ASSERT_TRUE(dialogue.ok()) << dialogue.status().message();
  EXPECT_EQ(ServerPlayer(&*dialogue, segmentation).Play(), "");
}

INSTANTIATE_TEST_SUITE_P(All, ServerDialogue,
                         testing::Combine(testing::ValuesIn(ServerDialogues()),
                                          testing::Values(Segmentation::kWhole,
                                                          Segmentation::kByteByByte)),
                         CaseName);

// What the player is for is to fail. Each of these has one fault.
std::string Fault(std::string_view text) {
  const absl::StatusOr<Dialogue> dialogue = Parse("d.smtp", text);
  if (!dialogue.ok()) return std::string(dialogue.status().message());
  return ServerPlayer(&*dialogue, Segmentation::kWhole).Play();
}

constexpr std::string_view kTransaction =
    "S: 220 localhost ESMTP volley\nC: HELO c.example\nS: 250 localhost\nC: MAIL FROM:<>\n"
    "S: 250 2.1.0 sender ok\nC: RCPT TO:<b@x.org>\nS: 250 2.1.5 recipient ok\nC: DATA\n"
    "S: 354 end data with <CR><LF>.<CR><LF>\nC: x\nC: .\nS: 250 2.0.0 message accepted\n";

TEST(ServerPlayerTest, PassesWhatIsRight) {
  EXPECT_EQ(Fault(std::string(kTransaction) +
                  "= message from= to=b@x.org content=\"x\\r\\n\"\n= errors 0\n= open\n"),
            "");
}

TEST(ServerPlayerTest, FindsWhatIsWrong) {
  using testing::HasSubstr;
  using testing::StartsWith;
  EXPECT_THAT(Fault("S: 221 hi\n= open\n"), StartsWith("d.smtp:1: the server should say"));
  EXPECT_THAT(Fault("S: 220 localhost ESMTP volley\nC: NOOP\n= open\n"),
              StartsWith("d.smtp:3: before this the server also says\n250 2.0.0"));
  EXPECT_THAT(Fault("S: 220 localhost ESMTP volley\n= closed\n"), HasSubstr("not closed"));
  EXPECT_THAT(Fault("S: 220 localhost ESMTP volley\n= errors 1\n"), HasSubstr("counts 0"));
  EXPECT_THAT(Fault("S: 220 localhost ESMTP volley\n"), HasSubstr("= open or = closed"));
  EXPECT_THAT(Fault(std::string(kTransaction) + "= open\n"), HasSubstr("not written down"));
  EXPECT_THAT(Fault(std::string(kTransaction) + "= message from=a to=b@x.org content=x\n= open\n"),
              HasSubstr("it is from"));
  EXPECT_THAT(
      Fault(std::string(kTransaction) + "= message from= to=b@x.org content=\"y\\r\\n\"\n= open\n"),
      HasSubstr("it says\nx"));
}

}  // namespace
}  // namespace volley::dialogues
