// Whole campaigns without a relay in the simulator: recipients of several domains, each with
// servers of its own that refuse, defer, are down for a while or for ever; domains that take no
// mail and name servers that fail at first. In the end the books must balance, recipient by
// recipient, and a route that is slow or down must have held up nobody else. A failure prints its
// seed; VOLLEY_SIM_SEED=n runs just that one, VOLLEY_SIM_SEEDS=n the first n.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "engine/policy/provider_pack.h"
#include "pipeline/shard/feeder.h"
#include "pipeline/shard/route_feeder.h"
#include "tests/pipeline/shard/simulated_world.h"

namespace volley::pipeline {
namespace {

using engine::policy::ProviderPack;

constexpr absl::Duration kStep = absl::Milliseconds(20);

class Alarm final : public io::Timer {
  void OnTimer() override {}
};

class OneAddress final : public Addresses {
 public:
  explicit OneAddress(uint16_t port)
      : list_(std::make_shared<const AddressList>(
            AddressList{{*io::Endpoint::FromIp("127.0.0.1", port)}, 1})) {}
  List Get(io::MonoTime) override { return list_; }

 private:
  const List list_;
};

// dN.example.com has its server on port 25 + N. Answers come a while after the question.
class FakeFinder final : public RouteFinder {
 public:
  explicit FakeFinder(io::SimReactor* reactor) : reactor_(reactor) {}

  RouteAnswer Find(std::string_view domain, io::MonoTime now) override {
    Known& known = known_[std::string(domain)];
    if (known.route == nullptr) {
      const auto n = static_cast<uint32_t>(std::strtoul(domain.data() + 1, nullptr, 10));
      Route route;
      route.id = n;
      route.name = "mx." + std::string(domain);
      route.provider = &ProviderPack::BuiltIn()->fallback();
      route.hosts = {{route.name, 10}};
      route.addresses = std::make_shared<OneAddress>(static_cast<uint16_t>(25 + n));
      known.route = std::make_shared<const Route>(std::move(route));
      known.at = now + absl::Milliseconds(30 * n);
    }
    if (reactor_->Now() < known.at) return {.state = RouteAnswer::State::kAsking};
    if (domain == no_mail) {
      return {.state = RouteAnswer::State::kNoMail,
              .code = engine::smtp::ReplyCode(556),
              .enhanced = {5, 1, 10},
              .text = "takes no mail"};
    }
    if (domain == fails_at_first && reactor_->Now() < start_ + absl::Seconds(10)) {
      return {.state = RouteAnswer::State::kFailedForNow,
              .code = engine::smtp::ReplyCode(451),
              .enhanced = {4, 4, 3},
              .text = "no answer"};
    }
    return {.state = RouteAnswer::State::kKnown, .route = known.route};
  }
  void TakeAnswers(const std::function<void(std::string_view)>& answered) override {
    for (auto& [domain, known] : known_) {
      if (!known.told && reactor_->Now() >= known.at) {
        known.told = true;
        answered(domain);
      }
    }
  }

  std::string no_mail, fails_at_first;

