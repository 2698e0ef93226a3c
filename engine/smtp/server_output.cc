#include "engine/smtp/server_output.h"

#include <algorithm>
#include <charconv>

namespace volley::engine::smtp {
namespace {

constexpr size_t kReplyTextMax = 480;  // leaves room for code, enhanced code and CRLF in 512

char* WriteNumber(char* out, unsigned value) {
  return std::to_chars(out, out + 5, value).ptr;  // 16 bits: five digits at most
}

}  // namespace

void ReplyBuffer::Clear() {
  made_.clear();
  sending_.clear();
  taken_ = 0;
}

void ReplyBuffer::Add(ReplyCode code, EnhancedCode enhanced, std::string_view text, bool more) {
  char head[32];
  char* end = WriteNumber(head, code.value());
  *end++ = more ? '-' : ' ';
  if (enhanced.present()) {
    end = WriteNumber(end, enhanced.klass);
    *end++ = '.';
    end = WriteNumber(end, enhanced.subject);
    *end++ = '.';
    end = WriteNumber(end, enhanced.detail);
    *end++ = ' ';
  }
  made_.append(head, static_cast<size_t>(end - head));
  text = text.substr(0, kReplyTextMax);
  const size_t begin = made_.size();
  made_.append(text);
  std::replace_if(
      made_.begin() + static_cast<ptrdiff_t>(begin), made_.end(),
      [](char c) { return (c >= 0 && c < 32) || c == 127; }, ' ');
  made_.append("\r\n");
}

std::string_view ReplyBuffer::Take(size_t max_bytes) {
  if (max_bytes >= made_.size()) {
    sending_.clear();
    sending_.swap(made_);
  } else {
    sending_.assign(made_, 0, max_bytes);
    made_.erase(0, max_bytes);
  }
  taken_ += sending_.size();
  return sending_;
}

}  // namespace volley::engine::smtp
