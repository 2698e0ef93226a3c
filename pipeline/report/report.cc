#include "pipeline/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace volley::pipeline {
namespace {

constexpr std::array<std::string_view, kEventKinds> kKindNames = {
    "delivered", "deferred", "bounced", "expired", "uncertain", "dropped"};

absl::string_view Key(std::string_view text) { return {text.data(), text.size()}; }

std::optional<EventKind> KindOf(std::string_view name) {
  const auto found = std::find(kKindNames.begin(), kKindNames.end(), name);
  if (found == kKindNames.end()) return std::nullopt;
  return static_cast<EventKind>(found - kKindNames.begin());
}

size_t TimelineKind(EventKind kind) {
  return kind == EventKind::kDelivered ? 0 : kind == EventKind::kDeferred ? 1 : 2;
}

// Names to numbers, up to a maximum; those beyond it are one.
template <typename Value>
class Bounded {
 public:
  explicit Bounded(size_t max) : max_(max) {}

  Value& At(std::string_view name) {
    const auto found = values_.find(Key(name));
    if (found != values_.end()) return found->second;
    if (values_.size() >= max_) name = Report::kOthers;
    return values_.try_emplace(std::string(name)).first->second;
  }
  auto begin() { return values_.begin(); }
  auto end() { return values_.end(); }

 private:
  const size_t max_;
  absl::flat_hash_map<std::string, Value> values_;
};

struct CategoryCount {
  uint64_t count = 0;
  Bounded<uint64_t> replies{Report::kRepliesMax};
};

std::string ReplyText(const Event& event) {
  std::string text = event.code == 0 ? "" : fmt::format("{} ", event.code);
  if (!event.enhanced.empty()) text += fmt::format("{} ", event.enhanced);
  return text.append(event.reply);
}

class Maker {
 public:
  explicit Maker(Report* report) : report_(report) {}

  void Add(const Event& event) {
    if (event.name == "throttled") return AddChange(event);
    const auto kind = KindOf(event.name);
    if (!kind) return;  // of a newer volley
    report_->first = std::min(report_->first, event.time);
    report_->last = std::max(report_->last, event.time);
    report_->timeline.Add(event.time, TimelineKind(*kind));
    const bool answered = event.code != 0;
    if (answered) report_->millis.Add(event.millis);
    const std::string_view domain = event.recipient.substr(event.recipient.rfind('@') + 1);
    Count(&domains_.At(domain), *kind, answered, event.millis);
    if (!event.relay.empty()) Count(&ways_.At(event.relay), *kind, answered, event.millis);
    if (*kind == EventKind::kDelivered || event.category.empty()) return;
    CategoryCount& category = categories_.At(event.category);
    ++category.count;
    ++category.replies.At(ReplyText(event));
  }

  void Finish() {
    report_->domains = Groups(&domains_);
    report_->ways = Groups(&ways_);
    for (auto& [name, counted] : categories_) {
      ReportCategory category{name, counted.count, {}};
      for (auto& [text, count] : counted.replies) category.replies.push_back({text, count});
      SortByCount(&category.replies,
                  [](const ReportReply& r) { return std::pair(r.count, r.text); });
      report_->categories.push_back(std::move(category));
    }
    SortByCount(&report_->categories,
                [](const ReportCategory& c) { return std::pair(c.count, c.name); });
  }

 private:
  void AddChange(const Event& event) {
    ++report_->changes_count;
    report_->changes.push_back({event.time, std::string(event.lane), std::string(event.what),
                                std::string(event.from), std::string(event.to),
                                std::string(event.cause)});
    if (report_->changes.size() > Report::kChangesMax) report_->changes.pop_front();
  }
  static void Count(ReportGroup* group, EventKind kind, bool answered, uint32_t millis) {
    ++group->events[static_cast<size_t>(kind)];
    if (answered) group->millis.Add(millis);
  }
  // Most first; what is equal in the order of its name.
  template <typename T, typename CountAndName>
  static void SortByCount(std::vector<T>* all, CountAndName of) {
    std::sort(all->begin(), all->end(), [&of](const T& a, const T& b) {
      const auto [a_count, a_name] = of(a);
      const auto [b_count, b_name] = of(b);
      return a_count != b_count ? a_count > b_count : a_name < b_name;
    });
  }
  static std::vector<ReportGroup> Groups(Bounded<ReportGroup>* counted) {
    std::vector<ReportGroup> groups;
    for (auto& [name, group] : *counted) {
      group.name = name;
      groups.push_back(group);
    }
    SortByCount(&groups, [](const ReportGroup& g) { return std::pair(g.total(), g.name); });
    return groups;
  }

  Report* const report_;
  Bounded<ReportGroup> domains_{Report::kDomainsMax}, ways_{Report::kDomainsMax};
  Bounded<CategoryCount> categories_{Report::kCategoriesMax};
};

}  // namespace

std::string_view EventKindName(EventKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

uint64_t ReportGroup::total() const {
  return std::accumulate(events.begin(), events.end(), uint64_t{0});
}

std::vector<const ReportGroup*> Report::Slowest(size_t n) const {
  std::vector<const ReportGroup*> slow;
  for (const ReportGroup& domain : domains) {
    if (domain.millis.count() >= kSlowTries) slow.push_back(&domain);
  }
  std::stable_sort(slow.begin(), slow.end(), [](const ReportGroup* a, const ReportGroup* b) {
    return a->millis.Quantile(0.95) > b->millis.Quantile(0.95);
  });
  if (slow.size() > n) slow.resize(n);
  return slow;
}

absl::StatusOr<Report> MakeReport(const std::string& folder) {
  auto ledger = Ledger::OpenToRead(folder + "/ledger.bin");
  if (!ledger.ok()) return ledger.status();
  Report report;
  report.campaign = std::filesystem::path(folder).filename().string();
  report.recipients = (*ledger)->size();
  Maker maker(&report);
  const absl::Status read = ReadEvents(
      folder, [&maker](const Event& event) { maker.Add(event); }, &report.read);
  if (!read.ok() && !absl::IsNotFound(read)) return read;
  maker.Finish();
  // Last: it is never behind the events.
  report.states = (*ledger)->Count();
  return report;
}

}  // namespace volley::pipeline
