#include "pipeline/settle/undelivered.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace volley::pipeline {
namespace {

// RFC 4180, and one line a record: a reply's control characters become spaces.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out.push_back('"');
    out.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  }
  out.push_back('"');
  return out;
}

std::string Codes(const OutcomeNote& note) {
  if (note.code.value() == 0) return "";
  std::string codes = std::to_string(note.code.value());
  if (note.enhanced.present()) {
    codes +=
        fmt::format(" {}.{}.{}", note.enhanced.klass, note.enhanced.subject, note.enhanced.detail);
  }
  return codes;
}

}  // namespace

void UndeliveredFile::Add(std::string_view address, const OutcomeNote& note) {
  Tally(note);
  if (!file_ && error_.ok()) {
    file_.reset(std::fopen(path_.c_str(), "ae"));
    if (file_ && std::ftell(file_.get()) == 0) {
      std::fputs("address,outcome,stage,code,reply\n", file_.get());
    }
  }
  ++lines_;
  const std::string_view stage = note.outcome == Outcome::kUnrenderable
                                     ? std::string_view("compose")
                                     : engine::smtp::CommandName(note.command);
  const std::string line =
      fmt::format("{},{},{},{},{}\n", Quoted(address), OutcomeName(note.outcome), Quoted(stage),
                  Codes(note), Quoted(note.text_view()));
  if (file_ && std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size()) return;
  if (error_.ok()) {
    error_ = absl::InternalError(fmt::format("cannot write {}: {}", path_, std::strerror(errno)));
  }
}

void UndeliveredFile::Remember(const OutcomeNote& note) {
  deferred_.try_emplace({note.command, note.code.value()}, note);
}

void UndeliveredFile::AddDeferred(std::string_view address, const LedgerSlot& slot) {
  OutcomeNote note;
  const auto known = deferred_.find({slot.stage, slot.code.value()});
  if (known != deferred_.end()) note = known->second;
  note.outcome = Outcome::kDeferred;
  note.command = slot.stage;
  note.code = slot.code;
  Add(address, note);
}

void UndeliveredFile::Tally(const OutcomeNote& note) {
  ReasonCount& reason = reasons_[{note.outcome, note.command, note.code.value(), note.enhanced}];
  if (reason.count++ > 0) return;
  reason.outcome = note.outcome;
  const std::string codes = Codes(note);
  reason.sample = note.outcome == Outcome::kUnrenderable
                      ? std::string(note.text_view())
                      : fmt::format("{}: {}{}{}", engine::smtp::CommandName(note.command), codes,
                                    codes.empty() ? "" : " ", note.text_view());
}

absl::Status UndeliveredFile::Flush() {
  if (file_ && std::fflush(file_.get()) != 0 && error_.ok()) {
    error_ = absl::InternalError(fmt::format("cannot write {}: {}", path_, std::strerror(errno)));
  }
  return error_;
}

std::vector<ReasonCount> UndeliveredFile::TopReasons(size_t n) const {
  std::vector<ReasonCount> top;
  for (const auto& [key, reason] : reasons_) top.push_back(reason);
  std::stable_sort(top.begin(), top.end(),
                   [](const auto& a, const auto& b) { return a.count > b.count; });
  if (top.size() > n) top.resize(n);
  return top;
}

}  // namespace volley::pipeline
