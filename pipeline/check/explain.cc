#include "pipeline/check/explain.h"

#include <fmt/format.h>

#include <algorithm>

namespace volley::pipeline {
namespace {

using engine::smtp::Capabilities;

constexpr size_t kNamesShown = 6;
constexpr size_t kMechanismsShown = 16;
constexpr int kRenewSoonDays = 14;

void AppendWord(std::string_view word, std::string* list) {
  if (!list->empty()) list->append(", ");
  list->append(word);
}

std::string SizeWords(uint64_t bytes) {
  if (bytes >= 1 << 20) return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
  if (bytes >= 1 << 10) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / (1 << 10));
  return fmt::format("{} bytes", bytes);
}

// What one connection carries when a message takes so many round trips.
std::string Rate(absl::Duration round_trip, int round_trips) {
  const double seconds = absl::ToDoubleSeconds(round_trip) * round_trips;
  if (seconds < 0.001) return "";  // the network is not what limits it
  return fmt::format(", at {} each about {:.0f} messages/s on a connection", ShortTime(round_trip),
                     std::max(1.0, 1.0 / seconds));
}

std::string LimitWords(const Capabilities& c) {
  std::string words;
  if (c.mail_max) AppendWord(fmt::format("MAILMAX={}", *c.mail_max), &words);
  if (c.rcpt_max) AppendWord(fmt::format("RCPTMAX={}", *c.rcpt_max), &words);
  if (c.rcpt_domain_max) AppendWord(fmt::format("RCPTDOMAINMAX={}", *c.rcpt_domain_max), &words);
  return words;
}

std::string MechanismWords(const Capabilities& c, const ShownText& shown) {
  std::string words;
  for (size_t i = 0; i < c.auth.size() && i < kMechanismsShown; ++i) {
    words += " " + shown(c.auth[i]);
  }
  if (c.auth.size() > kMechanismsShown) words += " ...";
  return words;
}

// RFC 9422: what each limit means for a run.
void ExplainLimits(const Capabilities& c, std::vector<std::string>* lines) {
  if (c.mail_max) {
    lines->push_back(
        fmt::format("LIMITS MAILMAX={}: volley opens a new connection after each {} messages",
                    *c.mail_max, *c.mail_max));
  }
  if (c.rcpt_max) {
    lines->push_back(fmt::format(
        "LIMITS RCPTMAX={}: at most {} recipients a message (volley sends each its own)",
        *c.rcpt_max, *c.rcpt_max));
  }
  if (c.rcpt_domain_max) {
    lines->push_back(fmt::format(
        "LIMITS RCPTDOMAINMAX={}: a connection serves at most {} recipient domains: many "
        "reconnects for a mixed list",
        *c.rcpt_domain_max, *c.rcpt_domain_max));
  }
}

std::string CertificateNames(const io::TlsInfo& info) {
  std::string names;
  for (size_t i = 0; i < info.peer_names.size() && i < kNamesShown; ++i) {
    AppendWord(info.peer_names[i], &names);
  }
  if (info.peer_names.size() > kNamesShown || info.more_names) AppendWord("...", &names);
  return names.empty() ? fmt::format("no names, subject {}", info.subject) : names;
}

std::string ValidityWords(const io::TlsInfo& info, absl::Time now) {
  const std::string end = absl::FormatTime("%Y-%m-%d", info.not_after, absl::UTCTimeZone());
  const int64_t days = absl::ToInt64Hours(info.not_after - now) / 24;
  if (info.not_after <= now) return fmt::format("expired on {}", end);
  return fmt::format("valid until {}, {} days left{}", end, days,
                     days < kRenewSoonDays ? ": to be renewed soon" : "");
}

}  // namespace

std::string ShortTime(absl::Duration time) {
  const double ms = absl::ToDoubleMilliseconds(time);
  return ms < 1000 ? fmt::format("{:.1f} ms", ms) : fmt::format("{:.2f} s", ms / 1000);
}

std::string ListCapabilities(const Capabilities& c, const ShownText& shown) {
  std::string list;
  if (c.pipelining) AppendWord("PIPELINING", &list);
  if (c.chunking) AppendWord("CHUNKING", &list);
  if (c.binarymime) AppendWord("BINARYMIME", &list);
  if (c.size) {
    AppendWord(c.size_max == 0 ? "SIZE" : fmt::format("SIZE {}", c.size_max), &list);
  }
  if (c.eight_bit_mime) AppendWord("8BITMIME", &list);
  if (c.smtputf8) AppendWord("SMTPUTF8", &list);
  if (c.dsn) AppendWord("DSN", &list);
  if (c.enhanced_status_codes) AppendWord("ENHANCEDSTATUSCODES", &list);
  if (const std::string limits = LimitWords(c); !limits.empty())
    AppendWord("LIMITS " + limits, &list);
  if (c.starttls) AppendWord("STARTTLS", &list);
  if (c.requiretls) AppendWord("REQUIRETLS", &list);
  if (!c.auth.empty()) AppendWord("AUTH" + MechanismWords(c, shown), &list);
  return list.empty() ? "nothing" : list;
}

std::vector<std::string> ExplainCapabilities(const Capabilities& c, absl::Duration round_trip) {
  std::vector<std::string> lines;
  lines.push_back(c.pipelining
                      ? "PIPELINING: a message costs one round trip" + Rate(round_trip, 1)
                      : "no PIPELINING: a message costs five round trips" + Rate(round_trip, 5));
  lines.push_back(c.chunking ? "CHUNKING: content goes by BDAT, unchanged and without a search for "
                               "dots"
                             : "no CHUNKING: content goes by DATA, its dots are doubled");
  if (c.size && c.size_max != 0) {
    lines.push_back(fmt::format("SIZE {}: messages over {} are refused before they are sent",
                                c.size_max, SizeWords(c.size_max)));
  } else {
    lines.push_back(
        "no SIZE limit is told: a message that is too big is refused after it was sent");
  }
  if (!c.eight_bit_mime) lines.push_back("no 8BITMIME: content with 8-bit bytes cannot be sent");
  lines.push_back(c.smtputf8 ? "SMTPUTF8: addresses like jürgen@example.org can be mailed"
                             : "no SMTPUTF8: addresses that are not ASCII before the @ cannot be "
                               "mailed");
  ExplainLimits(c, &lines);
  if (c.dsn) lines.push_back("DSN: the server can report delivery and delay by mail");
  return lines;
}

std::vector<std::string> ExplainTls(const io::TlsInfo& info, absl::Time now) {
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{}, {}{}", info.version, info.cipher,
                              info.key_exchange.empty() ? "" : ", " + info.key_exchange));
  if (info.subject.empty() && info.peer_names.empty()) return lines;
  lines.push_back("certificate for " + CertificateNames(info));
  lines.push_back(fmt::format("issued by {}; {}", info.issuer, ValidityWords(info, now)));
  lines.push_back(info.verified ? "verified: chain and name"
                                : fmt::format("not verified: {}", info.why_not_verified));
  return lines;
}

}  // namespace volley::pipeline
