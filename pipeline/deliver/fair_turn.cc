#include "pipeline/deliver/fair_turn.h"

#include <bit>
#include <utility>

#include "io/base/check.h"

namespace volley::pipeline {

FairTurn::FairTurn(std::vector<FlowShare> shares) : shares_(std::move(shares)) {
  VOLLEY_CHECK(!shares_.empty() && shares_.size() <= kFlowsMax);
  for (uint32_t flow = 0; flow < shares_.size(); ++flow) {
    VOLLEY_CHECK(shares_[flow].weight > 0);
    (shares_[flow].urgent ? urgent_ : others_).members |= FlowBit(flow);
  }
}

uint32_t FairTurn::Pick(FlowSet ready) const {
  const Round& round = (ready & urgent_.members) != 0 ? urgent_ : others_;
  ready &= round.members;
  VOLLEY_CHECK(ready != 0);
  if (round.left > 0 && (ready & FlowBit(round.flow)) != 0) return round.flow;
  // The next one behind it, round again from the first.
  const FlowSet behind = round.flow + 1 < kFlowsMax ? ready & (kAllFlows << (round.flow + 1)) : 0;
  return static_cast<uint32_t>(std::countr_zero(behind != 0 ? behind : ready));
}

void FairTurn::Took(uint32_t flow) {
  Round& round = shares_[flow].urgent ? urgent_ : others_;
  if (flow != round.flow || round.left == 0) round = {round.members, flow, shares_[flow].weight};
  --round.left;
}

}  // namespace volley::pipeline
