// ReplyParser: cuts a peer's byte stream into replies (RFC 5321 §4.2), in any segmentation.
//
// It is liberal where nothing can go wrong and strict where a wrong guess would put later replies
// on the wrong commands: a line may end in a bare LF (some appliances do, and no other reading of
// the bytes exists), the text may be missing, the digits after the first may be any; but three
// digits, the same on every line, a first digit of 2 to 5 and a space or hyphen after them are
// required.
//
// Threading: one thread. Lifetime: views live until the next call of Next() or Reset(), and no
// longer than the input they came from. Errors: Result::kError is final until Reset(). The text is
// what the peer sent, control characters included: whoever prints it escapes it.
#ifndef VOLLEY_ENGINE_SMTP_REPLY_H_
#define VOLLEY_ENGINE_SMTP_REPLY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/smtp/types.h"

namespace volley::engine::smtp {

class ReplyParser {
 public:
  // RFC 5321 §4.5.3.1.5 says 512 octets a line and real peers exceed it, a challenge of AUTH may
  // have 12288 (RFC 4954 §4): these bound memory only.
  static constexpr size_t kLineBytesMax = 12 * 1024 + 512;
  static constexpr size_t kReplyBytesMax = 64 * 1024;

  enum class Result : uint8_t { kNeedMore, kReply, kError };

  // Takes bytes from the front of `*input`, at most to the end of one reply.
  // ENSURES: kNeedMore leaves `*input` empty.
  Result Next(std::string_view* input);

  // After kReply. The enhanced code is the first line's that has one (RFC 2034 §4).
  const ReplyView& reply() const { return reply_; }
  size_t line_count() const { return line_count_; }
  // Line `i` without code, separator and enhanced code. REQUIRES: i < line_count().
  std::string_view line(size_t i) const;

  std::string_view error() const { return error_; }  // after kError; words without the peer's bytes
  void Reset();

 private:
  struct Range {
    uint32_t begin, end;
  };

  Result KeepPartial(std::string_view* input);
  Result TakeLine(std::string_view line);
  void AddText(std::string_view rest);
  Result Fail(std::string_view why);

  ReplyView reply_;
  std::string partial_;       // a line whose end has not come
  std::string text_;          // of a reply of several lines
  std::vector<Range> lines_;  // in text_
  size_t line_count_ = 0;
  size_t reply_bytes_ = 0;
  bool between_replies_ = true;  // what is kept belongs to the reply already given
  std::string_view error_;
};

// "5.1.1" at the start of `*text`, followed by a space or the end; removed, with the spaces, when
// its class is `first_digit` (RFC 2034 §4: "MUST be in the same class"). Else absent and left
// alone.
EnhancedCode TakeEnhancedCode(std::string_view* text, int first_digit);

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_REPLY_H_
