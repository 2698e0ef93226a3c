#include "tools/volley/plan_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>
#include <vector>

#include "tools/volley/progress.h"

namespace volley::tools {
namespace {

using pipeline::Plan;
using pipeline::PlanPart;

constexpr size_t kBiggestMax = 12, kLastMax = 3;  // lines of a table

std::string Span(absl::Duration span) {
  const int64_t hours = absl::ToInt64Hours(span);
  if (hours >= 48) return fmt::format("{} d {} h", hours / 24, hours % 24);
  if (span >= absl::Seconds(10)) return FormatSpan(span);
  return fmt::format("{:.1f} s", absl::ToDoubleSeconds(span));
}

// "14:10:22" today and soon, "Tue 14:10" this week, else with the date.
std::string When(absl::Time at, const PlanFacts& facts) {
  const absl::CivilDay today(absl::ToCivilDay(facts.now, facts.zone));
  const absl::CivilDay day(absl::ToCivilDay(at, facts.zone));
  const char* format = "%a %Y-%m-%d %H:%M";
  if (day - today < 7) format = "%a %H:%M";
  if (day == today) format = at - facts.now < absl::Minutes(10) ? "%H:%M:%S" : "%H:%M";
  return absl::FormatTime(format, at, facts.zone);
}

// "10/s", "12.5/s", "30/min", "5,000/h".
std::string Rate(double per_second) {
  const auto number = [](double n) {
    return n >= 100 ? Grouped(static_cast<uint64_t>(std::llround(n))) : fmt::format("{:.3g}", n);
  };
  if (per_second >= 1) return number(per_second) + "/s";
  if (per_second * 60 >= 1) return number(per_second * 60) + "/min";
  return number(per_second * 3600) + "/h";
}

struct Row {
  std::string name, messages, span, at, rate, held;
};

Row RowOf(const PlanPart& part, const Plan& plan, const PlanFacts& facts) {
  Row row;
  row.name = part.name;
  row.messages = Grouped(part.messages);
  row.held = part.why;
  if (part.left > 0) {
    row.span = fmt::format("{} left", Grouped(part.left));
    row.at = "never";
    if (facts.not_after != absl::InfiniteFuture()) row.at = When(facts.not_after, facts);
  } else {
    row.span = Span(part.end - plan.begins);
    row.at = When(part.end, facts);
  }
  if (part.left < part.messages) row.rate = Rate(part.per_second(plan.begins));
  return row;
}

void PrintRows(const std::vector<Row>& rows) {
  size_t name = 0, messages = 0, span = 0, at = 0, rate = 0;
  for (const Row& row : rows) {
    name = std::max(name, row.name.size());
    messages = std::max(messages, row.messages.size());
    span = std::max(span, row.span.size());
    at = std::max(at, row.at.size());
    rate = std::max(rate, row.rate.size());
  }
  for (const Row& row : rows) {
    fmt::print("  {:<{}}  {:>{}}  {:>{}}  {:<{}}  {:>{}}  {}\n", row.name, name, row.messages,
               messages, row.span, span, row.at, at, row.rate, rate, row.held);
  }
}

// Which parts get a line: those that end last, and the biggest.
std::vector<bool> Shown(const Plan& plan) {
  std::vector<size_t> order(plan.parts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&plan](size_t a, size_t b) {
    return plan.parts[a].messages > plan.parts[b].messages;
  });
  std::vector<bool> shown(order.size(), order.size() <= kBiggestMax + kLastMax);
  for (size_t i = 0; i < std::min(order.size(), kLastMax); ++i) shown[i] = true;
  for (size_t i = 0; i < std::min(order.size(), kBiggestMax); ++i) shown[order[i]] = true;
  return shown;
}

// The last to end first; those that are not shown are one line.
std::vector<Row> Rows(const Plan& plan, const PlanFacts& facts) {
  std::vector<Row> rows = {
      {facts.direct ? "provider" : "relay", "messages", "done in", "at", "rate", "held by"}};
  const std::vector<bool> shown = Shown(plan);
  PlanPart rest;
  rest.routes = 0;
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    const PlanPart& part = plan.parts[i];
    if (shown[i]) {
      rows.push_back(RowOf(part, plan, facts));
      continue;
    }
    rest.messages += part.messages;
    rest.left += part.left;
    rest.end = std::max(rest.end, part.end);
    ++rest.routes;
  }
  rest.name = fmt::format("{} others", Grouped(rest.routes));
  if (rest.routes > 0) rows.push_back(RowOf(rest, plan, facts));
  if (plan.parts.size() > 1) {
    PlanPart all = plan.all;
    all.name = "all";
    all.why = plan.parts[0].name;
    rows.push_back(RowOf(all, plan, facts));
  }
  return rows;
}

