#include "pipeline/source/rejected_csv.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "engine/message/utf8.h"
#include "pipeline/source/text.h"

namespace volley::pipeline {
namespace {

void AppendShowable(std::string_view text, std::string* out) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  while (!text.empty()) {
    const auto point = engine::message::DecodeUtf8(text);
    const char c = text[0];
    const bool control = point.value < 0x20 || (point.value >= 0x7F && point.value < 0xA0);
    if (c == '\n' || c == '\r' || c == '\t') {
      *out += ' ';
    } else if (point.bytes == 0 || control) {
      *out += kReplacement;
    } else {
      if (c == '"') *out += '"';
      *out += text.substr(0, point.bytes);
    }
    text.remove_prefix(point.bytes == 0 ? 1 : point.bytes);
  }
}

void AppendField(std::string_view text, std::string* out) {
  const bool quoted = text.find_first_of(",\"\r\n") != std::string_view::npos;
  if (quoted) *out += '"';
  AppendShowable(text, out);
  if (quoted) *out += '"';
}

void AppendLine(uint64_t line, std::string_view value, std::string_view reason, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "{},", line);
  AppendField(CutAtCodePoint(value, RejectedCsv::kMaxValueBytes), out);
  *out += ',';
  AppendField(reason, out);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RejectedCsv>> RejectedCsv::Create(const std::string& path) {
  auto file = OutputFile::Create(path);
  if (!file.ok()) return file.status();
  std::unique_ptr<RejectedCsv> rejected(new RejectedCsv(*std::move(file)));
  if (absl::Status s = rejected->file_->Append("line,value,reason\r\n"); !s.ok()) return s;
  return rejected;
}

absl::Status RejectedCsv::Add(uint64_t line, std::string_view value, std::string_view reason,
                              bool is_sample) {
  line_.clear();
  AppendLine(line, value, reason, &line_);
  if (is_sample && samples_.size() < kSamples) samples_.push_back(line_);
  line_ += "\r\n";
  return file_->Append(line_);
}

void RejectedRows::NoteError() {
  if (error_.ok()) {
    error_ = absl::InternalError(fmt::format("cannot write {}: {}", path_, std::strerror(errno)));
  }
}

void RejectedRows::Add(uint64_t line, std::string_view value, std::string_view reason) {
  if (!file_) file_.reset(std::fopen(path_.c_str(), "ae"));
  std::string text;
  AppendLine(line, value, reason, &text);
  text += "\r\n";
  if (!file_ || std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) NoteError();
}

absl::Status RejectedRows::Flush() {
  if (file_ && std::fflush(file_.get()) != 0) NoteError();
  return error_;
}

}  // namespace volley::pipeline
