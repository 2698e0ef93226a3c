#include "tools/volley/top.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "pipeline/control/control_socket.h"
#include "pipeline/shard/campaign_status.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/campaign_folder.h"
#include "tools/volley/printable.h"
#include "tools/volley/progress.h"

namespace volley::tools {
namespace {

using nlohmann::json;

constexpr absl::Duration kEvery = absl::Seconds(1);
constexpr size_t kShownLanes = 30;

struct TopFlags {
  std::string campaign, lane;
  std::string state_dir = "volley-state";
  bool json = false, once = false;
};

// The answer of whoever sends the campaign; NotFound: nobody does.
absl::StatusOr<json> Ask(const std::string& folder, std::string_view request) {
  const auto answer = pipeline::AskControlSocket(folder, request);
  if (!answer.ok()) return answer.status();
  json parsed = json::parse(*answer, nullptr, false);
  if (!parsed.is_object() || parsed.contains("error")) {
    return absl::InternalError(fmt::format(
        "the process that sends it is of another volley and said {}", Printable(*answer)));
  }
  return parsed;
}

absl::Status NobodySends(const std::string& campaign) {
  return absl::FailedPreconditionError(
      fmt::format("{}: no process is sending it; volley status says where it stands, volley report "
                  "what became of it",
                  campaign));
}

std::string Text(const json& of, const char* key) {
  const auto found = of.find(key);
  return found != of.end() && found->is_string() ? Printable(found->get<std::string>()) : "";
}

uint64_t Number(const json& of, const char* key) {
  const auto found = of.find(key);
  return found != of.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string Cut(std::string text, size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

// "3 of 5", "1 of 2 (5)" where five are configured.
std::string Connections(const json& lane) {
  if (!lane.contains("connections")) return "";
  const uint64_t now = Number(lane, "connections");
  const uint64_t configured = Number(lane, "connections_configured");
  std::string text = fmt::format("{} of {}", Number(lane, "sessions"), now);
  return now == configured ? text : text + fmt::format(" ({})", configured);
}

void PrintLanes(const json& all) {
  const auto lanes = all.find("lanes");
  if (lanes == all.end() || lanes->empty()) return;
  fmt::print("\n{:<34}{:>12}{:>16}{:>14}  {}\n", "lane", "waiting", "connections", "rate", "why");
  size_t shown = 0;
  for (const json& lane : *lanes) {
    if (++shown > kShownLanes) break;
    std::string why = Text(lane, "why");
    if (const uint64_t s = Number(lane, "paused_s")) {
      why = fmt::format("for {} {}", FormatSpan(absl::Seconds(s)), why);
    }
    fmt::print("{:<34}{:>12}{:>16}{:>14}  {}\n", Cut(Text(lane, "name"), 33),
               Grouped(Number(lane, "waiting") + Number(lane, "with_shards")), Connections(lane),
               Text(lane, "rate"), why);
  }
  if (Number(all, "lanes_total") > kShownLanes) {
    fmt::print("and {} more\n", Grouped(Number(all, "lanes_total") - kShownLanes));
  }
}

void Print(const json& all, double rate) {
  fmt::print("{}: {}, {} sessions", Text(all, "campaign"), Text(all, "state"),
             Grouped(Number(all, "sessions")));
  if (rate >= 0) fmt::print(", {:.0f} delivered a second", rate);
  if (const std::string held = Text(all, "held_by"); !held.empty()) {
    fmt::print(", held by {}", held);
  }
  fmt::print("\n  {} recipients: {} left, {} delivered, {} bounced, {} deferred\n",
             Grouped(Number(all, "recipients")), Grouped(Number(all, "left")),
             Grouped(Number(all, "delivered")), Grouped(Number(all, "bounced")),
             Grouped(Number(all, "deferred")));
  PrintLanes(all);
}

int Top(const TopFlags& flags) {
  const auto folder = CampaignFolder(flags.state_dir, flags.campaign);
  if (!folder.ok()) return ReportError(folder.status());
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  uint64_t delivered = 0;
  absl::Time last = absl::InfinitePast();
  for (bool first = true;; first = false) {
    const auto all = Ask(*folder, pipeline::kAskLanes);
    if (absl::IsNotFound(all.status())) {
      if (first) return ReportError(NobodySends(flags.campaign));
      fmt::print("{}: nobody sends it any more\n", flags.campaign);
      return 0;
    }
    if (!all.ok()) return ReportError(all.status());
    const absl::Time now = absl::Now();
    const uint64_t count = Number(*all, "delivered");
    const double rate =
        first ? -1 : static_cast<double>(count - delivered) / absl::ToDoubleSeconds(now - last);
    delivered = count;
    last = now;
    if (flags.json) {
      fmt::print("{}\n", all->dump());
    } else {
      if (terminal && !flags.once) fmt::print("\x1b[H\x1b[2J");
      Print(*all, rate);
    }
    std::fflush(stdout);
    if (flags.once) return 0;
    absl::SleepFor(kEvery);
  }
}

int Undo(const TopFlags& flags) {
  const auto folder = CampaignFolder(flags.state_dir, flags.campaign);
  if (!folder.ok()) return ReportError(folder.status());
  if (flags.lane.find_first_of("\r\n") != std::string::npos) {
    return ReportError(absl::InvalidArgumentError("a lane's name has no line ends"));
  }
  const auto answer = Ask(*folder, fmt::format("{}{}", pipeline::kAskUndo, flags.lane));
  if (absl::IsNotFound(answer.status())) return ReportError(NobodySends(flags.campaign));
  if (!answer.ok()) return ReportError(answer.status());
  const uint64_t undone = Number(*answer, "undone");
  if (flags.json) {
    fmt::print("{}\n", answer->dump());
  } else if (undone > 0) {
    fmt::print("{} lanes are as configured again\n", undone);
  } else {
    fmt::print("{}: none of that name is changed; volley top {} --once lists the lanes\n",
               Printable(flags.lane), flags.campaign);
  }
  return undone > 0 ? 0 : 1;
}

CLI::App* AddOne(CLI::App& app, const std::string& name, const std::string& what,
                 const std::shared_ptr<TopFlags>& flags) {
  CLI::App* command = app.add_subcommand(name, what);
  command->add_option("campaign", flags->campaign, "Name of the campaign, or of its folder")
      ->required();
  command->add_option("--state", flags->state_dir, "State directory (volley-state)");
  return command;
}

}  // namespace

void AddTopCommands(CLI::App& app, int* exit_code) {
  const auto flags = std::make_shared<TopFlags>();
  CLI::App* top = AddOne(app, "top", "Watch the lanes of a campaign that is being sent", flags);
  top->add_flag("--once", flags->once, "Say it once, and end");
  top->add_flag("--json", flags->json, "One JSON object a line");
  top->footer(
      "What waits for each provider, its connections (in use, allowed, configured), its rate, and "
      "why it waits.\nA pause or a lower limit names what the server said; volley undo takes it "
      "back.\n\nExamples:\n  volley top newsletter\n  volley top newsletter --once --json | jq "
      "'.lanes[] | select(.why != \"\")'\n\nExit code: 0, or 2 when nobody sends the campaign.");
  top->callback([flags, exit_code] { *exit_code = Top(*flags); });

  CLI::App* undo =
      AddOne(app, "undo", "Put limits back that were changed by what a server said", flags);
  undo->add_option("lane", flags->lane, "Name of the lane or of its provider, or all")->required();
  undo->add_flag("--json", flags->json, "One JSON object");
  undo->footer(
      "Connections, rate and pause are as configured again at once. If the server says the same "
      "again, they\nchange again.\n\nExamples:\n  volley undo newsletter google\n  volley undo "
      "newsletter all\n\nExit code: 0, 1 when no such lane was changed, 2 when nobody sends the "
      "campaign.");
  undo->callback([flags, exit_code] { *exit_code = Undo(*flags); });
}

}  // namespace volley::tools
