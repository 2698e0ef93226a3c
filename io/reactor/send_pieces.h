// SendPieces: what is left of one Send(), as iovecs that outlive the caller's array.
//
// One piece lies in the record itself; more take a block from the reactor's pool, because 64 iovecs
// are a kilobyte and most streams are between two sends. The pool grows with the highest number of
// gathering sends in flight at one time.
#ifndef VOLLEY_IO_REACTOR_SEND_PIECES_H_
#define VOLLEY_IO_REACTOR_SEND_PIECES_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/base/check.h"
#include "io/reactor/reactor.h"

namespace volley::io {

struct SendBlock {
  msghdr header;
  iovec pieces[Reactor::kMaxSendPieces];
};

class SendBlockPool {
 public:
  SendBlock* Take() {
    if (free_.empty()) {
      all_.push_back(std::make_unique<SendBlock>());
      free_.reserve(all_.size());
      free_.push_back(all_.back().get());
    }
    SendBlock* block = free_.back();
    free_.pop_back();
    return block;
  }
  void Give(SendBlock* block) { free_.push_back(block); }

 private:
  std::vector<std::unique_ptr<SendBlock>> all_;
  std::vector<SendBlock*> free_;
};

class SendPieces {
 public:
  // REQUIRES: empty(); 1 to kMaxSendPieces pieces, none of them empty.
  void Begin(std::span<const iovec> pieces, SendBlockPool& pool) {
    VOLLEY_CHECK(!pieces.empty() && pieces.size() <= Reactor::kMaxSendPieces);
    VOLLEY_CHECK(remaining_ == 0);
    for (const iovec& piece : pieces) {
      VOLLEY_CHECK(piece.iov_len != 0);
      remaining_ += piece.iov_len;
    }
    if (pieces.size() == 1) {
      one_ = pieces.front();
      return;
    }
    block_ = pool.Take();
    std::copy(pieces.begin(), pieces.end(), block_->pieces);
    next_ = 0;
    count_ = static_cast<uint32_t>(pieces.size());
  }

  // The first `bytes` of what is left have been taken.
  void Advance(uint64_t bytes, SendBlockPool& pool) {
    VOLLEY_CHECK(bytes <= remaining_);
    remaining_ -= bytes;
    if (remaining_ == 0) return Release(pool);
    if (block_ == nullptr) return Trim(one_, bytes);
    while (bytes >= block_->pieces[next_].iov_len) bytes -= block_->pieces[next_++].iov_len;
    Trim(block_->pieces[next_], bytes);
  }

  // Forgets the pieces, but not how much of them was left.
  void Release(SendBlockPool& pool) {
    if (block_ != nullptr) pool.Give(block_);
    block_ = nullptr;
  }

  uint64_t remaining() const { return remaining_; }
  bool is_single() const { return block_ == nullptr; }
  iovec single() const { return one_; }
  std::span<iovec> pieces() {
    if (is_single()) return {&one_, 1};
    return {block_->pieces + next_, count_ - next_};
  }

  // REQUIRES: !is_single(). Stays where it is until the send is over.
  msghdr* header() {
    block_->header = msghdr{};
    block_->header.msg_iov = block_->pieces + next_;
    block_->header.msg_iovlen = count_ - next_;
    return &block_->header;
  }

 private:
  static void Trim(iovec& piece, uint64_t bytes) {
    piece.iov_base = static_cast<char*>(piece.iov_base) + bytes;
    piece.iov_len -= bytes;
  }

  uint64_t remaining_ = 0;
  iovec one_{};
  SendBlock* block_ = nullptr;
  uint32_t next_ = 0;
  uint32_t count_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_SEND_PIECES_H_