void PrintHead(const Plan& plan, const PlanFacts& facts) {
  std::string head = fmt::format("{}: {} {} to send", facts.campaign, Grouped(plan.all.messages),
                                 plan.all.messages == 1 ? "message" : "messages");
  if (facts.direct) head += fmt::format(" to {} domains", Grouped(facts.domains));
  if (facts.settled > 0) head += fmt::format(", {} settled before", Grouped(facts.settled));
  if (facts.suppressed > 0) head += fmt::format(", {} suppressed", Grouped(facts.suppressed));
  if (facts.no_mail > 0) {
    head += fmt::format(", {} bounce at once (their domains take no mail)", Grouped(facts.no_mail));
  }
  fmt::print("{}\n", head);
}

void PrintEnd(const Plan& plan, const PlanFacts& facts) {
  const PlanPart& all = plan.all;
  if (all.left == all.messages) {
    fmt::print("none of them can be sent: held by {}\n", all.why);
  } else if (all.left > 0) {
    const bool ends = facts.not_after != absl::InfiniteFuture();
    fmt::print("{} of them are not sent{}: held by {}\n", Grouped(all.left),
               ends ? " by not_after" : " within three years", all.why);
  } else {
    const std::string from = plan.begins - facts.now > absl::Seconds(1)
                                 ? fmt::format(" from {} on", When(plan.begins, facts))
                                 : "";
    fmt::print("finished in {}{} ({}), held by {}\n", Span(plan.duration()), from,
               When(all.end, facts), all.why);
  }
}

void PrintAssumptions(const PlanFacts& facts) {
  const double ms = absl::ToDoubleMilliseconds(facts.reply);
  if (facts.measured > 0) {
    fmt::print("A reply takes {:.3g} ms, as {} deliveries of this campaign did.\n", ms,
               Grouped(facts.measured));
  } else {
    fmt::print("A reply is taken to need {:.3g} ms (--reply-latency).\n", ms);
  }
  if (facts.guessed_domains > 0) {
    fmt::print(
        "{} without an answer from DNS: who receives them is guessed by the name.\n",
        facts.guessed_domains == 1 ? "1 domain" : Grouped(facts.guessed_domains) + " domains");
  }
  fmt::print("Not in it, as nobody knows them before: refusals, retries, greylisting.\n");
}

std::string Rfc3339(absl::Time at) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", at, absl::UTCTimeZone());
}

nlohmann::ordered_json JsonOf(const PlanPart& part, const Plan& plan) {
  nlohmann::ordered_json json;
  json["messages"] = part.messages;
  json["left"] = part.left;
  json["routes"] = part.routes;
  const bool any = part.left < part.messages;
  json["first"] = any ? nlohmann::ordered_json(Rfc3339(part.first)) : nullptr;
  json["end"] = any ? nlohmann::ordered_json(Rfc3339(part.end)) : nullptr;
  json["duration_s"] = any ? absl::ToDoubleSeconds(part.end - plan.begins) : 0;
  json["messages_per_s"] = any ? part.per_second(plan.begins) : 0;
  json["connections"] = part.connections;
  json["held_by"] = HeldByName(part.held);
  json["why"] = part.why;
  return json;
}

}  // namespace

void PrintPlan(const Plan& plan, const PlanFacts& facts) {
  PrintHead(plan, facts);
  for (const std::string& note : plan.notes) fmt::print("{}\n", note);
  if (plan.all.messages == 0) return fmt::print("nothing is left to be sent\n");
  fmt::print("\n");
  PrintRows(Rows(plan, facts));
  fmt::print("\n");
  PrintEnd(plan, facts);
  PrintAssumptions(facts);
}

void PrintPlanJson(const Plan& plan, const PlanFacts& facts) {
  nlohmann::ordered_json json = {{"campaign", facts.campaign}};
  json["begins"] = plan.begins == absl::InfiniteFuture()
                       ? nlohmann::ordered_json(nullptr)
                       : nlohmann::ordered_json(Rfc3339(plan.begins));
  json.update(JsonOf(plan.all, plan));
  json["settled"] = facts.settled;
  json["suppressed"] = facts.suppressed;
  json["no_mail"] = facts.no_mail;
  json["domains"] = facts.domains;
  json["guessed_domains"] = facts.guessed_domains;
  json["reply_ms"] = absl::ToDoubleMilliseconds(facts.reply);
  json["reply_measured"] = facts.measured > 0;
  json["notes"] = plan.notes;
  auto& parts = json[facts.direct ? "providers" : "relays"] = nlohmann::ordered_json::array();
  for (const PlanPart& part : plan.parts) {
    nlohmann::ordered_json one = {{"name", part.name}};
    one.update(JsonOf(part, plan));
    parts.push_back(std::move(one));
  }
  fmt::print("{}\n", json.dump());
}

}  // namespace volley::tools
