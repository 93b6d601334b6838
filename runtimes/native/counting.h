// Marks in the program itself for what counts its instructions (qemu_plugin/).
#ifndef ASHORE_COUNTING_H_
#define ASHORE_COUNTING_H_

#include "counting_marks.h"

namespace ashore {

// Everything that the same thread executes between the two belongs to one inference. Each is an instruction that every
// arm64 CPU executes without effect, and nothing at all elsewhere: it costs a measured run nothing.
inline void begin_counting() {
#if defined(__aarch64__)
  asm volatile("movz xzr, %0" ::"i"(ASHORE_MARK_BEGIN) : "memory");
#endif
}

inline void end_counting() {
#if defined(__aarch64__)
  asm volatile("movz xzr, %0" ::"i"(ASHORE_MARK_END) : "memory");
#endif
}

}  // namespace ashore

#endif  // ASHORE_COUNTING_H_
