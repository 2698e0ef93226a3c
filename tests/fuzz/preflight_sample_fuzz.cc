// A composed copy as the preflight reads it, and the rules over it: every check is accounted for
// once, and what is shown is printable.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "engine/preflight/preflight.h"

namespace {

using namespace volley::engine::preflight;

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  auto sample = ReadSample(text);
  CampaignFacts facts;
  facts.from = "news@example.org";
  facts.reverse_path = "bounce@example.org";
  facts.recipients = 10000;
  if (sample.ok()) {
    Require(sample->texts.plain.size() + sample->texts.html.size() <= text.size());
    facts.samples = {*sample, *sample, *std::move(sample)};
    facts.sample_recipients = {"a@example.net", "b@example.net", "c@example.net"};
  }
  DnsAnswers dns = DnsAnswers::Offline("not asked");
  const Outcome outcome = RunChecks(facts, &dns);
  std::set<std::string> found;
  for (const Finding& finding : outcome.findings) {
    found.insert(finding.id);
    for (const char c : finding.found) Require(c >= ' ' && c < 0x7f);
  }
  Require(found.size() + outcome.passed.size() + outcome.skipped.size() == kCheckCount);
  return 0;
}