 private:
  struct Known {
    std::shared_ptr<const Route> route;
    io::MonoTime at;
    bool told = false;
  };
  io::SimReactor* const reactor_;
  const io::MonoTime start_ = reactor_->Now();
  std::map<std::string, Known, std::less<>> known_;
};

class Rooms final : public RoomListener {
 public:
  void OnRoom() override {
    if (shard != nullptr) shard->OnRoom(false);
  }
  void OnWanted() override {
    if (shard != nullptr) shard->OnWanted();
  }
  Shard* shard = nullptr;
};

// Shard, coordinator and limits of one run.
class DirectRun {
 public:
  DirectRun(World* world, uint32_t connections)
      : world_(world), finder(world->reactor()), limits_({.quota_dir = "", .listener = &rooms_}) {
    const RecipientFile& list = world->campaign().recipients();
    auto ledger = Ledger::Create(world->ledger_path(), {list.count(), list.checksum()});
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    rules_.ledger = ledger_.get();
    rules_.retry = {absl::Seconds(2), absl::Seconds(30), absl::Minutes(3)};
    rules_.wall_clock = [this] { return Now(); };
    feeder_.emplace(&list, ledger_.get(), UncertainPolicy::kSkip);
    settler_.emplace(std::vector<const SettleRules*>{&rules_}, [this] { TakeNotes(); });
    RouteRules rules;
    rules.direct.helo = "sender.example.org";
    rules.flows = {{"sim", {}}};
    rules.own_retry = true;
    rules.connections = connections;
    rules.rest_first = absl::Seconds(2);
    rules.rest_longest = absl::Seconds(30);
    rules.fallback = &ProviderPack::BuiltIn()->fallback();
    rules.clock = [this] { return world_->reactor()->Now(); };
    table_.emplace(&finder, &limits_, std::move(rules));
    routes_ = std::make_unique<RouteFeeder>(uint8_t{0}, &list, ledger_.get(), &*feeder_, &*table_,
                                            &*settler_);
    EXPECT_TRUE(limits_.FindOrAdd({}, {.connections = connections}, {io::MonoTime(), Now()}).ok());
    shard_ = std::make_unique<Shard>(OneFlow(world->campaign(), &rules_), &*table_, &wake_);
    rooms_.shard = shard_.get();
    table_->SetShards({shard_.get()});
    shard_->Attach(world->reactor());
  }
  ~DirectRun() {
    if (ended()) shard_->Detach();
  }

  // Runs until the end, or for a day of simulated time. Returns the books.
  Books Run() {
    const io::MonoTime end = world_->reactor()->Now() + absl::Hours(24);
    while (!ended() && world_->reactor()->Now() < end) {
      Turn();
      world_->reactor()->SetTimer(&alarm_, world_->reactor()->Now() + kStep);
      world_->reactor()->RunUntilIdle(kStep);
      if (::testing::Test::HasFailure()) break;
    }
    world_->reactor()->CancelTimer(&alarm_);
    TakeNotes();
    return Close();
  }
  bool ended() const { return shard_->state() == Shard::State::kDone; }
  absl::Duration DoneAfter(std::string_view domain) const {
    const auto found = last_delivery_.find(domain);
    return found == last_delivery_.end() ? absl::InfiniteDuration() : found->second;
  }

