#include "exchange.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ashore {
namespace {

uint64_t file_bytes(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 && status.st_size > 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

}  // namespace

uint8_t* SharedExchange::receive(Frames* frames, uint64_t end) {
  if (frames->left() != 0) throw ProtocolError("tensors in a frame, where memory is shared");
  const uint64_t there = file_bytes(inputs_fd_);
  if (end > there) {
    throw ProtocolError("inputs end at byte " + std::to_string(end) + " of " + std::to_string(there) + " shared bytes");
  }
  if (inputs_.size() < end || inputs_.data() == nullptr) {
    inputs_ = Mapping(inputs_fd_, static_cast<size_t>(there), Access::kWrite);
  }
  return inputs_.data();
}

void SharedExchange::publish(Frames* frames, Kind kind, std::vector<Piece> head, const std::vector<ashore_view>& views,
                             const std::vector<Slot>& slots, uint64_t end) {
  if (outputs_.size() < end) {
    if (file_bytes(outputs_fd_) < end && ftruncate(outputs_fd_, static_cast<off_t>(end)) != 0) {
      throw std::runtime_error(std::string("no room for the outputs: ") + std::strerror(errno));
    }
    outputs_ = Mapping(outputs_fd_, static_cast<size_t>(end), Access::kWrite);
  }
  for (size_t index = 0; index < views.size(); ++index) {
    if (views[index].size_bytes == 0) continue;
    std::memcpy(outputs_.data() + slots[index].offset, views[index].data, static_cast<size_t>(views[index].size_bytes));
  }
  frames->send(kind, head);
}

uint8_t* InlineExchange::receive(Frames* frames, uint64_t end) {
  if (end > frames->left()) {
    throw ProtocolError("inputs end at byte " + std::to_string(end) + " of " + std::to_string(frames->left()) +
                        " in the frame");
  }
  const size_t size = frames->left();
  uint8_t* data = inputs_.reserve(size);
  frames->take(data, size);
  return data;
}

void InlineExchange::publish(Frames* frames, Kind kind, std::vector<Piece> head, const std::vector<ashore_view>& views,
                             const std::vector<Slot>& slots, uint64_t end) {
  static const uint8_t kPadding[ASHORE_ALIGNMENT_BYTES] = {};
  for (size_t index = 0; index < views.size(); ++index) {
    head.push_back({views[index].data, static_cast<size_t>(views[index].size_bytes)});
    const uint64_t next = index + 1 < slots.size() ? slots[index + 1].offset : end;
    head.push_back({kPadding, static_cast<size_t>(next - slots[index].offset - views[index].size_bytes)});
  }
  frames->send(kind, head);
}

}  // namespace ashore
