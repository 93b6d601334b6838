// Memory for outputs whose size is not known for sure before they are written.
#ifndef ASHORE_GUARDED_BYTES_H_
#define ASHORE_GUARDED_BYTES_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "ashore_engine.h"

namespace ashore {

// Zeros at the beginning of a page, with room behind them that costs nothing until it is touched. Behind the room lies
// a page nobody may touch: who writes on and on ends the process, and does not spoil other memory.
class GuardedBytes {
 public:
  GuardedBytes(size_t size, size_t room) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_t wanted = 0;
    if (__builtin_add_overflow(size, room, &wanted) ||
        __builtin_add_overflow(wanted, ASHORE_SLACK_BYTES + 2 * page, &wanted)) {
      throw std::bad_alloc();
    }
    length_ = wanted / page * page;
    void* mapped =
        mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<uint8_t*>(mapped);
    mprotect(memory_ + length_ - page, page, PROT_NONE);
  }
  ~GuardedBytes() {
    if (memory_ != nullptr) munmap(memory_, length_);
  }
  GuardedBytes(GuardedBytes&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), length_(other.length_) {}
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  uint8_t* data() const { return memory_; }

 private:
  uint8_t* memory_ = nullptr;
  size_t length_ = 0;
};

}  // namespace ashore

#endif  // ASHORE_GUARDED_BYTES_H_
