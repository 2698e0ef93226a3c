// UndeliveredFile: undelivered.csv, one line for each recipient that was not delivered (address,
// outcome, stage, code, enhanced, reply), and the few commonest reasons for the summary. A resumed
// campaign goes on with the file; who was still to be tried when a run ended may be in it more than
// once.
//
// Threading: one thread (the coordinator). The file is made with the first line.
#ifndef VOLLEY_PIPELINE_SETTLE_UNDELIVERED_H_
#define VOLLEY_PIPELINE_SETTLE_UNDELIVERED_H_

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

struct ReasonCount {
  Outcome outcome{};
  uint64_t count = 0;
  std::string sample;  // "RCPT: 550 5.1.1 no such user", the first one seen
};

class UndeliveredFile {
 public:
  explicit UndeliveredFile(std::string path) : path_(std::move(path)) {}
  UndeliveredFile(const UndeliveredFile&) = delete;
  UndeliveredFile& operator=(const UndeliveredFile&) = delete;

  void set_path(std::string path) { path_ = std::move(path); }  // before the first Add
  void Add(std::string_view address, const OutcomeNote& note);
  // A recipient that is tried again may still be delivered: only the words of the reply are kept,
  // for AddUnsettled() at the end.
  void Remember(const OutcomeNote& note);
  // REQUIRES: the slot is deferred or uncertain.
  void AddUnsettled(std::string_view address, const LedgerSlot& slot);
  // Writes what is buffered. The error of any write since the start, if there was one.
  absl::Status Flush();
  const absl::Status& status() const { return error_; }

  bool empty() const { return lines_ == 0; }
  const std::string& path() const { return path_; }
  // Commonest first, at most `n`.
  std::vector<ReasonCount> TopReasons(size_t n) const;

 private:
  using Key = std::tuple<Outcome, engine::smtp::CommandKind, uint16_t, engine::smtp::EnhancedCode>;
  struct CloseFile {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  void OpenFile();
  void NoteError(int error);
  void Tally(const OutcomeNote& note);

  std::string path_;
  std::unique_ptr<std::FILE, CloseFile> file_;
  absl::Status error_;
  uint64_t lines_ = 0;
  using Asked = std::tuple<Outcome, engine::smtp::CommandKind, uint16_t>;
  std::map<Asked, OutcomeNote> unsettled_;  // bounded as reasons_
  std::map<Key, ReasonCount> reasons_;      // bounded by the codes a server can say
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_UNDELIVERED_H_
