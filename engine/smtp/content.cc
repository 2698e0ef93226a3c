#include "engine/smtp/content.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "absl/status/status.h"
#include "fmt/format.h"

namespace volley::engine::smtp {
namespace {

std::string_view View(const iovec& piece) {
  return {static_cast<const char*>(piece.iov_base), piece.iov_len};
}

iovec Piece(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

// The first dot at or after `from` that begins a line; npos when there is none. Dots are rarer than
// lines in any text and absent from base64, so the dot is what memchr looks for.
size_t FindLeadingDot(std::string_view bytes, size_t from, bool at_line_start) {
  while (true) {
    const size_t dot = bytes.find('.', from);
    if (dot == std::string_view::npos) return dot;
    if (dot == 0 ? at_line_start : bytes[dot - 1] == '\n') return dot;
    from = dot + 1;
  }
}

bool HasEightBit(std::string_view bytes) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  uint64_t seen = 0;
  while (bytes.size() >= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof(word));
    seen |= word;
    bytes.remove_prefix(sizeof(word));
  }
  for (const char c : bytes) seen |= static_cast<unsigned char>(c);
  return (seen & kHighBits) != 0;
}

// Walks over pieces line by line. A CR at the end of one piece waits for its LF in the next.
class CanonicalScanner {
 public:
  bool TakePiece(std::string_view bytes);
  bool Finish();
  std::string_view fault() const { return fault_; }
  const ContentFacts& facts() const { return facts_; }
  uint64_t fault_offset() const { return facts_.bytes; }

 private:
  void EndLine();
  bool Fail(std::string_view fault, size_t offset_in_piece) {
    fault_ = fault;
    facts_.bytes += offset_in_piece;
    return false;
  }

  ContentFacts facts_;  // bytes: those of the pieces before the current one
  std::string_view fault_;
  uint64_t line_bytes_ = 0;
  bool after_cr_ = false;
  bool at_line_start_ = true;
};

bool CanonicalScanner::TakePiece(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    if (after_cr_) {
      if (bytes[at] != '\n') return Fail("a CR without LF", at);
      ++line_bytes_;
      ++at;
      EndLine();
      continue;
    }
    if (at_line_start_ && bytes[at] == '.') facts_.dot_free = false;
    const size_t cr = std::min(bytes.find('\r', at), bytes.size());
    const std::string_view part = bytes.substr(at, cr - at);
    if (const size_t lf = part.find('\n'); lf != part.npos)
      return Fail("an LF without CR", at + lf);
    if (const size_t nul = part.find('\0'); nul != part.npos) return Fail("a NUL", at + nul);
    if (HasEightBit(part)) facts_.eight_bit = true;
    after_cr_ = cr < bytes.size();
    line_bytes_ += part.size() + (after_cr_ ? 1 : 0);
    at_line_start_ = false;
    at = cr + (after_cr_ ? 1 : 0);
  }
  facts_.bytes += bytes.size();
  return true;
}

void CanonicalScanner::EndLine() {
  facts_.longest_line_bytes = std::max(facts_.longest_line_bytes, line_bytes_);
  line_bytes_ = 0;
  after_cr_ = false;
  at_line_start_ = true;
}

bool CanonicalScanner::Finish() {
  if (after_cr_) return Fail("a CR without LF", 0);
  if (!at_line_start_) return Fail("a last line without CRLF", 0);
  return true;
}

}  // namespace

void DotStuffer::Start(std::span<const iovec> pieces, bool stuff) {
  pieces_ = pieces;
  index_ = 0;
  offset_ = 0;
  stuff_ = stuff;
  doubled_ = false;
  at_line_start_ = true;
  SkipEmpty();
}

size_t DotStuffer::Next(std::span<iovec> out) { return stuff_ ? NextStuffed(out) : NextPlain(out); }

size_t DotStuffer::NextPlain(std::span<iovec> out) {
  size_t n = 0;
  while (n < out.size() && !done()) {
    out[n++] = pieces_[index_++];
    SkipEmpty();
  }
  return n;
}

size_t DotStuffer::NextStuffed(std::span<iovec> out) {
  size_t n = 0;
  while (n < out.size() && !done()) {
    const std::string_view bytes = View(pieces_[index_]);
    const size_t dot = FindLeadingDot(bytes, offset_ + (doubled_ ? 1 : 0), at_line_start_);
    if (dot != std::string_view::npos) {
      out[n++] = Piece(bytes.substr(offset_, dot + 1 - offset_));
      offset_ = dot;
      doubled_ = true;
      continue;
    }
    out[n++] = Piece(bytes.substr(offset_));
    at_line_start_ = bytes.back() == '\n';
    offset_ = 0;
    doubled_ = false;
    ++index_;
    SkipEmpty();
  }
  return n;
}

void DotStuffer::SkipEmpty() {
  while (index_ < pieces_.size() && pieces_[index_].iov_len == 0) ++index_;
}

absl::StatusOr<ContentFacts> CheckCanonical(std::span<const iovec> pieces) {
  CanonicalScanner scanner;
  bool canonical = true;
  for (size_t i = 0; i < pieces.size() && canonical; ++i) {
    canonical = scanner.TakePiece(View(pieces[i]));
  }
  if (canonical) canonical = scanner.Finish();
  if (!canonical) {
    return absl::InvalidArgumentError(fmt::format("content is not canonical: {} at byte {}",
                                                  scanner.fault(), scanner.fault_offset()));
  }
  return scanner.facts();
}

}  // namespace volley::engine::smtp
