// Adapter: changes the limits of each (source, provider) by what its servers answer.
//
//   421, 4.7.x, 4xx about our speed, refused connections
//       the window of connections is halved, once for a cohort: what was under way when the first
//       complaint came says nothing new. At one connection, and nothing taken since: a pause that
//       doubles (kShortPause up to kShortPauseMax).
//   clean transactions
//       one connection more for each kCleanAConnection of them a connection, up to what is
//       configured; after a pause at most one more each kGrowEvery.
//   a reply rule of the provider (providers.toml, the user's own file), at its threshold
//       slow: half of the present rate, or the rate named, for its duration
//       suspend: nothing for its duration, then its connections, one more at a time. Durations that
//         the provider publishes or the user names hold as they are (Gmail's 4.7.28: ten minutes
//         each time); others double with each pause in a row, up to kPauseMax
//       limit_connections: no more than so many for its duration
//       close, ignore: nothing changes
//   refusals because of who we are, kBlocksMax of them in kBlocksPer with fewer than
//   kCleanAConnection clean transactions between one and the next
//       blocklists and reputation: a pause of kBlockPause; authentication and the like, which
//       somebody has to mend: kSetUpPause; both double up to kPauseMax
//
// Each change is told with its cause, and can be undone by hand.
//
// Threading: one thread (the coordinator). Lifetime: limits and providers outlive it. Times of
// replies are milliseconds of any one clock; `now` is the monotonic one. Bounds: one lane's state
// is a few hundred bytes and one counter for each rule that has matched.
#ifndef VOLLEY_PIPELINE_ADAPT_ADAPTER_H_
#define VOLLEY_PIPELINE_ADAPT_ADAPTER_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "engine/bounce/category.h"
#include "engine/policy/provider.h"
#include "io/base/time.h"
#include "pipeline/throttle/limit.h"

namespace volley::pipeline {

// For people and events.
struct LimitChange {
  std::string lane;       // "192.0.2.1 -> mx.example.org", or the route's name
  std::string_view what;  // "connections", "rate", "pause"; "undone": all is as configured again
  std::string from, to;   // "10" and "5"; of a pause "none" and "10min"
  std::string cause;      // what the server said, or why it is over
  std::string rule;       // of providers.toml; empty: none
};

// A 4xx or 5xx, or a connection that could not be had.
struct RefusedTry {
  engine::bounce::ReplyFacts reply;
  engine::bounce::Category category = engine::bounce::Category::kNone;
  int64_t began = 0, ended = 0;  // ms; the same: it was no transaction
};

// What is in force.
struct AdaptStatus {
  std::string lane, provider;
  uint32_t in_use = 0, connections = 0, connections_configured = 0;
  std::string rate, rate_configured;  // empty: none
  absl::Duration paused_for;          // from now; zero: it is not
  std::string cause;                  // of the last change; empty: all is as configured
};

class Adapter {
 public:
  static constexpr uint32_t kCleanAConnection = 20;
  static constexpr absl::Duration kGrowEvery = absl::Minutes(1);
  static constexpr absl::Duration kShortPause = absl::Seconds(30),
                                  kShortPauseMax = absl::Minutes(15);
  static constexpr uint32_t kBlocksMax = 3;
  static constexpr absl::Duration kBlocksPer = absl::Hours(1);
  static constexpr absl::Duration kBlockPause = absl::Minutes(15), kSetUpPause = absl::Hours(1);
  static constexpr absl::Duration kPauseMax = absl::Hours(4);
  static constexpr int64_t kConnectCohortMs = 10'000;  // refused connections have no beginning

  explicit Adapter(std::function<void(const LimitChange&)> on_change)
      : on_change_(std::move(on_change)) {}
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;

  // Returns its number; of a limit that is known the one it has. REQUIRES: the limit has
  // connections and a rate (kUnpaced if it is to be none).
  uint32_t Add(std::string name, Limit* limit, const engine::policy::Provider* provider);

  void OnDelivered(uint32_t id, io::MonoTime now) {
    Lane& lane = lanes_[id];
    ++lane.sent;
    ++lane.sent_all;
    if (lane.changed || now - lane.sent_since >= kRateWindow) OnCleanSlow(&lane, now);
  }
  void OnRefused(uint32_t id, const RefusedTry& refusal, io::MonoTime now);

  // Ends what is over. Call it about once a second.
  void Tick(io::MonoTime now);

  // By a lane's name, its provider's, or "all". Returns how many were not as configured.
  size_t Undo(std::string_view name, io::MonoTime now);
  std::vector<AdaptStatus> Status(io::MonoTime now) const;

 private:
  static constexpr absl::Duration kRateWindow = absl::Seconds(10);
  enum Kind : uint8_t { kCut, kSlow, kPause, kCap };
  static constexpr size_t kKinds = 4;
  struct Lane {
    std::string name;
    Limit* limit = nullptr;
    const engine::policy::Provider* provider = nullptr;
    uint32_t ceiling = 0, window = 0;  // connections
    bool changed = false;              // anything is not as configured
    uint32_t clean = 0;                // transactions since the window changed
    uint32_t pauses = 0;               // in a row
    io::MonoTime no_growth_before;
    bool grow_slowly = false;  // after a pause
    std::array<int64_t, kKinds> cohort{INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    io::MonoTime paused_until, capped_until, slow_until;  // MonoTime(): it is not
    uint32_t cap = 0;
    std::optional<RateSpec> slow;
    uint64_t sent = 0;  // since sent_since
    uint64_t sent_all = 0, sent_all_at_block = 0;
    io::MonoTime sent_since;
    double rate_seen = 0;  // a second, of the last whole window
    std::string cause;
    absl::flat_hash_map<const void*, std::deque<int64_t>> matches;  // of a rule: when
  };

  bool IsNews(Lane* lane, Kind kind, const RefusedTry& refusal);
  bool Reached(Lane* lane, const void* what, const engine::policy::CountPer& threshold, int64_t at);
  bool ApplyRule(Lane* lane, const engine::policy::ReplyRule& rule, const RefusedTry& refusal,
                 io::MonoTime now);
  void OnBlocked(Lane* lane, absl::Duration pause, const RefusedTry& refusal, io::MonoTime now);
  void Cut(Lane* lane, const RefusedTry& refusal, io::MonoTime now);
  void Pause(Lane* lane, absl::Duration pause, std::optional<uint32_t> then, std::string_view rule,
             const RefusedTry& refusal, io::MonoTime now);
  void Slow(Lane* lane, const engine::policy::ReplyRule& rule, const RefusedTry& refusal,
            io::MonoTime now);
  void Cap(Lane* lane, const engine::policy::ReplyRule& rule, const RefusedTry& refusal,
           io::MonoTime now);
  void OnCleanSlow(Lane* lane, io::MonoTime now);
  void SetWindow(Lane* lane, uint32_t window, std::string_view rule, std::string cause);
  void SetRate(Lane* lane, const RateSpec& rate, std::string_view rule, std::string cause);
  void EndOver(Lane* lane, io::MonoTime now);
  void NoteChanged(Lane* lane);
  double RateSeen(const Lane& lane, io::MonoTime now) const;
  void Tell(const Lane& lane, std::string_view what, std::string from, std::string to,
            std::string cause, std::string_view rule);

  const std::function<void(const LimitChange&)> on_change_;
  std::deque<Lane> lanes_;
  absl::flat_hash_map<const Limit*, uint32_t> by_limit_;
  std::vector<uint32_t> changed_;  // lanes that are not as configured
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ADAPT_ADAPTER_H_
