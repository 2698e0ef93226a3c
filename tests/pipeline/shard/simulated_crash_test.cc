// Whole campaigns in the simulator with retries, kills and going on: a process is a ledger, a
// feeder and a shard; at a random moment it is gone, with all it had in memory, and the next one
// begins with the file. The server defers and refuses by a seed, the network splits, stalls,
// truncates and resets. In the end the books must balance, recipient by recipient. A failure prints
// its seed; VOLLEY_SIM_SEED=n runs just that one, VOLLEY_SIM_SEEDS=n the first n.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <string>

#include "pipeline/shard/feeder.h"
#include "pipeline/shard/runner.h"
#include "tests/pipeline/shard/crashable_reactor.h"
#include "tests/pipeline/shard/simulated_world.h"

namespace volley::pipeline {
namespace {

using engine::smtp::ReplyCode;
using engine::smtp::ServerReply;

constexpr absl::Duration kStep = absl::Milliseconds(20);

// The clock goes on while nothing happens.
class Alarm final : public io::Timer {
  void OnTimer() override {}
};

// One life of `volley send`, its coordinator's turns between those of the network.
class Process {
 public:
  Process(World* world, std::vector<LaneOptions> lanes, UncertainPolicy uncertain)
      : world_(world), reactor_(world->reactor()) {
    const RecipientFile& list = world->campaign().recipients();
    const LedgerIdentity identity{list.count(), list.checksum()};
    auto ledger = Ledger::Open(world->ledger_path(), identity);
    if (absl::IsNotFound(ledger.status())) ledger = Ledger::Create(world->ledger_path(), identity);
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    before_ = ledger_->Count();
    rules_.ledger = ledger_.get();
    rules_.retry = {absl::Seconds(2), absl::Seconds(30), absl::Minutes(3)};
    rules_.uncertain = uncertain;
    rules_.wall_clock = [this] { return Now(); };
    feeder_.emplace(&list, ledger_.get(), uncertain);
    shard_ = std::make_unique<Shard>(OneFlow(world->campaign(), &rules_), std::move(lanes), &wake_);
    shard_->Attach(&reactor_);
  }
  // REQUIRES: it has ended, or is buried.
  ~Process() {
    if (shard_ != nullptr && shard_->state() == Shard::State::kDone) shard_->Detach();
  }

  // False: it is still running.
  bool RunUntil(io::MonoTime end) {
    while (reactor_.Now() < end && !Ended()) {
      Turn();
      const io::MonoTime next = std::min(end, reactor_.Now() + Pause());
      reactor_.SetTimer(&alarm_, next);
      world_->reactor()->RunUntilIdle(next - reactor_.Now());
    }
    reactor_.CancelTimer(&alarm_);
    if (Ended()) TakeNotes();
    return Ended();
  }
  void Drain() {
    draining_ = true;
    shard_->RequestDrain();
  }
  // Nothing of it happens any more; the file is as it is.
  static void Kill(std::unique_ptr<Process> process) {
    process->reactor_.Crash();
    process->ledger_.reset();
    Bury(std::move(process));
  }

  bool Ended() const {
    return shard_->state() == Shard::State::kDone || shard_->state() == Shard::State::kFailed;
  }
  bool failed() const { return shard_->state() == Shard::State::kFailed; }
  Ledger* ledger() { return ledger_.get(); }

  // What its shard has counted, with what it found, is what stands in the ledger.
  void ExpectCountsAgree() const {
    const Ledger::Counts counts = ledger_->Count();
    for (size_t i = 0; i < kOutcomes; ++i) {
      const auto outcome = static_cast<Outcome>(i);
      const size_t state = static_cast<size_t>(StateOf(outcome));
      EXPECT_EQ(static_cast<int64_t>(before_[state]) + shard_->settler().count(outcome),
                static_cast<int64_t>(counts[state]))
          << OutcomeName(outcome);
    }
    EXPECT_EQ(counts[static_cast<size_t>(SlotState::kInFlight)], 0u);
    EXPECT_TRUE(draining_ || pushed_ == notes_) << pushed_ << " pushed, " << notes_ << " notes";
  }

