// What a channel does when all is well, and what its contract says about ends and bytes.
#include <array>
#include <string>

#include "tests/io/tls/channel_fixture.h"

namespace volley::io {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Backends, ChannelTest,
                         ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         BackendName);

// More than the sockets' buffers and a channel's own take without a reader.
constexpr size_t kTooMuchBytes = 32'000'000;

TEST_P(ChannelTest, PlainIsTheReactorItself) {
  const auto [acceptor, endpoint] = ListenPlain();
  End& client = NewEnd();
  std::optional<Echo> echo;
  acceptor->on_accept = [&](End& end) { echo.emplace(end); };
  client.channel.Connect(endpoint, {});
  EXPECT_EQ(client.channel.stream_handler(), &client.handler) << "no hop between";
  ASSERT_TRUE(RunUntil([&] { return !client.handler.events.empty(); }));
  client.Send("EHLO client\r\n");
  ASSERT_TRUE(RunUntil([&] { return client.handler.data == "EHLO client\r\n"; }));
  EXPECT_FALSE(client.channel.is_tls());
  client.channel.Close();
  ASSERT_TRUE(RunUntil([&] { return client.over() && acceptor->ends[0]->over(); }));
  EXPECT_THAT(client.handler.events, ElementsAre("connected", "sent", "data", "closed"));
  EXPECT_TRUE(client.handler.closed->status.ok());
}

TEST_P(ChannelTest, EchoesAFewBytesOverTls) {
  const auto [client, server] = MakeTlsPair();
  ASSERT_TRUE(client->ready() && server->ready());
  Echo echo(*server);
  client->Send("EHLO client\r\n");
  ASSERT_TRUE(RunUntil([&, c = client] { return c->handler.data == "EHLO client\r\n"; }));
  client->channel.Close();
  EXPECT_FALSE(client->channel.IsOpen());
  ASSERT_TRUE(RunUntil([&, c = client, s = server] { return c->over() && s->over(); }));
  EXPECT_THAT(client->handler.events, ElementsAre("connected", "ready", AnyOf("sent", "data"),
                                                  AnyOf("sent", "data"), "closed"));
  EXPECT_TRUE(client->handler.closed->status.ok());
  EXPECT_EQ(client->handler.closed->unsent_bytes, 0u);
  EXPECT_THAT(server->handler.events, ElementsAre("ready", "data", "sent", "peer_closed", "closed"))
      << "Close() says close_notify";
  EXPECT_EQ(client->failure(), TlsFailure::kNone);
}

