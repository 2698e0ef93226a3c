// Every way in which TLS does not come about or ends badly, with the reason a user is told.
#include <string>

#include "tests/io/tls/channel_fixture.h"
#include "tests/io/tls/relay.h"

namespace volley::io {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ChannelFailureTest : public ChannelTest {
 protected:
  // A TLS client against a server with this certificate.
  End& Against(const TlsCertificateFiles& certificate, const TlsConnectOptions& options = To()) {
    TlsServerOptions server;
    server.certificate = certificate;
    return *MakeTlsPair(Client(), Server(server), options).client;
  }
  // A client against a peer that is under the test's control.
  End& AgainstPeer(const std::string& says, TlsConnectOptions options = To(), bool end = false) {
    PeerHost& host = MakeHost();
    End& client = NewEnd();
    client.channel.ConnectTls(host.endpoint(), {}, Client(), options);
    EXPECT_TRUE(RunUntil([&] {
      if (peer_ == nullptr) peer_ = host.TryAccept();
      return peer_ != nullptr && !client.handler.events.empty();
    }));
    if (!says.empty()) peer_->Write(says);
    if (end) peer_->ShutdownWrite();
    EXPECT_TRUE(RunUntil([&] { return client.over(); }));
    return client;
  }
  void TearDown() override {
    if (is_sim()) peer_.reset();
    ChannelTest::TearDown();
  }
  std::unique_ptr<Peer> peer_;
};

INSTANTIATE_TEST_SUITE_P(Backends, ChannelFailureTest,
                         ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         BackendName);

void ExpectRefused(const End& end, TlsFailure failure) {
  ASSERT_TRUE(end.over());
  EXPECT_FALSE(end.ready());
  EXPECT_EQ(end.failure(), failure) << end.why();
  EXPECT_EQ(end.handler.closed->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(end.handler.closed->status.message()), end.why());
  EXPECT_EQ(end.handler.data, "");
  EXPECT_THAT(end.handler.events, ElementsAre("connected", "closed"));
}

// --- certificates --------------------------------------------------------------------------------

TEST_P(ChannelFailureTest, AnExpiredCertificate) {
  CertificateSpec spec;
  spec.from_s = -40 * 86400;
  spec.until_s = -86400;
  const End& client = Against(pki().Leaf(spec));
  ExpectRefused(client, TlsFailure::kCertificateExpired);
  const std::string day =
      absl::FormatTime("%Y-%m-%d", absl::Now() - absl::Hours(24), absl::UTCTimeZone());
  EXPECT_EQ(client.why(), "the certificate expired on " + day);
  EXPECT_EQ(client.channel.tls_error()->info.subject, "CN=mx.example.com");
}

TEST_P(ChannelFailureTest, ACertificateOfTheFuture) {
  CertificateSpec spec;
  spec.from_s = 86400;
  ExpectRefused(Against(pki().Leaf(spec)), TlsFailure::kCertificateNotYetValid);
}

TEST_P(ChannelFailureTest, ACertificateForAnotherName) {
  CertificateSpec spec;
  spec.names = "DNS:smtp.example.net,DNS:*.example.org";
  const End& client = Against(pki().Leaf(spec));
  ExpectRefused(client, TlsFailure::kCertificateNameMismatch);
  EXPECT_EQ(client.why(),
            "the certificate is for smtp.example.net, *.example.org, not for mx.example.com");
}

TEST_P(ChannelFailureTest, ACommonNameIsNoName) {
  CertificateSpec spec;
  spec.names.clear();
  const End& client = Against(pki().Leaf(spec));
  ExpectRefused(client, TlsFailure::kCertificateNameMismatch);
  EXPECT_THAT(client.why(), HasSubstr("no host name at all (subject CN=mx.example.com"));
}

TEST_P(ChannelFailureTest, AnAddressNeedsAnAddressInTheCertificate) {
  CertificateSpec spec;
  spec.names = "DNS:127.0.0.1,IP:127.0.0.2";  // a dNSName is no address
  ExpectRefused(Against(pki().Leaf(spec), To("127.0.0.1")), TlsFailure::kCertificateNameMismatch);
}

TEST_P(ChannelFailureTest, ASelfSignedCertificate) {
  const End& client = Against(pki().SelfSigned({}));
  ExpectRefused(client, TlsFailure::kCertificateSelfSigned);
  EXPECT_EQ(client.why(), "the certificate is self-signed");
}

TEST_P(ChannelFailureTest, AnUnknownIssuer) {
  const End& client = Against(pki().Foreign({}));
  ExpectRefused(client, TlsFailure::kCertificateUntrusted);
  EXPECT_EQ(client.why(),
            "the certificate's issuer (CN=Nobody's CA) is not among " + pki().ca_file());
}

TEST_P(ChannelFailureTest, AllFaultsAreToldTheFirstIsTheReason) {
  CertificateSpec spec;
  spec.names = "DNS:other.example";
  spec.until_s = -10;
  const End& client = Against(pki().SelfSigned(spec));
  ExpectRefused(client, TlsFailure::kCertificateExpired);
  EXPECT_THAT(client.why(),
              AllOf(HasSubstr("expired on"), HasSubstr("; the certificate is for other.example"),
                    HasSubstr("; the certificate is self-signed")));
}

TEST_P(ChannelFailureTest, OpportunisticTlsTakesAnyCertificateAndSaysWhatIsWrong) {
  CertificateSpec spec;
  spec.names = "DNS:other.example";
  const End& client = Against(pki().SelfSigned(spec), To("mx.example.com", TlsVerify::kNone));
  ASSERT_TRUE(client.ready()) << client.why();
  EXPECT_FALSE(client.handler.info->verified);
  EXPECT_EQ(client.handler.info->unverified_reason, TlsFailure::kCertificateNameMismatch);
  EXPECT_EQ(client.handler.info->why_not_verified,
            "the certificate is for other.example, not for mx.example.com; the certificate is "
            "self-signed");
}

TEST_P(ChannelFailureTest, OpportunisticTlsKnowsAGoodCertificateToo) {
  const End& client = Against(pki().Leaf({}), To("mx.example.com", TlsVerify::kNone));
  ASSERT_TRUE(client.ready());
  EXPECT_TRUE(client.handler.info->verified) << client.handler.info->why_not_verified;
  const End& nameless = Against(pki().Leaf({}), To("", TlsVerify::kNone));
  ASSERT_TRUE(nameless.ready());
  EXPECT_FALSE(nameless.handler.info->verified);
  EXPECT_EQ(nameless.handler.info->why_not_verified,
            "there is no name to check the certificate against");
}

// RFC 7435: an old appliance with a short key still beats plaintext, but proves nothing.
TEST_P(ChannelFailureTest, AWeakKeyIsGoodEnoughForOpportunisticTlsOnly) {
  static const PkeyPtr weak(EVP_RSA_gen(1024));
  TlsServerOptions options;
  options.cipher_list = "DEFAULT@SECLEVEL=0";
  options.certificate = pki().LeafWithKey({}, weak.get());
  TlsServerContext* server = Server(options);
  ExpectRefused(*MakeTlsPair(Client(), server).client, TlsFailure::kCertificateInvalid);
  const End& any = *MakeTlsPair(Client(), server, To("mx.example.com", TlsVerify::kNone)).client;
  EXPECT_TRUE(any.ready()) << any.why();
}

TEST_P(ChannelFailureTest, RequiredTlsWithoutANameIsRefusedBeforeAnythingIsSent) {
  ExpectRefused(Against(pki().Leaf({}), To("")), TlsFailure::kHandshakeFailed);
}

TEST_P(ChannelFailureTest, AnotherAcceptableNameWillDo) {
  CertificateSpec spec;
  spec.names = "DNS:example.com";
  TlsConnectOptions options = To();
  options.also_accept = {"example.com"};
  EXPECT_TRUE(Against(pki().Leaf(spec), options).ready());
}

TEST_P(ChannelFailureTest, AServerThatWantsOurCertificate) {
  for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
    TlsServerOptions options;
    options.client_ca_file = pki().ca_file();
    options.max_version = version;
    const auto [client, server] = MakeTlsPair(Client(), Server(options));
    // TLS 1.3: the client is done before the server has looked (RFC 8446 Appendix E.1.2).
    ASSERT_TRUE(RunUntil([&, c = client, s = server] { return c->over() && s->over(); }));
    EXPECT_FALSE(server->ready());
    EXPECT_EQ(server->failure(), TlsFailure::kCertificateRefused) << server->why();
    if (version == TlsVersion::kTls13) {
      EXPECT_EQ(client->failure(), TlsFailure::kCertificateRefused) << client->why();
    } else {
      EXPECT_EQ(client->failure(), TlsFailure::kHandshakeFailed) << client->why();
    }
  }
}

