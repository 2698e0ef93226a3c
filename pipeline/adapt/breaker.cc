#include "pipeline/adapt/breaker.h"

#include <fmt/format.h>

#include <algorithm>

namespace volley::pipeline {

using engine::bounce::Action;
using engine::bounce::Category;

bool Breaker::Counts(Category category) {
  return category == Category::kReputation || category == Category::kIpBlocked ||
         engine::bounce::InfoOf(category).action == Action::kBreak;
}

void Breaker::Add(bool block) {
  count_ -= blocks_[next_];
  blocks_[next_] = block;
  count_ += block;
  next_ = (next_ + 1) % kLook;
  seen_ = std::min(seen_ + 1, kLook);
}

bool Breaker::OnRefused(Category category, std::string_view reply) {
  const bool block = Counts(category);
  Add(block);
  if (!block || broken_ || share_ <= 0 || count_ < kLeast) return false;
  if (static_cast<double>(count_) < share_ * static_cast<double>(seen_)) return false;
  broken_ = true;
  why_ = fmt::format("{} of the last {} were refused for content or reputation, most lately {}: {}",
                     count_, seen_, engine::bounce::InfoOf(category).name, reply);
  return true;
}

}  // namespace volley::pipeline
