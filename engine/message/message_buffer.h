// MessageBuffer: the bytes of one composed message while it is put together. Short parts are copied
// into one growing arena, long stable ones are only pointed at.
//
// Threading: one thread. LIFETIME: pieces() point into the arena and at the stable parts; they are
// good until the next Clear or Append. The arena keeps its memory over Clear.
#ifndef VOLLEY_ENGINE_MESSAGE_MESSAGE_BUFFER_H_
#define VOLLEY_ENGINE_MESSAGE_MESSAGE_BUFFER_H_

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace volley::engine::message {

class MessageBuffer {
 public:
  // Below this a copy is cheaper than one more entry for the kernel to walk.
  static constexpr size_t kSmallestReferenced = 512;
  // A signature may come in front, and a sender adds its own few (the final dot, the next command)
  // and stays under its own limit of 64.
  static constexpr size_t kMaxPieces = 60;

  void Clear() {
    size_ = 0;
    piece_count_ = 0;
    header_pieces_ = 0;
    bytes_ = 0;
  }

  // What follows is the body: it begins a piece of its own.
  void BeginBody() { header_pieces_ = piece_count_; }
  size_t header_pieces() const { return header_pieces_; }

  void AppendCopy(std::string_view text) {
    if (text.empty()) return;  // memcpy takes no null pointer, not even for nothing
    std::memcpy(Reserve(text.size()), text.data(), text.size());
    Commit(text.size());
  }

  // `text` must outlive the pieces; it is copied anyway when it is short or pieces run out.
  void AppendStable(std::string_view text) {
    // Two more pieces must always be left: copied bytes behind this one, and those of the body.
    if (text.size() < kSmallestReferenced || piece_count_ + 3 > kMaxPieces) return AppendCopy(text);
    pieces_[piece_count_++] = {text.data(), 0, text.size()};
    bytes_ += text.size();
  }

  // Room for `bytes` more, to be written by the caller and then committed, as many as were used.
  char* Reserve(size_t bytes) {
    if (capacity_ - size_ < bytes) [[unlikely]]
      Grow(bytes);
    return arena_.get() + size_;
  }
  void Commit(size_t bytes) {
    if (bytes == 0) return;
    if (piece_count_ == header_pieces_ || pieces_[piece_count_ - 1].stable != nullptr) {
      pieces_[piece_count_++] = {nullptr, size_, 0};
    }
    pieces_[piece_count_ - 1].size += bytes;
    size_ += bytes;
    bytes_ += bytes;
  }

  uint64_t bytes() const { return bytes_; }

  // Fills `out` and returns the part used.
  std::span<const iovec> Pieces(std::span<iovec, kMaxPieces> out) const {
    for (size_t i = 0; i < piece_count_; ++i) {
      const Piece& piece = pieces_[i];
      const char* base = piece.stable != nullptr ? piece.stable : arena_.get() + piece.offset;
      out[i] = {const_cast<char*>(base), piece.size};
    }
    return out.first(piece_count_);
  }

 private:
  struct Piece {
    const char* stable;  // null: in the arena, at offset
    size_t offset;
    size_t size;
  };

  void Grow(size_t bytes) {
    size_t wanted = capacity_ == 0 ? 1024 : capacity_;
    while (wanted - size_ < bytes) wanted *= 2;
    auto larger = std::make_unique_for_overwrite<char[]>(wanted);
    if (size_ != 0) std::memcpy(larger.get(), arena_.get(), size_);
    arena_ = std::move(larger);
    capacity_ = wanted;
  }

  std::unique_ptr<char[]> arena_;
  size_t capacity_ = 0;
  size_t size_ = 0;
  uint64_t bytes_ = 0;
  size_t piece_count_ = 0;
  size_t header_pieces_ = 0;
  std::array<Piece, kMaxPieces> pieces_;
};

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_MESSAGE_BUFFER_H_
