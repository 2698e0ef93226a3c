// Timers, wake-ups and the loop itself, on every backend.
#include <atomic>
#include <thread>

#include "tests/io/reactor/conformance.h"

namespace volley::io {
namespace {

using ::testing::ElementsAre;

TEST_P(Conformance, TimersFireInOrderAndNeverEarly) {
  std::vector<int> fired;
  std::vector<std::unique_ptr<TestTimer>> timers;
  const MonoTime start = reactor().Now();
  const int delays_ms[] = {30, 5, 0, 12, 5, 70};
  for (int i = 0; i < 6; ++i) {
    const MonoTime due = start + absl::Milliseconds(delays_ms[i]);
    timers.push_back(std::make_unique<TestTimer>([&, i, due] {
      EXPECT_GE(reactor().Now(), due);
      fired.push_back(i);
    }));
    reactor().SetTimer(timers.back().get(), due);
    EXPECT_EQ(timers.back()->deadline(), due);
  }
  ASSERT_TRUE(RunUntil([&] { return fired.size() == 6; }));
  EXPECT_THAT(fired, ElementsAre(2, 1, 4, 3, 0, 5));
  for (const auto& timer : timers) EXPECT_FALSE(timer->is_set());
}

TEST_P(Conformance, ATimerEndsALongWait) {
  bool fired = false;
  TestTimer timer([&] { fired = true; });
  const MonoTime start = reactor().Now();
  reactor().SetTimer(&timer, start + absl::Milliseconds(30));
  // Two or three turns, not one for each millisecond: the loop sleeps until there is work.
  int turns = 0;
  while (!fired && turns < 10) {
    reactor().RunOnce(absl::Seconds(20));
    ++turns;
  }
  EXPECT_TRUE(fired);
  EXPECT_GE(reactor().Now() - start, absl::Milliseconds(30));
  EXPECT_LT(reactor().Now() - start, absl::Seconds(10));
}

TEST_P(Conformance, TimersAreMovedCancelledAndDestroyed) {
  std::vector<std::string> fired;
  const MonoTime start = reactor().Now();
  TestTimer later([&] { fired.push_back("later"); });
  TestTimer earlier([&] { fired.push_back("earlier"); });
  TestTimer cancelled([&] { fired.push_back("cancelled"); });
  auto destroyed = std::make_unique<TestTimer>([&] { fired.push_back("destroyed"); });
  reactor().SetTimer(&later, start + absl::Milliseconds(5));
  reactor().SetTimer(&later, start + absl::Milliseconds(40));
  reactor().SetTimer(&earlier, start + absl::Seconds(1000));
  reactor().SetTimer(&earlier, start + absl::Milliseconds(10));
  reactor().SetTimer(&cancelled, start + absl::Milliseconds(8));
  reactor().SetTimer(destroyed.get(), start + absl::Milliseconds(8));
  reactor().CancelTimer(&cancelled);
  reactor().CancelTimer(&cancelled);
  destroyed.reset();
  ASSERT_TRUE(RunUntil([&] { return fired.size() == 2; }));
  EXPECT_GE(reactor().Now() - start, absl::Milliseconds(40));
  RunFor(absl::Milliseconds(5));
  EXPECT_THAT(fired, ElementsAre("earlier", "later"));
}

TEST_P(Conformance, ATimerMaySetItselfAndEndOthersFromItsCallback) {
  int ticks = 0;
  const MonoTime due = reactor().Now() + absl::Milliseconds(3);
  auto victim = std::make_unique<TestTimer>([] { FAIL() << "destroyed by the timer before it"; });
  TestTimer cancelled([] { FAIL() << "cancelled by the timer before it"; });
  std::unique_ptr<TestTimer> periodic;
  periodic = std::make_unique<TestTimer>([&] {
    victim.reset();
    reactor().CancelTimer(&cancelled);
    if (++ticks < 5) {
      reactor().SetTimer(periodic.get(), reactor().Now() + absl::Milliseconds(2));
    } else {
      periodic.reset();  // its own end
    }
  });
  reactor().SetTimer(periodic.get(), due);
  reactor().SetTimer(victim.get(), due);
  reactor().SetTimer(&cancelled, due);
  ASSERT_TRUE(RunUntil([&] { return ticks == 5; }));
  EXPECT_EQ(periodic, nullptr);
  RunFor(absl::Milliseconds(5));
  EXPECT_EQ(ticks, 5);
}

TEST_P(Conformance, ATimerThatAsksForNowDoesNotHoldTheLoop) {
  int fired = 0;
  std::unique_ptr<TestTimer> eager;
  eager = std::make_unique<TestTimer>([&] {
    ++fired;
    reactor().SetTimer(eager.get(), reactor().Now());
  });
  reactor().SetTimer(eager.get(), reactor().Now());
  for (int i = 0; i < 100 && fired < 3; ++i) reactor().RunOnce(absl::Milliseconds(5));
  EXPECT_GE(fired, 3);
}

TEST_P(Conformance, CloseInsideATimerAndAWake) {
  const auto a = MakePair(), b = MakePair();
  TestTimer timer([&] { reactor().Close(a->id); });
  reactor().SetTimer(&timer, reactor().Now() + absl::Milliseconds(1));
  reactor().SetWakeHandler([&] { reactor().Close(b->id); });
  reactor().Wake();
  ASSERT_TRUE(RunUntil([&] { return a->handler.closed && b->handler.closed; }));
}

TEST_P(Conformance, TenThousandWakesFromAnotherThreadAreAllSeen) {
  constexpr int kWakes = 10'000;
  std::atomic<int> announced{0};
  int seen = 0;
  int calls = 0;
  reactor().SetWakeHandler([&] {
    ++calls;
    // Relaxed: Wake() itself must order it, which ThreadSanitizer checks on `plain`.
    seen = announced.load(std::memory_order_relaxed);
  });
  std::thread waker([&] {
    for (int i = 1; i <= kWakes; ++i) {
      announced.store(i, std::memory_order_relaxed);
      reactor().Wake();
    }
  });
  const bool all = RunUntilOthers([&] { return seen == kWakes; });
  waker.join();
  EXPECT_TRUE(all) << "the handler last saw " << seen;
  EXPECT_GE(calls, 1);
  EXPECT_LE(calls, kWakes);
}

TEST_P(Conformance, AWakeWhileTheHandlerRunsIsNotLost) {
  int calls = 0;
  reactor().SetWakeHandler([&] {
    if (++calls == 1) std::thread([&] { reactor().Wake(); }).join();
  });
  reactor().Wake();
  EXPECT_TRUE(RunUntil([&] { return calls == 2; }, absl::Seconds(5)));
  RunFor(absl::Milliseconds(10));
  EXPECT_EQ(calls, 2);
}

TEST_P(Conformance, AWakePublishesWhatWasWrittenBeforeIt) {
  constexpr int kRounds = 500;
  int plain = 0;              // not atomic: only Wake() orders it
  std::atomic<int> taken{0};  // the handler's answer
  std::vector<int> seen;
  reactor().SetWakeHandler([&] {
    seen.push_back(plain);
    taken.store(plain, std::memory_order_release);
  });
  std::thread writer([&] {
    for (int i = 1; i <= kRounds; ++i) {
      plain = i;
      reactor().Wake();
      while (taken.load(std::memory_order_acquire) != i) std::this_thread::yield();
    }
  });
  const bool all = RunUntilOthers([&] { return !seen.empty() && seen.back() == kRounds; });
  if (!all) taken = kRounds;
  writer.join();
  EXPECT_TRUE(all);
  EXPECT_EQ(seen.size(), static_cast<size_t>(kRounds));
}

TEST_P(KernelConformance, AWakeEndsALongWait) {
  bool woken = false;
  reactor().SetWakeHandler([&] { woken = true; });
  reactor().RunOnce(absl::ZeroDuration());
  std::thread waker([&] { reactor().Wake(); });
  const MonoTime start = reactor().Now();
  while (!woken && reactor().Now() - start < absl::Seconds(20))
    reactor().RunOnce(absl::Seconds(20));
  waker.join();
  EXPECT_TRUE(woken);
  EXPECT_LT(reactor().Now() - start, absl::Seconds(10));
}

TEST_P(Conformance, StopEndsRun) {
  reactor().Stop();
  reactor().Run();  // stopped before: returns at once
  int fired = 0;
  TestTimer timer([&] {
    ++fired;
    reactor().Stop();
  });
  for (int i = 1; i <= 2; ++i) {  // and can be run again
    reactor().SetTimer(&timer, reactor().Now() + absl::Milliseconds(2));
    reactor().Run();
    EXPECT_EQ(fired, i);
  }
}

TEST_P(Conformance, RunOnceWaitsNoLongerThanAsked) {
  AcceptingRecorder server;
  Listen(&server);  // something that could happen, and does not
  reactor().RunOnce(absl::ZeroDuration());
  const MonoTime start = reactor().Now();
  // A signal may end a wait early (the kernel's clean-up of an earlier ring does), but the loop
  // sleeps rather than spins.
  int turns = 0;
  while (reactor().Now() - start < absl::Milliseconds(20)) {
    reactor().RunOnce(absl::Milliseconds(20));
    ++turns;
  }
  EXPECT_LE(turns, 5);
  EXPECT_LT(reactor().Now() - start, absl::Seconds(10));
  EXPECT_TRUE(server.streams.empty());
}

}  // namespace
}  // namespace volley::io
