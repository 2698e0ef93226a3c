#include "pipeline/plan/simulation.h"

#include <algorithm>
#include <utility>

#include "pipeline/deliver/limits.h"

namespace volley::pipeline {
namespace {

// From a place that became free to those who wait for one: a shard is woken. Whose session ends in
// between takes it.
constexpr absl::Duration kWakeUp = absl::Microseconds(100);
constexpr double kJitter = 0.01;
constexpr uint64_t kProgressEvery = uint64_t{1} << 16;  // events

}  // namespace

struct Simulation::Session {
  uint32_t id = 0;
  Lane* lane = nullptr;
  ConnectionLease place;
  uint32_t added = 0, cap = 0;  // messages; those of its domain where a lane stands for many
  int64_t answered = 0;         // the last reply is there
  int64_t idle_since = 0;
  bool idle = false, spare = false, idle_event = false;
};

struct Simulation::Lane {
  uint32_t id = 0;
  LaneWork work;
  LimitSet set;
  LaneForecast forecast;
  uint64_t jobs = 0;   // that may go now
  uint64_t later = 0;  // not due yet
  size_t next_later = 0;
  std::vector<Session*> idle;
  uint32_t open = 0, connecting = 0, connecting_max = kConnectingStart;
  bool parked = false, waits_for_room = false, ever_ready = false;
  int64_t permit_at = 0;  // of the newest kPermit; older ones are void
  // What holds it since `since`.
  int64_t since = 0;
  const Limit* parked_by = nullptr;
  const Limit* refused_by = nullptr;  // since the last permit
  const Limit* room_of = nullptr;
  LimitKind parked_kind{};
  bool closed_hours = false;

