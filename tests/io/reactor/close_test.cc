// How streams end, on every backend: by us, by the peer, by a failure, in every state.
#include <array>

#include "tests/io/reactor/conformance.h"

namespace volley::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kTooMuchBytes = 8'000'000;  // more than two loopback socket buffers hold

// --- the peer resets -----------------------------------------------------------------------------

TEST_P(Conformance, APeersResetWhileIdleEndsTheStream) {
  const auto pair = MakePair();
  pair->peer->Reset();
  ASSERT_TRUE(RunUntil([&] { return pair->handler.closed.has_value(); }));
  EXPECT_EQ(pair->handler.closed->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(pair->handler.closed->sys_errno, ECONNRESET);
  EXPECT_EQ(pair->handler.closed->unsent_bytes, 0u);
  EXPECT_THAT(std::string(pair->handler.closed->status.message()), HasSubstr("127.0.0.1:"));
  EXPECT_EQ(reactor().open_streams(), 0u);
}

TEST_P(Conformance, APeersResetWhileSendingCountsWhatWasNotTaken) {
  const auto pair = MakePair();
  auto message = std::make_unique<std::string>(Pattern(kTooMuchBytes));
  const bool stalled = !is_sim();
  SendText(reactor(), pair->id, *message);
  if (stalled) RunFor(absl::Milliseconds(50));
  pair->peer->ReadSome(1000);
  const size_t peer_has = pair->peer->received().size();
  pair->handler.on_closed = [&] { message.reset(); };  // nothing may read it any more
  pair->peer->Reset();
  ASSERT_TRUE(RunUntil([&] { return pair->handler.closed.has_value(); }));
  EXPECT_EQ(pair->handler.closed->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(pair->handler.closed->unsent_bytes, 0u);
  EXPECT_LE(pair->handler.closed->unsent_bytes, kTooMuchBytes - peer_has);
  EXPECT_THAT(pair->handler.events, ElementsAre("connected", "closed"));
}

TEST_P(Conformance, APeersResetWhileClosingIsNoFailure) {
  const auto pair = MakePair();
  const std::string message = Pattern(kTooMuchBytes);
  SendText(reactor(), pair->id, message);
  if (!is_sim()) RunFor(absl::Milliseconds(20));
  reactor().Close(pair->id);
  pair->peer->Reset();
  ASSERT_TRUE(RunUntil([&] { return pair->handler.closed.has_value(); }));
  EXPECT_TRUE(pair->handler.closed->status.ok()) << pair->handler.closed->status;
  EXPECT_GT(pair->handler.closed->unsent_bytes, 0u);
  RunFor(absl::Milliseconds(20));
}

TEST_P(Conformance, WhatThePeerSaidBeforeItsResetIsHeardFirst) {
  const auto pair = MakePair();
  const std::string message = Pattern(kTooMuchBytes);
  SendText(reactor(), pair->id, message);
  if (!is_sim()) RunFor(absl::Milliseconds(20));
  pair->peer->Write("421 4.7.0 too busy, closing\r\n");
  pair->peer->Reset();
  ASSERT_TRUE(RunUntil([&] { return pair->handler.closed.has_value(); }));
  EXPECT_EQ(pair->handler.data, "421 4.7.0 too busy, closing\r\n");
  EXPECT_THAT(pair->handler.events, ElementsAre("connected", "data", "closed"));
  EXPECT_EQ(pair->handler.closed->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(pair->handler.closed->unsent_bytes, 0u);
}

// The ordinary way of a server that refuses: it answers and closes with our bytes unread, which
// makes its kernel send a reset. Our next send fails; the answer must still come up.
TEST_P(Conformance, ASendThatFailsDoesNotHideTheAnswer) {
  const auto pair = MakePair();
  SendText(reactor(), pair->id, "MAIL FROM:<a@example.com>\r\n");
  ASSERT_TRUE(RunUntil([&] { return pair->handler.sent == 1; }));
  if (!is_sim()) RunFor(absl::Milliseconds(5));
  pair->peer->Write("554 5.7.1 go away\r\n");
  pair->peer->Close();
  const std::string message = Pattern(100'000);
  SendText(reactor(), pair->id, message);
  if (is_sim()) {  // there the reset answers this send, after the end of the conversation
    ASSERT_TRUE(RunUntil([&] { return pair->handler.peer_closed || pair->handler.closed; }));
    if (!pair->handler.closed) {
      ASSERT_TRUE(RunUntil([&] { return pair->handler.sent == 2 || pair->handler.closed; }));
    }
  }
  ASSERT_TRUE(RunUntil([&] { return pair->handler.closed.has_value(); }));
  EXPECT_EQ(pair->handler.data, "554 5.7.1 go away\r\n");
  EXPECT_EQ(pair->handler.closed->status.code(), absl::StatusCode::kUnavailable);
}

TEST_P(Conformance, SendingToAPeerThatIsGoneFailsAfterItsEnd) {
  const auto pair = MakePair();
  pair->peer->Close();
  ASSERT_TRUE(RunUntil([&] { return pair->handler.peer_closed; }));
  EXPECT_FALSE(pair->handler.closed.has_value()) << "a half-closed stream is ours to close";
  int sends = 0;
  pair->handler.on_sent = [&] { SendText(reactor(), pair->id, "anybody there?"), ++sends; };
  pair->handler.on_sent();
  ASSERT_TRUE(RunUntil([&] { return pair->handler.closed.has_value(); }));
  EXPECT_EQ(pair->handler.closed->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_GE(sends, 1);
}

// --- connects that do not come about -------------------------------------------------------------

TEST_P(Conformance, AConnectToNobodyIsRefused) {
  Endpoint nobody;
  {
    AcceptingRecorder listener;
    const auto [id, endpoint] = Listen(&listener);
    nobody = endpoint;
    reactor().CloseListener(id);
    ASSERT_TRUE(RunUntil([&] { return listener.final_told; }));
  }
  Recorder client;
  reactor().Connect(nobody, {}, &client);
  ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
  EXPECT_EQ(client.closed->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client.closed->sys_errno, ECONNREFUSED);
  EXPECT_THAT(std::string(client.closed->status.message()), HasSubstr(nobody.ToString()));
  EXPECT_THAT(client.events, ElementsAre("closed"));
}

TEST_P(KernelConformance, AnAddressThatIsNotOursIsABadArgument) {
  AcceptingRecorder listener;
  const auto [id, endpoint] = Listen(&listener);
  ConnectOptions options;
  options.local = *Endpoint::FromIp("192.0.2.1", 0);  // RFC 5737: nobody's
  Recorder client;
  reactor().Connect(endpoint, options, &client);
  ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
  EXPECT_EQ(client.closed->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client.closed->sys_errno, EADDRNOTAVAIL);
}

// A listening socket whose queue is full: Linux drops further SYNs, so a connect stays in the air.
class FullBacklog {
 public:
  FullBacklog() : host_(/*backlog=*/0) {
    for (int i = 0; i < 8; ++i) {
      fillers_.emplace_back(host_.endpoint());
      if (!fillers_.back().IsConnected(50)) return;
    }
    ADD_FAILURE() << "the backlog never filled up";
  }
  Endpoint endpoint() const { return host_.endpoint(); }
  void Close() {
    fillers_.clear();
    host_.Close();
  }

 private:
  SocketPeerHost host_;
  std::vector<SocketClient> fillers_;
};

TEST_P(KernelConformance, AConnectThatNobodyAnswersTimesOut) {
  const FullBacklog full;
  Recorder client;
  ConnectOptions options;
  options.timeout = absl::Milliseconds(60);
  const MonoTime start = reactor().Now();
  const StreamId id = reactor().Connect(full.endpoint(), options, &client);
  ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
  EXPECT_GE(reactor().Now() - start, options.timeout);
  EXPECT_EQ(client.closed->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(client.events, ElementsAre("closed"));
  EXPECT_FALSE(reactor().IsOpen(id));
}

TEST_P(KernelConformance, AResetWhileConnectingIsAFailedConnect) {
  FullBacklog full;
  Recorder client;
  reactor().Connect(full.endpoint(), {}, &client);
  RunFor(absl::Milliseconds(20));
  ASSERT_TRUE(client.events.empty());
  full.Close();  // the repeated SYN (after a second) meets a reset
  ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
  EXPECT_EQ(client.closed->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client.closed->sys_errno, ECONNREFUSED);
  EXPECT_THAT(client.events, ElementsAre("closed"));
}

TEST_P(KernelConformance, AConnectInTheAirCanBeClosed) {
  const FullBacklog full;
  Recorder client;
  const StreamId id = reactor().Connect(full.endpoint(), {}, &client);
  RunFor(absl::Milliseconds(20));
  reactor().Close(id);
  ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
  EXPECT_TRUE(client.closed->status.ok());
  EXPECT_THAT(client.events, ElementsAre("closed"));
}

TEST_P(Conformance, AConnectCanBeClosedAtOnce) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  Recorder client;
  reactor().Close(reactor().Connect(endpoint, {}, &client));
  ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
  EXPECT_TRUE(client.closed->status.ok());
  EXPECT_THAT(client.events, ElementsAre("closed"));
}

// --- half-close ----------------------------------------------------------------------------------

TEST_P(Conformance, AfterOurHalfCloseThePeersBytesStillCome) {
  const auto pair = MakePair();
  SendText(reactor(), pair->id, "QUIT\r\n");
  reactor().ShutdownWrite(pair->id);  // the Send in flight goes first
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(100);
    return pair->peer->saw_end();
  }));
  EXPECT_EQ(pair->peer->received(), "QUIT\r\n");
  EXPECT_EQ(pair->handler.sent, 1);
  pair->peer->Write("221 bye\r\n");
  ASSERT_TRUE(RunUntil([&] { return pair->handler.data == "221 bye\r\n"; }));
  pair->peer->Close();
  ASSERT_TRUE(RunUntil([&] { return pair->handler.peer_closed; }));
  RunFor(absl::Milliseconds(10));
  EXPECT_FALSE(pair->handler.closed.has_value()) << "both ways over: still ours to close";
  reactor().Close(pair->id);
  ASSERT_TRUE(RunUntil([&] { return pair->handler.closed.has_value(); }));
  EXPECT_TRUE(pair->handler.closed->status.ok());
}

TEST_P(Conformance, AfterThePeersHalfCloseWeStillSend) {
  const auto pair = MakePair();
  pair->peer->ShutdownWrite();
  ASSERT_TRUE(RunUntil([&] { return pair->handler.peer_closed; }));
  const std::string message = Pattern(3'000'000);
  SendText(reactor(), pair->id, message);
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(200'000);
    return pair->peer->received().size() >= message.size();
  }));
  EXPECT_TRUE(pair->peer->received() == message);
  ASSERT_TRUE(RunUntil([&] { return pair->handler.sent == 1; }));
  reactor().Close(pair->id);
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(100);
    return pair->handler.closed && pair->peer->saw_end();
  }));
}