 private:
  absl::Time Now() const {
    return absl::FromUnixSeconds(1'800'000'000) + absl::Nanoseconds(reactor_.Now().nanos());
  }

  void Turn() {
    TakeNotes();
    if (draining_) return;
    const auto now = static_cast<UnixSeconds>(absl::ToUnixSeconds(Now()));
    while (!shard_->lost()) {
      const auto jobs = feeder_->Peek(now);
      ASSERT_TRUE(jobs.ok()) << jobs.status();
      if (jobs->empty()) break;
      const size_t taken = shard_->Push(*jobs);
      feeder_->Pop(taken);
      pushed_ += taken;
      if (taken < jobs->size()) break;
    }
    if (shard_->lost() || (!feeder_->next_due() && pushed_ == notes_)) shard_->NoMoreJobs();
  }

  void TakeNotes() {
    OutcomeNote note;
    while (shard_->settler().TakeNote(&note)) {
      if (note.index == OutcomeNote::kNobody) continue;
      ++notes_;
      if (note.due != 0) feeder_->OnDue(note.index, note.due);
    }
  }

  // Until the next look: while all that are left wait, until the first of them is due.
  absl::Duration Pause() const {
    const auto due = feeder_->next_due();
    if (!due || *due == 0 || pushed_ != notes_) return kStep;
    return std::max(kStep, absl::FromUnixSeconds(*due) - Now());
  }

  World* const world_;
  CrashableReactor reactor_;
  WakeEvent wake_;
  SettleRules rules_;
  std::unique_ptr<Ledger> ledger_;
  Ledger::Counts before_{};
  std::optional<Feeder> feeder_;
  std::unique_ptr<Shard> shard_;
  Alarm alarm_;
  uint64_t pushed_ = 0, notes_ = 0;
  bool draining_ = false;
};

// What came of a seed.
struct Tally {
  uint64_t kills = 0, found_in_flight = 0, twice = 0, expired_or_bounced = 0, tried_again = 0,
           cancelled = 0;
};

class Seed {
 public:
  explicit Seed(uint64_t seed)
      : seed_(seed),
        random_(seed),
        world_(Faulty(seed)),
        policy_(seed % 2 == 0 ? UncertainPolicy::kSkip : UncertainPolicy::kResend) {}

  Tally Run() {
    StartSink();
    const int kills = static_cast<int>(random_() % 4);
    std::unique_ptr<Process> process;
    for (int life = 0; life < 60; ++life) {
      process.reset();
      process = std::make_unique<Process>(&world_, Lanes(), policy_);
      tally_.found_in_flight += process->ledger()->found_in_flight().size();
      if (life < kills) {
        if (process->RunUntil(world_.reactor()->Now() + RandomTime())) continue;
        Process::Kill(std::move(process));
        ++tally_.kills;
        continue;
      }
      if (LiveOn(process.get())) break;
    }
    Check(process.get());
    return tally_;
  }

 private:
  bool Chance(double p) { return std::uniform_real_distribution<double>(0, 1)(random_) < p; }
  // From 0.3 ms to 30 s: within the first connection as well as while the last ones wait.
  absl::Duration RandomTime() {
    return absl::Milliseconds(
        std::pow(10, std::uniform_real_distribution<double>(-0.5, 4.5)(random_)));
  }

  void StartSink() {
    SinkOptions sink;
    sink.server.chunking = seed_ % 2 == 0;
    sink.server.pipelining = seed_ % 5 != 0;
    sink.on_rcpt = [this](std::string_view) -> ServerReply {
      if (Chance(0.15)) return {ReplyCode(450), {4, 7, 1}, "greylisted", false};
      if (Chance(0.03)) return {ReplyCode(550), {5, 1, 1}, "no such user", false};
      if (Chance(0.01)) return {ReplyCode(421), {4, 3, 2}, "too busy", true};
      return {};
    };
    sink.on_message = [this]() -> ServerReply {
      if (Chance(0.1)) return {ReplyCode(451), {4, 3, 0}, "later, please", false};
      if (Chance(0.02)) return {ReplyCode(554), {5, 7, 1}, "we do not like it", false};
      return {};
    };
    world_.StartSink(std::move(sink));
  }

  std::vector<LaneOptions> Lanes() const {
    return {World::LaneTo(25, 1 + static_cast<uint32_t>(seed_ % 9), seed_ % 4 * 5)};
  }

  // True: nobody is left. It may have failed to begin, or lost its relay: then there is another.
  bool LiveOn(Process* process) {
    if (seed_ % 8 == 3) return CancelIn(process);
    EXPECT_TRUE(process->RunUntil(world_.reactor()->Now() + absl::Hours(2))) << "it does not end";
    if (process->failed()) return false;
    process->ExpectCountsAgree();
    const Ledger::Counts counts = process->ledger()->Count();
    return counts[static_cast<size_t>(SlotState::kPending)] == 0 &&
           counts[static_cast<size_t>(SlotState::kDeferred)] == 0;
  }

