#include "pipeline/settle/undelivered.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "pipeline/settle/append_file.h"

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
  if (!file_ && error_.ok()) OpenFile();
  ++lines_;
  const std::string_view stage = note.outcome == Outcome::kUnrenderable
                                     ? std::string_view("compose")
                                     : engine::smtp::CommandName(note.command);
  const std::string line =
      fmt::format("{},{},{},{},{}\n", Quoted(address), OutcomeName(note.outcome), Quoted(stage),
                  Codes(note), Quoted(note.text_view()));
  if (file_ && std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size()) {
    NoteError(errno);
  }
}

void UndeliveredFile::OpenFile() {
  const auto file = OpenToAppend(path_);
  if (!file.ok()) {
    error_ = file.status();
    return;
  }
  file_.reset(fdopen(file->fd, "a"));
  if (!file_) return NoteError(errno);
  if (file->bytes == 0) std::fputs("address,outcome,stage,code,reply\n", file_.get());
}

void UndeliveredFile::NoteError(int error) {
  error_.Update(FileError("cannot write", path_, error));
}

void UndeliveredFile::Remember(const OutcomeNote& note) {
  unsettled_.try_emplace({note.outcome, note.command, note.code.value()}, note);
}

void UndeliveredFile::AddUnsettled(std::string_view address, const LedgerSlot& slot) {
  const Outcome outcome = OutcomeOf(slot.state);
  OutcomeNote note;
  const auto known = unsettled_.find({outcome, slot.stage, slot.code.value()});
  if (known != unsettled_.end()) note = known->second;
  note.outcome = outcome;
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
  if (file_ && std::fflush(file_.get()) != 0) NoteError(errno);
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
