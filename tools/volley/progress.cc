#include "tools/volley/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/time/clock.h"

namespace volley::tools {
namespace {

constexpr absl::Duration kPlainLineEvery = absl::Seconds(5);
constexpr double kSmoothing = 0.2;  // weight of the newest reading in the rate

std::string Share(uint64_t bytes, uint64_t total_bytes) {
  if (total_bytes == 0) return "";
  return fmt::format(" ({:.0f} %)",
                     100.0 * static_cast<double>(bytes) / static_cast<double>(total_bytes));
}

}  // namespace

std::string Grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (ptrdiff_t i = static_cast<ptrdiff_t>(digits.size()) - 3; i > 0; i -= 3) {
    digits.insert(static_cast<size_t>(i), ",");
  }
  return digits;
}

std::string FormatSpan(absl::Duration span) {
  const int64_t s = absl::ToInt64Seconds(absl::Ceil(span, absl::Seconds(1)));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

Progress::Progress(bool enabled) : enabled_(enabled), terminal_(isatty(STDERR_FILENO) == 1) {
  // The first plain line comes after an interval: short runs print none.
  last_shown_ = io::MonotonicNow();
}

void Progress::Show(const std::string& line) {
  if (!enabled_) return;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    shown_ = true;
    return;
  }
  const io::MonoTime now = io::MonotonicNow();
  if (now - last_shown_ < kPlainLineEvery) return;
  last_shown_ = now;
  std::fprintf(stderr, "%s\n", line.c_str());
}

void Progress::Clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

void Progress::Notice(const std::string& text) {
  Clear();
  std::fprintf(stderr, "%s\n", text.c_str());
}

void Progress::Importing(uint64_t rows, uint64_t bytes, uint64_t total_bytes) {
  Show(fmt::format("reading the list: {} rows{}", Grouped(rows), Share(bytes, total_bytes)));
}

void Progress::Suppressing(uint64_t rows, uint64_t written, uint64_t bytes, uint64_t total_bytes) {
  Show(fmt::format("{} rows read{}, {} of them stored", Grouped(rows), Share(bytes, total_bytes),
                   Grouped(written)));
}

void Progress::Step(std::string_view what, uint64_t done, uint64_t total) {
  Show(fmt::format("{}: {}{}", what, Grouped(done), Share(done, total)));
}

void Progress::Sending(const pipeline::RunProgress& p) {
  using pipeline::Outcome;
  const io::MonoTime now = io::MonotonicNow();
  const uint64_t settled = p.settled();
  const double seconds = absl::ToDoubleSeconds(now - last_sending_);
  const double current = static_cast<double>(settled - last_settled_) / seconds;
  rate_ = last_settled_ == 0 ? current : rate_ + kSmoothing * (current - rate_);
  last_sending_ = now;
  last_settled_ = settled;
  std::string line = fmt::format("{} of {}", Grouped(settled), Grouped(p.recipients));
  if (p.recipients > 0) line += fmt::format(" ({} %)", 100 * settled / p.recipients);
  if (p.next_try != absl::InfiniteFuture()) {
    line += fmt::format("  next try in {}",
                        FormatSpan(std::max(absl::Seconds(1), p.next_try - absl::Now())));
  } else {
    line += fmt::format("  {}/s", Grouped(static_cast<uint64_t>(rate_)));
  }
  if (rate_ >= 1) {
    line += fmt::format(
        "  ETA {}", FormatSpan(absl::Seconds(static_cast<double>(p.recipients - settled) / rate_)));
  }
  line += fmt::format("  {} sessions  {} deferred  {} failed", p.sessions_open,
                      Grouped(p.count(Outcome::kDeferred)), Grouped(p.count(Outcome::kBounced)));
  if (p.paused) line += "  paused";
  if (!p.held_by.empty()) line += fmt::format("  held by {}", p.held_by);
  if (const uint64_t n = p.count(Outcome::kUncertain)) line += fmt::format("  {} uncertain", n);
  Show(line);
}

}  // namespace volley::tools
