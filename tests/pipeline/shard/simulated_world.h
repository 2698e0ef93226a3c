// A campaign of kRecipients, one shard and any number of sinks on one virtual network, and the
// books to check after a run.
#ifndef VOLLEY_TESTS_PIPELINE_SHARD_SIMULATED_WORLD_H_
#define VOLLEY_TESTS_PIPELINE_SHARD_SIMULATED_WORLD_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "io/reactor/sim_reactor.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/shard/shard.h"
#include "pipeline/sink/sink.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {

inline constexpr int kRecipients = 300;

struct Books {
  std::map<std::string, int> arrivals;  // by address, from the sink's journal
  std::map<std::string, Outcome> not_delivered;
  std::vector<std::string> addresses;
  uint64_t delivered = 0;
  Shard::State state{};
  std::vector<LaneStats> lanes;
  std::vector<std::string> notices;
  io::SimStats stats;
};

inline std::vector<ShardFlow> OneFlow(const Campaign& campaign, const SettleRules* rules) {
  return {{{&campaign, nullptr}, rules}};
}

class World {
 public:
  // With `domains` the recipients are in d0.example.com, d1.example.com, ... by turns.
  explicit World(const io::SimOptions& sim, int domains = 0)
      : reactor_(io::SimReactor::Create(sim)) {
    std::string list = "email,name\n";
    for (int i = 0; i < kRecipients; ++i) {
      const std::string in = domains == 0 ? "" : "d" + std::to_string(i % domains) + ".";
      list += "u" + std::to_string(i) + "@" + in + "example.com,N\n";
    }
    CampaignDefinition d;
    d.name = "sim";
    d.from = "Ann <ann@example.org>";
    d.subject = "Hello {{name}}";
    d.text_path = dir_.Write("t.txt", "Dear {{name}},\n.dots\n" + std::string(2000, 'x') + "\n");
    d.recipients_path = dir_.Write("list.csv", list);
    PrepareOptions options;
    options.state_dir = dir_.path("state");
    options.without_unsubscribe = true;
    auto campaign = Campaign::Prepare(d, options);
    EXPECT_TRUE(campaign.ok()) << campaign.status();
    campaign_ = *std::move(campaign);
  }

  // Sinks at 127.0.0.1:25 and the ports behind it.
  void StartSink(SinkOptions options) {
    const int n = static_cast<int>(sinks_.size());
    options.endpoints = {*io::Endpoint::FromIp("127.0.0.1", static_cast<uint16_t>(25 + n))};
    options.jsonl = dir_.path(JournalName(n));
    options.wall_clock = [] { return absl::UnixEpoch(); };
    auto sink = Sink::Create(reactor_.get(), std::move(options));
    ASSERT_TRUE(sink.ok()) << sink.status();
    sinks_.push_back(*std::move(sink));
  }

  static LaneOptions LaneTo(uint16_t port, uint32_t connections, uint32_t messages) {
    LaneOptions lane;
    lane.relay.endpoints = {*io::Endpoint::FromIp("127.0.0.1", port)};
    lane.relay.name = "sim" + std::to_string(port);
    lane.relay.helo = "sender.example.org";
    lane.connections_max = connections;
    lane.messages_per_connection = messages;
    return lane;
  }

  Books Run(uint32_t connections, uint32_t messages_per_connection) {
    return Run({LaneTo(25, connections, messages_per_connection)});
  }

