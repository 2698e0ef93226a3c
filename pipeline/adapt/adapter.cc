#include "pipeline/adapt/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/policy/provider_pack.h"
#include "io/base/check.h"

namespace volley::pipeline {
namespace {

using engine::bounce::Action;
using engine::bounce::Category;
using engine::policy::ReplyAction;
using engine::policy::ReplyRule;

std::string Words(const engine::bounce::ReplyFacts& reply) {
  std::string words = reply.code == 0 ? "" : fmt::format("{} ", reply.code);
  const bool in_text = !reply.enhanced.empty() && reply.text.starts_with(reply.enhanced);
  if (!reply.enhanced.empty() && !in_text) words += fmt::format("{} ", reply.enhanced);
  words += reply.text;
  return words;
}

std::string Words(absl::Duration duration) {
  return std::string(absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1))));
}

std::string Words(const RateSpec& rate) { return rate == kUnpaced ? "none" : FormatRate(rate); }

bool IsTemporary(uint16_t code) { return code == 0 || (code >= 400 && code < 500); }

// The server wants less of us; a greylisting one wants it later.
bool IsAboutSpeed(const RefusedTry& refusal) {
  const auto& reply = refusal.reply;
  if (refusal.category == Category::kGreylisted) return false;
  if (reply.code == 421 || refusal.category == Category::kRateLimited) return true;
  if (reply.stage == engine::bounce::Stage::kConnect) return IsTemporary(reply.code);
  return IsTemporary(reply.code) && reply.enhanced.starts_with("4.7.");
}

}  // namespace

uint32_t Adapter::Add(std::string name, Limit* limit, const engine::policy::Provider* provider) {
  VOLLEY_CHECK(limit->connections() != nullptr && limit->rate() != nullptr);
  const auto [found, is_new] = by_limit_.try_emplace(limit, static_cast<uint32_t>(lanes_.size()));
  if (!is_new) return found->second;
  Lane& lane = lanes_.emplace_back();
  lane.name = std::move(name);
  lane.limit = limit;
  lane.provider = provider;
  lane.ceiling = lane.window = *limit->configured().connections;
  return found->second;
}

// --- Refusals ---

void Adapter::OnRefused(uint32_t id, const RefusedTry& refusal, io::MonoTime now) {
  Lane* lane = &lanes_[id];
  if (refusal.reply.code != 0) {
    const ReplyRule* rule = engine::policy::ProviderPack::Match(*lane->provider, refusal.reply);
    if (rule != nullptr && ApplyRule(lane, *rule, refusal, now)) return;
  }
  const Action action = engine::bounce::InfoOf(refusal.category).action;
  if (action == Action::kSuspend) return OnBlocked(lane, kBlockPause, refusal, now);
  // A 4xx of this kind is often about one message, or only the form in which a server says 421.
  if (action == Action::kPause && refusal.reply.code >= 500)
    return OnBlocked(lane, kSetUpPause, refusal, now);
  if (IsAboutSpeed(refusal)) Cut(lane, refusal, now);
}

// Whether it began after the last change of that kind.
bool Adapter::IsNews(Lane* lane, Kind kind, const RefusedTry& refusal) {
  int64_t& last = lane->cohort[kind];
  const bool transaction = refusal.began < refusal.ended;
  const int64_t since = transaction ? last : last + kConnectCohortMs;
  if (last != INT64_MIN && refusal.began <= since) return false;
  last = refusal.ended;
  return true;
}

bool Adapter::Reached(Lane* lane, const void* what, const engine::policy::CountPer& threshold,
                      int64_t at) {
  if (threshold.count <= 1) return true;
  std::deque<int64_t>& times = lane->matches[what];
  times.push_back(at);
  const int64_t per = absl::ToInt64Milliseconds(threshold.per);
  while (times.front() <= at - per || times.size() > threshold.count) times.pop_front();
  return times.size() >= threshold.count;
}

// False: it is not at its threshold, and the reply is taken as any other.
bool Adapter::ApplyRule(Lane* lane, const ReplyRule& rule, const RefusedTry& refusal,
                        io::MonoTime now) {
  if (!Reached(lane, &rule, rule.threshold, refusal.ended)) return false;
  switch (rule.action) {
    case ReplyAction::kClose:
    case ReplyAction::kIgnore:
      return true;
    case ReplyAction::kSlow:
      Slow(lane, rule, refusal, now);
      return true;
    case ReplyAction::kLimitConnections:
      Cap(lane, rule, refusal, now);
      return true;
    case ReplyAction::kSuspend:
      break;
  }
  if (!IsNews(lane, kPause, refusal)) return true;
  const bool as_said =
      rule.source == nullptr || rule.source->kind != engine::policy::SourceKind::kFolklore;
  const absl::Duration most = std::max(kPauseMax, rule.duration);
  const uint32_t doublings = as_said ? 0 : std::min<uint32_t>(lane->pauses, 10);
  Pause(lane, std::min(most, rule.duration * (1 << doublings)), rule.connections, rule.name,
        refusal, now);
  return true;
}

