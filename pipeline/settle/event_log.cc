#include "pipeline/settle/event_log.h"

#include <errno.h>
#include <fmt/compile.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "engine/message/utf8.h"
#include "pipeline/settle/append_file.h"

namespace volley::pipeline {
namespace {

std::string SecondText(int64_t second) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%S", absl::FromUnixSeconds(second), absl::UTCTimeZone());
}

bool IsPlain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

void AppendEscaped(char c, std::string* out) {
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\n':
      out->append("\\n");
      return;
    default:
      fmt::format_to(std::back_inserter(*out), FMT_COMPILE("\\u{:04x}"),
                     static_cast<unsigned char>(c));
  }
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    const size_t plain =
        static_cast<size_t>(std::find_if_not(text.begin(), text.end(), IsPlain) - text.begin());
    out->append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      AppendEscaped(text[0], out);
      text.remove_prefix(1);
      continue;
    }
    const size_t bytes = engine::message::DecodeUtf8(text).bytes;
    out->append(bytes == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, bytes));
    text.remove_prefix(std::max<size_t>(bytes, 1));
  }
  out->push_back('"');
}

std::string_view EventName(const OutcomeNote& note) {
  switch (note.outcome) {
    case Outcome::kDelivered:
      return "delivered";
    case Outcome::kBounced:
      return note.expired ? "expired" : "bounced";
    case Outcome::kDeferred:
      return "deferred";
    case Outcome::kUncertain:
      return "uncertain";
    case Outcome::kUnrenderable:
    case Outcome::kSuppressed:
    case Outcome::kCancelled:
      return "dropped";
  }
  return "";
}

EventLog::EventLog(std::string folder, std::string_view campaign, const EventLogOptions& options)
    : folder_(std::move(folder)),
      campaign_([&] {
        std::string text;
        AppendJsonString(campaign, &text);
        return text;
      }()),
      options_(options) {
  buffer_.reserve(kBufferBytes + 4096);
}

