// FairTurn: whose job a lane takes next when several campaigns have some: urgent flows
// (transactional mail) before all others, and among equals by deficit round robin (Shreedhar and
// Varghese 1996).
//
// A flow that comes to its turn may take as many jobs as its weight says; one that has none, or
// whose own limits refuse, passes, and what it did not use is gone: nobody saves up a claim. A job
// counts one, as limits do, whatever its size.
//
// Threading: one thread. Lifetime: value.
#ifndef VOLLEY_PIPELINE_DELIVER_FAIR_TURN_H_
#define VOLLEY_PIPELINE_DELIVER_FAIR_TURN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

// Bits of flows, by number.
using FlowSet = uint64_t;
constexpr FlowSet FlowBit(uint32_t flow) { return FlowSet{1} << flow; }
inline constexpr FlowSet kAllFlows = ~FlowSet{0};

struct FlowShare {
  uint32_t weight = 1;  // not 0
  bool urgent = false;
};

class FairTurn {
 public:
  explicit FairTurn(std::vector<FlowShare> shares);  // by flow; 1 to kFlowsMax

  // The one of `ready` that is next. REQUIRES: `ready` has one. Nothing changes until Took().
  uint32_t Pick(FlowSet ready) const;
  void Took(uint32_t flow);
  size_t size() const { return shares_.size(); }

 private:
  struct Round {
    FlowSet members = 0;
    uint32_t flow = kFlowsMax - 1;  // whose turn it is; the first one follows
    uint32_t left = 0;              // jobs of its turn
  };
  const std::vector<FlowShare> shares_;
  Round urgent_, others_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_DELIVER_FAIR_TURN_H_
