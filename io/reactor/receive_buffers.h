// ReceiveBuffers: the ring of provided buffers that all multishot receives of one io_uring take
// from. The kernel picks a buffer when bytes have arrived, so 10,000 idle streams hold none.
//
// Threading: the ring's thread. LIFETIME: goes before the ring does, and after the last receive.
#ifndef VOLLEY_IO_REACTOR_RECEIVE_BUFFERS_H_
#define VOLLEY_IO_REACTOR_RECEIVE_BUFFERS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "io/reactor/uring_shim.h"

namespace volley::io {

class ReceiveBuffers {
 public:
  ReceiveBuffers() = default;
  ~ReceiveBuffers();
  ReceiveBuffers(const ReceiveBuffers&) = delete;
  ReceiveBuffers& operator=(const ReceiveBuffers&) = delete;

  // Maps `count` buffers (a power of two) of `bytes` each and gives them all to the kernel.
  // 0 or a positive errno.
  int Register(io_uring* ring, uint32_t count, uint32_t bytes);

  // REQUIRES: no receive in flight. The destructor does it too.
  void Unregister();

  // What a completion with IORING_CQE_F_BUFFER holds.
  std::span<const char> Filled(uint32_t cqe_flags, size_t bytes) const {
    return {memory_ + (cqe_flags >> IORING_CQE_BUFFER_SHIFT) * size_t{buffer_bytes_}, bytes};
  }
  // Puts the buffer back; the kernel sees it after Publish().
  void Recycle(uint32_t cqe_flags);
  void Publish();

 private:
  io_uring* uring_ = nullptr;
  io_uring_buf_ring* ring_ = nullptr;
  size_t ring_bytes_ = 0;
  char* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  uint32_t buffer_bytes_ = 0;
  int mask_ = 0;
  int recycled_ = 0;
  bool registered_ = false;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_RECEIVE_BUFFERS_H_
