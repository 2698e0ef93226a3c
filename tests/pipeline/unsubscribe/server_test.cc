// The server on the simulator's clock and network: slow clients, many of them, stopping.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/compliance/token.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "io/reactor/sim_reactor.h"
#include "pipeline/store/unsubscribe_key.h"
#include "pipeline/unsubscribe/unsubscribe_server.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using volley::testing::TempDir;

constexpr char kListen[] = "127.0.0.1:8025";

// Says its bytes, one piece at a time with a pause in between, and keeps what comes back.
class Client : public io::StreamHandler, private io::Timer {
 public:
  Client(io::Reactor* reactor, std::vector<std::string> pieces, absl::Duration pause)
      : reactor_(*reactor), pieces_(std::move(pieces)), pause_(pause) {
    start_ = reactor_.Now();
    stream_ = reactor_.Connect(*io::Endpoint::Parse(kListen), {}, this);
  }
  ~Client() override { reactor_.CancelTimer(this); }

  void OnConnected() override { SayNext(); }
  void OnData(std::span<const char> bytes) override { answer.append(bytes.data(), bytes.size()); }
  void OnSent() override {
    if (next_ < pieces_.size()) reactor_.SetTimer(this, reactor_.Now() + pause_);
  }
  void OnPeerClosed() override {
    answered = true;
    reactor_.Close(stream_);
  }
  void OnClosed(const io::CloseInfo&) override {
    closed_after = reactor_.Now() - start_;
    reactor_.CancelTimer(this);
  }

  std::string answer;
  bool answered = false;
  absl::Duration closed_after = absl::InfiniteDuration();

 private:
  void OnTimer() override { SayNext(); }
  void SayNext() {
    if (!reactor_.IsOpen(stream_) || next_ >= pieces_.size()) return;
    const std::string& piece = pieces_[next_++];
    const iovec out{const_cast<char*>(piece.data()), piece.size()};
    reactor_.Send(stream_, {&out, 1});
  }

  io::Reactor& reactor_;
  const std::vector<std::string> pieces_;
  const absl::Duration pause_;
  size_t next_ = 0;
  io::MonoTime start_;
  io::StreamId stream_;
};

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    UnsubscribeServerOptions options;
    options.listen = {*io::Endpoint::Parse(kListen)};
    options.state_dir = dir_.path();
    options.on_notice = [this](const std::string& text) { notices_.push_back(text); };
    options.on_stopped = [this] { stopped_ = true; };
    auto server = UnsubscribeServer::Create(reactor_.get(), std::move(options));
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    reactor_->SetWakeHandler([this] { server_->OnWake(); });
  }
  ~ServerTest() override { server_.reset(); }

  std::string PostBytes() {
    const auto keys = LoadOrCreateUnsubscribeKey(dir_.path(), "");
    return "POST /" +
           *engine::compliance::MakeUnsubscribeToken(**keys, {"", "c", "ann@example.org"}) +
           " HTTP/1.1\r\nHost: h\r\nContent-Length: 26\r\n\r\nList-Unsubscribe=One-Click";
  }
  std::vector<std::string> ByteByByte(const std::string& text) {
    std::vector<std::string> pieces;
    for (const char c : text) pieces.emplace_back(1, c);
    return pieces;
  }
  void RunFor(absl::Duration time) { reactor_->RunUntilIdle(time); }

  TempDir dir_;
  std::unique_ptr<io::SimReactor> reactor_ = io::SimReactor::Create({});
  std::unique_ptr<UnsubscribeServer> server_;
  std::vector<std::string> notices_;
  bool stopped_ = false;
};

TEST_F(ServerTest, AnswersAndCloses) {
  Client client(reactor_.get(), {PostBytes()}, absl::ZeroDuration());
  RunFor(absl::Seconds(5));
  EXPECT_THAT(client.answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(client.answered);
  EXPECT_LT(client.closed_after, absl::Seconds(1));
  EXPECT_EQ(reactor_->open_streams(), 0u);
}

TEST_F(ServerTest, SaysContinueToThoseWhoWaitForIt) {
  const std::string post = PostBytes();
  const size_t body = post.find("\r\n\r\n") + 4;
  const std::string head = post.substr(0, body - 2) + "Expect: 100-continue\r\n\r\n";
  Client client(reactor_.get(), {head, post.substr(body)}, absl::Seconds(1));
  RunFor(absl::Seconds(5));
  EXPECT_THAT(client.answer, StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, SlowClientsAreAnsweredAndEndedWhateverTheySend) {
  Client silent(reactor_.get(), {}, absl::ZeroDuration());
  Client slow(reactor_.get(), ByteByByte(PostBytes()), absl::Seconds(1));
  RunFor(absl::Seconds(60));
  for (const Client* client : {&silent, &slow}) {
    EXPECT_THAT(client->answer, StartsWith("HTTP/1.1 408 "));
    EXPECT_LT(client->closed_after, absl::Seconds(13));
  }
  EXPECT_EQ(server_->counters().unsubscribed, 0u);
  EXPECT_EQ(reactor_->open_streams(), 0u);
}

TEST_F(ServerTest, OneClientCannotTakeAllConnections) {
  std::vector<std::unique_ptr<Client>> idle;
  for (size_t i = 0; i < UnsubscribeServer::kConnectionsPerClientMax + 20; ++i) {
    idle.push_back(
        std::make_unique<Client>(reactor_.get(), std::vector<std::string>{}, absl::ZeroDuration()));
  }
  RunFor(absl::Seconds(1));
  size_t open = 0;
  for (const auto& client : idle) open += client->closed_after == absl::InfiniteDuration();
  EXPECT_EQ(open, UnsubscribeServer::kConnectionsPerClientMax);
  RunFor(absl::Seconds(30));  // and they make room
  Client late(reactor_.get(), {PostBytes()}, absl::ZeroDuration());
  RunFor(absl::Seconds(5));
  EXPECT_THAT(late.answer, StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, AClientThatGoesAwayHarmsNobody) {
  Client gone(reactor_.get(), {"POST / HTTP/1.1\r\nHost"}, absl::ZeroDuration());
  RunFor(absl::Milliseconds(100));
  gone.OnPeerClosed();
  Client next(reactor_.get(), {PostBytes()}, absl::ZeroDuration());
  RunFor(absl::Seconds(5));
  EXPECT_THAT(next.answer, StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, ABadChangeOfTheKeyFileIsToldAndChangesNothing) {
  const std::string post = PostBytes();
  dir_.Write("unsubscribe.key", "1 nonsense\n");
  RunFor(absl::Seconds(10));
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_THAT(notices_[0], HasSubstr("unsubscribe.key: line 1"));
  Client client(reactor_.get(), {post}, absl::ZeroDuration());
  RunFor(absl::Seconds(5));
  EXPECT_THAT(client.answer, StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, StopsWhenTheLastAnswerIsOut) {
  Client idle(reactor_.get(), {}, absl::ZeroDuration());
  RunFor(absl::Seconds(1));
  server_->Stop();
  RunFor(absl::Seconds(5));
  EXPECT_TRUE(stopped_);
  EXPECT_TRUE(server_->stopped());
  EXPECT_EQ(idle.answer, "");
  EXPECT_LT(idle.closed_after, absl::Seconds(2));
}

}  // namespace
}  // namespace volley::pipeline
