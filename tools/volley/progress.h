// Progress: what a person sees while a campaign or an import runs: one line that rewrites itself on
// a terminal, a plain line every few seconds elsewhere. On standard error, so that standard output
// stays clean.
#ifndef VOLLEY_TOOLS_VOLLEY_PROGRESS_H_
#define VOLLEY_TOOLS_VOLLEY_PROGRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "io/base/time.h"
#include "pipeline/shard/runner.h"

namespace volley::tools {

class Progress {
 public:
  explicit Progress(bool enabled);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Importing(uint64_t rows, uint64_t bytes, uint64_t total_bytes);
  // An import into the suppression list.
  void Suppressing(uint64_t rows, uint64_t written, uint64_t bytes, uint64_t total_bytes);
  void Sending(const pipeline::RunProgress& progress);
  void Step(std::string_view what, uint64_t done, uint64_t total);  // of anything else
  void Notice(const std::string& text);  // a line that stays, also when progress is off
  void Clear();                          // takes the rewriting line away

 private:
  void Show(const std::string& line);

  const bool enabled_, terminal_;
  bool shown_ = false;
  io::MonoTime last_shown_;
  io::MonoTime last_sending_;
  uint64_t last_settled_ = 0;
  double rate_ = 0;  // settled a second, smoothed
};

// 1234567 -> "1,234,567".
std::string Grouped(uint64_t number);
// 75 s -> "1 min 15 s".
std::string FormatSpan(absl::Duration span);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PROGRESS_H_
