// What every backend does the same: connecting, carrying bytes, listeners.
#include "tests/io/reactor/conformance.h"

#include <array>

namespace volley::io {
namespace {

using ::testing::ElementsAre;

INSTANTIATE_TEST_SUITE_P(Backends, Conformance,
                         ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         BackendName);
INSTANTIATE_TEST_SUITE_P(Backends, KernelConformance,
                         ::testing::Values(Backend::kUring, Backend::kEpoll), BackendName);

// Sends back whatever comes, one Send at a time.
class Echo {
 public:
  Echo(Reactor& reactor, StreamId id, Recorder& handler) : reactor_(reactor), id_(id) {
    handler.on_data = [this, &handler] {
      waiting_ += std::exchange(handler.data, "");
      Next();
    };
    handler.on_sent = [this] {
      busy_ = false;
      Next();
    };
    handler.on_peer_closed = [this] {
      ended_ = true;
      Next();
    };
  }

 private:
  void Next() {
    if (busy_) return;
    if (!waiting_.empty()) {
      sending_ = std::exchange(waiting_, "");
      busy_ = true;
      SendText(reactor_, id_, sending_);
    } else if (ended_) {
      reactor_.Close(id_);
    }
  }

  Reactor& reactor_;
  const StreamId id_;
  std::string waiting_, sending_;
  bool busy_ = false;
  bool ended_ = false;
};

TEST_P(Conformance, EchoesAFewBytes) {
  AcceptingRecorder server;
  std::vector<std::unique_ptr<Echo>> echoes;
  server.on_accept = [&](StreamId id, Recorder& handler) {
    echoes.push_back(std::make_unique<Echo>(reactor(), id, handler));
  };
  const auto [listener, endpoint] = Listen(&server);
  Recorder client;
  const StreamId id = reactor().Connect(endpoint, {}, &client);
  EXPECT_TRUE(id.valid());
  EXPECT_TRUE(reactor().IsOpen(id));
  client.on_connected = [&, id = id] { SendText(reactor(), id, "EHLO client\r\n"); };
  ASSERT_TRUE(RunUntil([&] { return client.data == "EHLO client\r\n"; }));
  EXPECT_EQ(client.sent, 1);
  EXPECT_EQ(reactor().open_streams(), 2u);

  client.on_closed = [&] {
    EXPECT_FALSE(reactor().IsOpen(id));
    EXPECT_LE(reactor().open_streams(), 1u);
  };
  reactor().Close(id);
  EXPECT_FALSE(reactor().IsOpen(id));
  ASSERT_TRUE(RunUntil([&] { return reactor().open_streams() == 0; }));
  ASSERT_TRUE(client.closed.has_value());
  EXPECT_TRUE(client.closed->status.ok());
  EXPECT_EQ(client.closed->sys_errno, 0);
  EXPECT_EQ(client.closed->unsent_bytes, 0u);
  EXPECT_THAT(client.events, ElementsAre("connected", "sent", "data", "closed"));
  EXPECT_TRUE(server.streams.at(0).handler->peer_closed);
}

TEST_P(Conformance, EchoesFiveMegabytesBothWaysAtOnce) {
  AcceptingRecorder server;
  std::vector<std::unique_ptr<Echo>> echoes;
  server.on_accept = [&](StreamId id, Recorder& handler) {
    echoes.push_back(std::make_unique<Echo>(reactor(), id, handler));
  };
  const auto [listener, endpoint] = Listen(&server);
  const std::string message = Pattern(5'000'000);
  Recorder client;
  const StreamId id = reactor().Connect(endpoint, {}, &client);
  client.on_connected = [&] { SendText(reactor(), id, message); };
  client.on_sent = [&] { reactor().ShutdownWrite(id); };
  ASSERT_TRUE(RunUntil([&] { return client.peer_closed; }));
  EXPECT_EQ(client.sent, 1);
  EXPECT_TRUE(client.data == message);  // not EXPECT_EQ: it would print both
  reactor().Close(id);
  ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
}

TEST_P(Conformance, SendsFiveMegabytesToASlowReader) {
  const auto pair = MakePair(/*receive_buffer_bytes=*/16 * 1024);
  const std::string message = Pattern(5'000'000);
  SendText(reactor(), pair->id, message);
  if (!is_sim()) {  // the peer does not read yet: the kernel cannot have taken all
    RunFor(absl::Milliseconds(50));
    EXPECT_EQ(pair->handler.sent, 0);
  }
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(70'000);
    return pair->peer->received().size() >= message.size();
  }));
  ASSERT_TRUE(RunUntil([&] { return pair->handler.sent == 1; }));
  EXPECT_TRUE(pair->peer->received() == message);
  EXPECT_THAT(pair->handler.events, ElementsAre("connected", "sent"));
}

