#include "pipeline/plan/routes.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "io/base/time.h"
#include "pipeline/shard/wake_event.h"

namespace volley::pipeline {
namespace {

struct Domain {
  std::string_view name;
  const std::vector<DomainCount>* by_source;
  uint64_t total = 0;
};

std::vector<Domain> Sorted(const LeftToSend& left) {
  std::vector<Domain> domains;
  domains.reserve(left.domains.size());
  for (const auto& [name, by_source] : left.domains) {
    uint64_t total = 0;
    for (const DomainCount& count : by_source) total += count.total();
    domains.push_back({name, &by_source, total});
  }
  // Equal ones by name: two plans of one list are the same.
  std::sort(domains.begin(), domains.end(), [](const Domain& a, const Domain& b) {
    return a.total != b.total ? a.total > b.total : a.name < b.name;
  });
  return domains;
}

class Finder {
 public:
  explicit Finder(const PlanRoutesOptions& options) : options_(options) {}

  PlanRoutes Find(const LeftToSend& left) {
    const std::vector<Domain> domains = Sorted(left);
    found_.domains = domains.size();
    if (options_.resolver != nullptr) Ask(domains);
    for (const Domain& domain : domains) Place(domain);
    std::stable_sort(found_.routes.begin(), found_.routes.end(),
                     [](const auto& a, const auto& b) { return a.total() > b.total(); });
    return std::move(found_);
  }

 private:
  bool Overridden(std::string_view domain) const {
    const auto& all = options_.mx.overrides;
    return std::any_of(all.begin(), all.end(), [domain](const MxOverride& over) {
      return over.domain == "*" || over.domain == domain;
    });
  }

  void Ask(const std::vector<Domain>& domains) {
    std::vector<std::string_view> asked;
    for (const Domain& domain : domains) {
      if (asked.size() == options_.asks_max) break;
      if (!Overridden(domain.name)) asked.push_back(domain.name);
    }
    if (asked.empty()) return;
    router_ = std::make_unique<MxRouter>(options_.resolver, options_.pack, options_.mx,
                                         [this] { wake_.Signal(); });
    const io::MonoTime end = io::MonotonicNow() + options_.ask_for;
    for (const std::string_view name : asked) Look(name);
    while (answers_.size() < asked.size() && io::MonotonicNow() < end) {
      if (options_.on_progress) options_.on_progress(answers_.size(), asked.size());
      wake_.Wait(absl::Milliseconds(200));
      router_->TakeAnswers([this](std::string_view name) { Look(name); });
    }
  }

  void Look(std::string_view name) {
    RouteAnswer answer = router_->Find(name, io::MonotonicNow());
    if (answer.state == RouteAnswer::State::kAsking) return;
    answers_[absl::string_view(name.data(), name.size())] = std::move(answer);
  }

  void Place(const Domain& domain) {
    using State = RouteAnswer::State;
    const auto answer = answers_.find(absl::string_view(domain.name.data(), domain.name.size()));
    if (answer != answers_.end() && answer->second.state == State::kNoMail) {
      found_.no_mail += domain.total;
      return;
    }
    if (answer != answers_.end() && answer->second.state == State::kKnown) {
      const Route& route = *answer->second.route;
      const auto [at, is_new] = routes_.try_emplace(route.id, found_.routes.size());
      if (is_new) found_.routes.push_back({route.name, route.provider, *domain.by_source});
      if (!is_new) Add(domain, &found_.routes[at->second]);
      return;
    }
    if (!Overridden(domain.name)) ++found_.guessed_domains;
    found_.routes.push_back(
        {std::string(domain.name), options_.pack->ByDomain(domain.name), *domain.by_source});
  }

  static void Add(const Domain& domain, PlanRoute* route) {
    for (size_t i = 0; i < route->by_source.size(); ++i) {
      route->by_source[i].Add((*domain.by_source)[i]);
    }
  }

  const PlanRoutesOptions& options_;
  PlanRoutes found_;
  WakeEvent wake_;  // outlives the router, which signals it
  std::unique_ptr<MxRouter> router_;
  absl::flat_hash_map<std::string, RouteAnswer> answers_;
  absl::flat_hash_map<uint32_t, size_t> routes_;  // by id
};

}  // namespace

uint64_t PlanRoute::total() const {
  uint64_t sum = 0;
  for (const DomainCount& count : by_source) sum += count.total();
  return sum;
}

PlanRoutes FindPlanRoutes(const LeftToSend& left, const PlanRoutesOptions& options) {
  return Finder(options).Find(left);
}

}  // namespace volley::pipeline
