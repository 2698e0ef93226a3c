// What only the simulator does: the same run from the same seed, faults, virtual time. What it has
// in common with the other backends is in the conformance suite.
#include "io/reactor/sim_reactor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/io/reactor/recorder.h"

namespace volley::io {
namespace {

using ::testing::ElementsAre;

// A small world: clients that ask, a server that answers each line, until each client has had its
// answers, a fault has ended it, or it gave up waiting.
class World {
 public:
  explicit World(const SimOptions& options) : reactor(SimReactor::Create(options)) {
    server.on_accept = [this](StreamId id, Recorder& handler) {
      auto answer = std::make_shared<Answerer>(*reactor, id);
      handler.on_data = [answer, &handler] { answer->Heard(std::exchange(handler.data, "")); };
      handler.on_sent = [answer] { answer->Next(); };
      handler.on_peer_closed = [this, id] { reactor->Close(id); };
    };
    listener = *reactor->Listen(*Endpoint::FromIp("127.0.0.1", 25), &server);
  }

  void Run(int clients, int questions) {
    for (int i = 0; i < clients; ++i) {
      asking.push_back(std::make_unique<Asker>(*reactor, questions));
    }
    reactor->RunUntilIdle(absl::Hours(10));
  }

  struct Answerer {
    Answerer(Reactor& owner, StreamId stream) : reactor(owner), id(stream) {}
    void Heard(const std::string& bytes) {
      for (const char c : bytes) waiting += c == '\n' ? "250 ok\r\n" : "";
      if (!busy) Next();
    }
    void Next() {
      busy = !waiting.empty();
      if (!busy) return;
      sending = std::exchange(waiting, "");
      SendText(reactor, id, sending);
    }
    Reactor& reactor;
    StreamId id;
    std::string waiting, sending;
    bool busy = false;
  };

  struct Asker {
    Asker(Reactor& reactor, int questions)
        : left(questions), timeout([this, &reactor] { reactor.Close(id); }) {
      id = reactor.Connect(*Endpoint::FromIp("127.0.0.1", 25), {}, &handler);
      const auto ask = [this, &reactor] {
        if (left-- == 0) return reactor.Close(id);
        reactor.SetTimer(&timeout, reactor.Now() + absl::Minutes(5));
        SendText(reactor, id, question);
      };
      handler.on_connected = ask;
      handler.on_data = [this, ask] {
        // The answer can overtake OnSent: the next question waits for both.
        if (handler.data.ends_with("\r\n") && !sending()) handler.data.clear(), ++answers, ask();
      };
      handler.on_sent = handler.on_data;
      handler.on_closed = [this, &reactor] { reactor.CancelTimer(&timeout); };
    }
    bool sending() const { return handler.sent != answers + 1; }
    int left;
    int answers = 0;
    const std::string question = std::string(300, 'x') + "\n";
    StreamId id;
    Recorder handler;
    TestTimer timeout;
  };

