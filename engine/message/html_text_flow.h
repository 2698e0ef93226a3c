// TextFlow: words, spaces and breaks to lines of plain text with Mustache tags in it. Used by
// html_text.cc only.
#ifndef VOLLEY_ENGINE_MESSAGE_HTML_TEXT_FLOW_H_
#define VOLLEY_ENGINE_MESSAGE_HTML_TEXT_FLOW_H_

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace volley::engine::message {

class TextFlow {
 public:
  static constexpr size_t kWidth = 76;
  static constexpr size_t kMaxIndent = 8;  // levels of lists

  // More of the current word, which is never broken.
  void Append(std::string_view text);
  // White space: where lines may break. Two blanks keep the cells of a table's row apart.
  void Space(size_t blanks = 1);
  // At least that many line ends before the next word: 1 for a new line, 2 for a new paragraph.
  void Break(size_t line_ends);
  void LineEnd();  // one more than there are
  // The next word begins a list's item.
  void Bullet() { bullet_ = true; }
  void set_indent(size_t levels) { indent_ = std::min(levels, kMaxIndent); }

  // A tag that renders nothing itself and may leave out what is between it and its partner, so the
  // white space round it stays on its own side. At the beginning of a line it gets the line to
  // itself, which Mustache then takes away with it.
  void Section(std::string_view tag);
  // A partial that had a line to itself.
  void PartialLine(std::string_view tag);

  // The text; it ends with a line end if a break or space came last.
  std::string Finish();

 private:
  void FlushWord();
  void FlushBreaks();
  void StartLine();

  std::string out_;
  std::string word_;
  size_t space_ = 0;   // blanks to come before the next word
  size_t column_ = 0;  // in characters; 0: nothing visible in this line yet
  size_t breaks_ = 0;  // line ends wanted
  size_t done_ = 2;    // line ends at the end of out_, tags on lines of their own not counted
  size_t indent_ = 0;
  bool bullet_ = false;
  bool space_done_ = false;  // written already, in front of a section's tag
};

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_HTML_TEXT_FLOW_H_
