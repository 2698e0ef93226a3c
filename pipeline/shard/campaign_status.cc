#include "pipeline/shard/campaign_status.h"

#include <nlohmann/json.hpp>

namespace volley::pipeline {

std::string ToJson(const CampaignStatus& status) {
  nlohmann::ordered_json out = {{"campaign", status.campaign},
                                {"state", status.state},
                                {"pid", status.pid},
                                {"recipients", status.recipients}};
  for (size_t i = 0; i < kOutcomes; ++i) {
    out[std::string(OutcomeName(static_cast<Outcome>(i)))] = status.counts[i];
  }
  out["left"] = status.left;
  out["sessions"] = status.sessions;
  out["elapsed_s"] = status.elapsed_s;
  out["held_by"] = status.held_by;
  out["next_try"] = nullptr;
  if (status.next_try != absl::InfiniteFuture()) {
    out["next_try"] = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", status.next_try, absl::UTCTimeZone());
  }
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

absl::StatusOr<CampaignStatus> ParseCampaignStatus(std::string_view json) {
  const auto in = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!in.is_object() || !in.contains("state")) {
    return absl::InvalidArgumentError("not the status of a campaign");
  }
  CampaignStatus status;
  const auto number = [&in](std::string_view key) -> uint64_t {
    const auto at = in.find(std::string(key));
    return at != in.end() && at->is_number_unsigned() ? at->get<uint64_t>() : 0;
  };
  const auto text = [&in](const char* key) -> std::string {
    const auto at = in.find(key);
    return at != in.end() && at->is_string() ? at->get<std::string>() : "";
  };
  status.campaign = text("campaign");
  status.state = text("state");
  status.held_by = text("held_by");
  status.pid = static_cast<int64_t>(number("pid"));
  status.recipients = number("recipients");
  for (size_t i = 0; i < kOutcomes; ++i) {
    status.counts[i] = number(OutcomeName(static_cast<Outcome>(i)));
  }
  status.left = number("left");
  status.sessions = static_cast<uint32_t>(number("sessions"));
  if (in.contains("elapsed_s") && in["elapsed_s"].is_number()) {
    status.elapsed_s = in["elapsed_s"].get<double>();
  }
  std::string error;
  absl::Time next_try;
  if (absl::ParseTime(absl::RFC3339_full, text("next_try"), &next_try, &error)) {
    status.next_try = next_try;
  }
  return status;
}

CampaignStatus StatusOf(std::string_view campaign, const Ledger& ledger) {
  CampaignStatus status;
  status.campaign = campaign;
  status.recipients = ledger.size();
  const Ledger::Counts counts = ledger.Count();
  const auto count = [&counts](SlotState state) { return counts[static_cast<size_t>(state)]; };
  for (size_t i = 0; i < kOutcomes; ++i) {
    status.counts[i] = count(StateOf(static_cast<Outcome>(i)));
  }
  status.counts[static_cast<size_t>(Outcome::kUncertain)] += count(SlotState::kInFlight);
  status.left = count(SlotState::kPending);
  const bool complete = status.left == 0 && status.count(Outcome::kDeferred) == 0;
  status.state = complete ? "complete" : "stopped";
  return status;
}

}  // namespace volley::pipeline
