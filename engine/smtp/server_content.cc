#include "engine/smtp/server_content.h"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace volley::engine::smtp {
namespace {

constexpr size_t kBlock = 64;

// Bit k is set where byte k is that character. Only CR and LF are worth a bit each: a NUL is looked
// for exactly when there is one, a dot only behind a CRLF.
struct BlockMasks {
  uint64_t cr = 0, lf = 0;
  bool has_nul = false;
};

#if defined(__SSE2__)
BlockMasks Classify(const char* data) {
  BlockMasks masks;
  __m128i least = _mm_set1_epi8(-1);
  for (unsigned part = 0; part < kBlock; part += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + part));
    const auto mask = [&](char c) {
      const __m128i equal = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
      return static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(equal))) << part;
    };
    masks.cr |= mask('\r');
    masks.lf |= mask('\n');
    least = _mm_min_epu8(least, bytes);
  }
  masks.has_nul = _mm_movemask_epi8(_mm_cmpeq_epi8(least, _mm_setzero_si128())) != 0;
  return masks;
}
#else
BlockMasks Classify(const char* data) {
  BlockMasks masks;
  for (unsigned k = 0; k < kBlock; ++k) {
    masks.cr |= uint64_t{data[k] == '\r'} << k;
    masks.lf |= uint64_t{data[k] == '\n'} << k;
    masks.has_nul |= data[k] == '\0';
  }
  return masks;
}
#endif

// The bits from `size` up say nothing. REQUIRES: size < kBlock.
BlockMasks ClassifyTail(const char* data, size_t size) {
  char block[kBlock];
  std::memset(block, 'x', sizeof(block));
  std::memcpy(block, data, size);
  return Classify(block);
}

constexpr uint64_t LowBits(size_t n) { return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }

}  // namespace

void ContentScanner::Begin(bool dots, uint32_t line_max) {
  *this = ContentScanner();
  dots_ = dots;
  line_max_ = line_max == 0 ? INT64_MAX : line_max;
  line_start_ = true;
}

ContentScanner::Piece ContentScanner::Next(std::span<const char> bytes) {
  if (state_ != State::kText) {
    const Piece piece = AfterDot(bytes.front());
    if (piece.consumed > 0) return piece;
  }
  const size_t content = Scan(bytes.data(), bytes.size());
  Piece piece;
  piece.content = bytes.first(content);
  // Scan stops early only at a dot that begins a line: that one is taken and is not content.
  piece.consumed = content < bytes.size() ? content + 1 : content;
  return piece;
}

// The byte after a dot at a line's start decides. consumed 0: `c` is text and still to be scanned.
ContentScanner::Piece ContentScanner::AfterDot(char c) {
  Piece piece;
  if (state_ == State::kDot && c == '\r') {
    state_ = State::kDotCr;
    piece.consumed = 1;
  } else if (state_ == State::kDotCr && c == '\n') {
    state_ = State::kText;
    piece.consumed = 1;
    piece.ended = true;
  } else {
    if (state_ == State::kDotCr) {
      faults_.bare_cr = true;
      line_bytes_ = 1;
    }
    state_ = State::kText;
    line_start_ = false;
    after_cr_ = false;
  }
  return piece;
}

// How many of the bytes are content; less than `size` only where a dot begins a line. In one piece,
// because it is the loop every received byte goes through: what is carried from block to block
// stays in registers.
size_t ContentScanner::Scan(const char* data, size_t size) {
  uint64_t after_cr = after_cr_;      // bit 0: the byte before the block was a CR
  uint64_t line_start = line_start_;  // bit 0: the block begins a line
  // Where the current line began, as an offset; negative for one that began in an earlier piece.
  int64_t line_begin = -static_cast<int64_t>(line_bytes_);
  size_t done = 0;
  while (done < size) {
    if (dots_ && line_start != 0 && data[done] == '.') {
      state_ = State::kDot;
      break;
    }
    const size_t n = std::min(kBlock, size - done);
    const BlockMasks masks = n == kBlock ? Classify(data + done) : ClassifyTail(data + done, n);
    const uint64_t behind_cr = (masks.cr << 1) | after_cr;
    const uint64_t crlf = masks.lf & behind_cr;
    size_t used = n;
    for (uint64_t ends = crlf & LowBits(n); ends != 0; ends &= ends - 1) {
      const size_t end = static_cast<size_t>(std::countr_zero(ends)) + 1;
      const auto line_end = static_cast<int64_t>(done + end);
      if (line_end - line_begin > line_max_) [[unlikely]]
        faults_.line_too_long = true;
      line_begin = line_end;
      if (dots_ && end < n && data[done + end] == '.') [[unlikely]] {
        used = end;
        break;
      }
    }
    // Strict line ends: an LF exactly behind every CR. One comparison for all that is well-formed.
    const uint64_t valid = LowBits(used);
    if (((masks.lf ^ behind_cr) & valid) != 0) [[unlikely]] {
      faults_.bare_lf |= (masks.lf & ~behind_cr & valid) != 0;
      faults_.bare_cr |= (~masks.lf & behind_cr & valid) != 0;
    }
    if (masks.has_nul) [[unlikely]] {
      faults_.nul |= std::memchr(data + done, '\0', used) != nullptr;
    }
    done += used;
    after_cr = (masks.cr >> (used - 1)) & 1;
    line_start = (crlf >> (used - 1)) & 1;
  }
  after_cr_ = after_cr != 0;
  line_start_ = line_start != 0;
  const int64_t line_bytes = static_cast<int64_t>(done) - line_begin;
  line_bytes_ = static_cast<uint64_t>(line_bytes);
  // Said before the line ends, so that an endless one is known.
  if (line_bytes > line_max_) [[unlikely]]
    faults_.line_too_long = true;
  return done;
}

void ContentScanner::Finish() {
  faults_.bare_cr |= after_cr_;
  after_cr_ = false;
}

}  // namespace volley::engine::smtp
