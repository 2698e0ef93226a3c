#include "io/reactor/receive_buffers.h"

#include <sys/mman.h>

#include <cerrno>

namespace volley::io {
namespace {

void* MapPages(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

void ReceiveBuffers::Unregister() {
  if (registered_) (void)io_uring_unregister_buf_ring(uring_, kReceiveBufferGroup);
  registered_ = false;
}

ReceiveBuffers::~ReceiveBuffers() {
  Unregister();
  if (ring_ != nullptr) munmap(ring_, ring_bytes_);
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

int ReceiveBuffers::Register(io_uring* ring, uint32_t count, uint32_t bytes) {
  uring_ = ring;
  buffer_bytes_ = bytes;
  mask_ = io_uring_buf_ring_mask(count);
  ring_bytes_ = count * sizeof(io_uring_buf);
  memory_bytes_ = size_t{count} * bytes;
  ring_ = static_cast<io_uring_buf_ring*>(MapPages(ring_bytes_));
  memory_ = static_cast<char*>(MapPages(memory_bytes_));
  if (ring_ == nullptr || memory_ == nullptr) return ENOMEM;

  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(ring_);
  registration.ring_entries = count;
  registration.bgid = kReceiveBufferGroup;
  const int result = io_uring_register_buf_ring(ring, &registration, 0);
  if (result < 0) return -result;
  registered_ = true;
  io_uring_buf_ring_init(ring_);
  for (uint32_t id = 0; id < count; ++id) Recycle(id << IORING_CQE_BUFFER_SHIFT);
  Publish();
  return 0;
}

void ReceiveBuffers::Recycle(uint32_t cqe_flags) {
  const uint32_t id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
  io_uring_buf_ring_add(ring_, memory_ + id * size_t{buffer_bytes_}, buffer_bytes_,
                        static_cast<unsigned short>(id), mask_, recycled_++);
}

void ReceiveBuffers::Publish() {
  if (recycled_ == 0) return;
  io_uring_buf_ring_advance(ring_, recycled_);
  recycled_ = 0;
}

}  // namespace volley::io
