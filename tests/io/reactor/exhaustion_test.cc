// Many streams, and what happens when something runs out: buffers, descriptors.
#include <sys/resource.h>

#include "tests/io/reactor/conformance.h"

namespace volley::io {
namespace {

using ::testing::HasSubstr;

// Sets the soft limit of open files for a scope.
class DescriptorLimit {
 public:
  DescriptorLimit() { getrlimit(RLIMIT_NOFILE, &before_); }
  ~DescriptorLimit() { Restore(); }
  // False where the hard limit is lower.
  bool Raise(rlim_t wanted) {
    if (before_.rlim_max < wanted) return false;
    return Set(std::max(before_.rlim_cur, wanted));
  }
  // As many more as given can still be opened.
  void LeaveOnly(int more) {
    const int next = dup(0);
    close(next);
    ASSERT_TRUE(Set(static_cast<rlim_t>(next + more)));
  }
  void Restore() { (void)Set(before_.rlim_cur); }

 private:
  bool Set(rlim_t soft) const {
    const rlimit limit{soft, before_.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
  }
  rlimit before_{};
};

TEST_P(Conformance, FiveThousandOpenConnectionsEchoAtOnce) {
  constexpr size_t kClients = 5000;
  DescriptorLimit limit;
  if (!is_sim() && !limit.Raise(2 * kClients + 100)) {
    GTEST_SKIP() << "SKIPPED: the hard limit of open files is below " << 2 * kClients + 100;
  }
  AcceptingRecorder server;
  server.on_accept = [&](StreamId id, Recorder& handler) {
    handler.on_data = [this, id, &handler] { SendText(reactor(), id, handler.data); };
  };
  const auto [listener, endpoint] = Listen(&server);
  std::vector<std::unique_ptr<Recorder>> clients;
  std::vector<StreamId> ids;
  std::vector<std::string> texts;
  size_t connected = 0, echoed = 0, closed = 0;
  for (size_t i = 0; i < kClients; ++i) {
    texts.push_back("client " + std::to_string(i));
    clients.push_back(std::make_unique<Recorder>());
    Recorder* client = clients.back().get();
    client->on_connected = [&] { ++connected; };
    client->on_data = [&, i, client] { echoed += client->data == texts[i]; };
    client->on_closed = [&] { ++closed; };
    ids.push_back(reactor().Connect(endpoint, {}, client));
  }
  ASSERT_TRUE(RunUntil([&] { return connected == kClients && server.streams.size() == kClients; },
                       absl::Seconds(90)));
  EXPECT_EQ(reactor().open_streams(), 2 * kClients);
  for (size_t i = 0; i < kClients; ++i) SendText(reactor(), ids[i], texts[i]);
  ASSERT_TRUE(RunUntil([&] { return echoed == kClients; }, absl::Seconds(90)));
  for (const StreamId id : ids) reactor().Close(id);
  ASSERT_TRUE(RunUntil([&] { return closed == kClients; }, absl::Seconds(90)));
  for (const auto& stream : server.streams) reactor().Close(stream.id);
  ASSERT_TRUE(RunUntil([&] { return reactor().open_streams() == 0; }, absl::Seconds(90)));
}

// 100 streams speak at once, there are two buffers of 64 bytes: receiving ends with ENOBUFS again
// and again and has to be taken up each time, without losing or mixing a byte.
TEST_P(Conformance, FewReceiveBuffersDelayButLoseNothing) {
  ReactorOptions options;
  options.receive_buffers = 2;
  options.receive_buffer_bytes = 64;
  MakeReactor(options);
  if (IsSkipped()) return;
  constexpr size_t kStreams = 100;
  std::vector<std::unique_ptr<Pair>> pairs;
  for (size_t i = 0; i < kStreams; ++i) pairs.push_back(MakePair());
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < kStreams; ++i) {
    texts.push_back(Pattern(3000, i));
    pairs[i]->peer->Write(texts.back());
  }
  ASSERT_TRUE(RunUntil([&] {
    return std::all_of(pairs.begin(), pairs.end(),
                       [](const auto& pair) { return pair->handler.data.size() >= 3000; });
  }));
  for (size_t i = 0; i < kStreams; ++i) EXPECT_TRUE(pairs[i]->handler.data == texts[i]) << i;
  // An end and a reset are heard as well.
  pairs[0]->peer->Close();
  pairs[1]->peer->Reset();
  ASSERT_TRUE(RunUntil([&] { return pairs[0]->handler.peer_closed && pairs[1]->handler.closed; }));
}

TEST_P(KernelConformance, AConnectWithoutADescriptorSaysHowToRaiseTheLimit) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  Recorder failed, works;
  DescriptorLimit limit;
  limit.LeaveOnly(0);
  const StreamId id = reactor().Connect(endpoint, {}, &failed);
  EXPECT_TRUE(id.valid());
  ASSERT_TRUE(RunUntil([&] { return failed.closed.has_value(); }));
  EXPECT_EQ(failed.closed->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(failed.closed->sys_errno, EMFILE);
  rlimit now{};
  getrlimit(RLIMIT_NOFILE, &now);
  const std::string message(failed.closed->status.message());
  EXPECT_THAT(message, HasSubstr(std::to_string(now.rlim_cur)));
  EXPECT_THAT(message, HasSubstr("ulimit -n"));
  EXPECT_THAT(message, HasSubstr("LimitNOFILE"));
  limit.Restore();
  reactor().Connect(endpoint, {}, &works);
  ASSERT_TRUE(RunUntil([&] { return works.connected; }));
}

TEST_P(KernelConformance, AcceptingPausesWithoutDescriptorsAndGoesOnByItself) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  std::vector<SocketClient> clients(8);  // their descriptors are there before the limit falls
  DescriptorLimit limit;
  limit.LeaveOnly(3);  // before the first turn: io_uring notes the limit when it arms the accept
  for (SocketClient& client : clients) client.Connect(endpoint);
  ASSERT_TRUE(RunUntil([&] { return !server.pauses.empty(); }));
  EXPECT_EQ(server.pauses[0].code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(server.pauses[0].message()), HasSubstr("ulimit -n"));
  EXPECT_EQ(server.streams.size(), 3u);
  RunFor(absl::Milliseconds(250));  // two tries in vain are not told again
  EXPECT_EQ(server.pauses.size(), 1u);
  limit.Restore();
  ASSERT_TRUE(RunUntil([&] { return server.streams.size() == clients.size(); }));
  EXPECT_EQ(server.pauses.size(), 1u);
}

TEST_P(KernelConformance, APausedListenerCanBeClosed) {
  AcceptingRecorder server;
  const auto [listener, endpoint] = Listen(&server);
  std::vector<SocketClient> clients(2);
  DescriptorLimit limit;
  limit.LeaveOnly(0);
  for (SocketClient& client : clients) client.Connect(endpoint);
  ASSERT_TRUE(RunUntil([&] { return !server.pauses.empty(); }));
  reactor().CloseListener(listener);
  ASSERT_TRUE(RunUntil([&] { return server.final_told; }));
  limit.Restore();
  RunFor(absl::Milliseconds(150));
  EXPECT_TRUE(server.streams.empty());
}

TEST_P(KernelConformance, ListeningWithoutADescriptorIsAnError) {
  AcceptingRecorder server;
  DescriptorLimit limit;
  limit.LeaveOnly(0);
  const absl::StatusOr<ListenerId> listener = reactor().Listen(Loopback(), &server);
  ASSERT_FALSE(listener.ok());
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kResourceExhausted) << listener.status();
}

}  // namespace
}  // namespace volley::io