 private:
  absl::Time Now() const {
    return absl::FromUnixSeconds(1'800'000'000) +
           absl::Nanoseconds(world_->reactor()->Now().nanos());
  }
  void Turn() {
    TakeNotes();
    const auto now = static_cast<UnixSeconds>(absl::ToUnixSeconds(Now()));
    for (;;) {
      const auto more = table_->Step(now);
      ASSERT_TRUE(more.ok()) << more.status();
      if (!*more) break;
    }
    TakeNotes();
    if (!feeder_->next_due() && routes_->waiting() == 0 && routes_->handed_out() == notes_) {
      shard_->NoMoreJobs();
    }
  }
  void TakeNotes() {
    OutcomeNote note;
    while (shard_->settler().TakeNote(&note)) Take(note);
    while (settler_->TakeNote(&note)) Take(note);
  }
  void Take(const OutcomeNote& note) {
    table_->Note(note);
    if (note.index == OutcomeNote::kNobody) return;
    ++notes_;
    if (note.due != 0) feeder_->OnDue(note.index, note.due);
    if (note.outcome != Outcome::kDelivered) return;
    RecipientRecord record;
    ASSERT_TRUE(world_->campaign().recipients().ReadAt(note.offset, &record).ok());
    last_delivery_[std::string(record.address.substr(record.address.find('@') + 1))] =
        world_->reactor()->Now() - start_;
  }
  Books Close() {
    Books books;
    books.state = shard_->state();
    const RecipientFile& list = world_->campaign().recipients();
    RecipientRecord record;
    uint64_t offset = list.first_offset();
    for (uint32_t i = 0; i < ledger_->size(); ++i) {
      offset = *list.ReadAt(offset, &record);
      books.addresses.emplace_back(record.address);
      const SlotState state = ledger_->StateAt(i);
      if (state == SlotState::kDelivered) {
        ++books.delivered;
      } else {
        EXPECT_GE(state, SlotState::kDelivered) << record.address << " was not settled";
        books.not_delivered[std::string(record.address)] = OutcomeOf(state);
      }
    }
    books.arrivals = world_->TakeArrivals();
    return books;
  }

  World* const world_;

 public:
  FakeFinder finder;

 private:
  Rooms rooms_;
  LimitTable limits_;
  WakeEvent wake_;
  SettleRules rules_;
  std::unique_ptr<Ledger> ledger_;
  std::optional<Feeder> feeder_;
  std::optional<Settler> settler_;
  std::optional<RouteTable> table_;
  std::unique_ptr<RouteFeeder> routes_;
  std::unique_ptr<Shard> shard_;
  Alarm alarm_;
  const io::MonoTime start_ = world_->reactor()->Now();
  uint64_t notes_ = 0;
  std::map<std::string, absl::Duration, std::less<>> last_delivery_;
};

TEST(SimulatedRoutes, DeliversToTheServersOfEachDomain) {
  World world(io::SimOptions{}, 7);
  for (int i = 0; i < 7; ++i) world.StartSink(SinkOptions{});
  DirectRun run(&world, 20);
  const Books books = run.Run();
  ExpectBalanced(books);
  EXPECT_EQ(books.delivered, uint64_t{kRecipients});
}

TEST(SimulatedRoutes, FewConnectionsGoRoundAllRoutes) {
  World world(io::SimOptions{}, 12);
  for (int i = 0; i < 12; ++i) world.StartSink(SinkOptions{});
  DirectRun run(&world, 2);
  const Books books = run.Run();
  ExpectBalanced(books);
  EXPECT_EQ(books.delivered, uint64_t{kRecipients});
}

TEST(SimulatedRoutes, ARouteThatIsDownHoldsNobodyUp) {
  World world(io::SimOptions{}, 4);
  for (int i = 0; i < 3; ++i) world.StartSink(SinkOptions{});  // nobody listens for d3
  DirectRun run(&world, 10);
  const Books books = run.Run();
  ExpectBalanced(books);
  EXPECT_EQ(books.delivered, uint64_t{kRecipients} * 3 / 4);
  for (const auto& [address, outcome] : books.not_delivered) {
    EXPECT_THAT(address, ::testing::EndsWith("@d3.example.com"));
    EXPECT_EQ(outcome, Outcome::kBounced) << "expired";
  }
  for (const char* domain : {"d0.example.com", "d1.example.com", "d2.example.com"}) {
    EXPECT_LT(run.DoneAfter(domain), absl::Seconds(3)) << domain;
  }
}

TEST(SimulatedRoutes, SettlesDomainsWithoutMailAndAsksAgainWhereDnsFailed) {
  World world(io::SimOptions{}, 3);
  for (int i = 0; i < 3; ++i) world.StartSink(SinkOptions{});
  DirectRun run(&world, 10);
  run.finder.no_mail = "d1.example.com";
  run.finder.fails_at_first = "d2.example.com";
  const Books books = run.Run();
  ExpectBalanced(books);
  EXPECT_EQ(books.delivered, uint64_t{kRecipients} * 2 / 3);
  for (const auto& [address, outcome] : books.not_delivered) {
    EXPECT_THAT(address, ::testing::EndsWith("@d1.example.com"));
    EXPECT_EQ(outcome, Outcome::kBounced);
  }
}

TEST(SimulatedRoutes, BooksBalanceUnderFaultsFromManySeeds) {
  const char* only = std::getenv("VOLLEY_SIM_SEED");
  const char* many = std::getenv("VOLLEY_SIM_SEEDS");
  const uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const uint64_t count = many != nullptr ? std::strtoull(many, nullptr, 10) : 40;
  const uint64_t last = only != nullptr ? first : count;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("replay with VOLLEY_SIM_SEED=" + std::to_string(seed));
    const int domains = 1 + static_cast<int>(seed % 9);
    World world(Faulty(seed), domains);
    for (int i = 0; i < domains; ++i) {
      SinkOptions sink;
      sink.server.chunking = (seed + static_cast<uint64_t>(i)) % 2 == 0;
      sink.server.pipelining = seed % 5 != 0;
      world.StartSink(sink);
    }
    DirectRun run(&world, 1 + static_cast<uint32_t>(seed % 7));
    if (seed % 4 == 0) run.finder.no_mail = "d0.example.com";
    if (seed % 3 == 0) run.finder.fails_at_first = "d1.example.com";
    ExpectBalanced(run.Run());
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace volley::pipeline
