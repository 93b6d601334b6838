// Where tensors lie: `u16 tensors, then for each: u64 byte offset, u8 rank, u64 per dimension`.
#ifndef ASHORE_LAYOUT_H_
#define ASHORE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ashore_engine.h"

namespace ashore {

struct Slot {
  uint64_t offset;
  std::vector<int64_t> shape;
};

// Throws ProtocolError where `body` is no layout.
std::vector<Slot> unpack_layout(const std::vector<uint8_t>& body);
std::vector<uint8_t> pack_layout(const std::vector<Slot>& slots);

// Aligned places for tensors one after another; `end` is what they need together.
std::vector<Slot> lay_out(const std::vector<ashore_view>& views, uint64_t* end);

}  // namespace ashore

#endif  // ASHORE_LAYOUT_H_
