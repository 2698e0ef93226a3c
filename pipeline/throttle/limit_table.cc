#include "pipeline/throttle/limit_table.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

namespace volley::pipeline {
namespace {

absl::Status Named(const absl::Status& status, const LimitKey& key) {
  return absl::Status(status.code(),
                      fmt::format("limit of {}: {}", Describe(key), std::string(status.message())));
}

// A file system's names end at 255 bytes.
constexpr size_t kFileNameMax = 200;

// A key part as a piece of a file name: everything unusual as %XX, so that no two keys share a name
// and none leaves the folder.
void AppendPart(char what, const std::string& part, std::string* name) {
  if (part.empty()) return;
  if (!name->empty()) name->push_back('+');
  name->push_back(what);
  name->push_back('=');
  for (const unsigned char c : part) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    if (plain) {
      name->push_back(static_cast<char>(c));
    } else {
      fmt::format_to(std::back_inserter(*name), "%{:02X}", c);
    }
  }
}

std::string FileName(const LimitKey& key, std::string_view suffix) {
  std::string name;
  AppendPart('c', key.campaign, &name);
  AppendPart('s', key.source, &name);
  AppendPart('p', key.provider, &name);
  AppendPart('r', key.relay, &name);
  if (name.empty()) name = "all";
  if (name.size() > kFileNameMax) {
    const auto sum = crc32_z(0, reinterpret_cast<const Bytef*>(name.data()), name.size());
    name = fmt::format("{}~{:08x}", name.substr(0, kFileNameMax), sum);
  }
  return fmt::format("{}.{}", name, suffix);
}

const RateSpec kPlanWindow = {kQuotaCountMax, absl::Hours(24)};

}  // namespace

const WarmUp* WarmUpOf(const std::vector<KeyedWarmUp>& plans, const LimitKey& key) {
  for (const KeyedWarmUp& keyed : plans) {
    if (keyed.key == key) return &keyed.plan;
  }
  return nullptr;
}

absl::StatusOr<Limit*> LimitTable::FindOrAdd(const LimitKey& key, const LimitSpec& spec,
                                             const ClockReading& now, std::optional<WarmUp> plan) {
  std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    return limits_[found->second].get();
  }
  if (absl::Status status = CheckLimit(spec); !status.ok()) return Named(status, key);
  auto limit = std::make_unique<Limit>(key, spec, std::move(plan), options_.listener);
  if (absl::Status status = OpenQuotas(limit.get(), now); !status.ok()) return Named(status, key);
  by_key_.emplace(key, limits_.size());
  limits_.push_back(std::move(limit));
  return limits_.back().get();
}