TEST_P(Conformance, AHalfCloseBeforeTheConnectIsKept) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  Recorder client;
  const StreamId id = reactor().Connect(endpoint, {}, &client);
  reactor().ShutdownWrite(id);
  ASSERT_TRUE(RunUntil([&] {
    return client.connected && !server.streams.empty() && server.streams[0].handler->peer_closed;
  }));
}

// --- closing -------------------------------------------------------------------------------------

TEST_P(Conformance, CloseInsideEveryCallbackOfItsOwnStream) {
  const std::array<std::string, 4> wheres{"connected", "data", "sent", "peer_closed"};
  for (const std::string& where : wheres) {
    SCOPED_TRACE(where);
    AcceptingRecorder server;
    server.on_accept = [&](StreamId id, Recorder& handler) {
      SendText(reactor(), id, "220 hello\r\n");
      handler.on_sent = [this, id] { reactor().ShutdownWrite(id); };
    };
    const auto [listener, endpoint] = Listen(&server);
    Recorder client;
    const StreamId id = reactor().Connect(endpoint, {}, &client);
    const auto close = [&, id = id] { reactor().Close(id); };
    client.on_connected = [&, id = id] {
      SendText(reactor(), id, "EHLO me\r\n");
      if (where == "connected") close();
    };
    if (where == "data") client.on_data = close;
    if (where == "sent") client.on_sent = close;
    if (where == "peer_closed") client.on_peer_closed = close;
    ASSERT_TRUE(RunUntil([&] { return client.closed.has_value(); }));
    EXPECT_TRUE(client.closed->status.ok());
    ASSERT_GE(client.events.size(), 2u);
    EXPECT_EQ(client.events[client.events.size() - 2], where) << "an event after Close()";
    reactor().CloseListener(listener);
    ASSERT_TRUE(RunUntil([&] { return server.final_told; }));
    for (auto& accepted : server.streams) reactor().Close(accepted.id);
    ASSERT_TRUE(RunUntil([&] { return reactor().open_streams() == 0; }));
  }
}

