// The fixture of the conformance suite: one set of tests, run over every backend (Conformance) or
// over the two that use the kernel (KernelConformance). A backend that this machine does not have
// is skipped with its reason.
#ifndef VOLLEY_TESTS_IO_REACTOR_CONFORMANCE_H_
#define VOLLEY_TESTS_IO_REACTOR_CONFORMANCE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "io/reactor/reactor.h"
#include "io/reactor/sim_reactor.h"
#include "tests/io/reactor/peer.h"
#include "tests/io/reactor/recorder.h"

namespace volley::io {

enum class Backend { kUring, kEpoll, kSim };

inline std::string BackendName(const ::testing::TestParamInfo<Backend>& info) {
  switch (info.param) {
    case Backend::kUring:
      return "uring";
    case Backend::kEpoll:
      return "epoll";
    case Backend::kSim:
      return "sim";
  }
  return "";
}

class Conformance : public ::testing::TestWithParam<Backend> {
 protected:
  // A stream of the tested reactor and the test's end of it.
  struct Pair {
    StreamId id;
    Recorder handler;
    std::unique_ptr<Peer> peer;
  };

  void SetUp() override { MakeReactor({}); }

  void MakeReactor(ReactorOptions options) {
    reactor_.reset();
    if (is_sim()) {
      std::unique_ptr<SimReactor> sim = SimReactor::Create(SimOptions{});
      sim_ = sim.get();
      reactor_ = std::move(sim);
      return;
    }
    if (GetParam() == Backend::kUring) {
      const std::optional<std::string> reason = WhyNoUring();
      if (reason) GTEST_SKIP() << "SKIPPED: no io_uring here: " << *reason;
    }
    options.backend = GetParam() == Backend::kUring ? BackendChoice::kUring : BackendChoice::kEpoll;
    absl::StatusOr<CreatedReactor> created = CreateReactor(options);
    ASSERT_TRUE(created.ok()) << created.status();
    reactor_ = std::move(created->reactor);
  }

  bool is_sim() const { return GetParam() == Backend::kSim; }
  Reactor& reactor() { return *reactor_; }
  SimReactor& sim() { return *sim_; }

  // Runs turns until `done` or, on whatever clock the backend has, `limit` has passed.
  bool RunUntil(const std::function<bool()>& done, absl::Duration limit = absl::Seconds(30)) {
    const MonoTime end = reactor().Now() + limit;
    while (!done()) {
      if (reactor().Now() >= end) return false;
      reactor().RunOnce(absl::Milliseconds(5));
    }
    return true;
  }
  // The same by the real clock, for what other threads do.
  bool RunUntilOthers(const std::function<bool()>& done) {
    const MonoTime end = MonotonicNow() + absl::Seconds(60);
    while (!done()) {
      if (MonotonicNow() >= end) return false;
      reactor().RunOnce(absl::Milliseconds(100));
    }
    return true;
  }
  void RunFor(absl::Duration time) {
    RunUntil([] { return false; }, time);
  }

  PeerHost& MakeHost(int receive_buffer_bytes = 0) {
    if (is_sim()) {
      hosts_.push_back(std::make_unique<SimPeerHost>(sim()));
    } else {
      hosts_.push_back(std::make_unique<SocketPeerHost>(64, receive_buffer_bytes));
    }
    return *hosts_.back();
  }

  std::unique_ptr<Pair> MakePair(int receive_buffer_bytes = 0) {
    auto pair = std::make_unique<Pair>();
    PeerHost& host = MakeHost(receive_buffer_bytes);
    pair->id = reactor().Connect(host.endpoint(), {}, &pair->handler);
    EXPECT_TRUE(RunUntil([&] {
      if (pair->peer == nullptr) pair->peer = host.TryAccept();
      return pair->handler.connected && pair->peer != nullptr;
    }));
    return pair;
  }

  // A listener of the tested reactor on a free port.
  std::pair<ListenerId, Endpoint> Listen(ListenHandler* handler) {
    const absl::StatusOr<ListenerId> id = reactor().Listen(Loopback(), handler);
    EXPECT_TRUE(id.ok()) << id.status();
    return {*id, reactor().ListenEndpoint(*id)};
  }

  static Endpoint Loopback() { return *Endpoint::FromIp("127.0.0.1", 0); }

  std::vector<std::unique_ptr<PeerHost>> hosts_;  // outlive the reactor they may listen on
  SimReactor* sim_ = nullptr;
  std::unique_ptr<Reactor> reactor_;
};

class KernelConformance : public Conformance {};

}  // namespace volley::io

#endif  // VOLLEY_TESTS_IO_REACTOR_CONFORMANCE_H_
