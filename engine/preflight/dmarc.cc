#include "engine/preflight/dmarc.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

absl::Status BadValue(const Tag& tag, std::string_view allowed) {
  return absl::InvalidArgumentError(
      fmt::format("{}={} should be {}", tag.name, Shown(tag.value), allowed));
}

std::optional<DmarcPolicy> ReadPolicy(std::string_view value) {
  for (const DmarcPolicy policy :
       {DmarcPolicy::kNone, DmarcPolicy::kQuarantine, DmarcPolicy::kReject}) {
    if (EqualsNoCase(value, DmarcPolicyName(policy))) return policy;
  }
  return std::nullopt;
}

absl::Status ReadPolicyTag(const Tag& tag, DmarcPolicy* policy) {
  const auto read = ReadPolicy(tag.value);
  if (!read) return BadValue(tag, "none, quarantine or reject");
  *policy = *read;
  return absl::OkStatus();
}

absl::Status ReadAlignment(const Tag& tag, bool* strict) {
  if (!EqualsNoCase(tag.value, "r") && !EqualsNoCase(tag.value, "s")) {
    return BadValue(tag, "r or s");
  }
  *strict = EqualsNoCase(tag.value, "s");
  return absl::OkStatus();
}

absl::Status ReadPercent(const Tag& tag, int* percent) {
  const char* end = tag.value.data() + tag.value.size();
  const auto [at, error] = std::from_chars(tag.value.data(), end, *percent);
  if (error != std::errc() || at != end || *percent < 0 || *percent > 100) {
    return BadValue(tag, "a number from 0 to 100");
  }
  return absl::OkStatus();
}

absl::Status ReadReportUris(const Tag& tag) {
  for (const std::string_view uri : Split(tag.value, ',')) {
    const std::string_view text = Trim(uri);
    if (text.find(':') == text.npos || text.find_first_of(" \t") != text.npos) {
      return BadValue(tag, "URIs such as mailto:dmarc@example.org, separated by commas");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTag(const Tag& tag, DmarcRecord* record) {
  if (tag.name == "p") return ReadPolicyTag(tag, &record->policy);
  if (tag.name == "sp") return ReadPolicyTag(tag, &record->subdomain_policy);
  if (tag.name == "adkim") return ReadAlignment(tag, &record->strict_dkim);
  if (tag.name == "aspf") return ReadAlignment(tag, &record->strict_spf);
  if (tag.name == "pct") return ReadPercent(tag, &record->percent);
  if (tag.name == "rua") record->has_reports = true;
  if (tag.name == "rua" || tag.name == "ruf") return ReadReportUris(tag);
  return absl::OkStatus();
}

}  // namespace

std::string_view DmarcPolicyName(DmarcPolicy policy) {
  switch (policy) {
    case DmarcPolicy::kNone:
      return "none";
    case DmarcPolicy::kQuarantine:
      return "quarantine";
    case DmarcPolicy::kReject:
      return "reject";
  }
  return "none";
}

bool LooksLikeDmarc(std::string_view txt) {
  std::string_view text = Trim(txt);
  if (!StartsWithNoCase(text, "v")) return false;
  text = Trim(text.substr(1));
  if (!text.starts_with('=')) return false;
  return StartsWithNoCase(Trim(text.substr(1)), "DMARC");
}

absl::StatusOr<DmarcRecord> ParseDmarcRecord(std::string_view txt) {
  if (txt.size() > kDmarcRecordBytesMax) return absl::InvalidArgumentError("it is too long");
  const auto tags = ParseTagList(txt);
  if (!tags.ok()) return tags.status();
  // An empty tag in front would be passed over by the list, and is not by receivers.
  if (!LooksLikeDmarc(txt) || (*tags)[0].name != "v" || (*tags)[0].value != "DMARC1") {
    return absl::InvalidArgumentError("it does not begin with \"v=DMARC1;\"");
  }
  DmarcRecord record;
  const auto has = [&](std::string_view name) {
    return std::any_of(tags->begin(), tags->end(), [&](const Tag& t) { return t.name == name; });
  };
  if (!has("p")) return absl::InvalidArgumentError("it has no p= (none, quarantine or reject)");
  for (const Tag& tag : *tags) {
    if (absl::Status status = ReadTag(tag, &record); !status.ok()) return status;
  }
  if (!has("sp")) record.subdomain_policy = record.policy;
  return record;
}

}  // namespace volley::engine::preflight
