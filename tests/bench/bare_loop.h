// What both bare programs do around their library. `bare MODEL INPUT THREADS` runs once and says so; then, for each
// number on stdin, it runs so many times and prints the nanoseconds of each.
#ifndef ASHORE_BENCH_BARE_LOOP_H_
#define ASHORE_BENCH_BARE_LOOP_H_

#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

inline void require(bool well, const char* what) {
  if (well) return;
  std::fprintf(stderr, "%s failed\n", what);
  std::exit(1);
}

inline std::vector<char> read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

template <typename Work>
uint64_t timed(Work work) {
  const uint64_t begin_ns = now_ns();
  work();
  return now_ns() - begin_ns;
}

// `run` does one inference and tells the nanoseconds of the library's call.
template <typename Run>
int serve(Run run) {
  std::printf("%llu\n", static_cast<unsigned long long>(run()));
  std::fflush(stdout);
  int runs = 0;
  while (std::scanf("%d", &runs) == 1) {
    std::vector<uint64_t> taken;
    for (int done = 0; done < runs; ++done) taken.push_back(run());
    for (const uint64_t ns : taken) std::printf("%llu ", static_cast<unsigned long long>(ns));
    std::printf("\n");
    std::fflush(stdout);
  }
  return 0;
}

#endif  // ASHORE_BENCH_BARE_LOOP_H_
