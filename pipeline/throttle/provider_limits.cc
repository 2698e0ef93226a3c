#include "pipeline/throttle/provider_limits.h"

namespace volley::pipeline {

LimitSpec LimitSpecOf(const engine::policy::Provider& provider) {
  LimitSpec spec;
  spec.connections = provider.connections.value;
  spec.messages_per_connection = provider.messages_per_connection.value;
  spec.recipients_per_transaction = provider.recipients_per_transaction.value;
  if (const auto& rate = provider.rate.value) spec.rate = {rate->count, rate->per};
  if (const auto& quota = provider.quota.value) spec.quota = {quota->count, quota->per};
  return spec;
}

}  // namespace volley::pipeline