TEST_P(Conformance, SendsSixtyFourPiecesInOrder) {
  const auto pair = MakePair(/*receive_buffer_bytes=*/16 * 1024);
  std::string all;
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < Reactor::kMaxSendPieces; ++i) {
    texts.push_back(Pattern(i % 3 == 0 ? 1 : 40'000 + i, i));  // 1.7 MB: several short sends
    all += texts.back();
  }
  {
    std::vector<iovec> pieces;
    for (const std::string& text : texts) pieces.push_back(Piece(text));
    reactor().Send(pair->id, pieces);
    std::fill(pieces.begin(), pieces.end(), iovec{nullptr, 1});  // ours again at once
  }
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(100'000);
    return pair->peer->received().size() >= all.size();
  }));
  EXPECT_TRUE(pair->peer->received() == all);
  ASSERT_TRUE(RunUntil([&] { return pair->handler.sent == 1; }));
}

TEST_P(Conformance, SendsSmallPiecesOneSendAfterAnother) {
  const auto pair = MakePair();
  constexpr int kRounds = 200;
  const std::string a = "MAIL FROM:<a@example.com>\r\n", b = "RCPT TO:<b@example.org>\r\n";
  int left = kRounds;
  const auto next = [&] {
    if (left-- == 0) return;
    const std::array pieces{Piece(a), Piece(b)};
    reactor().Send(pair->id, pieces);
  };
  pair->handler.on_sent = next;
  next();
  std::string expected;
  for (int i = 0; i < kRounds; ++i) expected += a + b;
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(100'000);
    return pair->handler.sent == kRounds && pair->peer->received().size() >= expected.size();
  }));
  EXPECT_EQ(pair->peer->received(), expected);
}

TEST_P(Conformance, NoCallbackComesFromInsideACall) {
  bool inside = true;
  AcceptingRecorder server;
  server.on_accept = [&](StreamId, Recorder& handler) { handler.forbidden = &inside; };
  const auto [listener, endpoint] = Listen(&server);
  Recorder client, refused;
  client.forbidden = refused.forbidden = &inside;
  const StreamId id = reactor().Connect(endpoint, {}, &client);
  ConnectOptions bad;
  bad.local = *Endpoint::Parse("[::1]:0");  // the wrong family
  const StreamId refused_id =
      reactor().Connect(endpoint, is_sim() ? ConnectOptions{} : bad, &refused);
  if (is_sim()) reactor().Close(refused_id);
  inside = false;
  ASSERT_TRUE(RunUntil([&] { return client.connected && refused.closed; }));
  if (!is_sim()) {
    EXPECT_EQ(refused.closed->status.code(), absl::StatusCode::kInvalidArgument)
        << refused.closed->status;
  }
  inside = true;
  SendText(reactor(), id, "x");
  inside = false;
  ASSERT_TRUE(RunUntil([&] { return client.sent == 1 && server.streams[0].handler->data == "x"; }));
  inside = true;
  reactor().ShutdownWrite(id);
  reactor().Close(id);
  reactor().CloseListener(listener);
  EXPECT_FALSE(server.final_told);
  inside = false;
  ASSERT_TRUE(RunUntil([&] { return client.closed && server.final_told; }));
}

TEST_P(Conformance, KnowsBothEndsAddresses) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  EXPECT_NE(endpoint.port(), 0);
  Recorder client;
  ConnectOptions options;
  options.local = *Endpoint::FromIp("127.0.0.1", 0);
  const StreamId id = reactor().Connect(endpoint, options, &client);
  ASSERT_TRUE(RunUntil([&] { return client.connected && server.streams.size() == 1; }));
  EXPECT_EQ(reactor().LocalEndpoint(id), server.streams[0].peer);
  EXPECT_EQ(reactor().LocalEndpoint(server.streams[0].id), endpoint);
  EXPECT_TRUE(server.streams[0].peer.is_loopback());
}

TEST_P(Conformance, SendsABannerFromOnAccept) {
  AcceptingRecorder server;
  server.on_accept = [&](StreamId id, Recorder&) { SendText(reactor(), id, "220 ready\r\n"); };
  const auto [listener, endpoint] = Listen(&server);
  Recorder client;
  reactor().Connect(endpoint, {}, &client);
  ASSERT_TRUE(RunUntil([&] { return client.data == "220 ready\r\n"; }));
  ASSERT_TRUE(RunUntil([&] { return server.streams[0].handler->sent == 1; }));
  EXPECT_EQ(client.events.front(), "connected");
}

