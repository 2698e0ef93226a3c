#include "io/tls/tls_buffers.h"

#include <algorithm>
#include <cstring>

#include "io/base/check.h"

namespace volley::io {

TlsBuffers::~TlsBuffers() {
  VOLLEY_CHECK(out_ == 0);
  VOLLEY_CHECK(streams_ == 0);
  while (free_ != nullptr) {
    TlsChunk* chunk = free_;
    free_ = chunk->next;
    delete chunk;
  }
}

TlsChunk* TlsBuffers::Take() {
  ++out_;
  TlsChunk* chunk = free_;
  if (chunk == nullptr) {
    chunk = new TlsChunk;  // not value-initialised: the bytes are written before they are read
  } else {
    free_ = chunk->next;
    --free_count_;
  }
  chunk->next = nullptr;
  chunk->used = 0;
  return chunk;
}

void TlsBuffers::Give(TlsChunk* chunk) {
  --out_;
  if (free_count_ == kTlsFreeChunksMax) {
    delete chunk;
    return;
  }
  chunk->next = free_;
  free_ = chunk;
  ++free_count_;
}

bool TlsOutput::Append(const char* bytes, size_t count) {
  if (queued() + count > kTlsOutputBytesMax) return false;
  appended_ += count;
  while (count != 0) {
    if (last_ == nullptr || last_->used == kTlsChunkBytes) {
      TlsChunk* chunk = buffers_->Take();
      (last_ == nullptr ? first_ : last_->next) = chunk;
      last_ = chunk;
    }
    const size_t part = std::min(count, kTlsChunkBytes - last_->used);
    std::memcpy(last_->bytes + last_->used, bytes, part);
    last_->used += static_cast<uint32_t>(part);
    bytes += part;
    count -= part;
  }
  return true;
}

std::span<const iovec> TlsOutput::Give(std::span<iovec, kPiecesMax> pieces) {
  VOLLEY_CHECK(waiting() != 0 && !in_flight());
  size_t count = 0;
  uint32_t begin = first_begin_;
  for (TlsChunk* chunk = first_; chunk != nullptr; chunk = chunk->next) {
    VOLLEY_CHECK(count < pieces.size());
    pieces[count++] = {chunk->bytes + begin, chunk->used - begin};
    begin = 0;
  }
  given_ = appended_;
  return pieces.first(count);
}

void TlsOutput::Sent() {
  uint64_t gone = given_ - sent_;
  sent_ = given_;
  while (gone != 0) {
    const uint64_t part = std::min<uint64_t>(gone, first_->used - first_begin_);
    first_begin_ += static_cast<uint32_t>(part);
    gone -= part;
    if (first_begin_ == first_->used) DropFirst();
  }
}

void TlsOutput::DropFirst() {
  TlsChunk* chunk = first_;
  first_ = chunk->next;
  if (first_ == nullptr) last_ = nullptr;
  first_begin_ = 0;
  buffers_->Give(chunk);
}

void TlsOutput::Clear() {
  while (first_ != nullptr) DropFirst();
  sent_ = given_ = appended_;
}

}  // namespace volley::io
