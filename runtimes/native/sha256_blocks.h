// The inner loop of SHA-256, with the CPU's own instructions for it where it has them.
#ifndef ASHORE_SHA256_BLOCKS_H_
#define ASHORE_SHA256_BLOCKS_H_

#include <cstddef>
#include <cstdint>

namespace ashore {

// Takes `blocks` times 64 bytes into the eight words of `state`.
void hash_blocks(uint32_t* state, const uint8_t* data, size_t blocks);

}  // namespace ashore

#endif  // ASHORE_SHA256_BLOCKS_H_
