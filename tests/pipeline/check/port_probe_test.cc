// What a probe makes of what a port says, on every backend, with a scripted server in the same
// loop.
#include "pipeline/check/port_probe.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::pipeline {
namespace {

using Question = PortProbe::Question;

// Says `words` to whoever connects; closes then, or waits.
class Script final : public io::ListenHandler, public io::StreamHandler {
 public:
  Script(io::Reactor* reactor, std::string words, bool closes)
      : reactor_(reactor), words_(std::move(words)), closes_(closes) {}

  io::StreamHandler* OnAccept(io::StreamId id, const io::Endpoint&) override {
    ++accepted_;
    id_ = id;
    if (!words_.empty()) {
      const iovec piece{words_.data(), words_.size()};
      reactor_->Send(id, {&piece, 1});
    } else if (closes_) {
      reactor_->Close(id);
    }
    return this;
  }
  void OnAcceptPaused(const absl::Status&, bool) override {}
  void OnData(std::span<const char> bytes) override { heard_.append(bytes.data(), bytes.size()); }
  void OnSent() override {
    if (closes_) reactor_->Close(id_);
  }
  void OnPeerClosed() override {}
  void OnClosed(const io::CloseInfo&) override {}

  int accepted() const { return accepted_; }
  const std::string& heard() const { return heard_; }

 private:
  io::Reactor* const reactor_;
  std::string words_;
  const bool closes_;
  io::StreamId id_;
  int accepted_ = 0;
  std::string heard_;
};

class PortProbeOn : public testing::TestWithParam<io::BackendChoice> {
 protected:
  void SetUp() override {
    if (GetParam() == io::BackendChoice::kUring) {
      if (const auto why = io::WhyNoUring()) GTEST_SKIP() << *why;
    }
    io::ReactorOptions options;
    options.backend = GetParam();
    auto created = io::CreateReactor(options);
    ASSERT_TRUE(created.ok()) << created.status();
    reactor_ = std::move(created->reactor);
    auto config = io::TlsClientConfig::Create({});
    ASSERT_TRUE(config.ok()) << config.status();
    tls_ = std::make_unique<io::TlsClientContext>(*config);
  }
  void TearDown() override { reactor_.reset(); }

  io::Endpoint Listen(std::string words, bool closes = false) {
    scripts_.push_back(std::make_unique<Script>(reactor_.get(), std::move(words), closes));
    script_ = scripts_.back().get();
    auto listener = reactor_->Listen(*io::Endpoint::Parse("127.0.0.1:0"), script_);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *listener;
    return reactor_->ListenEndpoint(listener_);
  }
  PortAnswer Ask(const io::Endpoint& peer, Question question,
                 absl::Duration patience = absl::Milliseconds(200)) {
    PortProbe::Options options;
    options.patience = patience;
    probe_ = std::make_unique<PortProbe>(reactor_.get(), tls_.get(), peer, question, options);
    probe_->Start();
    const io::MonoTime deadline = reactor_->Now() + absl::Seconds(20);
    while (!probe_->done() && reactor_->Now() < deadline) reactor_->RunOnce(absl::Milliseconds(50));
    EXPECT_TRUE(probe_->done());
    EXPECT_EQ(probe_->finding().port, peer.port());
    return probe_->finding().answer;
  }

  // The reactor goes first: it may still use what stands before it.
  std::unique_ptr<io::TlsClientContext> tls_;
  std::vector<std::unique_ptr<Script>>
      scripts_;               // streams of the first may outlast its test's part
  Script* script_ = nullptr;  // the last of them
  std::unique_ptr<PortProbe> probe_;
  io::ListenerId listener_;
  std::unique_ptr<io::Reactor> reactor_;
};

TEST_P(PortProbeOn, KnowsASmtpServerByItsGreetingAndSaysNothingToIt) {
  EXPECT_EQ(Ask(Listen("220 mx.example.org\r\n"), Question::kGreeting), PortAnswer::kSmtp);
  EXPECT_EQ(script_->heard(), "");
  EXPECT_EQ(script_->accepted(), 1);
}

TEST_P(PortProbeOn, ARefusingSmtpServerIsOneToo) {
  EXPECT_EQ(Ask(Listen("554-no mail\r\n", /*closes=*/true), Question::kGreeting),
            PortAnswer::kSmtp);
}

TEST_P(PortProbeOn, KnowsOtherProtocols) {
  EXPECT_EQ(Ask(Listen("SSH-2.0-OpenSSH_9.2\r\n"), Question::kGreeting), PortAnswer::kOther);
  EXPECT_EQ(Ask(Listen("2200 is no code\r\n"), Question::kGreeting), PortAnswer::kOther);
  EXPECT_EQ(Ask(Listen("+"), Question::kGreeting), PortAnswer::kOther);  // POP3, and no more
}

TEST_P(PortProbeOn, TriesTlsOnANewConnectionWhereNothingIsSaid) {
  EXPECT_EQ(Ask(Listen(""), Question::kGreeting), PortAnswer::kSilent);
  EXPECT_EQ(script_->accepted(), 2);
  ASSERT_FALSE(script_->heard().empty());
  EXPECT_EQ(script_->heard()[0], '\x16');  // a ClientHello (RFC 8446 §5.1), and nothing before it
}

TEST_P(PortProbeOn, AServerThatHangsUpIsSilent) {
  EXPECT_EQ(Ask(Listen("", /*closes=*/true), Question::kGreeting), PortAnswer::kSilent);
}

TEST_P(PortProbeOn, PlaintextIsNoAnswerToATlsHandshake) {
  EXPECT_EQ(Ask(Listen("220 hi\r\n"), Question::kTls), PortAnswer::kOther);
}

// An alert is a word of TLS, whatever it says.
TEST_P(PortProbeOn, AnAlertIsSpokenByATlsServer) {
  const std::string alert("\x15\x03\x03\x00\x02\x02\x28", 7);  // fatal handshake_failure
  EXPECT_EQ(Ask(Listen(alert), Question::kTls), PortAnswer::kTls);
}

TEST_P(PortProbeOn, ConnectingIsAllWhenNobodyAsksForMore) {
  EXPECT_EQ(Ask(Listen("220 hi\r\n"), Question::kConnect), PortAnswer::kOpen);
  EXPECT_GT(probe_->connect_time(), absl::ZeroDuration());
}

TEST_P(PortProbeOn, AClosedPortIsRefused) {
  const io::Endpoint peer = Listen("");
  reactor_->CloseListener(listener_);
  reactor_->RunOnce(absl::Milliseconds(10));
  EXPECT_EQ(Ask(peer, Question::kGreeting), PortAnswer::kRefused);
  EXPECT_THAT(probe_->connect_error(), testing::HasSubstr(peer.ToString()));
}

TEST_P(PortProbeOn, WithoutTlsSettingsSilenceIsTheAnswer) {
  tls_.reset();
  EXPECT_EQ(Ask(Listen(""), Question::kGreeting), PortAnswer::kSilent);
  EXPECT_EQ(script_->accepted(), 1);
  EXPECT_EQ(Ask(Listen(""), Question::kTls), PortAnswer::kSilent);
  EXPECT_EQ(script_->accepted(), 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, PortProbeOn,
                         testing::Values(io::BackendChoice::kEpoll, io::BackendChoice::kUring),
                         [](const auto& tested) {
                           return tested.param == io::BackendChoice::kEpoll ? "Epoll" : "Uring";
                         });

}  // namespace
}  // namespace volley::pipeline
