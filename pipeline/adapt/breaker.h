// Breaker: stops a campaign when too many are refused for what it says (spam, content, viruses) or
// for who sends it (reputation, blocklists): going on would only make it worse.
//
// It looks at the last kLook recipients whose try ended with a delivery or a refusal, and breaks
// when at least kLeast of them and `share` of those looked at were such refusals.
//
// Threading: one thread. Lifetime: value.
#ifndef VOLLEY_PIPELINE_ADAPT_BREAKER_H_
#define VOLLEY_PIPELINE_ADAPT_BREAKER_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/bounce/category.h"

namespace volley::pipeline {

class Breaker {
 public:
  static constexpr size_t kLook = 1000, kLeast = 20;
  static constexpr double kDefaultShare = 0.1;

  // `share`: 0 < share <= 1; 0: it never breaks.
  explicit Breaker(double share = kDefaultShare) : share_(share) {}

  void OnDelivered() { Add(false); }
  // True: it breaks with this one.
  bool OnRefused(engine::bounce::Category category, std::string_view reply);
  bool broken() const { return broken_; }
  // "31 of the last 200 were refused as spam_content: 550 ..."; empty: it has not broken.
  const std::string& why() const { return why_; }

  static bool Counts(engine::bounce::Category category);

 private:
  void Add(bool block);

  const double share_;
  std::bitset<kLook> blocks_;
  size_t next_ = 0, seen_ = 0, count_ = 0;
  bool broken_ = false;
  std::string why_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ADAPT_BREAKER_H_
