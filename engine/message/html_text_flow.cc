#include "engine/message/html_text_flow.h"

#include <utility>

namespace volley::engine::message {
namespace {

size_t Characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

void TextFlow::Append(std::string_view text) { word_.append(text); }

void TextFlow::Space(size_t blanks) {
  FlushWord();
  if (column_ > 0 && !space_done_) space_ = std::max(space_, blanks);
}

void TextFlow::Break(size_t line_ends) {
  FlushWord();
  breaks_ = std::max(breaks_, line_ends);
}

void TextFlow::LineEnd() {
  FlushWord();
  constexpr size_t kMostLineEnds = 2;
  breaks_ = std::min(std::max(breaks_, done_) + 1, kMostLineEnds);
}

void TextFlow::FlushWord() {
  if (word_.empty()) return;
  const size_t width = Characters(word_);
  FlushBreaks();
  if (column_ > 0 && space_ > 0 && column_ + space_ + width > kWidth) {
    breaks_ = 1;
    FlushBreaks();
  }
  if (column_ == 0) StartLine();
  out_.append(space_, ' ');
  out_.append(word_);
  column_ += space_ + width;
  space_ = 0;
  done_ = 0;
  space_done_ = false;
  word_.clear();
}

void TextFlow::FlushBreaks() {
  if (breaks_ == 0) return;
  for (; done_ < breaks_; ++done_) out_.push_back('\n');
  breaks_ = space_ = column_ = 0;
  space_done_ = false;
}

void TextFlow::StartLine() {
  const size_t levels = indent_ > 0 ? indent_ - 1 : 0;
  out_.append(2 * levels, ' ');
  if (indent_ > 0) out_.append(std::exchange(bullet_, false) ? "- " : "  ");
  column_ = 2 * indent_;
}

void TextFlow::Section(std::string_view tag) {
  FlushWord();
  FlushBreaks();
  if (bullet_ && column_ == 0 && indent_ > 0) {
    StartLine();
    done_ = 0;
    space_done_ = true;  // behind the bullet
  }
  if (column_ == 0) {
    out_.append(tag);
    out_.push_back('\n');
    return;
  }
  if (space_ > 0) space_done_ = true;
  out_.append(std::exchange(space_, 0), ' ');
  out_.append(tag);
}

void TextFlow::PartialLine(std::string_view tag) {
  Break(1);
  FlushBreaks();
  out_.append(tag);
  out_.push_back('\n');
  done_ = 1;
}

std::string TextFlow::Finish() {
  FlushWord();
  if (column_ > 0 && (breaks_ > 0 || space_ > 0)) out_.push_back('\n');
  return std::move(out_);
}

}  // namespace volley::engine::message
