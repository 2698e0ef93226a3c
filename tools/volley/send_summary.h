// What `volley send` says at its end, for people and as JSON.
#ifndef VOLLEY_TOOLS_VOLLEY_SEND_SUMMARY_H_
#define VOLLEY_TOOLS_VOLLEY_SEND_SUMMARY_H_

#include <cstdint>

#include "pipeline/campaign/campaign.h"
#include "pipeline/preflight/preflight.h"
#include "pipeline/shard/runner.h"

namespace volley::tools {

struct Totals {
  uint64_t recipients, delivered, bounced, deferred, uncertain, suppressed, rejected, left;
  double elapsed_s, messages_per_s, cpu_us_per_message;
};

// `sent`: messages that the process delivered, of all its campaigns.
Totals MakeTotals(const pipeline::Campaign& campaign, const pipeline::RunResult& result,
                  uint64_t sent);
uint64_t Sent(const pipeline::RunResult& result);  // by this run
void PrintSummary(const pipeline::Campaign& campaign, const pipeline::RunResult& result,
                  const Totals& totals);
void PrintSummaryJson(const pipeline::Campaign& campaign, const pipeline::RunResult& result,
                      const Totals& totals, const pipeline::PreflightResult& preflight);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_SEND_SUMMARY_H_