  bool many_domains = false;
};

Simulation::Simulation(Options options)
    : options_(std::move(options)),
      limits_({.quota_dir = options_.quota_dir, .listener = this}),
      now_(options_.start.mono.nanos()) {}

Simulation::~Simulation() = default;

absl::Status Simulation::AddLane(const LaneWork& work) {
  auto set = limits_.SetFor(work.key);
  if (!set.ok()) return set.status();
  auto lane = std::make_unique<Lane>();
  lane->id = static_cast<uint32_t>(lanes_.size());
  lane->work = work;
  lane->set = *std::move(set);
  lane->jobs = work.messages;
  for (const auto& [messages, domains] : work.domains) lane->jobs += messages * domains;
  for (const LaterMessages& later : work.later) lane->later += later.messages;
  lane->many_domains = !work.domains.empty();
  lane->since = now_;
  total_ += lane->jobs + lane->later;
  lanes_.push_back(std::move(lane));
  return absl::OkStatus();
}

const LaneForecast& Simulation::forecast(size_t lane) const { return lanes_[lane]->forecast; }

absl::Time Simulation::Wall(int64_t at) const {
  return options_.start.wall + absl::Nanoseconds(at - options_.start.mono.nanos());
}

void Simulation::PushAt(int64_t at, Kind kind, uint32_t id) {
  events_.push({std::max(at, now_), order_++, id, kind});
}

void Simulation::Push(absl::Duration in, Kind kind, uint32_t id) {
  PushAt(now_ + absl::ToInt64Nanoseconds(in), kind, id);
}

void Simulation::Run() {
  const int64_t end = now_ + absl::ToInt64Nanoseconds(options_.horizon);
  for (const auto& lane : lanes_) {
    if (lane->later > 0) OnDue(lane.get());
  }
  OnPlans();
  OnSchedule();
  while (!events_.empty() && !over_ && sent_ < total_) {
    const Event event = events_.top();
    if (event.at > end) break;
    events_.pop();
    now_ = event.at;
    Handle(event);
    if (std::exchange(room_, false)) Push(kWakeUp, Kind::kRoom, 0);
    if (wanted_) GiveUpSpare();
    if (order_ % kProgressEvery == 0 && options_.on_progress) options_.on_progress(sent_, total_);
  }
  for (const auto& lane : lanes_) {
    Account(lane.get());
    lane->forecast.left = lane->jobs + lane->later;
  }
}

void Simulation::Handle(const Event& event) {
  switch (event.kind) {
    case Kind::kReady:
      return OnReady(&session(event.id));
    case Kind::kNext:
      return OnNext(&session(event.id), now_);
    case Kind::kClosed:
      return OnClosed(&session(event.id));
    case Kind::kIdle:
      return OnIdle(&session(event.id));
    case Kind::kPermit:
      return OnPermit(lanes_[event.id].get());
    case Kind::kDue:
      return OnDue(lanes_[event.id].get());
    case Kind::kRoom:
      return ServeWaiting();
    case Kind::kSchedule:
      return OnSchedule();
    case Kind::kPlans:
      return OnPlans();
  }
}

// --- Sessions ---

void Simulation::OnReady(Session* session) {
  Lane* lane = session->lane;
  --lane->connecting;
  lane->connecting_max = std::min(lane->connecting_max + 1, kConnectingMax);
  lane->ever_ready = true;
  OnNext(session, now_);
  OpenSessions(lane);
}

// As Session::MessageLimitReached.
bool Simulation::LimitReached(const Session& s) const {
  const auto reached = [&s](uint32_t max) { return max != 0 && s.added >= max; };
  if (reached(s.lane->work.messages_per_connection)) return true;
  if (!s.place.held()) return false;
  return reached(s.place.messages_per_connection()) ||
         (s.added >= kYieldAfter && s.lane->open > 1 && s.place.wanted());
}

// The last content begins, or the session was idle since then: it can take the next job now.
void Simulation::OnNext(Session* session, int64_t idle_since) {
  Lane* lane = session->lane;
  const int64_t trip = RoundTrip(*lane);
  const absl::Duration answered = absl::Nanoseconds(std::max<int64_t>(session->answered - now_, 0));
  // QUIT rides behind the last dot.
  if (LimitReached(*session)) return Close(session, answered);
  const bool domain_done = lane->many_domains && session->added >= session->cap;
  if (domain_done || !Take(lane)) {
    // What does not ride behind the dot waits for the reply to it.
    if (session->answered > now_) return PushAt(session->answered, Kind::kNext, session->id);
    return GoIdle(session, std::max(idle_since, session->answered));
  }
  ++session->added;
  session->answered = now_ + 2 * trip;
  LaneForecast& f = lane->forecast;
  ++f.sent;
  ++sent_;
  f.first = std::min(f.first, Wall(now_));
  f.last = std::max(f.last, Wall(session->answered));
  PushAt(now_ + trip, Kind::kNext, session->id);
}

// A little more or less each time, the same in every run: connections in lock-step would all ask
// for a permit at one moment, as they never do.
int64_t Simulation::RoundTrip(const Lane& lane) {
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's, MMIX
  const double uniform = static_cast<double>(random_ >> 40) / static_cast<double>(1 << 24);
  const auto mean = static_cast<double>(absl::ToInt64Nanoseconds(lane.work.round_trip));
  return static_cast<int64_t>(mean * (1 + kJitter * (2 * uniform - 1)));
}

bool Simulation::Take(Lane* lane) {
  if (!open_ || lane->parked || lane->jobs == 0) return false;
  Permit permit;
  const ThrottleAnswer answer = lane->set.Take(io::MonoTime::FromNanos(now_), 1, &permit);
  if (answer.granted()) {
    LimitSet::Use(&permit);
    if (lane->jobs == 1) Account(lane);
    --lane->jobs;
    if (const Limit* by = std::exchange(lane->refused_by, nullptr); by != nullptr) {
      ++HoldOf(lane, by, lane->parked_kind)->messages;
    }
    return true;
  }
  Account(lane);
  lane->parked = true;
  lane->parked_by = lane->refused_by = answer.limit;
  lane->parked_kind = answer.kind;
  if (answer.again.is_infinite()) return false;  // OnPlans
  lane->permit_at = answer.again.nanos();
  PushAt(lane->permit_at, Kind::kPermit, lane->id);
  return false;
}

// Where a lane stands for many domains, the next of them waits for a place.
bool Simulation::IsWanted(const Session& session) const {
  return session.place.wanted() ||
         (session.lane->many_domains && !session.lane->work.domains.empty());
}

// As Session::SetReplyTimer.
absl::Duration Simulation::IdleMax(const Session& session) const {
  return IsWanted(session) ? kIdleWanted : kIdleMax;
}

void Simulation::GoIdle(Session* session, int64_t since) {
  Lane* lane = session->lane;
  // Of a lane for many domains the one it was opened for has no more.
  const bool spare = lane->jobs == 0 || (lane->many_domains && session->added >= session->cap);
  const int64_t until = since + absl::ToInt64Nanoseconds(IdleMax(*session));
  if (until <= now_ || (spare && IsWanted(*session))) {
    return Close(session,
                 absl::Nanoseconds(std::max(until - now_, int64_t{0})) + lane->work.round_trip);
  }
  session->idle = true;
  session->spare = spare;
  session->idle_since = since;
  (spare ? spare_ : lane->idle).push_back(session);
  if (std::exchange(session->idle_event, true)) return;
  PushAt(until, Kind::kIdle, session->id);
}

// One such event a session at a time: it looks whether the session has been idle for so long.
void Simulation::OnIdle(Session* session) {
  session->idle_event = false;
  if (session->lane == nullptr) return free_.push_back(session->id);
  if (!session->idle) return;
  session->idle = false;
  std::erase(session->spare ? spare_ : session->lane->idle, session);
  GoIdle(session, session->idle_since);
}

// Somebody waits for a place: as RouteLanes::GiveUpIdle.
void Simulation::GiveUpSpare() {
  wanted_ = false;
  std::vector<Session*> spare;
  spare.swap(spare_);
  for (Session* session : spare) {
    session->idle = false;
    GoIdle(session, session->idle_since);
  }
}

void Simulation::Close(Session* session, absl::Duration in) {
  Push(in, Kind::kClosed, session->id);
}

// As Lane::OnSessionEnded: those who waited for its place are asked before this lane has it again.
void Simulation::OnClosed(Session* session) {
  Lane* lane = session->lane;
  const bool wanted = session->place.wanted();
  const uint32_t unsent = lane->many_domains ? session->cap - session->added : 0;
  if (unsent > 0) ++lane->work.domains[unsent];
  session->place.Release();
  session->lane = nullptr;
  if (!session->idle_event) free_.push_back(session->id);
  Account(lane);
  --lane->open;
  if (wanted && lane->open == 0 && lane->jobs > 0) WaitForRoom(lane, lane->set.NoRoom().limit);
  Pump(lane);
}

// --- Lanes ---

// Idle sessions take what there is; then more are opened where they are needed.
void Simulation::Pump(Lane* lane) {
  std::vector<Session*> idle;
  idle.swap(lane->idle);
  for (Session* session : idle) {
    session->idle = false;
    const int64_t since = session->idle_since;
    if (!open_ || lane->parked || lane->jobs == 0) {
      GoIdle(session, since);
    } else {
      OnNext(session, since);
    }
  }
  OpenSessions(lane);
}

// As Lane::OpenSessions.
void Simulation::OpenSessions(Lane* lane) {
  if (!open_ || lane->waits_for_room) return;
  if (lane->many_domains) return OpenForDomains(lane);
  if (!lane->ever_ready && lane->open > 0) return;
  uint64_t wanted = lane->parked ? 0 : lane->jobs;
  if (!lane->set.empty() || !lane->ever_ready) wanted = std::min<uint64_t>(wanted, 1);
  wanted -= std::min<uint64_t>(wanted, lane->connecting + lane->idle.size());
  while (wanted > 0 && lane->open < lane->work.connections_max &&
         lane->connecting < lane->connecting_max) {
    if (!OpenOne(lane)) return;
    --wanted;
  }
}

// Each domain's lane opens its first connection without asking for a permit.
void Simulation::OpenForDomains(Lane* lane) {
  while (!lane->work.domains.empty() && lane->open < lane->work.connections_max) {
    if (!OpenOne(lane)) return;
  }
}

bool Simulation::OpenOne(Lane* lane) {
  ConnectionLease place;
  if (lane->set.limits_connections()) {
    if (lane->open > 0 && !waiting_.empty()) return false;
    const ThrottleAnswer answer = lane->set.Open(&place, lane->open == 0);
    if (!answer.granted()) {
      lane->forecast.room = answer.limit;
      if (lane->open == 0) WaitForRoom(lane, answer.limit);
      return false;
    }
  }
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(sessions_.size()));
    sessions_.push_back(std::make_unique<Session>());
  }
  const uint32_t id = free_.back();
  free_.pop_back();
  session(id) = Session{.id = id, .lane = lane, .place = std::move(place)};
  if (lane->many_domains) session(id).cap = NextDomain(lane);
  Account(lane);
  ++lane->connecting;
  lane->forecast.connections = std::max(lane->forecast.connections, ++lane->open);
  Push(lane->work.opening, Kind::kReady, id);
  return true;
}