absl::Status LimitTable::OpenQuotas(Limit* limit, const ClockReading& now) {
  if (limit->spec_.quota) {
    auto quota = OpenQuota(limit->key_, "quota", *limit->spec_.quota, now, &limit->files_.quota);
    if (!quota.ok()) return quota.status();
    limit->quota_ = *std::move(quota);
  }
  if (limit->plan_) {
    auto quota = OpenQuota(limit->key_, "warmup", kPlanWindow, now, &limit->files_.warm_up);
    if (!quota.ok()) return quota.status();
    limit->warm_up_ = *std::move(quota);
    limit->warm_up_->SetLimit(limit->plan_->At(now.wall).messages.value_or(kQuotaCountMax));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Quota>> LimitTable::OpenQuota(const LimitKey& key,
                                                             std::string_view suffix,
                                                             const RateSpec& spec,
                                                             const ClockReading& now,
                                                             std::unique_ptr<QuotaFile>* file) {
  if (options_.quota_dir.empty()) return Quota::InMemory(spec, now);
  const std::string path = fmt::format("{}/{}", options_.quota_dir, FileName(key, suffix));
  auto opened = QuotaFile::Open(path);
  if (!opened.ok()) return opened.status();
  *file = *std::move(opened);
  std::string note;
  auto quota = Quota::Open(spec, (*file)->state(), now, &note);
  if (!quota.ok()) {
    return absl::Status(quota.status().code(),
                        fmt::format("{}: {}; if you delete it, counting begins at 0", path,
                                    std::string(quota.status().message())));
  }
  if (!note.empty()) notes_.push_back(fmt::format("limit of {}: {}", Describe(key), note));
  return quota;
}

Limit* LimitTable::Find(const LimitKey& key) {
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : limits_[found->second].get();
}

// A limit applies when every part that its key has is the lane's: there are few such keys, and they
// are looked up, however many limits there are.
void LimitTable::FindAll(LimitKey lane, uint32_t flow, std::vector<Member>* members) const {
  const bool of_campaign = flow != LimitSet::kEveryFlow;
  if (!of_campaign) lane.campaign.clear();
  for (unsigned parts = 0; parts < 8; ++parts) {
    const LimitKey key{.campaign = lane.campaign,
                       .source = (parts & 1) != 0 ? lane.source : "",
                       .provider = (parts & 2) != 0 ? lane.provider : "",
                       .relay = (parts & 4) != 0 ? lane.relay : ""};
    const bool same_again = ((parts & 1) != 0 && lane.source.empty()) ||
                            ((parts & 2) != 0 && lane.provider.empty()) ||
                            ((parts & 4) != 0 && lane.relay.empty());
    if (same_again) continue;
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) continue;
    members->push_back({found->second, limits_[found->second].get(), flow});
  }
}

absl::StatusOr<LimitSet> LimitTable::SetFor(const LimitKey& lane,
                                            std::span<const std::string> campaigns) {
  std::lock_guard lock(mutex_);
  std::vector<Member> members;
  FindAll(lane, LimitSet::kEveryFlow, &members);
  if (campaigns.empty()) campaigns = {&lane.campaign, 1};
  LimitKey of = lane;
  for (uint32_t flow = 0; flow < campaigns.size(); ++flow) {
    of.campaign = campaigns[flow];
    if (!of.campaign.empty()) FindAll(of, flow, &members);
  }
  // The widest shared first; among those the order of making, the same for all lanes.
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
    return std::pair(a.limit->key().parts(), a.number) <
           std::pair(b.limit->key().parts(), b.number);
  });
  LimitSet set;
  if (AddCounters(members, &set)) return set;
  return absl::ResourceExhaustedError(
      fmt::format("{}: more than {} rates and quotas or {} connection limits apply at once",
                  Describe(lane), kPermitLimitsMax, kConnectionLimitsMax));
}

bool LimitTable::AddCounters(const std::vector<Member>& members, LimitSet* set) {
  bool fit = true;
  for (const auto& [number, limit, flow] : members) {
    set->AddNumbers(limit->configured());
    if (limit->rate() != nullptr) {
      fit = fit && set->Add({flow, limit, LimitKind::kRate, limit->rate(), nullptr});
    }
    if (limit->connections() != nullptr) fit = fit && set->AddConnections(limit);
  }
  for (const auto& [number, limit, flow] : members) {
    if (limit->quota() != nullptr) {
      fit = fit && set->Add({flow, limit, LimitKind::kQuota, nullptr, limit->quota()});
    }
    if (limit->warm_up() != nullptr) {
      fit = fit && set->Add({flow, limit, LimitKind::kWarmUp, nullptr, limit->warm_up()});
    }
  }
  return fit;
}

absl::Time LimitTable::FollowPlans(absl::Time now) {
  std::vector<Limit*> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& limit : limits_) all.push_back(limit.get());
  }
  // Unlocked, as the listener is told; limits are never removed.
  absl::Time next = absl::InfiniteFuture();
  for (Limit* limit : all) next = std::min(next, limit->FollowPlan(now));
  return next;
}

absl::Status LimitTable::Sync() {
  std::lock_guard lock(mutex_);
  absl::Status status;
  for (const auto& limit : limits_) {
    for (QuotaFile* file : {limit->files_.quota.get(), limit->files_.warm_up.get()}) {
      if (file != nullptr) status.Update(file->Sync());
    }
  }
  return status;
}

std::vector<std::string> LimitTable::TakeNotes() {
  std::lock_guard lock(mutex_);
  return std::exchange(notes_, {});
}

std::vector<const Limit*> LimitTable::limits() const {
  std::lock_guard lock(mutex_);
  std::vector<const Limit*> all;
  for (const auto& limit : limits_) all.push_back(limit.get());
  return all;
}

}  // namespace volley::pipeline
