// What many sessions and many threads share: the memory of an idle one, one config for all.
#include <malloc.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "io/tls/tls_engine.h"
#include "tests/io/tls/channel_fixture.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VOLLEY_OWN_MALLOC 0
#else
#define VOLLEY_OWN_MALLOC 1
#endif

namespace volley::io {
namespace {

class TlsSharing : public ::testing::Test {
 protected:
  TlsSharing() {
    TlsServerOptions server_options;
    server_options.certificate = pki_.Leaf({});
    server_ = *TlsServerConfig::Create(server_options);
    TlsClientOptions client_options;
    client_options.ca_file = pki_.ca_file();
    client_ = *TlsClientConfig::Create(client_options);
  }
  static TlsConnectOptions To() {
    TlsConnectOptions options;
    options.server_name = "mx.example.com";
    options.session_key = "relay";
    return options;
  }

  TestPki pki_;
  std::shared_ptr<const TlsServerConfig> server_;
  std::shared_ptr<const TlsClientConfig> client_;
};

// All that one connection needs in one simulator.
struct World {
  World(std::shared_ptr<const TlsClientConfig> client_config,
        std::shared_ptr<const TlsServerConfig> server_config)
      : client_context(std::move(client_config)),
        server_context(std::move(server_config)),
        reactor(SimReactor::Create({})),
        acceptor(reactor.get()) {
    acceptor.on_accept = [this](End& end) {
      echoes.push_back(std::make_unique<Echo>(end));
      end.channel.StartTlsServer(&server_context, {});
    };
    endpoint =
        reactor->ListenEndpoint(*reactor->Listen(*Endpoint::Parse("127.0.0.1:0"), &acceptor));
  }
  ~World() { reactor.reset(); }

  TlsClientContext client_context;
  TlsServerContext server_context;
  std::unique_ptr<SimReactor> reactor;
  ChannelAcceptor acceptor;
  std::vector<std::unique_ptr<Echo>> echoes;
  std::vector<std::unique_ptr<End>> clients;
  Endpoint endpoint;
};

TEST_F(TlsSharing, AnIdleSessionTakesLessThan40KiB) {
  if (!VOLLEY_OWN_MALLOC) GTEST_SKIP() << "SKIPPED: the sanitizer has its own malloc";
  constexpr size_t kSessions = 100;
  World world(client_, server_);
  const auto connect = [&](size_t count) {
    const std::string line(10'000, 'x');
    for (size_t i = 0; i < count; ++i) {
      world.clients.push_back(std::make_unique<End>(world.reactor.get()));
      End* end = world.clients.back().get();
      end->handler.on_ready = [end, &line] { end->Send(line); };
      end->channel.ConnectTls(world.endpoint, {}, &world.client_context, To());
    }
    world.reactor->RunUntilIdle(absl::Seconds(60));
    for (const auto& end : world.clients) ASSERT_EQ(end->handler.data.size(), line.size());
  };
  connect(10);  // what is made once
  const size_t before = mallinfo2().uordblks;
  connect(kSessions);
  // Both ends of each, and what the test keeps of the bytes.
  const size_t each = (mallinfo2().uordblks - before) / kSessions;
  EXPECT_LT(each, 2 * 40 * 1024u);
  EXPECT_EQ(world.client_context.buffers().chunks_out(), 0u) << "an idle session holds no buffer";
}

TEST_F(TlsSharing, OneConfigServesManyThreads) {
  std::vector<std::thread> threads;
  std::vector<uint64_t> resumed(4);
  for (uint64_t& mine : resumed) {
    threads.emplace_back([this, &mine] {
      World world(client_, server_);
      for (int i = 0; i < 20; ++i) {
        End client(world.reactor.get());
        client.handler.on_ready = [&] { client.Send("NOOP\r\n"); };
        client.handler.on_data = [&] { client.channel.Close(); };
        client.channel.ConnectTls(world.endpoint, {}, &world.client_context, To());
        world.reactor->RunUntilIdle(absl::Seconds(60));
        EXPECT_EQ(client.handler.data, "NOOP\r\n");
        EXPECT_TRUE(client.over());
      }
      mine = world.client_context.stats().resumed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const uint64_t mine : resumed) EXPECT_EQ(mine, 19u) << "each thread has its own tickets";
}

}  // namespace
}  // namespace volley::io
