#include "engine/message/base64.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "engine/message/mime.h"

namespace volley::engine::message {
namespace {

constexpr size_t kLineColumns = 76;
// From here on pointing at ready lines is cheaper than encoding again.
constexpr size_t kSmallestEncodedAhead = 384;

struct Pair {
  char first;
  char second;
};

// Two characters for 12 bits: half the look-ups of one character for 6.
constexpr std::array<Pair, 4096> MakePairs() {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<Pair, 4096> pairs{};
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kAlphabet[i >> 6], kAlphabet[i & 63]};
  return pairs;
}
constexpr std::array<Pair, 4096> kPairs = MakePairs();

uint32_t Byte(char c) { return static_cast<unsigned char>(c); }

// REQUIRES: bytes.size() is a multiple of 3.
char* WriteGroups(std::string_view bytes, char* to) {
  const char* from = bytes.data();
  for (size_t n = bytes.size() / 3; n > 0; --n, from += 3, to += 4) {
    const uint32_t bits = Byte(from[0]) << 16 | Byte(from[1]) << 8 | Byte(from[2]);
    std::memcpy(to, &kPairs[bits >> 12], 2);
    std::memcpy(to + 2, &kPairs[bits & 4095], 2);
  }
  return to;
}

char* WriteBreak(char* to) {
  to[0] = '\r';
  to[1] = '\n';
  return to + 2;
}

}  // namespace

char* WriteBase64(std::string_view bytes, char* to) {
  const size_t rest = bytes.size() % 3;
  to = WriteGroups(bytes.substr(0, bytes.size() - rest), to);
  if (rest == 0) return to;
  std::array<char, 3> last{};
  std::copy_n(bytes.end() - static_cast<ptrdiff_t>(rest), rest, last.begin());
  to = WriteGroups({last.data(), 3}, to);
  to[-1] = '=';
  if (rest == 1) to[-2] = '=';
  return to;
}

char* WriteBase64Lines(std::string_view bytes, char* to) {
  while (bytes.size() > kBase64LineBytes) {
    to = WriteBreak(WriteGroups(bytes.substr(0, kBase64LineBytes), to));
    bytes.remove_prefix(kBase64LineBytes);
  }
  return WriteBase64(bytes, to);
}

Base64Literal Base64Literal::Encode(std::string_view text) {
  Base64Literal literal;
  literal.text = WithCrlf(text);
  if (literal.text.size() < kSmallestEncodedAhead) return literal;
  for (size_t skipped = 0; skipped < literal.lines.size(); ++skipped) {
    std::string_view rest = std::string_view(literal.text).substr(skipped);
    rest.remove_suffix(rest.size() % 3);
    std::string& lines = literal.lines[skipped];
    lines.resize(Base64LinesBytes(rest.size()));
    WriteBase64Lines(rest, lines.data());
    lines += "\r\n";
  }
  return literal;
}

void Base64Writer::Literal(const Base64Literal& literal) {
  if (literal.lines[0].empty()) return Bytes(literal.text);
  const std::string_view text = literal.text;
  const size_t skipped = FillGroup(text);
  EndLine();
  out_->AppendStable(literal.lines[skipped]);
  group_bytes_ = (text.size() - skipped) % 3;
  std::copy_n(text.end() - static_cast<ptrdiff_t>(group_bytes_), group_bytes_, group_.begin());
}

void Base64Writer::Value(std::string_view text, TextEscape escape) {
  const std::string_view special = escape == TextEscape::kHtml ? "\r\n&<>\"'" : "\r\n";
  while (!text.empty()) {
    const size_t plain = std::min(text.find_first_of(special), text.size());
    Bytes(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) return;
    const bool line_end = text.front() == '\r' || text.front() == '\n';
    Bytes(line_end ? "\r\n" : HtmlEntity(text.front()));
    text.remove_prefix(text.starts_with("\r\n") ? 2 : 1);
  }
}

void Base64Writer::Finish(bool end_line) {
  if (group_bytes_ != 0) {
    if (column_ == kLineColumns) EndLine();
    WriteBase64({group_.data(), group_bytes_}, out_->Reserve(4));
    out_->Commit(4);
    column_ += 4;
    group_bytes_ = 0;
  }
  if (end_line) EndLine();
}

void Base64Writer::Bytes(std::string_view bytes) {
  bytes.remove_prefix(FillGroup(bytes));
  const size_t rest = bytes.size() % 3;
  if (group_bytes_ == 0 && bytes.size() > rest) Groups(bytes.substr(0, bytes.size() - rest));
  if (group_bytes_ != 0) return;  // the bytes did not even complete the group
  std::copy_n(bytes.end() - static_cast<ptrdiff_t>(rest), rest, group_.begin());
  group_bytes_ = rest;
}

size_t Base64Writer::FillGroup(std::string_view bytes) {
  if (group_bytes_ == 0) return 0;
  const size_t taken = std::min(group_.size() - group_bytes_, bytes.size());
  std::copy_n(bytes.begin(), taken, group_.begin() + group_bytes_);
  group_bytes_ += taken;
  if (group_bytes_ == group_.size()) {
    group_bytes_ = 0;
    Groups({group_.data(), group_.size()});
  }
  return taken;
}

void Base64Writer::Groups(std::string_view bytes) {
  char* const begin = out_->Reserve(Base64LinesBytes(bytes.size()) + 4);
  char* to = begin;
  while (!bytes.empty()) {
    if (column_ == kLineColumns) {
      to = WriteBreak(to);
      column_ = 0;
    }
    const size_t room = (kLineColumns - column_) / 4 * 3;
    const std::string_view line = bytes.substr(0, room);
    to = WriteGroups(line, to);
    column_ += line.size() / 3 * 4;
    bytes.remove_prefix(line.size());
  }
  out_->Commit(static_cast<size_t>(to - begin));
}

void Base64Writer::EndLine() {
  if (column_ == 0) return;
  out_->AppendCopy("\r\n");
  column_ = 0;
}

}  // namespace volley::engine::message
