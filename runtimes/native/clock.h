#ifndef ASHORE_CLOCK_H_
#define ASHORE_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace ashore {

inline uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace ashore

#endif  // ASHORE_CLOCK_H_
