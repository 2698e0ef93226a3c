// Simulation: what a campaign's lanes would do, event by event, on a clock of its own. Permits come
// from the same limits as when mail is sent (LimitTable, LimitSet: rates, quotas, warm-ups,
// connections as leases), hours from the same Schedule; what it has instead of sockets is a time
// for each answer:
//
//   opening   from connecting to the first transaction
//   a message one round trip, as the next envelope rides behind the dot (ADR 0009); the first of a
//             connection, or one whose permit was not there at that moment, two
//   closing   QUIT rides behind the last dot; when a connection was idle, a round trip more
//
// The rules by which lanes open connections, give way to each other and close are Lane's and
// RouteLanes'. Every server takes everything at once: there are no refusals, and so no retries.
//
// Cost: about two events a message, O(log of connections) each; memory for lanes and connections,
// none for messages.
//
// Threading: one thread. Lifetime: limits live in it. Errors: as LimitTable::SetFor.
#ifndef VOLLEY_PIPELINE_PLAN_SIMULATION_H_
#define VOLLEY_PIPELINE_PLAN_SIMULATION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "io/base/time.h"
#include "pipeline/campaign/schedule.h"
#include "pipeline/throttle/limit_set.h"
#include "pipeline/throttle/limit_table.h"

namespace volley::pipeline {

struct LaterMessages {
  absl::Time due;
  uint64_t messages = 0;
};

// What one lane has to send, and how fast it is answered.
struct LaneWork {
  LimitKey key;
  uint64_t messages = 0;             // that may go at once
  std::vector<LaterMessages> later;  // deferred before; ascending
  // Instead of `messages`: many domains, each with connections of its own: messages -> domains with
  // so many. Such a lane stands for one of each of them.
  std::map<uint32_t, uint64_t> domains;
  uint32_t connections_max = 1;
  uint32_t messages_per_connection = 0;  // 0: no limit
  absl::Duration opening, round_trip;
};

// Why a lane could not go faster: for how long altogether, and how many messages had to wait for a
// permit. No limit: the hours of the schedule.
struct Hold {
  const Limit* limit = nullptr;
  LimitKind kind = LimitKind::kRate;
  absl::Duration time = {};
  uint64_t messages = 0;
};

struct LaneForecast {
  uint64_t sent = 0, left = 0;
  absl::Time first = absl::InfiniteFuture(), last = absl::InfinitePast();  // of messages sent
  std::vector<Hold> holds;
  absl::Duration busy;          // nothing held it but its connections' answers
  uint32_t connections = 0;     // at one time, the most
  const Limit* room = nullptr;  // that refused it a further connection; null: none did
};

class Simulation : private RoomListener {
 public:
  // Nobody plans further.
  static constexpr absl::Duration kHorizon = absl::Hours(24 * 365 * 3);
  struct Options {
    ClockReading start;
    std::string quota_dir = {};  // as LimitTable's; it is written to
    Schedule schedule = {};
    absl::Duration horizon = kHorizon;
    std::function<void(uint64_t sent, uint64_t total)> on_progress = {};  // now and then
  };

  explicit Simulation(Options options);
  ~Simulation() override;

  // Where the limits go, before lanes are added.
  LimitTable& limits() { return limits_; }
  absl::Status AddLane(const LaneWork& work);
  // To the end, or as far as it gets: what is left then can never be sent, not by `not_after`, or
  // not within the horizon. Once.
  void Run();

  // In the order of AddLane.
  const LaneForecast& forecast(size_t lane) const;
  absl::Time opened_at() const { return opened_at_; }  // InfiniteFuture: never
  absl::Time stopped_at() const { return Wall(now_); }

 private:
  enum class Kind : uint8_t {
    kReady,
    kNext,
    kClosed,
    kIdle,
    kPermit,
    kDue,
    kRoom,
    kSchedule,
    kPlans
  };
  struct Event {
    int64_t at;
    uint64_t order;  // of those at one time the first made is first
    uint32_t id;     // a session's or a lane's
    Kind kind;
    bool operator>(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  struct Session;
  struct Lane;

  void OnRoom() override { room_ = true; }
  void OnWanted() override { wanted_ = true; }

  void Push(absl::Duration in, Kind kind, uint32_t id);
  void PushAt(int64_t at, Kind kind, uint32_t id);
  void Handle(const Event& event);
  void OnReady(Session* session);
  void OnNext(Session* session, int64_t idle_since);
  void OnClosed(Session* session);
  void OnIdle(Session* session);
  void OnPermit(Lane* lane);
  void OnDue(Lane* lane);
  void OnSchedule();
  void OnPlans();

  int64_t RoundTrip(const Lane& lane);
  bool Take(Lane* lane);
  bool LimitReached(const Session& session) const;
  void Close(Session* session, absl::Duration in);
  void GoIdle(Session* session, int64_t since);
  bool IsWanted(const Session& session) const;
  absl::Duration IdleMax(const Session& session) const;
  void OpenForDomains(Lane* lane);
  void Pump(Lane* lane);
  void OpenSessions(Lane* lane);
  bool OpenOne(Lane* lane);
  uint32_t NextDomain(Lane* lane);
  void WaitForRoom(Lane* lane, const Limit* limit);
  void ServeWaiting();
  void GiveUpSpare();
  void Account(Lane* lane);
  static Hold* HoldOf(Lane* lane, const Limit* limit, LimitKind kind);
  absl::Time Wall(int64_t at) const;
  Session& session(uint32_t id) { return *sessions_[id]; }

  Options options_;
  LimitTable limits_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<uint32_t> free_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Session*> spare_;   // idle, of lanes without work
  std::deque<uint32_t> waiting_;  // lanes without a connection, for a place; in their order
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t random_ = 1;
  uint64_t order_ = 0, sent_ = 0, total_ = 0;
  int64_t now_;  // of the monotonic clock
  absl::Time opened_at_ = absl::InfiniteFuture();
  bool room_ = false, wanted_ = false, open_ = false, over_ = false;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_PLAN_SIMULATION_H_
