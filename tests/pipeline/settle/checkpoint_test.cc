#include "pipeline/settle/checkpoint.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using volley::testing::TempDir;

std::unique_ptr<Ledger> Make(const TempDir& dir) {
  auto ledger = Ledger::Create(dir.path("ledger.bin"), {.recipients = 1000});
  EXPECT_TRUE(ledger.ok()) << ledger.status();
  return *std::move(ledger);
}

TEST(Checkpoint, SyncsWhileAnotherThreadWrites) {
  TempDir dir;
  const auto ledger = Make(dir);
  Checkpoint checkpoint(ledger.get(), absl::Milliseconds(1));
  LedgerSlot slot;
  slot.state = SlotState::kDelivered;
  for (int round = 0; round < 50; ++round) {
    for (uint32_t i = 0; i < ledger->size(); ++i) ledger->Put(i, slot);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(checkpoint.status().ok()) << checkpoint.status();
}

TEST(Checkpoint, EndsAtOnceHoweverLongItsTime) {
  TempDir dir;
  const auto ledger = Make(dir);
  const auto started = std::chrono::steady_clock::now();
  { Checkpoint checkpoint(ledger.get(), absl::Hours(1)); }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(10));
}

TEST(Checkpoint, LeavesTheSignalMaskOfItsMakerAlone) {
  TempDir dir;
  const auto ledger = Make(dir);
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  const Checkpoint checkpoint(ledger.get());
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal));
  }
}

}  // namespace
}  // namespace volley::pipeline
