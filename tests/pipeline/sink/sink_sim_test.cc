// The sink on the simulator's clock: exact latencies, many connections, lines that last.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/reactor/sim_reactor.h"
#include "pipeline/sink/delay_line.h"
#include "pipeline/sink/sink.h"

namespace volley::pipeline {
namespace {

constexpr absl::Duration kTick = absl::Microseconds(1100);  // how late a timer may be

// Sends its script, one part for each reply flight, and notes when replies come.
class ScriptedPeer : public io::StreamHandler {
 public:
  ScriptedPeer(io::Reactor* reactor, std::vector<std::string> script)
      : reactor_(*reactor), script_(std::move(script)) {
    start_ = reactor_.Now();
    stream_ = reactor_.Connect(*io::Endpoint::Parse("127.0.0.1:25"), {}, this);
  }
  void OnData(std::span<const char> bytes) override {
    arrivals.push_back(reactor_.Now() - start_);
    replies.append(bytes.data(), bytes.size());
    if (next_ < script_.size()) Say(script_[next_++]);
  }
  // REQUIRES: what was said before has been sent.
  void Say(std::string bytes) {
    said_ = std::move(bytes);
    const iovec piece{said_.data(), said_.size()};
    reactor_.Send(stream_, {&piece, 1});
  }
  void OnSent() override {}
  void OnPeerClosed() override { reactor_.Close(stream_); }
  void OnClosed(const io::CloseInfo&) override { closed = true; }

  std::vector<absl::Duration> arrivals;
  std::string replies;
  bool closed = false;

 private:
  io::Reactor& reactor_;
  std::vector<std::string> script_;
  size_t next_ = 0;
  std::string said_;
  io::MonoTime start_;
  io::StreamId stream_;
};

std::vector<std::string> ThreeMessages() {
  const std::string envelope = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n";
  return {"EHLO client.example\r\n",
          envelope + "DATA\r\n",
          "1\r\n.\r\nRSET\r\n" + envelope + "DATA\r\n",
          "2\r\n.\r\n",
          envelope + "BDAT 3 LAST\r\n3\r\n",
          "QUIT\r\n"};
}

class SimulatedSink {
 public:
  explicit SimulatedSink(absl::Duration reply_latency) {
    io::SimOptions sim;
    sim.latency_min = sim.latency_max = absl::Microseconds(10);
    reactor = io::SimReactor::Create(sim);
    SinkOptions options;
    options.endpoints = {*io::Endpoint::Parse("127.0.0.1:25")};
    options.reply_latency = reply_latency;
    sink = *Sink::Create(reactor.get(), std::move(options));
  }
  std::unique_ptr<io::SimReactor> reactor;
  std::unique_ptr<Sink> sink;
};

TEST(SimulatedSinkTest, MakesEveryFlightCostOneLatency) {
  constexpr absl::Duration kLatency = absl::Milliseconds(20);
  SimulatedSink world(kLatency);
  ScriptedPeer peer(world.reactor.get(), ThreeMessages());
  world.reactor->RunUntilIdle(absl::Seconds(60));
  ASSERT_EQ(peer.arrivals.size(), 7u) << peer.replies;
  absl::Duration last;
  for (size_t i = 0; i < peer.arrivals.size(); ++i) {
    const absl::Duration flight = peer.arrivals[i] - last;
    const absl::Duration wanted = i == 0 ? 2 * kLatency : kLatency;
    EXPECT_GE(flight, wanted) << i;
    EXPECT_LE(flight, wanted + kTick) << i;
    last = peer.arrivals[i];
  }
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(world.sink->counters().messages, 3u);
  EXPECT_EQ(world.sink->counters().protocol_errors, 0u);
}

TEST(SimulatedSinkTest, KeepsTheLatencyOfThousandsOfConnections) {
  constexpr absl::Duration kLatency = absl::Milliseconds(100);
  SimulatedSink world(kLatency);
  std::vector<std::unique_ptr<ScriptedPeer>> peers;
  for (int i = 0; i < 5000; ++i) {
    peers.push_back(std::make_unique<ScriptedPeer>(world.reactor.get(), ThreeMessages()));
  }
  world.reactor->RunUntilIdle(absl::Seconds(60));
  EXPECT_EQ(world.sink->counters().messages, 15'000u);
  EXPECT_EQ(world.sink->counters().peak_connections, 5000u);
  for (const auto& peer : peers) {
    ASSERT_EQ(peer->arrivals.size(), 7u);
    // 2 for the greeting and 6 flights, each at most a tick late.
    ASSERT_GE(peer->arrivals.back(), 8 * kLatency);
    ASSERT_LE(peer->arrivals.back(), 8 * kLatency + 7 * kTick);
  }
}

TEST(SimulatedSinkTest, EndsIdleSessionsAfterFiveMinutes) {  // RFC 5321 §4.5.3.2.7
  SimulatedSink world(absl::ZeroDuration());
  ScriptedPeer peer(world.reactor.get(), {"EHLO client.example\r\n"});
  world.reactor->RunUntilIdle(absl::Minutes(4));
  EXPECT_FALSE(peer.closed);
  world.reactor->RunUntilIdle(absl::Minutes(2));
  EXPECT_TRUE(peer.closed);
  EXPECT_NE(peer.replies.find("421 4.4.2 "), std::string::npos);
}

TEST(SimulatedSinkTest, CountsEachMessageOnceOverABadNetwork) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    io::SimOptions sim;
    sim.seed = seed;
    sim.split = 0.5;
    sim.stall = 0.05;
    sim.short_send = 0.3;
    auto reactor = io::SimReactor::Create(sim);
    SinkOptions options;
    options.endpoints = {*io::Endpoint::Parse("127.0.0.1:25")};
    options.reply_latency = absl::Milliseconds(seed % 3 * 10);
    auto sink = *Sink::Create(reactor.get(), std::move(options));
    const std::string envelope = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n";
    std::string all;
    for (int i = 0; i < 20; ++i) all += envelope + "BDAT 8 LAST\r\n.\r\nx\r\n\r\n";
    std::vector<std::unique_ptr<ScriptedPeer>> peers;
    for (int i = 0; i < 10; ++i) {
      peers.push_back(std::make_unique<ScriptedPeer>(
          reactor.get(), std::vector<std::string>{"EHLO client.example\r\n"}));
    }
    reactor->RunUntilIdle(absl::Minutes(1));
    for (auto& peer : peers) peer->Say(all);
    reactor->RunUntilIdle(absl::Minutes(1));
    EXPECT_EQ(sink->counters().messages, 200u);
    EXPECT_EQ(sink->counters().bytes, 1600u);
    EXPECT_EQ(sink->counters().protocol_errors, 0u);
  }
}

TEST(DelayLineTest, ReleasesInOrderAndGrows) {
  auto reactor = io::SimReactor::Create({});
  std::vector<int> released;
  DelayLine<int> line(reactor.get(), absl::Milliseconds(10),
                      [&](const int& entry) { released.push_back(entry); });
  std::vector<int> wanted;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 500; ++i) {
      line.Add(round * 500 + i);
      wanted.push_back(round * 500 + i);
    }
    reactor->RunUntilIdle(absl::Milliseconds(5 + round * 20));
  }
  reactor->RunUntilIdle(absl::Seconds(1));
  EXPECT_EQ(released, wanted);
  EXPECT_EQ(line.size(), 0u);
}

}  // namespace
}  // namespace volley::pipeline
