// SHA-256 (FIPS 180-4).
#ifndef ASHORE_SHA256_H_
#define ASHORE_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace ashore {

using Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  void add(const uint8_t* data, size_t size);
  // Ends it; nothing may be added afterwards.
  Digest digest();

 private:
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> pending_ = {};
  size_t pending_size_ = 0;
  uint64_t total_bytes_ = 0;
};

std::string hex(const Digest& digest);

}  // namespace ashore

#endif  // ASHORE_SHA256_H_
