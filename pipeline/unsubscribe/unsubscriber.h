// Unsubscriber: a token becomes an entry of the suppression list, from wherever the token came. The
// endpoint and `volley unsubscribe mail` share it.
//
// Threading: one thread. Lifetime: keeps the list and the keys.
#ifndef VOLLEY_PIPELINE_UNSUBSCRIBE_UNSUBSCRIBER_H_
#define VOLLEY_PIPELINE_UNSUBSCRIBE_UNSUBSCRIBER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/compliance/key_ring.h"
#include "engine/compliance/token.h"
#include "pipeline/store/suppression.h"

namespace volley::pipeline {

// Where a request came from: Suppression::source.
inline constexpr std::string_view kSourceOneClick = "one-click";
inline constexpr std::string_view kSourcePage = "page";
inline constexpr std::string_view kSourceMail = "mailto";

class Unsubscriber {
 public:
  using Claim = engine::compliance::UnsubscribeClaim;
  using Keys = std::shared_ptr<const engine::compliance::KeyRing>;

  Unsubscriber(std::unique_ptr<SuppressionList> list, Keys keys,
               std::function<absl::Time()> wall_clock = absl::Now)
      : list_(std::move(list)), keys_(std::move(keys)), wall_clock_(std::move(wall_clock)) {}

  void SetKeys(Keys keys) { keys_ = std::move(keys); }
  // nullopt: none of them is one of ours.
  template <typename Text>
  std::optional<Claim> Open(const std::vector<Text>& candidates) const {
    for (const Text& candidate : candidates) {
      auto claim = engine::compliance::OpenUnsubscribeToken(*keys_, candidate);
      if (claim.ok()) return *std::move(claim);
    }
    return std::nullopt;
  }
  // Committed when it returns. True: it was not there before. Errors: as SuppressionList::Add.
  absl::StatusOr<bool> Suppress(const Claim& claim, std::string_view source) {
    return list_->Add({.address = claim.recipient,
                       .list = claim.list,
                       .reason = "unsubscribe",
                       .source = std::string(source),
                       .campaign = claim.campaign,
                       .created_at = wall_clock_()});
  }

 private:
  std::unique_ptr<SuppressionList> list_;
  Keys keys_;
  const std::function<absl::Time()> wall_clock_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_UNSUBSCRIBE_UNSUBSCRIBER_H_