TEST_P(Conformance, SwitchesTheHandlerFromTheNextEventOn) {
  const auto pair = MakePair();
  Recorder second;
  pair->handler.on_data = [&] { reactor().SetHandler(pair->id, &second); };
  pair->peer->Write("220 go ahead");
  ASSERT_TRUE(RunUntil([&] { return !pair->handler.data.empty(); }));
  pair->peer->Write("second");
  ASSERT_TRUE(RunUntil([&] { return second.data == "second"; }));
  SendText(reactor(), pair->id, "x");
  ASSERT_TRUE(RunUntil([&] { return second.sent == 1; }));
  reactor().Close(pair->id);
  ASSERT_TRUE(RunUntil([&] { return second.closed.has_value(); }));
  EXPECT_EQ(pair->handler.data, "220 go ahead");
  EXPECT_FALSE(pair->handler.closed.has_value());
}

TEST_P(Conformance, AcceptingNobodyClosesTheConnection) {
  class Refuser : public ListenHandler {
   public:
    StreamHandler* OnAccept(StreamId, const Endpoint&) override {
      ++asked;
      return nullptr;
    }
    void OnAcceptPaused(const absl::Status&, bool) override {}
    int asked = 0;
  };
  Refuser refuser;
  const auto [listener, endpoint] = Listen(&refuser);
  Recorder client;
  reactor().Connect(endpoint, {}, &client);
  ASSERT_TRUE(RunUntil([&] { return client.peer_closed || client.closed; }));
  EXPECT_EQ(refuser.asked, 1);
  ASSERT_TRUE(RunUntil([&] { return reactor().open_streams() <= 1; }));
}

TEST_P(Conformance, AClosedListenerSaysSoAndRefuses) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  reactor().RunOnce(absl::ZeroDuration());
  reactor().CloseListener(listener);
  reactor().CloseListener(listener);  // stale or closing: nothing
  ASSERT_TRUE(RunUntil([&] { return server.final_told; }));
  EXPECT_TRUE(reactor().ListenEndpoint(listener).empty());
  Recorder client;
  reactor().Connect(endpoint, {}, &client);
  ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
  EXPECT_EQ(client.closed->sys_errno, ECONNREFUSED);
  EXPECT_TRUE(server.pauses.empty());
}

TEST_P(Conformance, AListenerCanBeClosedFromOnAccept) {
  AcceptingRecorder server;
  ListenerId listener;
  server.on_accept = [&](StreamId, Recorder&) { reactor().CloseListener(listener); };
  const absl::StatusOr<ListenerId> made = reactor().Listen(Loopback(), &server);
  ASSERT_TRUE(made.ok());
  listener = *made;
  Recorder client;
  const StreamId id = reactor().Connect(reactor().ListenEndpoint(listener), {}, &client);
  ASSERT_TRUE(RunUntil([&] { return server.final_told && client.connected; }));
  SendText(reactor(), id, "still here");
  ASSERT_TRUE(RunUntil([&] { return server.streams[0].handler->data == "still here"; }));
}

TEST_P(Conformance, ListeningTwiceOnOneAddressIsAnError) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  const absl::StatusOr<ListenerId> second = reactor().Listen(endpoint, &server);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
  EXPECT_THAT(std::string(second.status().message()), ::testing::HasSubstr(endpoint.ToString()));
}

TEST_P(Conformance, TalksOverAUnixSocketAndTakesOverAPathLeftBehind) {
  const std::string path =
      ::testing::TempDir() + "volley_conformance_" + std::to_string(getpid()) + ".sock";
  const Endpoint endpoint = *Endpoint::FromUnixPath(path);
  if (!is_sim()) {  // somebody was killed here
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(fd, endpoint.address(), endpoint.address_bytes()), 0);
    close(fd);
  }
  AcceptingRecorder server;
  const absl::StatusOr<ListenerId> listener = reactor().Listen(endpoint, &server);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_FALSE(reactor().Listen(endpoint, &server).ok()) << "a live listener is not taken over";
  Recorder client;
  const StreamId id = reactor().Connect(endpoint, {}, &client);
  client.on_connected = [&] { SendText(reactor(), id, "LHLO\r\n"); };
  ASSERT_TRUE(
      RunUntil([&] {  // Not streams[0]: looking whether the path is alive was a connection too.
        return !server.streams.empty() && server.streams.back().handler->data == "LHLO\r\n";
      }));
  reactor().Close(id);
  reactor().CloseListener(*listener);
  ASSERT_TRUE(RunUntil([&] { return client.closed && server.final_told; }));
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "the path is removed with its listener";
}

}  // namespace
}  // namespace volley::io