TEST_P(ChannelFailureTest, AClientThatRefusesOurCertificateIsKnownToTheServer) {
  TlsServerOptions options;
  options.certificate = pki().Foreign({});
  const auto [client, server] = MakeTlsPair(Client(), Server(options));
  ASSERT_TRUE(RunUntil([&, s = server] { return s->over(); }));
  EXPECT_EQ(server->failure(), TlsFailure::kCertificateRefused) << server->why();
  EXPECT_THAT(server->why(), HasSubstr("unknown ca"));
}

// --- what cannot be agreed on --------------------------------------------------------------------

TEST_P(ChannelFailureTest, NoVersionInCommon) {
  TlsClientOptions client;
  client.min_version = TlsVersion::kTls13;
  TlsServerOptions server;
  server.max_version = TlsVersion::kTls12;
  const auto pair = MakeTlsPair(Client(client), Server(server));
  ExpectRefused(*pair.client, TlsFailure::kProtocolVersion);
  EXPECT_EQ(pair.server->failure(), TlsFailure::kProtocolVersion) << pair.server->why();
}

TEST_P(ChannelFailureTest, NoCipherInCommon) {
  for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
    TlsClientOptions client;
    client.max_version = version;
    client.cipher_list = "ECDHE-ECDSA-CHACHA20-POLY1305";
    client.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
    TlsServerOptions server;
    server.cipher_list = "ECDHE-ECDSA-AES128-GCM-SHA256";
    server.ciphersuites = "TLS_AES_128_GCM_SHA256";
    const auto pair = MakeTlsPair(Client(client), Server(server));
    ExpectRefused(*pair.client, TlsFailure::kNoCommonCipher);
    EXPECT_EQ(pair.server->failure(), TlsFailure::kNoCommonCipher) << pair.server->why();
  }
}

