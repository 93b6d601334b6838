#include "sha256_blocks.h"

#include "sha256_cpu.h"

namespace ashore {
namespace {

uint32_t rotated(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

void expand(const uint8_t* block, uint32_t* words) {
  for (int index = 0; index < 16; ++index) {
    const uint8_t* at = block + 4 * index;
    words[index] = static_cast<uint32_t>(at[0]) << 24 | static_cast<uint32_t>(at[1]) << 16 |
                   static_cast<uint32_t>(at[2]) << 8 | static_cast<uint32_t>(at[3]);
  }
  for (int index = 16; index < 64; ++index) {
    const uint32_t early = words[index - 15], late = words[index - 2];
    const uint32_t small0 = rotated(early, 7) ^ rotated(early, 18) ^ early >> 3;
    const uint32_t small1 = rotated(late, 17) ^ rotated(late, 19) ^ late >> 10;
    words[index] = words[index - 16] + small0 + words[index - 7] + small1;
  }
}

void hash_block(uint32_t* state, const uint8_t* block) {
  uint32_t words[64];
  expand(block, words);
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int index = 0; index < 64; ++index) {
    const uint32_t big1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    const uint32_t first = h + big1 + ((e & f) ^ (~e & g)) + kSha256Rounds[index] + words[index];
    const uint32_t big0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
    const uint32_t second = big0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const uint32_t added[8] = {a, b, c, d, e, f, g, h};
  for (int index = 0; index < 8; ++index) state[index] += added[index];
}

}  // namespace

void hash_blocks(uint32_t* state, const uint8_t* data, size_t blocks) {
  static const bool kHasInstructions = cpu_hashes();
  if (kHasInstructions) return hash_blocks_by_cpu(state, data, blocks);
  for (; blocks > 0; --blocks, data += 64) hash_block(state, data);
}

}  // namespace ashore