EventLog::~EventLog() {
  Flush().IgnoreError();  // whoever must know of an error calls Flush() before
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Open(const std::string& folder,
                                                         std::string_view campaign,
                                                         const EventLogOptions& options) {
  std::unique_ptr<EventLog> log(new EventLog(folder, campaign, options));
  if (absl::Status s = log->OpenFile(); !s.ok()) return s;
  if (options.compress) log->CompressMoved();  // what an earlier run did not come to
  return log;
}

std::string EventLog::PathOf(uint32_t number) const {
  return number == 0 ? folder_ + "/events.jsonl"
                     : fmt::format("{}/events.{}.jsonl", folder_, number);
}

void EventLog::Fail(std::string_view what, int error) {
  if (status_.ok()) status_ = FileError(what, PathOf(0), error);
}

absl::Status EventLog::OpenFile() {
  const auto file = OpenToAppend(PathOf(0));
  status_.Update(file.status());
  fd_ = file.ok() ? file->fd : -1;
  bytes_ = file.ok() ? file->bytes : 0;
  return status_;
}

void EventLog::Add(const OutcomeNote& note, std::string_view recipient, std::string_view relay,
                   std::string_view category) {
  const int64_t second = note.unix_millis / 1000;
  if (second != second_) {
    second_ = second;
    second_text_ = SecondText(second);
  }
  auto out = std::back_inserter(buffer_);
  fmt::format_to(out,
                 FMT_COMPILE(R"({{"time":"{}.{:03}Z","event":"{}","campaign":{},"recipient":)"),
                 second_text_, note.unix_millis % 1000, EventName(note), campaign_);
  AppendJsonString(recipient, &buffer_);
  fmt::format_to(out, FMT_COMPILE(R"(,"index":{},"attempt":{},"ms":{})"), note.index, note.attempts,
                 note.millis);
  if (!relay.empty()) {
    buffer_.append(",\"relay\":");
    AppendJsonString(relay, &buffer_);
  }
  const bool composing =
      note.outcome == Outcome::kUnrenderable || note.outcome == Outcome::kSuppressed;
  fmt::format_to(out, FMT_COMPILE(R"(,"stage":"{}")"),
                 composing ? std::string_view("compose") : engine::smtp::CommandName(note.command));
  if (note.code.value() != 0) {
    fmt::format_to(out, FMT_COMPILE(",\"code\":{}"), note.code.value());
  }
  if (note.enhanced.present()) {
    fmt::format_to(out, FMT_COMPILE(R"(,"enhanced":"{}.{}.{}")"), note.enhanced.klass,
                   note.enhanced.subject, note.enhanced.detail);
  }
  if (!category.empty()) fmt::format_to(out, FMT_COMPILE(R"(,"category":"{}")"), category);
  if (note.rule_bytes > 0) {
    buffer_.append(",\"rule\":");
    AppendJsonString(note.rule_view(), &buffer_);
  }
  if (note.due != 0) {
    fmt::format_to(out, FMT_COMPILE(R"(,"next_try":"{}Z")"), SecondText(note.due));
  }
  buffer_.append(",\"reply\":");
  AppendJsonString(note.text_view(), &buffer_);
  buffer_.append("}\n");
  if (buffer_.size() >= kBufferBytes) WriteOut();
}

void EventLog::AddOther(int64_t unix_millis, std::string_view event,
                        std::span<const std::pair<std::string_view, std::string_view>> fields) {
  fmt::format_to(std::back_inserter(buffer_),
                 FMT_COMPILE(R"({{"time":"{}.{:03}Z","event":"{}","campaign":{})"),
                 SecondText(unix_millis / 1000), unix_millis % 1000, event, campaign_);
  for (const auto& [key, text] : fields) {
    fmt::format_to(std::back_inserter(buffer_), FMT_COMPILE(",\"{}\":"), key);
    AppendJsonString(text, &buffer_);
  }
  buffer_.append("}\n");
  if (buffer_.size() >= kBufferBytes) WriteOut();
}

// After an error the file ends with its last whole line: what is in memory is kept back, so that a
// later line does not follow a hole.
void EventLog::WriteOut() {
  size_t done = 0;
  while (status_.ok() && done < buffer_.size()) {
    const ssize_t n = write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      Fail("cannot write", errno);
    }
  }
  bytes_ += done;
  buffer_.clear();
  if (!status_.ok() && fd_ >= 0) bytes_ = CutHalfLine(fd_, bytes_);
  if (status_.ok() && bytes_ >= options_.bytes_max) Rotate();
}

// As they are: plain, compressed, or (after a kill at the wrong moment) both.
void EventLog::Rotate() {
  if (compressor_.busy()) return;
  std::error_code ec;
  const auto exists = [&](uint32_t number, std::string_view suffix) {
    return std::filesystem::exists(PathOf(number) + std::string(suffix), ec);
  };
  uint32_t last = 0;
  while (exists(last + 1, "") || exists(last + 1, kZstdSuffix)) ++last;
  for (uint32_t i = last + 1; i > 0; --i) {
    for (const std::string_view suffix : {std::string_view(), kZstdSuffix}) {
      if (!exists(i - 1, suffix)) continue;
      const std::string from = PathOf(i - 1) + std::string(suffix);
      const std::string to = PathOf(i) + std::string(suffix);
      if (rename(from.c_str(), to.c_str()) != 0) return Fail("cannot rename", errno);
    }
  }
  close(fd_);
  OpenFile().IgnoreError();
  if (options_.compress) CompressMoved();
}

void EventLog::CompressMoved() {
  std::error_code ec;
  std::vector<std::string> plain;
  for (uint32_t i = 1;; ++i) {
    const bool is_plain = std::filesystem::exists(PathOf(i), ec);
    if (is_plain) plain.push_back(PathOf(i));
    if (!is_plain && !std::filesystem::exists(PathOf(i) + std::string(kZstdSuffix), ec)) break;
  }
  compressor_.Start(std::move(plain));
}

absl::Status EventLog::TakeWarning() {
  return compressor_.busy() ? absl::OkStatus() : compressor_.TakeWarning();
}

absl::Status EventLog::Flush() {
  if (!buffer_.empty()) WriteOut();
  return status_;
}

}  // namespace volley::pipeline
