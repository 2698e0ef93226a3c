#include "tools/volley/send_summary.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tools/volley/preflight.h"
#include "tools/volley/progress.h"

namespace volley::tools {
namespace {

using pipeline::Outcome;

double CpuSeconds() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void PrintReasons(const pipeline::RunResult& r) {
  if (r.reasons.empty()) return;
  fmt::print("not delivered, by reason:\n");
  for (const auto& reason : r.reasons) {
    fmt::print("  {:>8}  {:<9}  {}\n", Grouped(reason.count), OutcomeName(reason.outcome),
               reason.sample);
  }
  fmt::print("  all of them: {}\n", r.undelivered_path);
}

nlohmann::ordered_json RelaysJson(const pipeline::RunResult& r) {
  auto list = nlohmann::ordered_json::array();
  for (const pipeline::RelayResult& relay : r.relays) {
    const pipeline::LaneStats& s = relay.stats;
    nlohmann::ordered_json out = {{"name", relay.name},       {"weight", relay.weight},
                                  {"delivered", s.delivered}, {"sessions", s.sessions},
                                  {"tls", nullptr},           {"cipher", nullptr},
                                  {"verified", nullptr},      {"handshakes", s.handshakes},
                                  {"resumed", s.resumed},     {"auth", nullptr}};
    if (s.tls) {
      out["tls"] = s.tls->version;
      out["cipher"] = s.tls->cipher;
      out["verified"] = s.tls->verified;
    }
    if (s.auth) out["auth"] = engine::sasl::MechanismName(*s.auth);
    list.push_back(std::move(out));
  }
  return list;
}

// "by smtp.example.org: 900 delivered over TLSv1.3, verified, SCRAM-SHA-256": where there is more
// to say than "in clear to the only relay".
void PrintRelays(const pipeline::RunResult& r) {
  for (const pipeline::RelayResult& relay : r.relays) {
    const pipeline::LaneStats& s = relay.stats;
    if (r.relays.size() == 1 && !s.tls && !s.auth) continue;
    std::string how = s.tls ? fmt::format("{} {}, certificate {}", s.tls->version, s.tls->cipher,
                                          s.tls->verified ? "verified" : "not verified")
                            : "no TLS";
    if (s.tls && s.handshakes > 1) {
      how += fmt::format(", {} of {} sessions resumed", Grouped(s.resumed), Grouped(s.handshakes));
    }
    if (s.auth) how += fmt::format(", log-in {}", engine::sasl::MechanismName(*s.auth));
    fmt::print("  by {}: {} delivered; {}\n", relay.name, Grouped(s.delivered), how);
  }
}

}  // namespace

uint64_t Sent(const pipeline::RunResult& r) {
  return r.final.count(Outcome::kDelivered) - r.delivered_before;
}

Totals MakeTotals(const pipeline::Campaign& campaign, const pipeline::RunResult& r, uint64_t sent) {
  Totals t{};
  // Those who were not admitted are recipients that the run never saw.
  t.recipients = r.final.recipients + campaign.import().suppressed;
  t.delivered = r.final.count(Outcome::kDelivered);
  t.bounced = r.final.count(Outcome::kBounced);
  t.deferred = r.final.count(Outcome::kDeferred);
  t.uncertain = r.final.count(Outcome::kUncertain);
  t.suppressed = campaign.import().suppressed + r.final.count(Outcome::kSuppressed);
  t.rejected = campaign.import().rejected + r.final.count(Outcome::kUnrenderable);
  t.left = r.final.recipients - r.final.settled();
  t.elapsed_s = absl::ToDoubleSeconds(r.final.elapsed);
  t.messages_per_s = t.elapsed_s > 0 ? static_cast<double>(Sent(r)) / t.elapsed_s : 0;
  t.cpu_us_per_message = sent == 0 ? 0 : CpuSeconds() * 1e6 / static_cast<double>(sent);
  return t;
}

void PrintSummaryJson(const pipeline::Campaign& campaign, const pipeline::RunResult& r,
                      const Totals& t, const pipeline::PreflightResult& preflight) {
  const nlohmann::ordered_json out = {{"campaign", campaign.id()},
                                      {"recipients", t.recipients},
                                      {"delivered", t.delivered},
                                      {"bounced", t.bounced},
                                      {"deferred", t.deferred},
                                      {"suppressed", t.suppressed},
                                      {"rejected", t.rejected},
                                      {"uncertain", t.uncertain},
                                      {"cancelled", r.final.count(Outcome::kCancelled)},
                                      {"duplicates", campaign.import().duplicates},
                                      {"left", t.left},
                                      {"resumed_after", r.resumed_after},
                                      {"found_uncertain", r.found_uncertain},
                                      {"sent_again", r.sent_again},
                                      {"suppressed_by_bounces", r.suppressed_by_bounces},
                                      {"breaker", r.breaker},
                                      {"elapsed_s", t.elapsed_s},
                                      {"messages_per_s", t.messages_per_s},
                                      {"cpu_us_per_message", t.cpu_us_per_message},
                                      {"relays", RelaysJson(r)},
                                      {"preflight", PreflightJson(preflight)}};
  fmt::print("{}\n", out.dump());
}

void PrintSummary(const pipeline::Campaign& campaign, const pipeline::RunResult& r,
                  const Totals& t) {
  const auto& import = campaign.import();
  const std::string format = import.format.empty() ? "" : fmt::format(" ({})", import.format);
  fmt::print("campaign {}: {} recipients{}\n", campaign.id(), Grouped(t.recipients), format);
  if (r.resumed_after > 0) {
    fmt::print("  {} of them were settled by earlier runs\n", Grouped(r.resumed_after));
  }
  if (r.found_uncertain > 0) {
    fmt::print("  {} were on their way when an earlier run was broken off: they may have arrived\n",
               Grouped(r.found_uncertain));
  }
  if (r.sent_again > 0) {
    fmt::print("  {} were sent again although they may have arrived before\n",
               Grouped(r.sent_again));
  }
  fmt::print("  delivered {}   bounced {}   deferred {}   uncertain {}   suppressed {}\n",
             Grouped(t.delivered), Grouped(t.bounced), Grouped(t.deferred), Grouped(t.uncertain),
             Grouped(t.suppressed));
  if (import.rejected + import.duplicates > 0) {
    fmt::print("  left out of the list: {} rejected, {} duplicates: {}/rejected.csv\n",
               Grouped(import.rejected), Grouped(import.duplicates), campaign.dir());
    for (const std::string& line : import.rejected_samples) fmt::print("    {}\n", line);
  }
  for (const std::string& note : import.notes) fmt::print("  {}\n", note);
  if (r.nothing_to_do) {
    fmt::print("  nobody is left to be mailed. For something new give it another --name\n");
  } else {
    fmt::print("  {:.2f} s, {} messages a second, {:.1f} us CPU a message ({})\n", t.elapsed_s,
               Grouped(static_cast<uint64_t>(t.messages_per_s)), t.cpu_us_per_message, r.backend);
  }
  PrintRelays(r);
  PrintReasons(r);
  if (const uint64_t rows = r.final.count(Outcome::kUnrenderable); rows > 0) {
    fmt::print(
        "  rows no message could be made of, with their lines in the list: {}/rejected.csv\n",
        campaign.dir());
  }
  if (r.suppressed_by_bounces > 0) {
    fmt::print("  {} addresses that bounced are on the suppression list now\n",
               Grouped(r.suppressed_by_bounces));
  }
  if (const uint64_t n = r.final.count(Outcome::kCancelled)) {
    fmt::print("  cancelled {}\n", Grouped(n));
  }
  if (r.schedule_over) fmt::print("stopped: the schedule's not_after has come\n");
  if (r.too_many_render_failures) {
    fmt::print("stopped: more copies could not be made than --max-render-failures allows\n");
  }
  if (!r.breaker.empty()) {
    fmt::print(
        "stopped by the breaker: {}\n"
        "  volley report {} shows the replies; mend what they say, then send again. --breaker off "
        "goes on regardless\n",
        r.breaker, campaign.id());
  }
  if (t.left > 0) {
    fmt::print(
        "stopped: {} recipients are left and were not tried; the same command goes on with "
        "them\n",
        Grouped(t.left));
  }
}

}  // namespace volley::tools
