// Memory for tensors, as ashore_engine.h asks for.
#ifndef ASHORE_ALIGNED_BYTES_H_
#define ASHORE_ALIGNED_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "ashore_engine.h"

namespace ashore {

// Zeros at a multiple of ASHORE_ALIGNMENT_BYTES, with ASHORE_SLACK_BYTES behind them.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t size) {
    size_t room = 0;
    if (__builtin_add_overflow(size, ASHORE_ALIGNMENT_BYTES + ASHORE_SLACK_BYTES, &room)) throw std::bad_alloc();
    // calloc, because large zeros cost nothing until they are touched.
    memory_.reset(std::calloc(1, room));
    if (!memory_) throw std::bad_alloc();
  }

  uint8_t* data() const {
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    const uintptr_t beyond = address + ASHORE_ALIGNMENT_BYTES - 1;
    return reinterpret_cast<uint8_t*>(beyond / ASHORE_ALIGNMENT_BYTES * ASHORE_ALIGNMENT_BYTES);
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
};

}  // namespace ashore

#endif  // ASHORE_ALIGNED_BYTES_H_