TEST_P(Conformance, CloseInsideOnAcceptAndCloseOfOthersInsideAnyCallback) {
  AcceptingRecorder server;
  server.on_accept = [&](StreamId id, Recorder&) { reactor().Close(id); };
  const auto [listener, endpoint] = Listen(&server);
  Recorder first;
  reactor().Connect(endpoint, {}, &first);
  ASSERT_TRUE(RunUntil([&] { return first.peer_closed || first.closed; }));
  ASSERT_TRUE(RunUntil([&] { return server.streams[0].handler->closed.has_value(); }));
  EXPECT_THAT(server.streams[0].handler->events, ElementsAre("closed"));

  // Two streams speak in one turn; the one heard first closes the other.
  server.on_accept = nullptr;
  const auto a = MakePair(), b = MakePair();
  a->handler.on_data = [&] { reactor().Close(b->id); };
  b->handler.on_data = [&] { reactor().Close(a->id); };
  a->peer->Write("x");
  b->peer->Write("x");
  ASSERT_TRUE(RunUntil([&] { return a->handler.closed || b->handler.closed; }));
  RunFor(absl::Milliseconds(10));
  EXPECT_NE(a->handler.closed.has_value(), b->handler.closed.has_value());
  EXPECT_NE(a->handler.data.empty(), b->handler.data.empty());
}

