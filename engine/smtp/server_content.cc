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

// Bit k is set where byte k is that character.
struct BlockMasks {
  uint64_t cr = 0, lf = 0, nul = 0, dot = 0;
};

#if defined(__SSE2__)
BlockMasks Classify(const char* data) {
  BlockMasks masks;
  for (unsigned part = 0; part < kBlock; part += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + part));
    const auto mask = [&](char c) {
      const __m128i equal = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
      return static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(equal))) << part;
    };
    masks.cr |= mask('\r');
    masks.lf |= mask('\n');
    masks.nul |= mask('\0');
    masks.dot |= mask('.');
  }
  return masks;
}
#else
BlockMasks Classify(const char* data) {
  BlockMasks masks;
  for (unsigned k = 0; k < kBlock; ++k) {
    masks.cr |= uint64_t{data[k] == '\r'} << k;
    masks.lf |= uint64_t{data[k] == '\n'} << k;
    masks.nul |= uint64_t{data[k] == '\0'} << k;
    masks.dot |= uint64_t{data[k] == '.'} << k;
  }
  return masks;
}
#endif

constexpr uint64_t LowBits(size_t n) { return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }

}  // namespace

void ContentScanner::Begin(bool dots, uint32_t line_max) {
  *this = ContentScanner();
  dots_ = dots;
  line_max_ = line_max == 0 ? UINT64_MAX : line_max;
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

// How many of the bytes are content; less than `size` only where a dot begins a line.
size_t ContentScanner::Scan(const char* data, size_t size) {
  size_t done = 0;
  size_t line_begin = 0;  // where the current line began, without what was carried in line_bytes_
  while (done < size) {
    const size_t n = std::min(kBlock, size - done);
    BlockMasks masks;
    uint64_t valid = LowBits(n);
    if (n == kBlock) {
      masks = Classify(data + done);
    } else {
      char tail[kBlock] = {};
      std::memcpy(tail, data + done, n);
      masks = Classify(tail);
    }
    const uint64_t after_cr = (masks.cr << 1) | uint64_t{after_cr_};
    const uint64_t crlf = masks.lf & after_cr & valid;
    const uint64_t line_starts = (crlf << 1) | uint64_t{line_start_};
    const uint64_t dots = dots_ ? masks.dot & line_starts & valid : 0;
    const size_t used = dots != 0 ? static_cast<size_t>(std::countr_zero(dots)) : n;
    valid = LowBits(used);
    // Strict line ends: an LF exactly behind every CR. Branch-free for all that is well-formed.
    if ((((masks.lf ^ after_cr) | masks.nul) & valid) != 0) [[unlikely]] {
      faults_.bare_lf |= (masks.lf & ~after_cr & valid) != 0;
      faults_.bare_cr |= (~masks.lf & after_cr & valid) != 0;
      faults_.nul |= (masks.nul & valid) != 0;
    }
    for (uint64_t ends = crlf & valid; ends != 0; ends &= ends - 1) {
      const size_t end = done + static_cast<size_t>(std::countr_zero(ends)) + 1;
      if (line_bytes_ + (end - line_begin) > line_max_) [[unlikely]]
        faults_.line_too_long = true;
      line_bytes_ = 0;
      line_begin = end;
    }
    done += used;
    if (used > 0) {
      after_cr_ = (masks.cr >> (used - 1)) & 1;
      line_start_ = (crlf >> (used - 1)) & 1;
    }
    if (dots != 0) {
      state_ = State::kDot;
      line_bytes_ = 0;
      return done;
    }
  }
  line_bytes_ += done - line_begin;
  // Said before the line ends, so that an endless one is known.
  if (line_bytes_ > line_max_) [[unlikely]]
    faults_.line_too_long = true;
  return done;
}

void ContentScanner::Finish() {
  faults_.bare_cr |= after_cr_;
  after_cr_ = false;
}

}  // namespace volley::engine::smtp