// --- peers that are something else ---------------------------------------------------------------

TEST_P(ChannelFailureTest, APlaintextSmtpServer) {
  const End& client = AgainstPeer("220 mx.example.com ESMTP\x01 ready\r\n250 more\r\n");
  ExpectRefused(client, TlsFailure::kPlaintextPeer);
  EXPECT_EQ(client.why(), "the peer spoke plaintext: \"220 mx.example.com ESMTP? ready\"");
}

TEST_P(ChannelFailureTest, APlaintextClient) {
  TlsServerContext* context = Server();
  const auto [acceptor, endpoint] = ListenTls(context);
  End& client = NewEnd();
  client.handler.on_connected = [&] { client.Send("EHLO plain.example\r\n"); };
  client.channel.Connect(endpoint, {});
  ASSERT_TRUE(RunUntil(
      [&, acceptor = acceptor] { return !acceptor->ends.empty() && acceptor->ends[0]->over(); }));
  EXPECT_EQ(acceptor->ends[0]->failure(), TlsFailure::kPlaintextPeer);
  EXPECT_THAT(acceptor->ends[0]->why(), HasSubstr("EHLO plain.example"));
}

TEST_P(ChannelFailureTest, Garbage) {
  const std::string hello = "\x16\x03\x03";
  const std::string alert("\x15\x03\x03\x00\x02\x02\x28", 7);  // fatal, handshake_failure
  std::string empty_records;
  for (int i = 0; i < 100; ++i) empty_records += hello + std::string("\x00\x00", 2);
  const std::vector<std::pair<std::string, TlsFailure>> cases{
      {std::string(10'000, '\0'), TlsFailure::kPlaintextPeer},
      {std::string(100'000, '\xff'), TlsFailure::kPlaintextPeer},
      {hello + "\xff\xff" + std::string(70'000, 'x'), TlsFailure::kHandshakeFailed},
      {hello + std::string("\x00\x05", 2) + "hello", TlsFailure::kHandshakeFailed},
      {empty_records, TlsFailure::kHandshakeFailed},
      {"\x16garbage that begins like TLS", TlsFailure::kHandshakeFailed},
      {alert, TlsFailure::kNoCommonCipher},
      {alert + alert + "and more", TlsFailure::kNoCommonCipher},
  };
  for (const auto& [says, failure] : cases) {
    SCOPED_TRACE(says.substr(0, 20));
    peer_.reset();
    ExpectRefused(AgainstPeer(says), failure);
  }
}

TEST_P(ChannelFailureTest, APeerThatClosesAtOnceOrInTheMiddle) {
  for (const std::string& says : {std::string(), std::string("\x16\x03\x03\x10"),
                                  std::string("\x16\x03\x03\x10\x00\x02", 6)}) {
    peer_.reset();
    const End& client = AgainstPeer(says, To(), /*end=*/true);
    EXPECT_EQ(client.failure(), TlsFailure::kPeerClosed) << client.why();
    EXPECT_EQ(client.handler.closed->status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(client.handler.events, ElementsAre("connected", "closed"));
  }
}

TEST_P(ChannelFailureTest, AResetInTheHandshake) {
  PeerHost& host = MakeHost();
  End& client = NewEnd();
  client.channel.ConnectTls(host.endpoint(), {}, Client(), To());
  ASSERT_TRUE(RunUntil([&] {
    if (peer_ == nullptr) peer_ = host.TryAccept();
    return peer_ != nullptr && !client.handler.events.empty();
  }));
  peer_->Reset();
  ASSERT_TRUE(RunUntil([&] { return client.over(); }));
  EXPECT_EQ(client.failure(), TlsFailure::kPeerClosed);
  EXPECT_EQ(client.handler.closed->status.code(), absl::StatusCode::kUnavailable);
}

TEST_P(ChannelFailureTest, AConnectThatFailsIsNotATlsFailure) {
  const Endpoint nobody = [&] {
    ChannelAcceptor other(&reactor());
    const auto [id, taken] = Listen(&other);
    reactor().CloseListener(id);
    RunFor(absl::Milliseconds(10));
    return taken;
  }();
  End& client = NewEnd();
  client.channel.ConnectTls(nobody, {}, Client(), To());
  ASSERT_TRUE(RunUntil([&] { return client.over(); }));
  EXPECT_EQ(client.failure(), TlsFailure::kNone);
  EXPECT_EQ(client.handler.closed->sys_errno, ECONNREFUSED);
  EXPECT_THAT(client.handler.events, ElementsAre("closed"));
}

TEST_P(ChannelFailureTest, ASilentPeerTimesOut) {
  TlsConnectOptions options = To();
  options.handshake_timeout = absl::Milliseconds(50);
  const End& client = AgainstPeer("", options);
  EXPECT_EQ(client.failure(), TlsFailure::kTimeout);
  EXPECT_EQ(client.handler.closed->status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_P(ChannelFailureTest, ASilentClientTimesOut) {
  TlsAcceptOptions options;
  options.handshake_timeout = absl::Milliseconds(50);
  const auto [acceptor, endpoint] = ListenTls(Server(), options);
  End& client = NewEnd();
  client.channel.Connect(endpoint, {});
  ASSERT_TRUE(RunUntil(
      [&, acceptor = acceptor] { return !acceptor->ends.empty() && acceptor->ends[0]->over(); }));
  EXPECT_EQ(acceptor->ends[0]->failure(), TlsFailure::kTimeout);
}

// --- damage on the way ---------------------------------------------------------------------------

class ChannelDamageTest : public ChannelFailureTest {
 protected:
  struct Outcome {
    bool client_ready, answered;
    TlsFailure client_failure;
    std::string client_data, server_data;
    uint64_t bytes_to_client, bytes_to_server;
  };

  // Handshake, "ping", "pong", close, over a relay.
  Outcome Talk(const Damage& damage, TlsVersion version) {
    // Short, because many end that way; but where all should be well the machine may be busy.
    const bool should_end = damage.kind != Damage::Kind::kNone;
    TlsAcceptOptions accept;
    accept.handshake_timeout = should_end ? absl::Milliseconds(60) : absl::Seconds(30);
    const auto [acceptor, endpoint] = ListenTls(SharedServer(version), accept);
    acceptor->on_accept = [start = acceptor->on_accept](End& end) {
      end.handler.on_data = [&end] {
        if (end.handler.data == "ping") end.Send("pong");
      };
      end.handler.on_peer_closed = [&end] { end.channel.Close(); };
      start(end);
    };
    relays_.push_back(std::make_unique<Relay>(&reactor(), endpoint, damage));
    const auto [relay_id, relay_endpoint] = Listen(relays_.back().get());
    End& client = NewEnd();
    TlsConnectOptions options = To();
    options.handshake_timeout = accept.handshake_timeout;
    client.handler.on_ready = [&] { client.Send("ping"); };
    client.handler.on_data = [&] {
      if (client.handler.data.size() >= 4) client.channel.Close();
    };
    client.channel.ConnectTls(relay_endpoint, {}, SharedClient(), options);
    const auto all_over = [&, acceptor = acceptor] {
      return client.over() && (acceptor->ends.empty() || acceptor->ends[0]->over());
    };
    // A changed length makes one end wait for bytes that never come, which only the user's own
    // time-out ends once the handshake is over.
    if (!RunUntil(all_over, should_end ? absl::Milliseconds(150) : absl::Seconds(30))) {
      client.channel.Close();
      for (auto& end : acceptor->ends) end->channel.Close();
      EXPECT_TRUE(RunUntil(all_over));
    }
    const End* server = acceptor->ends.empty() ? nullptr : acceptor->ends[0].get();
    return {client.ready(),
            client.handler.data == "pong",
            client.failure(),
            client.handler.data,
            server == nullptr ? "" : server->handler.data,
            relays_.back()->bytes_to_client(),
            relays_.back()->bytes_to_server()};
  }
  TlsServerContext* SharedServer(TlsVersion version) {
    TlsServerContext*& context = server_[version == TlsVersion::kTls13];
    TlsServerOptions options;
    options.max_version = version;
    if (context == nullptr) context = Server(options);
    return context;
  }
  TlsClientContext* SharedClient() {
    if (client_ == nullptr) client_ = Client();
    return client_;
  }

 private:
  TlsServerContext* server_[2] = {};
  TlsClientContext* client_ = nullptr;
  std::vector<std::unique_ptr<Relay>> relays_;
};

INSTANTIATE_TEST_SUITE_P(Backends, ChannelDamageTest,
                         ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         BackendName);

TEST_P(ChannelDamageTest, NothingWrongIsEverTakenForData) {
  // The simulator tries every place, the kernel backends some.
  const size_t step = is_sim() ? 7 : 61;
  for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
    const Outcome good = Talk({}, version);
    ASSERT_TRUE(good.answered);
    ASSERT_GT(good.bytes_to_client, 800u);
    int failed = 0, talks = 0;
    for (const bool to_client : {true, false}) {
      const uint64_t bytes = to_client ? good.bytes_to_client : good.bytes_to_server;
      for (size_t offset = 0; offset < bytes; offset += step) {
        for (const Damage::Kind kind : {Damage::Kind::kFlip, Damage::Kind::kCut,
                                        Damage::Kind::kInsert, Damage::Kind::kRepeat}) {
          const auto mask = static_cast<uint8_t>(1u << (offset % 8));
          const Outcome outcome = Talk({kind, to_client, offset, mask}, version);
          SCOPED_TRACE(::testing::Message() << "offset " << offset << " to_client " << to_client
                                            << " kind " << static_cast<int>(kind));
          ++talks;
          if (!outcome.answered) ++failed;
          EXPECT_TRUE(std::string("pong").starts_with(outcome.client_data)) << outcome.client_data;
          EXPECT_TRUE(std::string("ping").starts_with(outcome.server_data)) << outcome.server_data;
          if (!outcome.client_ready) {
            EXPECT_NE(outcome.client_failure, TlsFailure::kNone);
          }
        }
      }
    }
    EXPECT_GT(failed, talks * 3 / 4) << "of " << talks;
  }
}

TEST_P(ChannelFailureTest, GarbageAfterTheHandshake) {
  const std::string record("\x17\x03\x03\x00\x20" + std::string(32, 'x'));
  for (const std::string& garbage :
       {std::string("250 plain\r\n"), record.substr(0, 5) + std::string(32, '\0'),
        std::string("\x17\x03\x03\xff\xff", 5) + std::string(70'000, 'x')}) {
    const auto [client, server] = MakeTlsPair();
    server->Send("250 good\r\n");
    ASSERT_TRUE(RunUntil(
        [&, c = client, s = server] { return !c->handler.data.empty() && s->handler.sent == 1; }));
    const std::string bytes = garbage;
    SendText(reactor(), server->channel.id(), bytes);  // past TLS
    ASSERT_TRUE(RunUntil([&, c = client] { return c->over(); }));
    EXPECT_EQ(client->failure(), TlsFailure::kBadRecord) << client->why();
    EXPECT_EQ(client->handler.closed->status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(client->handler.data, "250 good\r\n");
    reactor().Close(server->channel.id());
    ASSERT_TRUE(RunUntil([&, s = server] { return s->over(); }));
  }
}

TEST_P(ChannelFailureTest, WhatCameBeforeTheDamageIsHeard) {
  const auto [client, server] = MakeTlsPair();
  const std::string reply = "554 5.7.1 go away\r\n";
  server->Send(reply);
  server->handler.on_sent = [&, s = server] {
    s->handler.on_sent = nullptr;
    SendText(reactor(), s->channel.id(), "garbage garbage garbage");
  };
  ASSERT_TRUE(RunUntil([&, c = client] { return c->over(); }));
  EXPECT_EQ(client->handler.data, reply);
  EXPECT_EQ(client->failure(), TlsFailure::kBadRecord);
  reactor().Close(server->channel.id());
}

// --- the simulator's faults ----------------------------------------------------------------------

TEST(ChannelSim, ManySeedsWithFaultsLoseNothingSilently) {
  TestPki pki;
  TlsServerOptions server_options;
  server_options.certificate = pki.Leaf({});
  TlsClientOptions client_options;
  client_options.ca_file = pki.ca_file();
  TlsServerContext server_context(*TlsServerConfig::Create(server_options));
  TlsClientContext client_context(*TlsClientConfig::Create(client_options));
  int lost = 0, whole = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    SimOptions options;
    options.seed = seed;
    options.split = 0.5;
    options.short_send = 0.5;
    options.stall = 0.05;
    options.truncate = 0.02;
    options.reset = 0.02;
    const std::string message = Pattern(400'000, static_cast<uint32_t>(seed));
    std::unique_ptr<SimReactor> sim = SimReactor::Create(options);
    ChannelAcceptor acceptor(sim.get());
    acceptor.on_accept = [&](End& end) {
      end.handler.on_peer_closed = [&end] { end.channel.Close(); };
      end.channel.StartTlsServer(&server_context, {});
    };
    const ListenerId listener = *sim->Listen(*Endpoint::FromIp("127.0.0.1", 0), &acceptor);
    End client(sim.get());
    TlsConnectOptions to;
    to.server_name = "mx.example.com";
    to.session_key = "relay";
    client.handler.on_ready = [&] { client.Send(message); };
    client.handler.on_sent = [&] { client.channel.Close(); };
    client.channel.ConnectTls(sim->ListenEndpoint(listener), {}, &client_context, to);
    sim->RunUntilIdle(absl::Seconds(600));
    ASSERT_TRUE(client.over()) << "a channel always ends";
    if (acceptor.ends.empty()) continue;
    const End& server = *acceptor.ends[0];
    ASSERT_TRUE(server.over());
    EXPECT_TRUE(message.starts_with(server.handler.data)) << "what came is what was sent";
    const uint64_t unsent = client.ready() ? client.handler.closed->unsent_bytes : 0;
    EXPECT_LE(server.handler.data.size() + unsent, message.size());
    (server.handler.data.size() == message.size() ? whole : lost)++;
    if (server.handler.peer_closed) {
      EXPECT_EQ(server.handler.data.size(), message.size());
    }
  }
  EXPECT_GT(lost, 10);
  EXPECT_GT(whole, 10);
}

}  // namespace
}  // namespace volley::io