  AcceptingRecorder server;
  std::vector<std::unique_ptr<Asker>> asking;
  ListenerId listener;
  std::unique_ptr<SimReactor> reactor;
};

SimOptions Rough(uint64_t seed) {
  SimOptions options;
  options.seed = seed;
  options.split = 0.2;
  options.stall = 0.05;
  options.truncate = 0.01;
  options.reset = 0.01;
  options.refuse = 0.1;
  options.short_send = 0.2;
  return options;
}

TEST(SimReactor, TheSameSeedGivesTheSameRun) {
  for (const uint64_t seed : {1u, 2u, 77u}) {
    World a(Rough(seed)), b(Rough(seed));
    a.Run(40, 30);
    b.Run(40, 30);
    EXPECT_EQ(a.reactor->stats().trace_hash, b.reactor->stats().trace_hash);
    EXPECT_EQ(a.reactor->stats().events, b.reactor->stats().events);
    EXPECT_EQ(a.reactor->Now(), b.reactor->Now());
    EXPECT_GT(a.reactor->stats().events, 1000u);
  }
}

TEST(SimReactor, AnotherSeedGivesAnotherRun) {
  World a(Rough(1)), b(Rough(2));
  a.Run(40, 30);
  b.Run(40, 30);
  EXPECT_NE(a.reactor->stats().trace_hash, b.reactor->stats().trace_hash);
}

TEST(SimReactor, TheTraceSeesTheBytes) {
  const auto hash_with = [](std::string_view text) {
    SimOptions options;
    const auto reactor = SimReactor::Create(options);
    AcceptingRecorder server;
    server.on_accept = [&](StreamId id, Recorder&) { SendText(*reactor, id, text); };
    const ListenerId listener = *reactor->Listen(*Endpoint::FromIp("127.0.0.1", 25), &server);
    Recorder client;
    reactor->Connect(reactor->ListenEndpoint(listener), {}, &client);
    reactor->RunUntilIdle(absl::Seconds(1));
    EXPECT_EQ(client.data, text);
    return reactor->stats().trace_hash;
  };
  EXPECT_EQ(hash_with("250 ok"), hash_with("250 ok"));
  EXPECT_NE(hash_with("250 ok"), hash_with("250 no"));
}

TEST(SimReactor, WithoutFaultsEveryoneIsAnswered) {
  World world(SimOptions{});
  world.Run(100, 20);
  for (const auto& asker : world.asking) {
    EXPECT_EQ(asker->answers, 20);
    ASSERT_TRUE(asker->handler.closed.has_value());
    EXPECT_TRUE(asker->handler.closed->status.ok());
  }
  const SimStats stats = world.reactor->stats();
  EXPECT_EQ(stats.splits + stats.stalls + stats.truncations + stats.resets + stats.refusals +
                stats.short_sends,
            0u);
  EXPECT_EQ(world.reactor->open_streams(), 0u);
}

TEST(SimReactor, EachFaultHappensAndIsCounted) {
  const auto run = [](auto set) {
    SimOptions options;
    set(options);
    auto world = std::make_unique<World>(options);
    world->Run(50, 20);
    return world;
  };
  int answers = 0, failed = 0;
  const auto count = [&](const World& world) {
    answers = failed = 0;
    for (const auto& asker : world.asking) {
      answers += asker->answers;
      failed += asker->handler.closed && !asker->handler.closed->status.ok();
    }
  };

  auto world = run([](SimOptions& o) { o.split = 0.5; });
  count(*world);
  EXPECT_GT(world->reactor->stats().splits, 100u);
  EXPECT_EQ(answers, 50 * 20) << "splitting loses nothing";

  world = run([](SimOptions& o) { o.short_send = 0.5; });
  count(*world);
  EXPECT_GT(world->reactor->stats().short_sends, 100u);
  EXPECT_EQ(answers, 50 * 20) << "nor do short sends";

  world = run([](SimOptions& o) { o.stall = 0.2; });
  count(*world);
  EXPECT_GT(world->reactor->stats().stalls, 100u);
  EXPECT_EQ(answers, 50 * 20) << "nor do stalls";

  world = run([](SimOptions& o) { o.refuse = 0.5; });
  count(*world);
  EXPECT_GT(world->reactor->stats().refusals, 5u);
  EXPECT_EQ(static_cast<uint64_t>(failed), world->reactor->stats().refusals);
  EXPECT_EQ(answers, (50 - failed) * 20);

  for (const bool truncate : {false, true}) {
    world = run([&](SimOptions& o) { (truncate ? o.truncate : o.reset) = 0.05; });
    count(*world);
    const SimStats stats = world->reactor->stats();
    const uint64_t faults = truncate ? stats.truncations : stats.resets;
    EXPECT_GT(faults, 5u);
    EXPECT_EQ(static_cast<uint64_t>(failed), faults) << "each ends one conversation";
    EXPECT_LT(answers, 50 * 20);
    for (const auto& asker : world->asking) {
      if (asker->handler.closed->status.ok()) continue;
      EXPECT_EQ(asker->handler.closed->status.code(), absl::StatusCode::kUnavailable);
      EXPECT_EQ(asker->handler.closed->sys_errno, ECONNRESET);
    }
  }
}

TEST(SimReactor, ATruncatedSendArrivesAsATruePrefix) {
  int shortened = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SimOptions options;
    options.seed = seed;
    options.truncate = 1;
    const auto reactor = SimReactor::Create(options);
    AcceptingRecorder server;
    const ListenerId listener = *reactor->Listen(*Endpoint::FromIp("127.0.0.1", 25), &server);
    const std::string message = Pattern(50'000);
    Recorder client;
    StreamId id = reactor->Connect(reactor->ListenEndpoint(listener), {}, &client);
    client.on_connected = [&] { SendText(*reactor, id, message); };
    reactor->RunUntilIdle(absl::Minutes(1));
    const Recorder& receiver = *server.streams.at(0).handler;
    EXPECT_LT(receiver.data.size(), message.size());
    EXPECT_TRUE(message.starts_with(receiver.data));
    EXPECT_EQ(receiver.closed->sys_errno, ECONNRESET);
    EXPECT_EQ(client.closed->sys_errno, ECONNRESET);
    EXPECT_EQ(client.closed->unsent_bytes, 0u) << "all of it may have arrived";
    shortened += !receiver.data.empty();
  }
  EXPECT_GT(shortened, 20);
}

TEST(SimReactor, AShortSendCutByAResetCountsItsRest) {
  SimOptions options;
  options.short_send = 1;
  options.reset = 1;
  const auto reactor = SimReactor::Create(options);
  AcceptingRecorder server;
  const ListenerId listener = *reactor->Listen(*Endpoint::FromIp("127.0.0.1", 25), &server);
  const std::string message = Pattern(2'000'000);
  Recorder client;
  StreamId id = reactor->Connect(reactor->ListenEndpoint(listener), {}, &client);
  client.on_connected = [&] { SendText(*reactor, id, message); };
  reactor->RunUntilIdle(absl::Minutes(1));
  EXPECT_TRUE(server.streams.at(0).handler->data.empty());
  EXPECT_GT(client.closed->unsent_bytes, 0u);
  EXPECT_LT(client.closed->unsent_bytes, message.size());
}

TEST(SimReactor, AnHourOfTimeoutsPassesAtOnce) {
  const auto reactor = SimReactor::Create({});
  const MonoTime start = reactor->Now();
  int fired = 0;
  std::unique_ptr<TestTimer> every_second;
  every_second = std::make_unique<TestTimer>([&] {
    if (++fired < 3600) reactor->SetTimer(every_second.get(), reactor->Now() + absl::Seconds(1));
  });
  reactor->SetTimer(every_second.get(), start + absl::Seconds(1));
  const MonoTime before = MonotonicNow();
  reactor->RunUntilIdle(absl::Hours(2));
  EXPECT_LT(MonotonicNow() - before, absl::Seconds(5));
  EXPECT_EQ(fired, 3600);
  EXPECT_GE(reactor->Now() - start, absl::Hours(1));
  EXPECT_LT(reactor->Now() - start, absl::Hours(1) + absl::Seconds(5)) << "idle: time stands still";
}

TEST(SimReactor, TheLimitEndsARunThatWouldGoOn) {
  const auto reactor = SimReactor::Create({});
  const MonoTime start = reactor->Now();
  std::unique_ptr<TestTimer> for_ever;
  for_ever = std::make_unique<TestTimer>(
      [&] { reactor->SetTimer(for_ever.get(), reactor->Now() + absl::Seconds(1)); });
  reactor->SetTimer(for_ever.get(), start + absl::Seconds(1));
  reactor->RunUntilIdle(absl::Seconds(10));
  EXPECT_EQ(reactor->Now() - start, absl::Seconds(10));
  reactor->Stop();
  reactor->RunUntilIdle(absl::Seconds(10));
  EXPECT_EQ(reactor->Now() - start, absl::Seconds(10)) << "stopped before";
}

TEST(SimReactor, AConnectSlowerThanItsTimeoutFails) {
  SimOptions options;
  options.latency_min = options.latency_max = absl::Seconds(2);
  const auto reactor = SimReactor::Create(options);
  AcceptingRecorder server;
  const ListenerId listener = *reactor->Listen(*Endpoint::FromIp("127.0.0.1", 25), &server);
  Recorder client;
  ConnectOptions connect;
  connect.timeout = absl::Seconds(3);
  const MonoTime start = reactor->Now();
  reactor->Connect(reactor->ListenEndpoint(listener), connect, &client);
  reactor->RunUntilIdle(absl::Hours(1));
  EXPECT_THAT(client.events, ElementsAre("closed"));
  EXPECT_EQ(client.closed->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(reactor->Now() - start, absl::Seconds(3));
  // The server had accepted: its end is told too.
  ASSERT_EQ(server.streams.size(), 1u);
  EXPECT_EQ(server.streams[0].handler->closed->sys_errno, ECONNRESET);
}

TEST(SimReactor, StreamsRunOutAsDescriptorsDo) {
  SimOptions options;
  options.max_streams = 4;
  const auto reactor = SimReactor::Create(options);
  AcceptingRecorder server;
  const ListenerId listener = *reactor->Listen(*Endpoint::FromIp("127.0.0.1", 25), &server);
  const Endpoint endpoint = reactor->ListenEndpoint(listener);
  Recorder clients[3], one_too_many;
  std::vector<StreamId> ids;
  for (Recorder& client : clients) ids.push_back(reactor->Connect(endpoint, {}, &client));
  reactor->RunUntilIdle(absl::Milliseconds(50));
  EXPECT_EQ(server.streams.size(), 1u);  // three ends here, one there: full
  ASSERT_EQ(server.pauses.size(), 1u);
  EXPECT_EQ(server.pauses[0].code(), absl::StatusCode::kResourceExhausted);
  reactor->Connect(endpoint, {}, &one_too_many);
  reactor->RunUntilIdle(absl::Milliseconds(300));
  ASSERT_TRUE(one_too_many.closed.has_value());
  EXPECT_EQ(one_too_many.closed->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(server.pauses.size(), 1u) << "told once";
  reactor->Close(server.streams[0].id);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (clients[i].connected) reactor->Close(ids[i]);
  }
  reactor->RunUntilIdle(absl::Milliseconds(300));
  EXPECT_EQ(server.streams.size(), 3u) << "the two that waited were accepted without a call";
  for (const Recorder& client : clients) EXPECT_TRUE(client.connected);
}

TEST(SimReactor, ResetBreaksOffAfterWhatWasOnItsWay) {
  const auto reactor = SimReactor::Create({});
  AcceptingRecorder server;
  server.on_accept = [&](StreamId id, Recorder&) {
    SendText(*reactor, id, "421 closing\r\n");
    reactor->Reset(id);
  };
  const ListenerId listener = *reactor->Listen(*Endpoint::FromIp("127.0.0.1", 25), &server);
  Recorder client;
  reactor->Connect(reactor->ListenEndpoint(listener), {}, &client);
  reactor->RunUntilIdle(absl::Seconds(1));
  EXPECT_EQ(client.data, "421 closing\r\n");
  EXPECT_THAT(client.events, ElementsAre("connected", "data", "closed"));
  EXPECT_EQ(client.closed->sys_errno, ECONNRESET);
  EXPECT_TRUE(server.streams.at(0).handler->closed->status.ok());
}

// Many seeds, all faults at once: nobody is told out of order (the Recorder checks), everybody is
// told the end, and nothing is left over. A failure names the seed.
TEST(SimReactor, FiveHundredRoughSeedsEndCleanly) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(Rough(seed));
    world.Run(10, 10);
    for (const auto& asker : world.asking) ASSERT_TRUE(asker->handler.closed.has_value());
    for (const auto& accepted : world.server.streams) world.reactor->Close(accepted.id);
    world.reactor->RunUntilIdle(absl::Hours(1));
    ASSERT_EQ(world.reactor->open_streams(), 0u);
    for (const auto& accepted : world.server.streams) {
      ASSERT_TRUE(accepted.handler->closed.has_value());
    }
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace volley::io
