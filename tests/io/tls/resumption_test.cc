// Sessions are resumed, and only where they may be.
#include <string>

#include "tests/io/tls/channel_fixture.h"

namespace volley::io {
namespace {

class ResumptionTest : public ChannelTest {
 protected:
  struct Relay {
    TlsServerContext* context;
    ChannelAcceptor* acceptor;
    Endpoint endpoint;
  };
  // Echoes one line and then waits to be closed.
  Relay MakeRelay(TlsServerOptions options = {}) {
    TlsServerContext* context = Server(options);
    const auto [acceptor, endpoint] = ListenPlain();
    acceptor->on_accept = [context](End& end) {
      end.handler.on_data = [&end] {
        if (end.handler.data == "NOOP\r\n") end.Send("250 OK\r\n");
      };
      end.handler.on_peer_closed = [&end] { end.channel.Close(); };
      end.channel.StartTlsServer(context, {});
    };
    return {context, acceptor, endpoint};
  }
  static TlsConnectOptions Keyed(TlsVerify verify = TlsVerify::kRequired) {
    TlsConnectOptions options = To("mx.example.com", verify);
    options.session_key = "mx.example.com:25";
    return options;
  }
  // One connection, a line and its echo. True: it was resumed.
  bool Visit(const Relay& relay, TlsClientContext* context, const TlsConnectOptions& options) {
    End& client = NewEnd();
    client.handler.on_ready = [&] { client.Send("NOOP\r\n"); };
    client.handler.on_data = [&] {
      if (client.handler.data == "250 OK\r\n") client.channel.Close();
    };
    client.channel.ConnectTls(relay.endpoint, {}, context, options);
    EXPECT_TRUE(RunUntil([&] { return client.over(); }));
    EXPECT_TRUE(client.ready()) << client.why();
    EXPECT_EQ(client.handler.data, "250 OK\r\n");
    EXPECT_TRUE(client.handler.info->verified || options.verify == TlsVerify::kNone);
    return client.ready() && client.handler.info->resumed;
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, ResumptionTest,
                         ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         BackendName);

TEST_P(ResumptionTest, EveryReconnectResumes) {
  for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
    TlsServerOptions options;
    options.max_version = version;
    const Relay relay = MakeRelay(options);
    TlsClientContext* context = Client();
    EXPECT_FALSE(Visit(relay, context, Keyed()));
    for (int i = 0; i < 40; ++i) EXPECT_TRUE(Visit(relay, context, Keyed())) << "visit " << i;
    EXPECT_EQ(context->stats().handshakes, 41u);
    EXPECT_EQ(context->stats().resumed, 40u);
  }
}

// Postfix' way: a ticket after a full handshake, none after a resumed one.
TEST_P(ResumptionTest, ATicketIsUsedAgainWhereTheServerGivesNoOther) {
  const Relay relay = MakeRelay();
  SSL_CTX* server = relay.context->config().ssl_ctx();
  SSL_CTX_set_num_tickets(server, 1);
  SSL_CTX_set_info_callback(server, [](const SSL* ssl, int where, int) {
    // Before the first write after the handshake, which is when the ticket would be made.
    if ((where & SSL_CB_HANDSHAKE_START) != 0) return;
    if (SSL_session_reused(ssl) == 1) SSL_set_num_tickets(const_cast<SSL*>(ssl), 0);
  });
  TlsClientContext* context = Client();
  EXPECT_FALSE(Visit(relay, context, Keyed()));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Visit(relay, context, Keyed())) << "visit " << i;
  EXPECT_EQ(context->stats().kept, 1u);
}

// A fleet: all connect at once, and each reconnects as soon as it has been closed.
TEST_P(ResumptionTest, ReconnectsOfManySessionsAtOnceResume) {
  constexpr uint64_t kSessions = 50, kRounds = 10;
  const Relay relay = MakeRelay();
  TlsClientContext* context = Client();
  size_t over = 0;
  std::vector<int> rounds(kSessions, 0);
  for (size_t i = 0; i < kSessions; ++i) {
    End& client = NewEnd();
    const auto dial = [&client, &relay, context] {
      client.channel.ConnectTls(relay.endpoint, {}, context, Keyed());
    };
    client.handler.on_ready = [&] { client.Send("NOOP\r\n"); };
    client.handler.on_data = [&] {
      if (client.handler.data == "250 OK\r\n") client.channel.Close();
    };
    client.handler.on_closed = [&client, &rounds, &over, i, dial] {
      if (++rounds[i] == kRounds) {
        ++over;
        return;
      }
      client.handler.events.clear();
      client.handler.closed.reset();
      client.handler.info.reset();
      client.handler.data.clear();
      dial();
    };
    dial();
  }
  ASSERT_TRUE(RunUntil([&] { return over == kSessions; }));
  const TlsSessionStats& stats = context->stats();
  EXPECT_EQ(stats.handshakes, kSessions * kRounds);
  const uint64_t reconnects = stats.handshakes - kSessions;
  EXPECT_GT(stats.resumed * 100, reconnects * 95) << stats.resumed << " of " << reconnects;
}

TEST_P(ResumptionTest, AConnectionThatWasLostKeepsItsTickets) {
  const Relay relay = MakeRelay();
  TlsClientContext* context = Client();
  End& client = NewEnd();
  client.handler.on_ready = [&] { client.Send("NOOP\r\n"); };
  client.channel.ConnectTls(relay.endpoint, {}, context, Keyed());
  ASSERT_TRUE(RunUntil([&] { return client.handler.data == "250 OK\r\n"; }));
  reactor().Close(relay.acceptor->ends[0]->channel.id());  // past TLS: no close_notify
  ASSERT_TRUE(RunUntil([&] { return client.over(); }));
  EXPECT_EQ(client.failure(), TlsFailure::kTruncated);
  EXPECT_TRUE(Visit(relay, context, Keyed()));
}

TEST_P(ResumptionTest, AnotherPolicyOrNameDoesNotResume) {
  const Relay relay = MakeRelay();
  TlsClientContext* context = Client();
  EXPECT_FALSE(Visit(relay, context, Keyed(TlsVerify::kNone)));
  EXPECT_FALSE(Visit(relay, context, Keyed(TlsVerify::kRequired)))
      << "a session that nobody verified";
  EXPECT_TRUE(Visit(relay, context, Keyed(TlsVerify::kNone)));
  TlsConnectOptions also = Keyed();
  also.also_accept = {"example.com"};
  EXPECT_FALSE(Visit(relay, context, also));
  TlsConnectOptions nameless = Keyed(TlsVerify::kNone);
  nameless.server_name.clear();
  EXPECT_FALSE(Visit(relay, context, nameless));
  TlsConnectOptions unkeyed = Keyed();
  unkeyed.session_key.clear();
  EXPECT_FALSE(Visit(relay, context, unkeyed));
  EXPECT_FALSE(Visit(relay, context, unkeyed));
}

TEST_P(ResumptionTest, AResumedOpportunisticSessionStillSaysWhatIsWrong) {
  TlsServerOptions options;
  options.certificate = pki().SelfSigned({});
  const Relay relay = MakeRelay(options);
  TlsClientContext* context = Client();
  EXPECT_FALSE(Visit(relay, context, Keyed(TlsVerify::kNone)));
  EXPECT_TRUE(Visit(relay, context, Keyed(TlsVerify::kNone)));
  const TlsInfo& info = *ends_.back()->handler.info;
  EXPECT_FALSE(info.verified);
  EXPECT_EQ(info.unverified_reason, TlsFailure::kCertificateSelfSigned);
  EXPECT_EQ(info.subject, "CN=mx.example.com");
}

TEST_P(ResumptionTest, AServerThatLostItsTicketKeysGetsAFullHandshake) {
  TlsClientContext* context = Client();
  EXPECT_FALSE(Visit(MakeRelay(), context, Keyed()));
  EXPECT_FALSE(Visit(MakeRelay(), context, Keyed())) << "another server under the same key";
  EXPECT_EQ(context->stats().offered, 1u);
}

TEST_P(ResumptionTest, WithoutTicketsNothingIsKept) {
  for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
    TlsServerOptions options;
    options.max_version = version;
    options.tickets = 0;
    const Relay relay = MakeRelay(options);
    TlsClientContext* context = Client();
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(Visit(relay, context, Keyed()));
  }
}

}  // namespace
}  // namespace volley::io