  // `volley cancel`: what is in flight is finished, the rest is not tried any more.
  bool CancelIn(Process* process) {
    process->RunUntil(world_.reactor()->Now() + RandomTime());
    process->Drain();
    EXPECT_TRUE(process->RunUntil(world_.reactor()->Now() + absl::Hours(2))) << "it does not end";
    if (process->failed()) return false;
    process->ExpectCountsAgree();
    CancelRest(process->ledger());
    return true;
  }

  void Check(Process* process) {
    ASSERT_NE(process, nullptr);
    Ledger* ledger = process->ledger();
    const Ledger::Counts counts = ledger->Count();
    EXPECT_EQ(counts[static_cast<size_t>(SlotState::kPending)], 0u) << "lost";
    EXPECT_EQ(counts[static_cast<size_t>(SlotState::kInFlight)], 0u);
    uint64_t sum = 0;
    for (size_t i = 0; i < kOutcomes; ++i) {
      sum += counts[static_cast<size_t>(StateOf(static_cast<Outcome>(i)))];
    }
    EXPECT_EQ(sum, uint64_t{kRecipients});
    world_.reactor()->RunUntilIdle(absl::Hours(1));  // what was still on its way
    const auto arrivals = world_.TakeArrivals();
    RecipientRecord record;
    uint64_t offset = world_.campaign().recipients().first_offset();
    for (uint32_t i = 0; i < ledger->size(); ++i) {
      offset = *world_.campaign().recipients().ReadAt(offset, &record);
      const auto at = arrivals.find(std::string(record.address));
      CheckOne(std::string(record.address), ledger->Get(i), at == arrivals.end() ? 0 : at->second);
    }
  }

  void CheckOne(const std::string& address, const LedgerSlot& slot, int times) {
    SCOPED_TRACE(address + ": " + std::string(SlotStateName(slot.state)) +
                 (slot.was_uncertain ? ", was uncertain" : ""));
    EXPECT_TRUE(slot.state != SlotState::kUncertain || slot.was_uncertain);
    EXPECT_TRUE(slot.state != SlotState::kDelivered || times >= 1) << "lost";
    // Not once more than was told, unless it was flagged; and then only where that was asked for.
    const int told = slot.state == SlotState::kDelivered ? 1 : 0;
    EXPECT_TRUE(slot.was_uncertain || times == told) << "arrived " << times << " times";
    EXPECT_TRUE(policy_ == UncertainPolicy::kResend || times <= 1) << times << " times";
    tally_.twice += times > 1;
    tally_.expired_or_bounced += slot.state == SlotState::kBounced;
    tally_.tried_again += slot.attempts > 1;
    tally_.cancelled += slot.state == SlotState::kCancelled;
  }

  const uint64_t seed_;
  std::mt19937_64 random_;
  World world_;
  const UncertainPolicy policy_;
  Tally tally_;
};

TEST(SimulatedCrash, BooksBalanceOverKillsAndRetriesFromManySeeds) {
  const char* only = std::getenv("VOLLEY_SIM_SEED");
  const char* many = std::getenv("VOLLEY_SIM_SEEDS");
  const uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const uint64_t last = only != nullptr   ? first
                        : many != nullptr ? std::strtoull(many, nullptr, 10)
                                          : 100;
  Tally all;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("replay with VOLLEY_SIM_SEED=" + std::to_string(seed));
    const Tally one = Seed(seed).Run();
    all.kills += one.kills;
    all.found_in_flight += one.found_in_flight;
    all.twice += one.twice;
    all.expired_or_bounced += one.expired_or_bounced;
    all.tried_again += one.tried_again;
    all.cancelled += one.cancelled;
    if (HasFailure()) return;
  }
  std::printf(
      "%lu kills, %lu found in flight, %lu arrived twice, %lu bounced or expired, "
      "%lu tried again, %lu cancelled\n",
      all.kills, all.found_in_flight, all.twice, all.expired_or_bounced, all.tried_again,
      all.cancelled);
  if (only != nullptr || last < 100) return;
  EXPECT_GT(all.kills, last / 2);
  EXPECT_GT(all.found_in_flight, 0u);
  EXPECT_GT(all.twice, 0u);
  EXPECT_GT(all.expired_or_bounced, 0u);
  EXPECT_GT(all.tried_again, 0u);
  EXPECT_GT(all.cancelled, 0u);
}

}  // namespace
}  // namespace volley::pipeline
