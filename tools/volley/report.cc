#include "tools/volley/report.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/report/recipients_csv.h"
#include "pipeline/report/report.h"
#include "tools/volley/args.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/campaign_folder.h"
#include "tools/volley/printable.h"
#include "tools/volley/progress.h"
#include "tools/volley/report_html.h"

namespace volley::tools {
namespace {

using pipeline::EventKind;
using pipeline::Histogram;
using pipeline::Outcome;
using pipeline::Report;
using pipeline::ReportCategory;
using pipeline::ReportGroup;
using pipeline::SlotState;
using pipeline::Timeline;

constexpr char kFooter[] =
    "Examples:\n"
    "  volley report newsletter                  totals, providers, reasons, times\n"
    "  volley report newsletter --json | jq .categories\n"
    "  volley report newsletter --csv recipients.csv\n"
    "  volley report newsletter --html report.html   one page with charts, for a browser\n\n"
    "It may be asked while the campaign is being sent. Exit code: 0, or 2 when there is no such "
    "campaign\nor a file cannot be read or written.";

constexpr size_t kShownGroups = 15, kShownCategories = 15, kShownReplies = 2, kShownSlow = 5,
                 kShownChanges = 10;
constexpr size_t kJsonGroups = 1000, kJsonReplies = 20;
constexpr size_t kBars = 24, kBarWidth = 50;

struct ReportFlags {
  std::string campaign;
  std::string state_dir = "volley-state";
  std::string csv, html;
  bool json = false;
};

std::string Share(uint64_t part, uint64_t whole) {
  if (whole == 0) return "";
  return fmt::format("{:.1f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string Time(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::LocalTimeZone());
}

std::string IsoTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

// --- For people ---

void PrintTotals(const Report& r) {
  fmt::print("{}: {} recipients\n", r.campaign, Grouped(r.recipients));
  for (size_t i = 0; i < pipeline::kSlotStates; ++i) {
    if (r.states[i] == 0) continue;
    fmt::print("  {:<14}{:>12}  {:>7}\n", SlotStateName(static_cast<SlotState>(i)),
               Grouped(r.states[i]), Share(r.states[i], r.recipients));
  }
  if (r.read.events == 0) return fmt::print("  nothing has been tried yet\n");
  const absl::Duration took = r.last - r.first;
  fmt::print("  {} tries from {} to {} ({})\n", Grouped(r.read.events), Time(r.first), Time(r.last),
             FormatSpan(took));
  for (const std::string& file : r.read.damaged) fmt::print("  {}\n", Printable(file));
  if (r.read.bad_lines > 0) {
    fmt::print("  {} lines of events.jsonl are no events and were passed over\n",
               Grouped(r.read.bad_lines));
  }
}

void PrintGroups(std::string_view title, const std::vector<ReportGroup>& groups) {
  if (groups.empty()) return;
  fmt::print("\n{:<32}{:>12}{:>11}{:>11}{:>10}\n", title, "delivered", "deferred", "bounced",
             "95 % in");
  for (size_t i = 0; i < std::min(groups.size(), kShownGroups); ++i) {
    const ReportGroup& g = groups[i];
    const uint64_t bounced = g.count(EventKind::kBounced) + g.count(EventKind::kExpired);
    std::string name = Printable(g.name);
    if (name.size() > 30) name = name.substr(0, 27) + "...";
    fmt::print("{:<32}{:>12}{:>11}{:>11}{:>7} ms\n", name, Grouped(g.count(EventKind::kDelivered)),
               Grouped(g.count(EventKind::kDeferred)), Grouped(bounced),
               Grouped(g.millis.Quantile(0.95)));
  }
  if (groups.size() > kShownGroups) {
    fmt::print("and {} more (--json has them)\n", Grouped(groups.size() - kShownGroups));
  }
}

void PrintCategories(const Report& r) {
  if (r.categories.empty()) return;
  fmt::print("\nWhy not, at once\n");
  for (size_t i = 0; i < std::min(r.categories.size(), kShownCategories); ++i) {
    const ReportCategory& c = r.categories[i];
    fmt::print("  {:<22}{:>10}\n", Printable(c.name), Grouped(c.count));
    for (size_t k = 0; k < std::min(c.replies.size(), kShownReplies); ++k) {
      fmt::print("    {:>8} x {}\n", Grouped(c.replies[k].count), Printable(c.replies[k].text));
    }
  }
}

void PrintChanges(const Report& r) {
  if (r.changes.empty()) return;
  fmt::print("\nLimits changed by what servers said: {} times\n", Grouped(r.changes_count));
  const size_t shown = std::min(r.changes.size(), kShownChanges);
  for (size_t i = r.changes.size() - shown; i < r.changes.size(); ++i) {
    const auto& c = r.changes[i];
    fmt::print("  {}  {}: {} {}{}{}\n    {}\n", Time(c.time), Printable(c.lane), Printable(c.what),
               Printable(c.from), c.from.empty() ? "" : " to ", Printable(c.to),
               Printable(c.cause));
  }
}

void PrintTimeline(const Timeline& timeline) {
  const auto& slices = timeline.slices();
  if (slices.size() < 2) return;
  const size_t join = (slices.size() + kBars - 1) / kBars;
  std::vector<uint64_t> bars((slices.size() + join - 1) / join);
  for (size_t i = 0; i < slices.size(); ++i) bars[i / join] += slices[i].counts[0];
  const uint64_t most = std::max<uint64_t>(1, *std::max_element(bars.begin(), bars.end()));
  fmt::print("\nDelivered, by {}\n", FormatSpan(timeline.slice() * static_cast<int64_t>(join)));
  for (size_t i = 0; i < bars.size(); ++i) {
    const absl::Time at = timeline.begin() + timeline.slice() * static_cast<int64_t>(i * join);
    fmt::print("  {}  {:<{}} {}\n", Time(at), std::string(bars[i] * kBarWidth / most, '#'),
               kBarWidth, Grouped(bars[i]));
  }
}

void PrintTimes(const Report& r) {
  if (r.millis.count() == 0) return;
  fmt::print(
      "\nFrom composing to the answer: half within {} ms, 95 % within {} ms, longest {} ms\n",
      Grouped(r.millis.Quantile(0.5)), Grouped(r.millis.Quantile(0.95)), Grouped(r.millis.max()));
  const auto slow = r.Slowest(kShownSlow);
  if (slow.size() < 2) return;
  fmt::print("  slowest:");
  for (const ReportGroup* g : slow) {
    fmt::print(" {} ({} ms)", Printable(g->name), Grouped(g->millis.Quantile(0.95)));
  }
  fmt::print("\n");
}

void Print(const Report& r) {
  PrintTotals(r);
  if (r.ways.size() > 1) PrintGroups("By relay or server", r.ways);
  PrintGroups("By domain", r.domains);
  PrintCategories(r);
  PrintChanges(r);
  PrintTimes(r);
  PrintTimeline(r.timeline);
}

// --- For programs ---

nlohmann::ordered_json Json(const Histogram& h) {
  return {{"count", h.count()},
          {"p50", h.Quantile(0.5)},
          {"p95", h.Quantile(0.95)},
          {"p99", h.Quantile(0.99)},
          {"max", h.max()}};
}

nlohmann::ordered_json Json(const std::vector<ReportGroup>& groups) {
  auto all = nlohmann::ordered_json::array();
  for (size_t i = 0; i < std::min(groups.size(), kJsonGroups); ++i) {
    nlohmann::ordered_json one = {{"name", groups[i].name}};
    for (size_t k = 0; k < pipeline::kEventKinds; ++k) {
      one[std::string(EventKindName(static_cast<EventKind>(k)))] = groups[i].events[k];
    }
    one["ms"] = Json(groups[i].millis);
    all.push_back(std::move(one));
  }
  return all;
}

nlohmann::ordered_json Json(const Report& r) {
  nlohmann::ordered_json totals;
  for (size_t i = 0; i < pipeline::kSlotStates; ++i) {
    totals[std::string(SlotStateName(static_cast<SlotState>(i)))] = r.states[i];
  }
  auto categories = nlohmann::ordered_json::array();
  for (const ReportCategory& c : r.categories) {
    auto replies = nlohmann::ordered_json::array();
    for (size_t k = 0; k < std::min(c.replies.size(), kJsonReplies); ++k) {
      replies.push_back({{"reply", c.replies[k].text}, {"count", c.replies[k].count}});
    }
    categories.push_back({{"name", c.name}, {"count", c.count}, {"replies", std::move(replies)}});
  }
  auto slices = nlohmann::ordered_json::array();
  for (size_t i = 0; i < r.timeline.slices().size(); ++i) {
    const auto& counts = r.timeline.slices()[i].counts;
    slices.push_back(
        {{"time", IsoTime(r.timeline.begin() + r.timeline.slice() * static_cast<int64_t>(i))},
         {"delivered", counts[0]},
         {"deferred", counts[1]},
         {"other", counts[2]}});
  }
  nlohmann::ordered_json out = {{"campaign", r.campaign}, {"recipients", r.recipients}};
  out["totals"] = std::move(totals);
  out["events"] = r.read.events;
  out["bad_lines"] = r.read.bad_lines;
  out["damaged"] = r.read.damaged;
  if (r.read.events > 0) {
    out["first"] = IsoTime(r.first);
    out["last"] = IsoTime(r.last);
  }
  out["relays"] = Json(r.ways);
  out["domains"] = Json(r.domains);
  out["categories"] = std::move(categories);
  auto changes = nlohmann::ordered_json::array();
  for (const auto& c : r.changes) {
    changes.push_back({{"time", IsoTime(c.time)},
                       {"lane", c.lane},
                       {"what", c.what},
                       {"from", c.from},
                       {"to", c.to},
                       {"cause", c.cause}});
  }
  out["limit_changes"] = r.changes_count;
  out["last_limit_changes"] = std::move(changes);
  out["ms"] = Json(r.millis);
  out["slice_s"] = absl::ToDoubleSeconds(r.timeline.slice());
  out["timeline"] = std::move(slices);
  return out;
}

// What servers said may be cut in the middle of a character.
std::string JsonText(const Report& report) {
  return Json(report).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// Into a new file that only its owner reads; "-": standard output. One that could not be written
// whole is taken away again.
template <typename Write>
absl::Status WriteNewFile(std::string_view flag, const std::string& path, const Write& write) {
  if (path == "-") return write(stdout);
  const auto failed = [&](std::string_view what, int error) {
    return absl::FailedPreconditionError(
        fmt::format("{} {}: cannot {} it: {}", flag, path, what, std::strerror(error)));
  };
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failed("make", errno);
  std::FILE* file = fdopen(fd, "w");
  absl::Status status = write(file);
  const int error = std::ferror(file) != 0 ? ENOSPC : 0;
  if (const bool closed = std::fclose(file) == 0; status.ok() && (!closed || error != 0)) {
    status = failed("write", closed ? error : errno);
  }
  if (!status.ok()) unlink(path.c_str());
  return status;
}

int WriteCsv(const std::string& folder, const std::string& path) {
  const absl::Status status = WriteNewFile("--csv", path, [&folder](std::FILE* file) {
    return pipeline::WriteRecipientsCsv(folder, file);
  });
  return status.ok() ? 0 : ReportError(status);
}

int WriteHtml(const Report& report, const std::string& path) {
  const std::string page = ReportHtml(report, JsonText(report));
  const absl::Status status = WriteNewFile("--html", path, [&page](std::FILE* file) {
    std::fwrite(page.data(), 1, page.size(), file);
    return absl::OkStatus();
  });
  if (!status.ok()) return ReportError(status);
  if (path != "-") fmt::print("{}: {} bytes; open it in a browser\n", path, Grouped(page.size()));
  return 0;
}

int Run(const ReportFlags& flags) {
  const auto folder = CampaignFolder(flags.state_dir, flags.campaign);
  if (!folder.ok()) return ReportError(folder.status());
  if (!flags.csv.empty()) return WriteCsv(*folder, flags.csv);
  const auto report = pipeline::MakeReport(*folder);
  if (!report.ok()) return ReportError(report.status());
  if (!flags.html.empty()) return WriteHtml(*report, flags.html);
  if (flags.json) {
    fmt::print("{}\n", JsonText(*report));
  } else {
    Print(*report);
  }
  return 0;
}

}  // namespace

void AddReportCommand(CLI::App& app, int* exit_code) {
  CLI::App* command = app.add_subcommand("report", "Say what became of a campaign");
  command->footer(kFooter);
  const auto flags = std::make_shared<ReportFlags>();
  command->add_option("campaign", flags->campaign, "Name of the campaign, or of its folder")
      ->required();
  command->add_option("--state", flags->state_dir, "State directory (volley-state)");
  CLI::Option* json = command->add_flag("--json", flags->json, "One JSON object");
  command->add_option("--csv", flags->csv, "A line for each recipient into this new file; -: here")
      ->excludes(json);
  command->add_option("--html", flags->html, "A page with charts into this new file; -: here")
      ->excludes(json)
      ->excludes("--csv");
  command->callback([flags, exit_code] { *exit_code = Run(*flags); });
}

}  // namespace volley::tools
