// SipHash-2-4 (Aumasson and Bernstein 2012): a keyed 64-bit hash of short inputs. Keyed, because
// addresses come from outside: without the key nobody can make up many that share a bucket.
#ifndef VOLLEY_PIPELINE_STORE_SIP_HASH_H_
#define VOLLEY_PIPELINE_STORE_SIP_HASH_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace volley::pipeline {

struct SipKey {
  uint64_t k0 = 0, k1 = 0;
};

namespace sip_hash {

struct State {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }
  void Mix(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
};

}  // namespace sip_hash

inline uint64_t SipHash(const SipKey& key, std::string_view bytes) {
  static_assert(std::endian::native == std::endian::little);
  sip_hash::State state{key.k0 ^ 0x736f6d6570736575, key.k1 ^ 0x646f72616e646f6d,
                        key.k0 ^ 0x6c7967656e657261, key.k1 ^ 0x7465646279746573};
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    state.Mix(word);
  }
  uint64_t last = static_cast<uint64_t>(bytes.size()) << 56;
  for (size_t i = 0; at + i < bytes.size(); ++i) {
    last |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  state.Mix(last);
  state.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) state.Round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_SIP_HASH_H_