void Adapter::OnBlocked(Lane* lane, absl::Duration pause, const RefusedTry& refusal,
                        io::MonoTime now) {
  static constexpr char kBlocks = 0;
  // Among many that are taken they are about some messages, not about us.
  if (lane->sent_all - lane->sent_all_at_block >= kCleanAConnection)
    lane->matches[&kBlocks].clear();
  lane->sent_all_at_block = lane->sent_all;
  const engine::policy::CountPer threshold{.count = kBlocksMax, .per = kBlocksPer};
  if (!Reached(lane, &kBlocks, threshold, refusal.ended) || !IsNews(lane, kPause, refusal)) return;
  const uint32_t doublings = std::min<uint32_t>(lane->pauses, 10);
  Pause(lane, std::min(kPauseMax, pause * (1 << doublings)), 1, "", refusal, now);
}

void Adapter::Cut(Lane* lane, const RefusedTry& refusal, io::MonoTime now) {
  const uint32_t clean = lane->clean;
  if (!IsNews(lane, kCut, refusal)) return;
  lane->clean = 0;
  if (lane->window > 1) return SetWindow(lane, lane->window / 2, "", Words(refusal.reply));
  // A server that cannot be reached at all is left alone by others (RouteFeeder::Rest).
  const bool paused = lane->paused_until != io::MonoTime();
  if (clean > 0 || paused || refusal.reply.code == 0) return;
  const uint32_t doublings = std::min<uint32_t>(lane->pauses, 10);
  Pause(lane, std::min(kShortPauseMax, kShortPause * (1 << doublings)), std::nullopt, "", refusal,
        now);
}

void Adapter::Pause(Lane* lane, absl::Duration pause, std::optional<uint32_t> then,
                    std::string_view rule, const RefusedTry& refusal, io::MonoTime now) {
  ++lane->pauses;
  const io::MonoTime until = std::max(lane->paused_until, now + pause);
  lane->paused_until = until;
  lane->limit->Suspend(until);
  lane->clean = 0;
  lane->grow_slowly = then.has_value();
  lane->no_growth_before = until + kGrowEvery;
  Tell(*lane, "pause", "none", Words(pause), Words(refusal.reply), rule);
  lane->cause = Words(refusal.reply);
  NoteChanged(lane);
  if (then && *then < lane->window) SetWindow(lane, *then, rule, Words(refusal.reply));
}

void Adapter::Slow(Lane* lane, const ReplyRule& rule, const RefusedTry& refusal, io::MonoTime now) {
  if (!IsNews(lane, kSlow, refusal)) return;
  RateSpec rate;
  if (rule.rate) {
    rate = {rule.rate->count, rule.rate->per};
  } else {
    // Of what is allowed or of what really went, whichever is less: halving a rate that nobody
    // reaches changes nothing.
    const RateSpec present = lane->slow.value_or(*lane->limit->configured().rate);
    const double allowed = static_cast<double>(present.count) / absl::ToDoubleSeconds(present.per);
    const double seen = std::max(RateSeen(*lane, now), 1.0 / 60);
    const double half = std::min(allowed, seen) / 2;
    rate = {std::max<uint64_t>(1, static_cast<uint64_t>(std::llround(half * 60))),
            absl::Minutes(1)};
    if (!CheckRate(rate).ok()) return;
  }
  lane->slow = rate;
  lane->slow_until = now + rule.duration;
  SetRate(lane, rate, rule.name, Words(refusal.reply));
}

void Adapter::Cap(Lane* lane, const ReplyRule& rule, const RefusedTry& refusal, io::MonoTime now) {
  if (!IsNews(lane, kCap, refusal)) return;
  lane->cap = std::min(lane->ceiling, rule.connections.value_or(1));
  lane->capped_until = now + rule.duration;
  lane->clean = 0;
  lane->cause = Words(refusal.reply);
  NoteChanged(lane);
  if (lane->window > lane->cap) SetWindow(lane, lane->cap, rule.name, Words(refusal.reply));
}

// --- Growth, and the end of things ---

void Adapter::OnCleanSlow(Lane* lane, io::MonoTime now) {
  if (now - lane->sent_since >= kRateWindow) {
    lane->rate_seen = RateSeen(*lane, now);
    lane->sent_since = now;
    lane->sent = 0;
  }
  if (!lane->changed) return;
  ++lane->clean;
  const uint32_t most =
      lane->capped_until == io::MonoTime() ? lane->ceiling : std::min(lane->cap, lane->ceiling);
  const uint64_t enough = uint64_t{kCleanAConnection} * lane->window;
  if (lane->clean < enough) return;
  lane->pauses = 0;
  if (lane->window >= most || (lane->grow_slowly && now < lane->no_growth_before)) return;
  lane->clean = 0;
  lane->no_growth_before = now + kGrowEvery;
  SetWindow(lane, lane->window + 1, "", fmt::format("{} clean transactions", enough));
}

