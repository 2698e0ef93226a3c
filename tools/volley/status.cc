#include "tools/volley/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/control/control_socket.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/shard/campaign_status.h"
#include "pipeline/shard/runner.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/campaign_folder.h"
#include "tools/volley/progress.h"

namespace volley::tools {
namespace {

namespace fs = std::filesystem;
using pipeline::CampaignStatus;
using pipeline::Outcome;

struct StatusFlags {
  std::string campaign;  // its name or id; empty: all
  std::string state_dir = "volley-state";
  bool json = false;
};

// Whoever sends it is asked; when nobody does, the ledger.
absl::StatusOr<CampaignStatus> Ask(const std::string& folder, std::string_view request) {
  auto answer = pipeline::AskControlSocket(folder, request);
  if (answer.ok()) return pipeline::ParseCampaignStatus(*answer);
  if (!absl::IsNotFound(answer.status()) || request != pipeline::kAskStatus) {
    return answer.status();
  }
  auto ledger = pipeline::Ledger::OpenToRead(folder + "/ledger.bin");
  if (!ledger.ok()) return ledger.status();
  return pipeline::StatusOf(fs::path(folder).filename().string(), **ledger);
}

void Print(const CampaignStatus& s) {
  std::string how = s.state;
  if (s.pid != 0) how += fmt::format(", process {}, {} sessions", s.pid, s.sessions);
  if (s.next_try != absl::InfiniteFuture()) {
    how += fmt::format(", next try in {}",
                       FormatSpan(std::max(absl::Seconds(1), s.next_try - absl::Now())));
  }
  if (!s.held_by.empty()) how += fmt::format(", held by {}", s.held_by);
  fmt::print("{}: {}\n", s.campaign, how);
  fmt::print("  {} recipients: {} left", Grouped(s.recipients), Grouped(s.left));
  for (size_t i = 0; i < pipeline::kOutcomes; ++i) {
    if (s.counts[i] == 0) continue;
    fmt::print(", {} {}", Grouped(s.counts[i]), OutcomeName(static_cast<Outcome>(i)));
  }
  fmt::print("\n");
  if (s.state == "stopped") fmt::print("  the same volley send goes on with it\n");
}

void Show(const CampaignStatus& status, bool json) {
  if (json) {
    fmt::print("{}\n", pipeline::ToJson(status));
  } else {
    Print(status);
  }
}

int ShowStatus(const StatusFlags& flags) {
  std::vector<std::string> folders;
  if (flags.campaign.empty()) {
    folders = CampaignFolders(flags.state_dir);
    if (folders.empty() && !flags.json) fmt::print("no campaigns in {}\n", flags.state_dir);
  } else {
    auto folder = CampaignFolder(flags.state_dir, flags.campaign);
    if (!folder.ok()) return ReportError(folder.status());
    folders.push_back(*std::move(folder));
  }
  int exit_code = 0;
  for (const std::string& folder : folders) {
    const auto status = Ask(folder, pipeline::kAskStatus);
    if (status.ok()) {
      Show(*status, flags.json);
    } else {
      exit_code = ReportError(status.status());
    }
  }
  return exit_code;
}

int Command(const StatusFlags& flags, std::string_view request) {
  const auto folder = CampaignFolder(flags.state_dir, flags.campaign);
  if (!folder.ok()) return ReportError(folder.status());
  const auto status = Ask(*folder, request);
  if (absl::IsNotFound(status.status())) {
    return ReportError(absl::FailedPreconditionError(fmt::format(
        "{}: no process is sending it, so there is nothing to {}", flags.campaign, request)));
  }
  if (!status.ok()) return ReportError(status.status());
  Show(*status, flags.json);
  return 0;
}

// Also of a campaign that nobody sends: the ledger's lock keeps others out meanwhile.
int Cancel(const StatusFlags& flags) {
  const auto folder = CampaignFolder(flags.state_dir, flags.campaign);
  if (!folder.ok()) return ReportError(folder.status());
  const auto asked = Ask(*folder, pipeline::kAskCancel);
  if (asked.ok()) {
    Show(*asked, flags.json);
    return 0;
  }
  if (!absl::IsNotFound(asked.status())) return ReportError(asked.status());
  auto list = pipeline::RecipientFile::Open(*folder + "/recipients.bin");
  if (!list.ok()) return ReportError(list.status());
  auto ledger =
      pipeline::Ledger::Open(*folder + "/ledger.bin", {(*list)->count(), (*list)->checksum()});
  if (!ledger.ok()) return ReportError(ledger.status());
  pipeline::CancelRest(ledger->get());
  if (absl::Status s = (*ledger)->Sync(); !s.ok()) return ReportError(s);
  Show(pipeline::StatusOf(fs::path(*folder).filename().string(), **ledger), flags.json);
  return 0;
}

CLI::App* AddOne(CLI::App& app, const std::string& name, const std::string& what,
                 const std::shared_ptr<StatusFlags>& flags) {
  CLI::App* command = app.add_subcommand(name, what);
  CLI::Option* campaign =
      command->add_option("campaign", flags->campaign, "Name of the campaign, or of its folder");
  if (name != "status") campaign->required();
  command->add_option("--state", flags->state_dir, "State directory (volley-state)");
  command->add_flag("--json", flags->json, "One JSON object a line");
  return command;
}

}  // namespace

void AddStatusCommands(CLI::App& app, int* exit_code) {
  const auto flags = std::make_shared<StatusFlags>();
  CLI::App* status = AddOne(app, "status", "Say where campaigns stand", flags);
  status->footer(
      "Examples:\n  volley status\n  volley status newsletter --json\n\nExit code: 0, or 2 when "
      "there is no such campaign.");
  status->callback([flags, exit_code] { *exit_code = ShowStatus(*flags); });

  CLI::App* pause = AddOne(app, "pause", "Hold a campaign that is being sent", flags);
  pause->footer(
      "What is on its way is finished, then nothing goes out until volley resume.\n\nExample: "
      "volley pause newsletter");
  pause->callback([flags, exit_code] { *exit_code = Command(*flags, pipeline::kAskPause); });

  CLI::App* resume = AddOne(app, "resume", "Let a campaign that was paused go on", flags);
  resume->footer(
      "A campaign that was stopped or killed goes on with the same volley send.\n\nExample: volley "
      "resume newsletter");
  resume->callback([flags, exit_code] { *exit_code = Command(*flags, pipeline::kAskResume); });

  CLI::App* cancel = AddOne(app, "cancel", "End a campaign for good", flags);
  cancel->footer(
      "What is on its way is finished; everybody who is left or deferred is counted as cancelled "
      "and never mailed by this campaign.\n\nExample: volley cancel newsletter");
  cancel->callback([flags, exit_code] { *exit_code = Cancel(*flags); });
}

}  // namespace volley::tools