TEST_P(Conformance, CloseWithASendInFlightGivesItsMemoryBackAtOnClosed) {
  const auto pair = MakePair();
  // On the heap and freed in OnClosed: AddressSanitizer and the kernel would both notice a use.
  auto message = std::make_unique<std::string>(Pattern(kTooMuchBytes));
  const std::string copy = *message;
  SendText(reactor(), pair->id, *message);
  if (!is_sim()) RunFor(absl::Milliseconds(20));
  pair->handler.on_closed = [&] {
    std::fill(message->begin(), message->end(), '!');
    message.reset();
  };
  reactor().Close(pair->id);
  ASSERT_TRUE(RunUntil([&] { return pair->handler.closed.has_value(); }));
  const uint64_t unsent = pair->handler.closed->unsent_bytes;
  EXPECT_GT(unsent, 0u);
  // What the kernel took arrives, to the byte: `unsent` is exact.
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(1'000'000);
    return pair->peer->saw_end();
  }));
  EXPECT_EQ(pair->peer->received().size(), kTooMuchBytes - unsent);
  EXPECT_TRUE(pair->peer->received() == copy.substr(0, kTooMuchBytes - unsent));
}

TEST_P(Conformance, CloseWithAGatheringSendInFlightCountsExactlyToo) {
  const auto pair = MakePair();
  std::vector<std::string> texts;
  std::vector<iovec> pieces;
  for (uint32_t i = 0; i < 40; ++i) texts.push_back(Pattern(200'000 + i, i));
  std::string all;
  for (const std::string& text : texts) {
    pieces.push_back(Piece(text));
    all += text;
  }
  reactor().Send(pair->id, pieces);
  ASSERT_TRUE(RunUntil([&] {  // well into the middle of it
    pair->peer->ReadSome(100'000);
    return pair->peer->received().size() > 1'000'000;
  }));
  reactor().Close(pair->id);
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(1'000'000);
    return pair->handler.closed && pair->peer->saw_end();
  }));
  EXPECT_GT(pair->handler.closed->unsent_bytes, 0u);
  EXPECT_EQ(pair->peer->received().size(), all.size() - pair->handler.closed->unsent_bytes);
  EXPECT_TRUE(all.starts_with(pair->peer->received()));
}