double Adapter::RateSeen(const Lane& lane, io::MonoTime now) const {
  const double seconds = absl::ToDoubleSeconds(now - lane.sent_since);
  if (lane.sent_since == io::MonoTime() || seconds > 6 * absl::ToDoubleSeconds(kRateWindow)) {
    return static_cast<double>(lane.sent) / absl::ToDoubleSeconds(kRateWindow);
  }
  const double now_rate = static_cast<double>(lane.sent) / std::max(seconds, 1.0);
  return seconds < 1 ? std::max(lane.rate_seen, now_rate) : now_rate;
}

void Adapter::Tick(io::MonoTime now) {
  std::erase_if(changed_, [this, now](uint32_t id) {
    Lane* lane = &lanes_[id];
    EndOver(lane, now);
    const bool as_configured = lane->window == lane->ceiling && !lane->slow &&
                               lane->paused_until == io::MonoTime() &&
                               lane->capped_until == io::MonoTime();
    if (as_configured) {
      lane->changed = lane->grow_slowly = false;
      lane->cause.clear();
    }
    return as_configured;
  });
}

void Adapter::EndOver(Lane* lane, io::MonoTime now) {
  if (lane->paused_until != io::MonoTime() && lane->paused_until <= now) {
    lane->paused_until = io::MonoTime();
    Tell(*lane, "pause", "over", fmt::format("{} connections", lane->window), "its time is over",
         "");
  }
  if (lane->capped_until != io::MonoTime() && lane->capped_until <= now) {
    lane->capped_until = io::MonoTime();
    lane->clean = 0;
  }
  if (lane->slow && lane->slow_until <= now) {
    lane->slow.reset();
    SetRate(lane, *lane->limit->configured().rate, "", "its time is over");
  }
}

size_t Adapter::Undo(std::string_view name, io::MonoTime now) {
  size_t undone = 0;
  for (const uint32_t id : changed_) {
    Lane* lane = &lanes_[id];
    if (name != "all" && name != lane->name && name != lane->provider->name) continue;
    ++undone;
    lane->paused_until = lane->capped_until = io::MonoTime();
    lane->limit->Suspend(io::MonoTime());
    if (std::exchange(lane->slow, std::nullopt)) {
      lane->limit->SetRate(*lane->limit->configured().rate);
    }
    lane->window = lane->ceiling;
    lane->limit->SetConnections(lane->window);
    lane->pauses = lane->clean = 0;
    lane->matches.clear();
    Tell(*lane, "undone", "", "as configured", "by hand", "");
  }
  Tick(now);
  return undone;
}

void Adapter::SetWindow(Lane* lane, uint32_t window, std::string_view rule, std::string cause) {
  const uint32_t before = std::exchange(lane->window, window);
  lane->limit->SetConnections(window);
  if (window < before) lane->cause = cause;
  Tell(*lane, "connections", fmt::to_string(before), fmt::to_string(window), std::move(cause),
       rule);
  NoteChanged(lane);
}

void Adapter::SetRate(Lane* lane, const RateSpec& rate, std::string_view rule, std::string cause) {
  const std::string before = lane->limit->Text(LimitKind::kRate);
  lane->limit->SetRate(rate);
  lane->cause = cause;
  Tell(*lane, "rate", before, Words(rate), std::move(cause), rule);
  NoteChanged(lane);
}

void Adapter::NoteChanged(Lane* lane) {
  if (std::exchange(lane->changed, true)) return;
  changed_.push_back(by_limit_.find(lane->limit)->second);
}

void Adapter::Tell(const Lane& lane, std::string_view what, std::string from, std::string to,
                   std::string cause, std::string_view rule) {
  if (!on_change_) return;
  on_change_({.lane = lane.name,
              .what = what,
              .from = std::move(from),
              .to = std::move(to),
              .cause = std::move(cause),
              .rule = std::string(rule)});
}

std::vector<AdaptStatus> Adapter::Status(io::MonoTime now) const {
  std::vector<AdaptStatus> all;
  for (const Lane& lane : lanes_) {
    AdaptStatus status;
    status.lane = lane.name;
    status.provider = lane.provider->name;
    status.in_use = lane.limit->connections()->in_use();
    status.connections = lane.window;
    status.connections_configured = lane.ceiling;
    const RateSpec configured = *lane.limit->configured().rate;
    if (configured != kUnpaced) status.rate_configured = FormatRate(configured);
    status.rate = lane.slow ? FormatRate(*lane.slow) : status.rate_configured;
    if (lane.paused_until > now) status.paused_for = lane.paused_until - now;
    status.cause = lane.cause;
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace volley::pipeline
