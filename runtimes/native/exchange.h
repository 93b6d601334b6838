// How tensors travel: in shared memory, or in the frames themselves.
#ifndef ASHORE_EXCHANGE_H_
#define ASHORE_EXCHANGE_H_

#include <cstdint>
#include <vector>

#include "frames.h"
#include "layout.h"
#include "mapping.h"

namespace ashore {

class Exchange {
 public:
  virtual ~Exchange() = default;
  // Where the inputs' bytes lie, `end` of them, for the rest of the current RUN. Throws ProtocolError if they do not.
  virtual uint8_t* receive(Frames* frames, uint64_t end) = 0;
  // Makes outputs reach the parent behind the answer's first pieces.
  virtual void publish(Frames* frames, Kind kind, std::vector<Piece> head, const std::vector<ashore_view>& views,
                       const std::vector<Slot>& slots, uint64_t end) = 0;
};

// Two anonymous files, mapped by both sides. The parent makes room for inputs, this side for outputs.
class SharedExchange final : public Exchange {
 public:
  SharedExchange(int inputs_fd, int outputs_fd) : inputs_fd_(inputs_fd), outputs_fd_(outputs_fd) {}
  uint8_t* receive(Frames* frames, uint64_t end) override;
  void publish(Frames* frames, Kind kind, std::vector<Piece> head, const std::vector<ashore_view>& views,
               const std::vector<Slot>& slots, uint64_t end) override;

 private:
  int inputs_fd_, outputs_fd_;
  Mapping inputs_, outputs_;
};

// For a parent that shares no memory, such as one at the other end of a cable.
class InlineExchange final : public Exchange {
 public:
  uint8_t* receive(Frames* frames, uint64_t end) override;
  void publish(Frames* frames, Kind kind, std::vector<Piece> head, const std::vector<ashore_view>& views,
               const std::vector<Slot>& slots, uint64_t end) override;

 private:
  Buffer inputs_;
};

}  // namespace ashore

#endif  // ASHORE_EXCHANGE_H_
