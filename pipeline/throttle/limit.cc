#include "pipeline/throttle/limit.h"

#include <fmt/format.h>

#include "io/base/check.h"

namespace volley::pipeline {
namespace {

std::string WithConfigured(std::string_view what, const std::string& now, const std::string& then) {
  return now == then ? fmt::format("{} {}", what, now)
                     : fmt::format("{} {} (configured {})", what, now, then);
}

}  // namespace

bool LimitKey::AppliesTo(const LimitKey& lane) const {
  return (campaign.empty() || campaign == lane.campaign) &&
         (source.empty() || source == lane.source) &&
         (provider.empty() || provider == lane.provider) && (relay.empty() || relay == lane.relay);
}

int LimitKey::parts() const {
  return !campaign.empty() + !source.empty() + !provider.empty() + !relay.empty();
}

std::string Describe(const LimitKey& key) {
  std::string text;
  const auto add = [&text](std::string_view what, const std::string& name) {
    if (name.empty()) return;
    if (!text.empty()) text += ", ";
    fmt::format_to(std::back_inserter(text), "{} {}", what, name);
  };
  add("campaign", key.campaign);
  if (!key.source.empty() && !key.provider.empty()) {
    add("lane", fmt::format("{} -> {}", key.source, key.provider));
  } else {
    add("source", key.source);
    add("provider", key.provider);
  }
  add("relay", key.relay);
  return text.empty() ? "everything" : text;
}

Limit::Limit(LimitKey key, const LimitSpec& spec, std::optional<WarmUp> plan,
             RoomListener* listener)
    : key_(std::move(key)),
      spec_(spec),
      plan_(std::move(plan)),
      listener_(listener),
      rate_now_(spec.rate) {
  VOLLEY_CHECK(CheckLimit(spec).ok());
  if (spec.rate) rate_.emplace(*spec.rate, spec.burst);
  if (spec.connections) {
    connections_.emplace(*spec.connections, spec.messages_per_connection.value_or(0), listener);
  }
}

void Limit::SetRate(const RateSpec& rate) {
  VOLLEY_CHECK(rate_.has_value());
  {
    std::lock_guard lock(mutex_);
    rate_now_ = rate;
    rate_->SetRate(rate);
  }
  TellRoom();
}

void Limit::SetConnections(uint32_t max) {
  VOLLEY_CHECK(connections_.has_value());
  connections_->SetMax(max);
}

void Limit::Suspend(io::MonoTime until) {
  VOLLEY_CHECK(connections_.has_value());
  const int64_t before = suspended_until_.exchange(until.nanos(), std::memory_order_relaxed);
  if (until.nanos() < before) TellRoom();
}

void Limit::SetQuota(uint64_t count) {
  VOLLEY_CHECK(quota_ != nullptr);
  quota_->SetLimit(count);
  TellRoom();
}

absl::Time Limit::FollowPlan(absl::Time now) {
  if (warm_up_ == nullptr) return absl::InfiniteFuture();
  const WarmUp::Allowance today = plan_->At(now);
  const uint64_t allowed = today.messages.value_or(kQuotaCountMax);
  if (allowed != warm_up_->limit()) {
    warm_up_->SetLimit(allowed);
    TellRoom();
  }
  return today.until;
}

std::string Limit::Text(LimitKind kind) const {
  switch (kind) {
    case LimitKind::kRate: {
      std::lock_guard lock(mutex_);
      if (!rate_now_ || *rate_now_ == kUnpaced) break;
      if (*spec_.rate == kUnpaced) return fmt::format("rate {}", FormatRate(*rate_now_));
      return WithConfigured("rate", FormatRate(*rate_now_), FormatRate(*spec_.rate));
    }
    case LimitKind::kQuota:
      if (!quota_) break;
      return WithConfigured("quota", FormatRate({quota_->limit(), spec_.quota->per}),
                            FormatRate(*spec_.quota));
    case LimitKind::kWarmUp:
      if (!warm_up_) break;
      return fmt::format("warm-up {}/24h", warm_up_->limit());
    case LimitKind::kSuspended:
      return "sending is suspended";
    case LimitKind::kConnections:
      if (!connections_) break;
      return WithConfigured("connections", fmt::to_string(connections_->max()),
                            fmt::to_string(*spec_.connections));
  }
  return "no limit";
}

}  // namespace volley::pipeline