// The messages of the domain that is next; the biggest first.
uint32_t Simulation::NextDomain(Lane* lane) {
  auto& domains = lane->work.domains;
  const auto next = std::prev(domains.end());
  const uint32_t messages = next->first;
  if (--next->second == 0) domains.erase(next);
  return messages;
}

void Simulation::WaitForRoom(Lane* lane, const Limit* limit) {
  if (lane->waits_for_room) return;
  Account(lane);
  lane->waits_for_room = true;
  lane->room_of = limit;
  waiting_.push_back(lane->id);
}

// In their order. Where it is the limit of all that refuses, nobody behind has better luck.
void Simulation::ServeWaiting() {
  for (size_t n = waiting_.size(); n > 0; --n) {
    Lane* lane = lanes_[waiting_.front()].get();
    waiting_.pop_front();
    Account(lane);
    lane->waits_for_room = false;
    OpenSessions(lane);
    if (!lane->waits_for_room || !lane->room_of->key().provider.empty()) continue;
    waiting_.pop_back();
    waiting_.push_front(lane->id);
    return;
  }
}

void Simulation::OnPermit(Lane* lane) {
  if (!lane->parked || now_ < lane->permit_at) return;
  Account(lane);
  lane->parked = false;
  Pump(lane);
}

void Simulation::OnDue(Lane* lane) {
  Account(lane);
  const auto& later = lane->work.later;
  for (; lane->next_later < later.size(); ++lane->next_later) {
    const LaterMessages& next = later[lane->next_later];
    const absl::Duration in = next.due - Wall(now_);
    if (in > absl::ZeroDuration()) {
      Push(in, Kind::kDue, lane->id);
      break;
    }
    lane->jobs += next.messages;
    lane->later -= next.messages;
  }
  std::erase_if(spare_, [lane](Session* session) {
    if (session->lane != lane) return false;
    session->spare = false;
    lane->idle.push_back(session);
    return true;
  });
  if (open_) Pump(lane);
}