TEST_P(ChannelTest, SaysWhatWasAgreed) {
  CertificateSpec spec;
  spec.names = "DNS:mx.example.com,DNS:*.example.net,IP:192.0.2.7,IP:2001:db8::7";
  TlsServerOptions options;
  options.certificate = pki().Leaf(spec);
  const auto [client, server] = MakeTlsPair(Client(), Server(options));
  ASSERT_TRUE(client->ready() && server->ready());
  const TlsInfo& info = *client->handler.info;
  EXPECT_EQ(info.version, "TLSv1.3");
  EXPECT_EQ(info.cipher, "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(info.key_exchange, "x25519");
  EXPECT_FALSE(info.resumed);
  EXPECT_TRUE(info.verified) << info.why_not_verified;
  EXPECT_EQ(info.why_not_verified, "");
  EXPECT_EQ(info.subject, "CN=mx.example.com");
  EXPECT_EQ(info.issuer, "CN=Test CA");
  EXPECT_THAT(info.peer_names,
              ElementsAre("mx.example.com", "*.example.net", "192.0.2.7", "2001:db8::7"));
  EXPECT_FALSE(info.more_names);
  const absl::Duration left = info.not_after - absl::Now();
  EXPECT_GT(left, absl::Hours(29 * 24));
  EXPECT_LT(left, absl::Hours(31 * 24));
  EXPECT_EQ(server->handler.info->server_name, "mx.example.com") << "SNI";
  EXPECT_EQ(server->handler.info->subject, "") << "clients show no certificate unasked";
}

TEST_P(ChannelTest, SendsNoServerNameForAnAddress) {
  CertificateSpec spec;
  spec.names = "IP:127.0.0.1";
  TlsServerOptions options;
  options.certificate = pki().Leaf(spec);
  const auto [client, server] = MakeTlsPair(Client(), Server(options), To("127.0.0.1"));
  ASSERT_TRUE(client->ready() && server->ready()) << client->why();
  EXPECT_TRUE(client->handler.info->verified);
  EXPECT_EQ(server->handler.info->server_name, "");
}

TEST_P(ChannelTest, SpeaksTls12) {
  TlsServerOptions options;
  options.max_version = TlsVersion::kTls12;
  const auto [client, server] = MakeTlsPair(Client(), Server(options));
  ASSERT_TRUE(client->ready() && server->ready()) << client->why();
  EXPECT_EQ(client->handler.info->version, "TLSv1.2");
  EXPECT_TRUE(client->handler.info->verified);
  const std::string message = Pattern(100'000);
  Echo echo(*server);
  client->Send(message);
  ASSERT_TRUE(RunUntil([&, c = client] { return c->handler.data.size() == message.size(); }));
  EXPECT_TRUE(client->handler.data == message);
}

// `sender` sends 5 MB while the other sends 5 MB back.
TEST_P(ChannelTest, EchoesFiveMegabytesBothWaysAtOnce) {
  const auto [client, server] = MakeTlsPair();
  Echo echo(*server);
  const std::string message = Pattern(5'000'000);
  client->handler.on_sent = [c = client] { c->channel.ShutdownWrite(); };
  client->Send(message);
  ASSERT_TRUE(RunUntil([&, c = client] { return c->handler.peer_closed || c->over(); }));
  EXPECT_EQ(client->handler.sent, 1);
  EXPECT_TRUE(client->handler.data == message);  // not EXPECT_EQ: it would print both
  client->channel.Close();
  ASSERT_TRUE(RunUntil([&, c = client, s = server] { return c->over() && s->over(); }));
  EXPECT_TRUE(client->handler.closed->status.ok());
}

TEST_P(ChannelTest, SendsSixtyFourPiecesInOrderWithOneOnSent) {
  const auto [client, server] = MakeTlsPair();
  std::string all;
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < Reactor::kMaxSendPieces; ++i) {
    texts.push_back(Pattern(i % 3 == 0 ? 1 : (i % 7 == 0 ? 60'000 + i : 300 * i), i));
    all += texts.back();
  }
  {
    std::vector<iovec> pieces;
    for (const std::string& text : texts) pieces.push_back(Piece(text));
    client->channel.Send(pieces);
    std::fill(pieces.begin(), pieces.end(), iovec{nullptr, 1});  // ours again at once
  }
  ASSERT_TRUE(RunUntil([&, s = server] { return s->handler.data.size() >= all.size(); }));
  EXPECT_TRUE(server->handler.data == all);
  ASSERT_TRUE(RunUntil([&, c = client] { return c->handler.sent != 0; }));
  EXPECT_EQ(client->handler.sent, 1);
}

TEST_P(ChannelTest, SendsSmallPiecesOneSendAfterAnother) {
  const auto [client, server] = MakeTlsPair();
  constexpr int kRounds = 200;
  const std::string a = "MAIL FROM:<a@example.com>\r\n", b = "RCPT TO:<b@example.org>\r\n";
  int left = kRounds;
  const auto next = [&, c = client] {
    if (left-- == 0) return;
    const std::array pieces{Piece(a), Piece(b)};
    c->channel.Send(pieces);
  };
  client->handler.on_sent = next;
  next();
  std::string expected;
  for (int i = 0; i < kRounds; ++i) expected += a + b;
  ASSERT_TRUE(RunUntil([&, c = client, s = server] {
    return c->handler.sent == kRounds && s->handler.data.size() >= expected.size();
  }));
  EXPECT_EQ(server->handler.data, expected);
}

TEST_P(ChannelTest, SendsFromInsideOnTlsReady) {
  const auto [acceptor, endpoint] = ListenPlain();
  TlsServerContext* context = Server();
  acceptor->on_accept = [&](End& end) {
    end.handler.on_ready = [&end] { end.Send("220 ready\r\n"); };
    end.channel.StartTlsServer(context, {});
  };
  End& client = NewEnd();
  client.handler.on_ready = [&] { client.Send("EHLO me\r\n"); };
  client.channel.ConnectTls(endpoint, {}, Client(), To());
  ASSERT_TRUE(RunUntil([&] {
    return client.handler.data == "220 ready\r\n" && client.handler.sent == 1 &&
           acceptor->ends[0]->handler.data == "EHLO me\r\n" && acceptor->ends[0]->handler.sent == 1;
  }));
}

// --- STARTTLS ------------------------------------------------------------------------------------

class StartTlsServer {  // enough SMTP to switch
 public:
  StartTlsServer(End& end, TlsServerContext* context, std::string reply)
      : end_(end), reply_(std::move(reply)) {
    end.handler.on_data = [this] {
      if (end_.handler.data != "STARTTLS\r\n") return;
      end_.handler.data.clear();
      end_.Send(reply_);
    };
    end.handler.on_sent = [this, context] {
      end_.handler.on_sent = nullptr;
      end_.channel.StartTlsServer(context, {});
    };
  }

 private:
  End& end_;
  const std::string reply_;
};

TEST_P(ChannelTest, SwitchesToTlsAfterPlaintextLines) {
  const auto [acceptor, endpoint] = ListenPlain();
  TlsServerContext* server_context = Server();
  TlsClientContext* client_context = Client();
  std::optional<StartTlsServer> starttls;
  acceptor->on_accept = [&](End& end) {
    starttls.emplace(end, server_context, "220 go ahead\r\n");
  };
  End& client = NewEnd();
  client.handler.on_connected = [&] { client.Send("STARTTLS\r\n"); };
  client.channel.Connect(endpoint, {});
  ASSERT_TRUE(RunUntil(
      [&] { return client.handler.data == "220 go ahead\r\n" && client.handler.sent == 1; }));
  client.channel.StartTls(client_context, To());
  ASSERT_TRUE(RunUntil([&] { return client.ready() && acceptor->ends[0]->ready(); }));
  End& server = *acceptor->ends[0];
  const Echo echo(server);
  client.handler.data.clear();
  client.Send("EHLO again\r\n");
  ASSERT_TRUE(RunUntil([&] { return client.handler.data == "EHLO again\r\n"; }));
  client.channel.Close();
  ASSERT_TRUE(RunUntil([&] { return client.over() && server.over(); }));
  EXPECT_THAT(client.handler.events,
              ElementsAre("connected", AnyOf("sent", "data"), AnyOf("sent", "data"), "ready",
                          AnyOf("sent", "data"), AnyOf("sent", "data"), "closed"));
}

TEST_P(ChannelTest, StartsTlsFromInsideOnData) {
  const auto [acceptor, endpoint] = ListenPlain();
  TlsServerContext* server_context = Server();
  TlsClientContext* client_context = Client();
  acceptor->on_accept = [&](End& end) {
    end.Send("220 go ahead\r\n");
    end.handler.on_sent = [&end, server_context] {
      end.handler.on_sent = nullptr;
      end.channel.StartTlsServer(server_context, {});
    };
  };
  End& client = NewEnd();
  client.handler.on_data = [&] {
    client.handler.on_data = nullptr;
    client.channel.StartTls(client_context, To());
  };
  client.channel.Connect(endpoint, {});
  ASSERT_TRUE(RunUntil([&] { return client.ready() && acceptor->ends[0]->ready(); }));
}

// CVE-2011-0411: the handler hears what came with the reply before it starts TLS, and nothing of it
// afterwards.
TEST_P(ChannelTest, PlaintextBehindTheReplyIsHeardBeforeTlsAndNeverAfter) {
  const auto [acceptor, endpoint] = ListenPlain();
  TlsServerContext* server_context = Server();
  TlsClientContext* client_context = Client();
  std::optional<StartTlsServer> starttls;
  acceptor->on_accept = [&](End& end) {
    starttls.emplace(end, server_context, "220 go ahead\r\n250 injected\r\n");
  };
  End& client = NewEnd();
  client.handler.on_connected = [&] { client.Send("STARTTLS\r\n"); };
  client.channel.Connect(endpoint, {});
  ASSERT_TRUE(
      RunUntil([&] { return client.handler.data.size() == 28 && client.handler.sent == 1; }));
  client.channel.StartTls(client_context, To());
  ASSERT_TRUE(RunUntil([&] { return client.ready(); }));
  EXPECT_EQ(client.handler.data, "220 go ahead\r\n250 injected\r\n");
}

TEST_P(ChannelTest, PlaintextThatComesAfterStartTlsIsNotTls) {
  const auto pair_host = &MakeHost();
  End& client = NewEnd();
  client.channel.Connect(pair_host->endpoint(), {});
  std::unique_ptr<Peer> peer;
  ASSERT_TRUE(RunUntil([&] {
    if (peer == nullptr) peer = pair_host->TryAccept();
    return peer != nullptr && !client.handler.events.empty();
  }));
  client.channel.StartTls(Client(), To());
  peer->Write("250 injected\r\n");
  ASSERT_TRUE(RunUntil([&] { return client.over(); }));
  EXPECT_EQ(client.failure(), TlsFailure::kPlaintextPeer);
  EXPECT_EQ(client.handler.data, "");
  if (is_sim()) peer.reset();
}

TEST_P(ChannelTest, StartTlsOnAStreamThatHasEndedIsNoHarm) {
  const auto [acceptor, endpoint] = ListenPlain();
  End& client = NewEnd();
  client.channel.Connect(endpoint, {});
  ASSERT_TRUE(RunUntil([&] { return !client.handler.events.empty(); }));
  client.channel.Close();
  client.channel.StartTls(Client(), To());
  EXPECT_FALSE(client.channel.is_tls());
  ASSERT_TRUE(RunUntil([&] { return client.over(); }));
  client.channel.StartTls(Client(), To());
  EXPECT_THAT(client.handler.events, ElementsAre("connected", "closed"));
}

// --- the contract --------------------------------------------------------------------------------

TEST_P(ChannelTest, NoCallbackComesFromInsideACall) {
  bool inside = true;
  const auto [acceptor, endpoint] = ListenPlain();
  TlsServerContext* context = Server();
  acceptor->on_accept = [&](End& end) {
    end.handler.forbidden = &inside;
    inside = true;
    end.channel.StartTlsServer(context, {});
    inside = false;
  };
  End& client = NewEnd();
  End& refused = NewEnd();
  client.handler.forbidden = refused.handler.forbidden = &inside;
  client.channel.ConnectTls(endpoint, {}, Client(), To());
  refused.channel.ConnectTls(endpoint, {}, Client(), To(std::string(300, 'x')));  // not a name
  inside = false;
  ASSERT_TRUE(RunUntil([&] { return client.ready() && refused.over(); }));
  EXPECT_EQ(refused.failure(), TlsFailure::kHandshakeFailed);
  EXPECT_THAT(refused.why(), HasSubstr("is not a name"));
  const auto call = [&](const std::function<void()>& action) {
    inside = true;
    action();
    inside = false;
  };
  const std::string large = Pattern(500'000);
  call([&] { client.Send(large); });
  ASSERT_TRUE(RunUntil([&] { return client.handler.sent == 1; }));
  call([&] { client.channel.ShutdownWrite(); });
  call([&] { client.channel.Close(); });
  ASSERT_TRUE(RunUntil([&] { return client.over(); }));
  call([&] { client.channel.Close(); });
}

TEST_P(ChannelTest, CloseInsideEveryCallback) {
  TlsServerContext* server_context = Server();
  TlsClientContext* client_context = Client();
  const std::array<std::string, 5> wheres{"connected", "ready", "data", "sent", "peer_closed"};
  for (const std::string& where : wheres) {
    SCOPED_TRACE(where);
    const auto [acceptor, endpoint] = ListenPlain();
    acceptor->on_accept = [&](End& end) {
      end.handler.on_ready = [&end] { end.Send("220 hello\r\n"); };
      end.handler.on_sent = [&end] { end.channel.ShutdownWrite(); };
      end.handler.on_peer_closed = [&end] { end.channel.Close(); };
      end.channel.StartTlsServer(server_context, {});
    };
    End& client = NewEnd();
    const auto close = [&] { client.channel.Close(); };
    if (where == "connected") client.handler.on_connected = close;
    client.handler.on_ready = [&] {
      client.Send("EHLO me\r\n");
      if (where == "ready") close();
    };
    if (where == "data") client.handler.on_data = close;
    if (where == "sent") client.handler.on_sent = close;
    if (where == "peer_closed") client.handler.on_peer_closed = close;
    client.channel.ConnectTls(endpoint, {}, client_context, To());
    ASSERT_TRUE(RunUntil([&] { return client.over(); }));
    EXPECT_TRUE(client.handler.closed->status.ok()) << client.handler.closed->status;
    ASSERT_GE(client.handler.events.size(), 2u);
    EXPECT_EQ(client.handler.events[client.handler.events.size() - 2], where)
        << "an event after Close()";
    EXPECT_EQ(client.failure(), TlsFailure::kNone);
  }
}

TEST_P(ChannelTest, OnClosedMayConnectAnewAndMayDestroyTheChannel) {
  const auto [acceptor, endpoint] = ListenTls(Server());
  TlsClientContext* context = Client();
  acceptor->on_accept = [start = acceptor->on_accept](End& end) {
    end.handler.on_ready = [&end] { end.channel.Close(); };
    start(end);
  };
  auto client = std::make_unique<End>(&reactor());
  int rounds = 0;
  bool gone = false;
  const auto dial = [&, endpoint = endpoint] {
    client->channel.ConnectTls(endpoint, {}, context, To());
  };
  client->handler.on_peer_closed = [&] { client->channel.Close(); };
  client->handler.on_closed = [&] {
    if (++rounds == 10) {
      client.reset();
      gone = true;
      return;
    }
    client->handler.events.clear();
    client->handler.closed.reset();
    client->handler.info.reset();
    client->handler.peer_closed = false;
    dial();
  };
  // The recorder's function would go with it.
  const std::function<void()> keep = client->handler.on_closed;
  client->handler.on_closed = [keep = &keep] { (*keep)(); };
  dial();
  ASSERT_TRUE(RunUntil([&] { return gone; }));
  EXPECT_EQ(rounds, 10);
}

TEST_P(ChannelTest, SwitchesTheHandlerFromTheNextEventOn) {
  const auto [client, server] = MakeTlsPair();
  ChannelRecorder second;
  client->channel.SetHandler(&second);
  server->Send("hello");
  ASSERT_TRUE(RunUntil([&] { return second.data == "hello"; }));
  client->channel.Close();
  ASSERT_TRUE(RunUntil([&] { return second.closed.has_value(); }));
  EXPECT_EQ(client->handler.data, "");
}

// --- ends ----------------------------------------------------------------------------------------

TEST_P(ChannelTest, AfterOurHalfCloseThePeersBytesStillCome) {
  const auto [client, server] = MakeTlsPair();
  server->handler.on_peer_closed = [s = server] { s->Send("221 bye\r\n"); };
  server->handler.on_sent = [s = server] { s->channel.Close(); };
  client->Send("QUIT\r\n");
  client->channel.ShutdownWrite();  // the Send in flight goes first
  ASSERT_TRUE(RunUntil([&, c = client] { return c->handler.peer_closed || c->over(); }));
  EXPECT_EQ(server->handler.data, "QUIT\r\n");
  EXPECT_EQ(client->handler.data, "221 bye\r\n");
  EXPECT_FALSE(client->over());
  client->channel.Close();
  ASSERT_TRUE(RunUntil([&, c = client] { return c->over(); }));
  EXPECT_TRUE(client->handler.closed->status.ok());
}

TEST_P(ChannelTest, AnEndWithoutCloseNotifyIsALostConnection) {
  const auto [client, server] = MakeTlsPair();
  server->Send("354 go ahead\r\n");
  ASSERT_TRUE(RunUntil([&, c = client] { return !c->handler.data.empty(); }));
  reactor().ShutdownWrite(server->channel.id());  // past TLS
  ASSERT_TRUE(RunUntil([&, c = client] { return c->over(); }));
  EXPECT_FALSE(client->handler.peer_closed);
  EXPECT_EQ(client->failure(), TlsFailure::kTruncated);
  EXPECT_EQ(client->handler.closed->status.code(), absl::StatusCode::kUnavailable);
}

TEST_P(ChannelTest, APeerThatOmitsCloseNotifyAfterItsLastReplyIsNotSeen) {
  const auto [client, server] = MakeTlsPair();
  client->handler.on_data = [c = client] { c->channel.Close(); };  // 221: all has been said
  server->handler.on_sent = [&, s = server] { reactor().ShutdownWrite(s->channel.id()); };
  server->Send("221 bye\r\n");
  ASSERT_TRUE(RunUntil([&, c = client] { return c->over(); }));
  EXPECT_TRUE(client->handler.closed->status.ok());
  EXPECT_EQ(client->failure(), TlsFailure::kNone);
}

TEST_P(ChannelTest, AResetIsALostConnection) {
  const auto [client, server] = MakeTlsPair();
  if (is_sim()) {
    sim().Reset(server->channel.id());
  } else {  // unread bytes make the kernel send a reset
    client->Send(Pattern(100'000));
    reactor().Close(server->channel.id());
  }
  ASSERT_TRUE(RunUntil([&, c = client] { return c->over(); }));
  EXPECT_EQ(client->handler.closed->status.code(), absl::StatusCode::kUnavailable);
}

TEST_P(ChannelTest, UnsentBytesAreThoseThePeerCannotHave) {
  const auto [client, server] = MakeTlsPair();
  // The reader takes a part and then stops for good: its reactor stream is closed beneath it, so
  // that what the kernel took but nobody read may be lost; `unsent` must stay on the safe side.
  const std::string message = Pattern(kTooMuchBytes);
  server->handler.on_data = [&, s = server] {
    if (s->handler.data.size() > 1'000'000) reactor().Close(s->channel.id());
  };
  client->Send(message);
  ASSERT_TRUE(RunUntil([&, c = client, s = server] { return c->over() && s->over(); }));
  EXPECT_EQ(client->handler.sent, 0);
  const uint64_t unsent = client->handler.closed->unsent_bytes;
  EXPECT_GT(unsent, 0u);
  EXPECT_LE(server->handler.data.size() + unsent, message.size());
  EXPECT_TRUE(message.starts_with(server->handler.data));
}

TEST_P(ChannelTest, CloseInTheMiddleOfASendCountsToTheByte) {
  const auto [client, server] = MakeTlsPair();
  auto message = std::make_unique<std::string>(Pattern(kTooMuchBytes));
  const std::string copy = *message;
  std::array<iovec, 3> pieces{Piece(std::string_view(*message).substr(0, 10)),
                              Piece(std::string_view(*message).substr(10, 700'000)),
                              Piece(std::string_view(*message).substr(700'010))};
  client->channel.Send(pieces);
  client->handler.on_closed = [&] { message.reset(); };  // ours again, ASan sees a later use
  server->handler.on_data = [c = client, s = server] {
    if (s->handler.data.size() > 500'000) c->channel.Close();
  };
  ASSERT_TRUE(RunUntil([&, c = client, s = server] { return c->over() && s->over(); }));
  const uint64_t unsent = client->handler.closed->unsent_bytes;
  EXPECT_TRUE(client->handler.closed->status.ok());
  EXPECT_GT(unsent, 0u);
  EXPECT_EQ(client->handler.sent, 0);
  // The server read all that the kernel took: the complete records, to the byte.
  EXPECT_EQ(server->handler.data.size(), copy.size() - unsent);
  EXPECT_TRUE(server->handler.data == copy.substr(0, copy.size() - unsent));
  EXPECT_EQ(server->failure(), TlsFailure::kTruncated) << "a cut conversation looks cut";
}

TEST_P(ChannelTest, DestroyingTheReactorFirstIsSilent) {
  const auto [client, server] = MakeTlsPair();
  const std::string message = Pattern(kTooMuchBytes);
  client->Send(message);
  const size_t events = client->handler.events.size() + server->handler.events.size();
  reactor_.reset();
  EXPECT_EQ(client->handler.events.size() + server->handler.events.size(), events);
}

// --- client certificates -------------------------------------------------------------------------

TEST_P(ChannelTest, ShowsItsCertificateToAServerThatAsks) {
  TlsServerOptions server_options;
  server_options.client_ca_file = pki().ca_file();
  CertificateSpec spec;
  spec.common_name = "sender";
  spec.names = "DNS:sender.example.org";
  TlsClientOptions client_options;
  client_options.certificate = pki().Leaf(spec);
  const auto [client, server] = MakeTlsPair(Client(client_options), Server(server_options));
  ASSERT_TRUE(client->ready() && server->ready()) << client->why() << server->why();
  EXPECT_EQ(server->handler.info->subject, "CN=sender");
  EXPECT_THAT(server->handler.info->peer_names, ElementsAre("sender.example.org"));
  EXPECT_TRUE(server->handler.info->verified);
}

}  // namespace
}  // namespace volley::io
