#include "tools/volley/preview.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <memory>
#include <string>

#include "pipeline/campaign/campaign.h"
#include "tools/volley/campaign_flags.h"

namespace volley::tools {
namespace {

using pipeline::Campaign;
using pipeline::RecipientRecord;

constexpr const char* kFooter =
    R"(A campaign that was sent is shown as it was sent, with its Date and Message-ID; one that was not
gets new ones each time.

Examples:
  volley preview newsletter.toml --recipient 1
  volley preview newsletter.toml --recipient ann@example.org | less)";

struct PreviewFlags {
  CampaignFlags campaign;
  std::string recipient = "1";
};

absl::StatusOr<std::unique_ptr<Campaign>> FindCampaign(const CLI::App& command,
                                                       const CampaignFlags& flags) {
  auto definition = ReadDefinition(command, flags);
  if (!definition.ok()) return definition.status();
  auto sent = Campaign::Open(flags.state_dir, pipeline::CampaignId(definition->name));
  if (sent.ok()) {
    fmt::print(stderr, "as sent on {}: {}\n", (*sent)->facts().date_rfc3339, (*sent)->dir());
    return sent;
  }
  if (!absl::IsNotFound(sent.status())) return sent.status();
  if (absl::Status s = CheckDefinition(*definition, false); !s.ok()) return s;
  pipeline::PrepareOptions prepare;
  prepare.limit = flags.limit;
  prepare.state_dir = flags.state_dir;  // for the key of unsubscribe tokens
  prepare.scratch = prepare.without_unsubscribe = true;
  return Campaign::Prepare(*definition, prepare);
}

absl::Status FindByNumber(const Campaign& campaign, uint64_t number, RecipientRecord* record) {
  const uint64_t count = campaign.recipients().count();
  if (number < 1 || number > count) {
    return absl::InvalidArgumentError(
        fmt::format("--recipient {}: the list has recipients 1 to {}", number, count));
  }
  auto offset = campaign.recipients().FindOffset(number - 1);
  if (!offset.ok()) return offset.status();
  return campaign.recipients().ReadAt(*offset, record).status();
}

absl::Status FindByAddress(const Campaign& campaign, const std::string& address,
                           RecipientRecord* record) {
  uint64_t offset = campaign.recipients().first_offset();
  for (uint64_t i = 0; i < campaign.recipients().count(); ++i) {
    auto next = campaign.recipients().ReadAt(offset, record);
    if (!next.ok()) return next.status();
    if (CLI::detail::to_lower(std::string(record->address)) == CLI::detail::to_lower(address)) {
      return absl::OkStatus();
    }
    offset = *next;
  }
  return absl::InvalidArgumentError(
      fmt::format("--recipient {}: no such address in the list (see rejected.csv?)", address));
}

int Preview(const CLI::App& command, const PreviewFlags& flags) {
  auto campaign = FindCampaign(command, flags.campaign);
  if (!campaign.ok()) return ReportError(campaign.status());
  uint64_t number = 0;
  const char* end = flags.recipient.data() + flags.recipient.size();
  const auto [parsed, error] = std::from_chars(flags.recipient.data(), end, number);
  RecipientRecord record;
  const absl::Status found = error == std::errc() && parsed == end
                                 ? FindByNumber(**campaign, number, &record)
                                 : FindByAddress(**campaign, flags.recipient, &record);
  if (!found.ok()) return ReportError(found);
  pipeline::CopyMaker maker(&(*campaign)->recipe());
  pipeline::Copy copy;
  if (absl::Status s = maker.Make(&record, &copy); !s.ok()) return ReportError(s);
  for (const iovec& piece : copy.message.pieces()) {
    std::fwrite(piece.iov_base, 1, piece.iov_len, stdout);
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace

void AddPreviewCommand(CLI::App& app, int* exit_code) {
  CLI::App* command =
      app.add_subcommand("preview", "Print the exact bytes that one recipient gets");
  command->footer(kFooter);
  auto flags = std::make_shared<PreviewFlags>();
  AddCampaignFlags(command, &flags->campaign);
  command->add_option("--recipient", flags->recipient,
                      "Which: a number from 1 on, or an address (1)");
  command->callback([command, flags, exit_code] { *exit_code = Preview(*command, *flags); });
}

}  // namespace volley::tools
