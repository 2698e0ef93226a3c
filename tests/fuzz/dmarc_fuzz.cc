// DMARC records and the tag lists they are made of: what is taken can be written down and read
// again, and nothing that is taken looks like something else.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/preflight/dmarc.h"
#include "engine/preflight/org_domain.h"
#include "engine/preflight/text.h"

namespace {

using namespace volley::engine::preflight;

void Require(bool condition) {
  if (!condition) std::abort();
}

std::string Write(const DmarcRecord& record) {
  return "v=DMARC1; p=" + std::string(DmarcPolicyName(record.policy)) +
         "; sp=" + std::string(DmarcPolicyName(record.subdomain_policy)) +
         "; adkim=" + (record.strict_dkim ? "s" : "r") +
         "; aspf=" + (record.strict_spf ? "s" : "r") + "; pct=" + std::to_string(record.percent);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto record = ParseDmarcRecord(text); record.ok()) {
    Require(LooksLikeDmarc(text));
    Require(record->percent >= 0 && record->percent <= 100);
    const auto again = ParseDmarcRecord(Write(*record));
    Require(again.ok() && Write(*again) == Write(*record));
  }
  if (const auto tags = ParseTagList(text); tags.ok()) {
    for (const Tag& tag : *tags) Require(!tag.name.empty());
  }
  for (const char c : Shown(text)) Require(c >= ' ' && c < 0x7f);
  const std::string organization = OrganizationalDomain(text);
  Require(OrganizationalDomain(organization) == organization);
  return 0;
}