// --- The calendar ---

void Simulation::OnSchedule() {
  const Schedule::Now state = options_.schedule.At(Wall(now_));
  over_ = state.state == Schedule::State::kOver;
  const bool open = state.state == Schedule::State::kOpen;
  if (state.until != absl::InfiniteFuture()) Push(state.until - Wall(now_), Kind::kSchedule, 0);
  for (const auto& lane : lanes_) {
    Account(lane.get());
    lane->closed_hours = !open;
  }
  if (open == open_) return;
  open_ = open;
  if (!open) return;
  opened_at_ = std::min(opened_at_, Wall(now_));
  for (const auto& lane : lanes_) Pump(lane.get());
}

// What a warm-up allows has changed: those who were told no time ask again.
void Simulation::OnPlans() {
  const absl::Time next = limits_.FollowPlans(Wall(now_));
  if (next != absl::InfiniteFuture()) Push(next - Wall(now_), Kind::kPlans, 0);
  for (const auto& lane : lanes_) {
    if (!lane->parked) continue;
    Account(lane.get());
    lane->parked = false;
    if (open_) Pump(lane.get());
  }
}

// Charges the time since the last change to what was in force; called before each change.
void Simulation::Account(Lane* lane) {
  const absl::Duration time = absl::Nanoseconds(now_ - lane->since);
  lane->since = now_;
  // Waiting for the start is nobody's fault.
  if (time == absl::ZeroDuration() || lane->jobs == 0 || opened_at_ > Wall(now_)) return;
  const Limit* limit = nullptr;
  LimitKind kind = LimitKind::kRate;
  if (lane->closed_hours) {
    kind = LimitKind::kSuspended;
  } else if (lane->parked) {
    limit = lane->parked_by;
    kind = lane->parked_kind;
  } else if (lane->waits_for_room) {
    limit = lane->room_of;
    kind = LimitKind::kConnections;
  } else {
    lane->forecast.busy += time;
    return;
  }
  HoldOf(lane, limit, kind)->time += time;
}

Hold* Simulation::HoldOf(Lane* lane, const Limit* limit, LimitKind kind) {
  auto& holds = lane->forecast.holds;
  const auto known = std::find_if(holds.begin(), holds.end(), [limit, kind](const Hold& hold) {
    return hold.limit == limit && hold.kind == kind;
  });
  if (known != holds.end()) return &*known;
  holds.push_back({limit, kind});
  return &holds.back();
}

}  // namespace volley::pipeline
