#include "engine/smtp/reply.h"

namespace volley::engine::smtp {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// One to three digits at the front of `*text`; false when there are none or more.
bool TakeNumber(std::string_view* text, uint16_t* value) {
  size_t n = 0;
  uint16_t sum = 0;
  while (n < text->size() && n < 4 && IsDigit((*text)[n])) {
    sum = static_cast<uint16_t>(sum * 10 + ((*text)[n] - '0'));
    ++n;
  }
  if (n == 0 || n > 3) return false;
  *value = sum;
  text->remove_prefix(n);
  return true;
}

bool TakeChar(std::string_view* text, char c) {
  if (text->empty() || text->front() != c) return false;
  text->remove_prefix(1);
  return true;
}

}  // namespace

EnhancedCode TakeEnhancedCode(std::string_view* text, int first_digit) {
  std::string_view rest = *text;
  EnhancedCode code;
  if (rest.size() < 5 || rest[0] != '0' + first_digit || rest[1] != '.') return {};
  rest.remove_prefix(2);
  // RFC 3463 §2 knows the classes 2, 4 and 5 only: a 354 has none.
  if (first_digit == 3 || !TakeNumber(&rest, &code.subject) || !TakeChar(&rest, '.') ||
      !TakeNumber(&rest, &code.detail) || (!rest.empty() && rest.front() != ' ')) {
    return {};
  }
  while (TakeChar(&rest, ' ')) {
  }
  code.klass = static_cast<uint8_t>(first_digit);
  *text = rest;
  return code;
}

ReplyParser::Result ReplyParser::Next(std::string_view* input) {
  if (!error_.empty()) return Result::kError;
  if (between_replies_) {
    between_replies_ = false;
    reply_ = {};
    partial_.clear();
    line_count_ = 0;
    reply_bytes_ = 0;
  }
  while (true) {
    const size_t newline = input->find('\n');
    if (newline == std::string_view::npos) return KeepPartial(input);
    std::string_view line = input->substr(0, newline);
    input->remove_prefix(newline + 1);
    // What is kept is at most one line, so the sum is bounded before it is copied.
    if (partial_.size() + line.size() > kLineBytesMax) return Fail("a reply line is too long");
    if (!partial_.empty()) line = partial_.append(line);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (const Result result = TakeLine(line); result != Result::kNeedMore) return result;
    partial_.clear();
  }
}

ReplyParser::Result ReplyParser::KeepPartial(std::string_view* input) {
  if (partial_.size() + input->size() > kLineBytesMax) return Fail("a reply line is too long");
  partial_.append(*input);
  *input = {};
  return Result::kNeedMore;
}

// One line without its end. kNeedMore: the reply goes on.
ReplyParser::Result ReplyParser::TakeLine(std::string_view line) {
  reply_bytes_ += line.size() + 2;
  if (reply_bytes_ > kReplyBytesMax) return Fail("a reply is too long");
  if (line.size() < 3 || !IsDigit(line[0]) || !IsDigit(line[1]) || !IsDigit(line[2])) {
    return Fail("a reply line without a reply code");
  }
  const ReplyCode code(
      static_cast<uint16_t>((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0')));
  const char separator = line.size() > 3 ? line[3] : ' ';  // a bare "250" is a last line
  if (separator != ' ' && separator != '-') return Fail("a reply code that is not three digits");
  if (code.first_digit() < 2 || code.first_digit() > 5) {
    return Fail("a reply code that begins with neither 2, 3, 4 nor 5");
  }
  // RFC 5321 §4.2.1: "the reply code on each line must be the same". Anything else is the reply of
  // another command, and which one nobody can say.
  if (line_count_ > 0 && code != reply_.code)
    return Fail("a reply whose lines differ in their code");
  reply_.code = code;
  line.remove_prefix(line.size() > 3 ? 4 : 3);
  const EnhancedCode enhanced = TakeEnhancedCode(&line, code.first_digit());
  if (!reply_.enhanced.present()) reply_.enhanced = enhanced;
  AddText(line);
  if (separator == '-') {
    if (line_count_ == 1) {  // the input may be gone before the reply is whole
      text_.assign(line);
      lines_.assign(1, Range{0, static_cast<uint32_t>(line.size())});
    }
    return Result::kNeedMore;
  }
  if (line_count_ > 1) reply_.text = text_;
  between_replies_ = true;
  return Result::kReply;
}

// The common reply has one line: its text stays where it is.
void ReplyParser::AddText(std::string_view rest) {
  ++line_count_;
  if (line_count_ == 1) {
    reply_.text = rest;
    return;
  }
  if (!rest.empty() && !text_.empty()) text_.push_back(' ');
  const auto begin = static_cast<uint32_t>(text_.size());
  text_.append(rest);
  lines_.push_back({begin, static_cast<uint32_t>(text_.size())});
}

std::string_view ReplyParser::line(size_t i) const {
  if (line_count_ == 1) return reply_.text;
  const Range range = lines_[i];
  return std::string_view(text_).substr(range.begin, range.end - range.begin);
}

ReplyParser::Result ReplyParser::Fail(std::string_view why) {
  error_ = why;
  return Result::kError;
}

void ReplyParser::Reset() {
  between_replies_ = true;
  reply_ = {};
  line_count_ = 0;
  error_ = {};
}

}  // namespace volley::engine::smtp