  Books Run(std::vector<LaneOptions> lanes) {
    WakeEvent coordinator;
    const auto& list = campaign_->recipients();
    auto ledger = Ledger::Create(dir_.path("ledger.bin"), {list.count(), list.checksum()});
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    SettleRules rules;
    rules.ledger = ledger->get();
    rules.retry.give_up_after = absl::ZeroDuration();  // nobody feeds them again here
    Shard shard(OneFlow(*campaign_, &rules), std::move(lanes), &coordinator);
    Books books;
    RecipientRecord record;
    uint64_t offset = campaign_->recipients().first_offset();
    for (int i = 0; i < kRecipients; ++i) {
      EXPECT_TRUE(
          shard.Push(std::vector<Job>{{.offset = offset, .index = static_cast<uint32_t>(i)}}));
      offset = *campaign_->recipients().ReadAt(offset, &record);
      books.addresses.emplace_back(record.address);
    }
    shard.NoMoreJobs();
    shard.Attach(reactor_.get());
    reactor_->RunUntilIdle(absl::Hours(48));
    books.state = shard.state();
    if (books.state == Shard::State::kDone) shard.Detach();
    books.lanes = shard.lane_stats();
    books.notices = shard.TakeNotices();
    books.delivered = static_cast<uint64_t>(shard.settler().count(Outcome::kDelivered));
    OutcomeNote note;
    while (shard.settler().TakeNote(&note)) {
      if (note.index == OutcomeNote::kNobody) continue;
      EXPECT_TRUE(list.ReadAt(note.offset, &record).ok());
      EXPECT_EQ((*ledger)->StateAt(note.index), StateOf(note.outcome));
      if (note.outcome == Outcome::kDelivered) continue;
      const bool first =
          books.not_delivered.emplace(std::string(record.address), note.outcome).second;
      EXPECT_TRUE(first) << record.address << " settled twice";
    }
    books.stats = reactor_->stats();
    books.arrivals = TakeArrivals();
    return books;
  }

  // --- for those who run the parts themselves ---
  io::SimReactor* reactor() { return reactor_.get(); }
  const Campaign& campaign() const { return *campaign_; }
  std::string ledger_path() const { return dir_.path("ledger.bin"); }
  // Who arrived at any sink, by address. No sink is left.
  std::map<std::string, int> TakeArrivals() {
    Books books;
    const size_t sinks = sinks_.size();
    sinks_.clear();  // writes their journals
    for (size_t i = 0; i < sinks; ++i) ReadJournal(static_cast<int>(i), &books);
    return books.arrivals;
  }

 private:
  static std::string JournalName(int sink) { return "sink" + std::to_string(sink) + ".jsonl"; }

  void ReadJournal(int sink, Books* books) {
    std::istringstream lines(dir_.Read(JournalName(sink)));
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json message = nlohmann::json::parse(line);
      for (const auto& to : message["rcpt_to"]) {
        ++books->arrivals[to.get<std::string>()];
      }
    }
  }

  volley::testing::TempDir dir_;
  std::unique_ptr<io::SimReactor> reactor_;
  std::unique_ptr<Campaign> campaign_;
  std::vector<std::unique_ptr<Sink>> sinks_;
};

inline void ExpectBalanced(const Books& books) {
  ASSERT_EQ(books.state, Shard::State::kDone);
  EXPECT_EQ(books.delivered + books.not_delivered.size(), size_t{kRecipients});
  for (const std::string& address : books.addresses) {
    const auto arrived = books.arrivals.find(address);
    const int times = arrived == books.arrivals.end() ? 0 : arrived->second;
    const auto settled = books.not_delivered.find(address);
    if (settled == books.not_delivered.end()) {
      EXPECT_EQ(times, 1) << address << " counted delivered";
    } else if (settled->second == Outcome::kUncertain) {
      EXPECT_LE(times, 1) << address << " is uncertain";
    } else {
      EXPECT_EQ(times, 0) << address << " counted " << OutcomeName(settled->second);
    }
  }
}

inline io::SimOptions Faulty(uint64_t seed) {
  io::SimOptions sim;
  sim.seed = seed;
  sim.split = 0.3;
  sim.short_send = 0.2;
  sim.stall = 0.02;
  sim.truncate = 0.01;
  sim.reset = 0.01;
  sim.refuse = seed % 3 == 0 ? 0.2 : 0;
  return sim;
}

}  // namespace volley::pipeline

#endif  // VOLLEY_TESTS_PIPELINE_SHARD_SIMULATED_WORLD_H_
