#include "layout.h"

#include <limits>

#include "frames.h"

namespace ashore {
namespace {

// Reads little-endian numbers and never past the end.
class Reader {
 public:
  explicit Reader(const std::vector<uint8_t>& body) : body_(body) {}

  uint64_t take(size_t bytes) {
    if (body_.size() - at_ < bytes) throw ProtocolError("the layout of the tensors is cut off");
    uint64_t value = 0;
    for (size_t index = 0; index < bytes; ++index) value |= static_cast<uint64_t>(body_[at_ + index]) << (8 * index);
    at_ += bytes;
    return value;
  }
  bool at_end() const { return at_ == body_.size(); }

 private:
  const std::vector<uint8_t>& body_;
  size_t at_ = 0;
};

void put(std::vector<uint8_t>* body, uint64_t value, size_t bytes) {
  for (size_t index = 0; index < bytes; ++index) body->push_back(static_cast<uint8_t>(value >> (8 * index)));
}

Slot take_slot(Reader* reader) {
  Slot slot{reader->take(8), {}};
  const uint64_t rank = reader->take(1);
  if (rank > ASHORE_MAX_RANK) throw ProtocolError("a tensor of " + std::to_string(rank) + " dimensions");
  for (uint64_t axis = 0; axis < rank; ++axis) {
    const uint64_t size = reader->take(8);
    if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) throw ProtocolError("an absurd dimension");
    slot.shape.push_back(static_cast<int64_t>(size));
  }
  return slot;
}

}  // namespace

std::vector<Slot> unpack_layout(const std::vector<uint8_t>& body) {
  Reader reader(body);
  std::vector<Slot> slots;
  for (uint64_t left = reader.take(2); left > 0; --left) slots.push_back(take_slot(&reader));
  if (!reader.at_end()) throw ProtocolError("there is more behind the layout of the tensors");
  return slots;
}

std::vector<uint8_t> pack_layout(const std::vector<Slot>& slots) {
  std::vector<uint8_t> body;
  put(&body, slots.size(), 2);
  for (const Slot& slot : slots) {
    put(&body, slot.offset, 8);
    put(&body, slot.shape.size(), 1);
    for (const int64_t size : slot.shape) put(&body, static_cast<uint64_t>(size), 8);
  }
  return body;
}

std::vector<Slot> lay_out(const std::vector<ashore_view>& views, uint64_t* end) {
  std::vector<Slot> slots;
  *end = 0;
  for (const ashore_view& view : views) {
    slots.push_back({*end, {view.shape, view.shape + view.rank}});
    // Each is at most the machine's memory, so the sum of 2^16 of them cannot overflow.
    *end += (view.size_bytes + ASHORE_ALIGNMENT_BYTES - 1) / ASHORE_ALIGNMENT_BYTES * ASHORE_ALIGNMENT_BYTES;
  }
  return slots;
}

}  // namespace ashore
