#include "engine/base/secret_memory.h"

#include <openssl/crypto.h>
#include <sys/mman.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define VOLLEY_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VOLLEY_POISONS 1
#endif
#endif
#ifdef VOLLEY_POISONS
#include <sanitizer/asan_interface.h>
#endif

namespace volley::engine {
namespace {

// A user's name and password in PLAIN; a SCRAM message; access tokens, plain and in base64; what a
// server must take of them (12 KB). Larger ones are files being read: seldom, and mapped alone.
constexpr std::array<size_t, 5> kBlockBytes = {64, 256, 1024, 4096, 16 * 1024};
constexpr size_t kSlabBytes = 256 * 1024;

// AddressSanitizer knows malloc's blocks and not these: it is told what may be touched.
void Forbid([[maybe_unused]] char* bytes, [[maybe_unused]] size_t size) {
#ifdef VOLLEY_POISONS
  ASAN_POISON_MEMORY_REGION(bytes, size);
#endif
}
void Allow([[maybe_unused]] char* bytes, [[maybe_unused]] size_t size) {
#ifdef VOLLEY_POISONS
  ASAN_UNPOISON_MEMORY_REGION(bytes, size);
#endif
}

char* MapPages(size_t size) {
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    std::fputs("out of memory for secrets\n", stderr);
    std::abort();
  }
  // A kernel that cannot (gVisor) leaves things as they were.
  (void)madvise(pages, size, MADV_DONTDUMP);
  return static_cast<char*>(pages);
}

// Blocks of one size. Which are free stands beside them: a freed block holds nothing, not even a
// pointer to the next.
class BlockPool {
 public:
  char* Take(size_t block_bytes) {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) AddSlab(block_bytes);
    char* block = free_.back();
    free_.pop_back();
    return block;
  }
  void Give(char* block) {
    const std::lock_guard lock(mutex_);
    free_.push_back(block);  // there is room for all of them
  }

 private:
  void AddSlab(size_t block_bytes) {
    const size_t blocks = kSlabBytes / block_bytes;
    blocks_ += blocks;
    free_.reserve(blocks_);
    char* slab = MapPages(kSlabBytes);
    Forbid(slab, kSlabBytes);
    for (size_t i = blocks; i > 0; --i) free_.push_back(slab + (i - 1) * block_bytes);
  }

  std::mutex mutex_;
  std::vector<char*> free_;
  size_t blocks_ = 0;
};

// Never destroyed: secrets in static objects come back late.
std::array<BlockPool, kBlockBytes.size()>& Pools() {
  static auto* pools = new std::array<BlockPool, kBlockBytes.size()>;
  return *pools;
}

size_t PoolOf(size_t size) {
  size_t pool = 0;
  while (pool < kBlockBytes.size() && kBlockBytes[pool] < size) ++pool;
  return pool;
}

}  // namespace

char* AllocateSecretBytes(size_t size) {
  const size_t pool = PoolOf(size);
  if (pool == kBlockBytes.size()) return MapPages(size);
  char* block = Pools()[pool].Take(kBlockBytes[pool]);
  Allow(block, size);
  return block;
}

void FreeSecretBytes(char* bytes, size_t size) {
  OPENSSL_cleanse(bytes, size);
  const size_t pool = PoolOf(size);
  if (pool == kBlockBytes.size()) {
    munmap(bytes, size);
    return;
  }
  Forbid(bytes, kBlockBytes[pool]);
  Pools()[pool].Give(bytes);
}

}  // namespace volley::engine
