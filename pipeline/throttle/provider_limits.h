// What a provider of the pack allows, as a limit.
//
// Threading: pure function.
#ifndef VOLLEY_PIPELINE_THROTTLE_PROVIDER_LIMITS_H_
#define VOLLEY_PIPELINE_THROTTLE_PROVIDER_LIMITS_H_

#include "engine/policy/provider.h"
#include "pipeline/throttle/limit_spec.h"

namespace volley::pipeline {

// The pack has checked every number, so CheckLimit() of it is ok.
LimitSpec LimitSpecOf(const engine::policy::Provider& provider);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_PROVIDER_LIMITS_H_
