#include "tools/volley/campaign_flags.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace volley::tools {

namespace {

void AddComplianceFlags(CLI::App* command, CampaignFlags* flags) {
  pipeline::CampaignDefinition& d = flags->over;
  const auto group = "Consent and signatures";
  command
      ->add_option("--unsubscribe-url", d.unsubscribe.url,
                   "Where one click unsubscribes: https://example.org/u/ or with {{token}} in it")
      ->group(group);
  command
      ->add_option("--unsubscribe-mailto", d.unsubscribe.mailto,
                   "Mailbox that takes mails for unsubscribing")
      ->group(group);
  command
      ->add_option("--unsubscribe-key", d.unsubscribe.key_path,
                   "Key file of the tokens (STATE/unsubscribe.key, made when it is not there)")
      ->group(group);
  command->add_option("--list-id", d.unsubscribe.list_id, "List-Id: 'News <news.example.org>'")
      ->group(group);
  command
      ->add_option("--bounces", d.bounces,
                   "Mailbox for bounces; each copy gets its own bounces+TOKEN@...")
      ->group(group);
  command->add_option("--dkim", flags->dkim, "Signature: SELECTOR:DOMAIN:KEYFILE; may be repeated")
      ->allow_extra_args(false)
      ->group(group);
}

}  // namespace

void AddCampaignFlags(CLI::App* command, CampaignFlags* flags) {
  pipeline::CampaignDefinition& d = flags->over;
  command->add_option("CAMPAIGN", flags->file, "Campaign file (TOML); flags win over it");
  const auto group = "What to send";
  command->add_option("--from", d.from, "Sender: 'Ann Example <ann@example.org>'")->group(group);
  command->add_option("--to", d.recipients_path, "Recipient list: CSV or JSON Lines; - is stdin")
      ->group(group);
  command->add_option("--subject", d.subject, "Subject (Mustache)")->group(group);
  command->add_option("--text", d.text_path, "File with the plain text part (Mustache)")
      ->group(group);
  command->add_option("--html", d.html_path, "File with the HTML part (Mustache)")->group(group);
  command->add_option("--amp", d.amp_path, "File with the AMP part (Mustache)")->group(group);
  command
      ->add_option("--from-eml", d.eml_path,
                   "A finished message (RFC 5322) as the template, in place of the four above")
      ->group(group);
  command
      ->add_option("--attach", d.attachments.files,
                   "File attached to every message; may be repeated")
      ->allow_extra_args(false)
      ->group(group);
  command
      ->add_option("--inline", d.attachments.inline_files,
                   "Picture that the HTML part shows by <img src=\"cid:NAME\">; may be repeated")
      ->allow_extra_args(false)
      ->group(group);
  command->add_option("--reply-to", d.reply_to, "Reply-To address")->group(group);
  command->add_option("--to-name", d.to_name, "Display name in To (Mustache): '{{first_name}}'")
      ->group(group);
  command->add_option("--header", flags->headers, "Further header 'Name: value'; may be repeated")
      ->allow_extra_args(false)
      ->group(group);
  command->add_option("--name", d.name, "Name of the campaign")->group(group);
  command->add_option("--kind", d.kind, "bulk (default) or transactional")->group(group);
  command->add_option("--address-column", d.address_column, "Column of the list with the addresses")
      ->group(group);
  command->add_option("--limit", flags->limit, "Only the first N recipients")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  command->add_option("--state", flags->state_dir, "State directory (default ./volley-state)")
      ->group(group);
  AddComplianceFlags(command, flags);
}

namespace {

absl::Status AddLimit(std::string_view flag, const std::string& text,
                      absl::Status (*check)(const pipeline::RateSpec&),
                      std::optional<pipeline::RateSpec>* limit) {
  if (text.empty()) return absl::OkStatus();
  const auto rate = pipeline::ParseRate(text);
  const absl::Status status = rate.ok() ? check(*rate) : rate.status();
  if (!status.ok()) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", flag, std::string(status.message())));
  }
  *limit = *rate;
  return absl::OkStatus();
}

// SELECTOR:DOMAIN:FILE; the file's name may have colons.
absl::Status AddDkim(const std::vector<std::string>& given, pipeline::CampaignDefinition* d) {
  for (const std::string& text : given) {
    const size_t first = text.find(':');
    const size_t second = first == std::string::npos ? first : text.find(':', first + 1);
    if (second == std::string::npos || second + 1 == text.size()) {
      return absl::InvalidArgumentError(
          fmt::format("--dkim \"{}\": write it as SELECTOR:DOMAIN:KEYFILE", text));
    }
    d->dkim.push_back({text.substr(first + 1, second - first - 1), text.substr(0, first),
                       text.substr(second + 1)});
  }
  return absl::OkStatus();
}

absl::Status AddHeaders(const std::vector<std::string>& lines, pipeline::CampaignDefinition* d) {
  for (const std::string& line : lines) {
    const size_t colon = line.find(':');
    if (colon == 0 || colon == std::string::npos) {
      return absl::InvalidArgumentError(
          fmt::format("--header \"{}\": write it as 'Name: value'", line));
    }
    std::string value = line.substr(colon + 1);
    absl::StripAsciiWhitespace(&value);
    d->headers.emplace_back(line.substr(0, colon), value);
  }
  return absl::OkStatus();
}

bool Given(const CLI::App& command, const char* flag) {
  const CLI::Option* option = command.get_option_no_throw(flag);
  return option != nullptr && option->count() > 0;
}

std::string NameFromTime() {
  return absl::FormatTime("send-%Y%m%d-%H%M%S", absl::Now(), absl::LocalTimeZone()) +
         fmt::format("-{}", getpid());
}

}  // namespace

absl::StatusOr<pipeline::CampaignDefinition> ReadDefinition(const CLI::App& command,
                                                            const CampaignFlags& flags) {
  pipeline::CampaignDefinition base;
  if (!flags.file.empty()) {
    auto loaded = pipeline::LoadCampaignFile(flags.file);
    if (!loaded.ok()) return loaded.status();
    base = *std::move(loaded);
  }
  pipeline::CampaignDefinition over = flags.over;
  if (Given(command, "--connections")) over.connections = flags.connections;
  if (Given(command, "--messages-per-connection")) {
    over.messages_per_connection = flags.messages_per_connection;
  }
  if (absl::Status s = AddLimit("--rate", flags.rate, pipeline::CheckRate, &over.rate); !s.ok()) {
    return s;
  }
  if (absl::Status s = AddLimit("--quota", flags.quota, pipeline::CheckQuota, &over.quota);
      !s.ok()) {
    return s;
  }
  over.schedule.start = flags.start;
  over.schedule.not_after = flags.not_after;
  if (absl::Status s = AddHeaders(flags.headers, &over); !s.ok()) return s;
  if (absl::Status s = AddDkim(flags.dkim, &over); !s.ok()) return s;
  pipeline::CampaignDefinition d = pipeline::Overlay(base, over);
  ApplyRelayFlags(flags.relay, &d.relays);
  if (d.name.empty()) d.name = NameFromTime();
  return d;
}

int ReportError(const absl::Status& status) {
  std::fprintf(stderr, "error: %.*s\n", static_cast<int>(status.message().size()),
               status.message().data());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kPermissionDenied:  // a key others can read; a refresh token that is
                                               // over
    case absl::StatusCode::kDataLoss:          // a list or a ledger that is damaged
    case absl::StatusCode::kDeadlineExceeded:  // a command for a secret that hangs
      return 2;
    default:
      return 1;
  }
}

}  // namespace volley::tools
