#include "pipeline/preflight/campaign_facts.h"

#include <string>

#include "engine/smtp/client.h"

namespace volley::pipeline {
namespace {

void AddSample(const Campaign& campaign, uint64_t index, CopyMaker* maker, PreflightInput* input) {
  RecipientRecord record;
  Copy copy;
  const auto offset = campaign.recipients().FindOffset(index);
  if (!offset.ok() || !campaign.recipients().ReadAt(*offset, &record).ok() ||
      !maker->Make(&record, &copy).ok()) {
    return;
  }
  if (input->samples.empty()) input->reverse_path = copy.reverse_path;
  input->samples.push_back(copy.message.ToString());
  input->sample_recipients.emplace_back(record.address);
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
  const uint64_t count = input.recipients = campaign.recipients().count();
  input.from = campaign.from();
  input.reverse_path = campaign.recipe().reverse_path;
  AddKeys(campaign, &input);
  CopyMaker maker(&campaign.recipe());
  uint64_t before = count;
  for (const uint64_t index : {uint64_t{0}, count / 2, count - 1}) {
    if (count > 0 && index != before) AddSample(campaign, index, &maker, &input);
    before = index;
  }
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