TEST_P(Conformance, BytesTheKernelTookAreNotCountedAsUnsent) {
  const auto pair = MakePair();
  SendText(reactor(), pair->id, "QUIT\r\n");
  ASSERT_TRUE(RunUntil([&] { return pair->handler.sent == 1; }));
  reactor().Close(pair->id);
  ASSERT_TRUE(RunUntil([&] {
    pair->peer->ReadSome(100);
    return pair->handler.closed && pair->peer->saw_end();
  }));
  EXPECT_EQ(pair->handler.closed->unsent_bytes, 0u);
  EXPECT_EQ(pair->peer->received(), "QUIT\r\n");
}

TEST_P(Conformance, StaleIdsAreHarmless) {
  const auto old = MakePair();
  reactor().Close(old->id);
  ASSERT_TRUE(RunUntil([&] { return old->handler.closed.has_value(); }));
  const auto fresh = MakePair();
  EXPECT_NE(fresh->id, old->id) << "the generation differs where the slot is used again";
  Recorder nobody;
  const StreamId never{12345, 7};
  for (const StreamId id : {old->id, StreamId{}, never}) {
    SendText(reactor(), id, "wrong");
    reactor().ShutdownWrite(id);
    reactor().SetHandler(id, &nobody);
    reactor().Close(id);
    EXPECT_FALSE(reactor().IsOpen(id));
    EXPECT_TRUE(reactor().LocalEndpoint(id).empty());
  }
  reactor().CloseListener(ListenerId{});
  reactor().CloseListener(ListenerId{99, 1});
  SendText(reactor(), fresh->id, "right");
  ASSERT_TRUE(RunUntil([&] {
    fresh->peer->ReadSome(100);
    return fresh->peer->received() == "right" && fresh->handler.sent == 1;
  }));
  EXPECT_TRUE(nobody.events.empty());
}

TEST_P(Conformance, OnClosedMayConnectAnew) {
  AcceptingRecorder server;
  server.on_accept = [&](StreamId id, Recorder&) { reactor().Close(id); };
  const auto [listener, endpoint] = Listen(&server);
  std::vector<std::unique_ptr<Recorder>> clients;
  std::function<void()> dial = [&, endpoint = endpoint] {
    clients.push_back(std::make_unique<Recorder>());
    Recorder* client = clients.back().get();
    const StreamId id = reactor().Connect(endpoint, {}, client);
    client->on_peer_closed = [this, id] { reactor().Close(id); };
    client->on_closed = [&] {
      if (clients.size() < 50) dial();
    };
  };
  dial();
  ASSERT_TRUE(RunUntil([&] {
    return clients.size() == 50 && clients.back()->closed && reactor().open_streams() == 0;
  }));
}

TEST_P(Conformance, DestructionIsSilentAndLetsGoOfMemory) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  auto pair = MakePair();
  Recorder connecting, idle;
  auto message = std::make_unique<std::string>(Pattern(kTooMuchBytes));
  SendText(reactor(), pair->id, *message);
  reactor().Connect(endpoint, {}, &idle);
  ASSERT_TRUE(RunUntil([&] { return idle.connected; }));
  TestTimer timer([] { FAIL() << "a timer of a reactor that is gone"; });
  reactor().SetTimer(&timer, reactor().Now() + absl::Milliseconds(1));
  reactor().Connect(endpoint, {}, &connecting);
  const size_t events = pair->handler.events.size() + idle.events.size();
  if (is_sim()) pair->peer.reset();  // a stream of the same reactor
  reactor_.reset();
  std::fill(message->begin(), message->end(), '!');
  message.reset();
  EXPECT_FALSE(timer.is_set());
  EXPECT_EQ(pair->handler.events.size() + idle.events.size(), events);
  EXPECT_TRUE(connecting.events.empty());
  EXPECT_FALSE(server.final_told);
  if (pair->peer != nullptr) {  // its connection did end
    for (int i = 0; i < 1000 && !pair->peer->saw_end() && !pair->peer->saw_reset(); ++i) {
      pair->peer->ReadSome(1'000'000);
    }
    EXPECT_TRUE(pair->peer->saw_end() || pair->peer->saw_reset());
    EXPECT_TRUE(Pattern(kTooMuchBytes).starts_with(pair->peer->received()));
  }
}

}  // namespace
}  // namespace volley::io
