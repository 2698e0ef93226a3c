#include "pipeline/preflight/campaign_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "engine/smtp/client.h"

namespace volley::pipeline {
namespace {

constexpr uint64_t kRowsTried = 20;  // for one sample

// Whether there is a copy for this row. The first one that cannot be made is kept in mind.
bool AddSample(const Campaign& campaign, uint64_t index, CopyMaker* maker, PreflightInput* input) {
  RecipientRecord record;
  Copy copy;
  const auto offset = campaign.recipients().FindOffset(index);
  if (!offset.ok() || !campaign.recipients().ReadAt(*offset, &record).ok()) return false;
  if (const absl::Status made = maker->Make(&record, &copy); !made.ok()) {
    if (input->sample_failure.empty()) {
      input->sample_failure = fmt::format("line {}, {}: {}", record.source_line, record.address,
                                          std::string(made.message()));
    }
    return false;
  }
  if (input->samples.empty()) input->reverse_path = copy.reverse_path;
  input->samples.push_back(copy.message.ToString());
  input->sample_recipients.emplace_back(record.address);
  return true;
}

// The first, the middle and the last recipient, or those behind them whose copy can be made.
void AddSamples(const Campaign& campaign, PreflightInput* input) {
  CopyMaker maker(&campaign.recipe());
  const uint64_t count = campaign.recipients().count();
  uint64_t next = 0;  // not yet looked at
  for (const uint64_t start : {uint64_t{0}, count / 2, count - 1}) {
    const uint64_t end = std::min(count, start + kRowsTried);
    bool added = false;
    for (next = std::max(next, start); next < end && !added; ++next) {
      added = AddSample(campaign, next, &maker, input);
    }
  }
}

void AddKeys(const Campaign& campaign, PreflightInput* input) {
  if (campaign.recipe().dkim == nullptr) return;
  for (const engine::dkim::Signature& s : *campaign.recipe().dkim->current()) {
    input->dkim.push_back({s.domain, s.selector, s.key->public_key(),
                           std::string(engine::dkim::KeyTypeName(s.key->algorithm())),
                           s.key->bits()});
  }
}

}  // namespace

PreflightInput FactsOf(const Campaign& campaign, std::span<const Relay> relays) {
  PreflightInput input;
  input.bulk = campaign.kind() == CampaignKind::kBulk;
  input.recipients = campaign.recipients().count();
  input.from = campaign.from();
  input.reverse_path = campaign.recipe().reverse_path;
  AddKeys(campaign, &input);
  if (input.recipients > 0) AddSamples(campaign, &input);
  for (const Relay& relay : relays) {
    input.relay_endpoints.insert(input.relay_endpoints.end(), relay.endpoints.begin(),
                                 relay.endpoints.end());
    input.relay_names.push_back(relay.url.host.empty() ? relay.name : relay.url.host);
    input.relay_tls_off = input.relay_tls_off || relay.tls == engine::smtp::TlsPolicy::kOff;
    input.helo = relay.helo;
  }
  const engine::message::ContentFacts& content = campaign.message().facts();
  input.links = content.links;
  input.has_text = content.has_text;
  input.has_html = content.has_html;
  return input;
}

}  // namespace volley::pipeline
