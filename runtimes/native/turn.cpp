#include "turn.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "clock.h"

namespace ashore {
namespace {

// Runs differ by about as much, long ones more than short ones, and a sleep may end late.
uint64_t lead_ns(uint64_t due_ns) { return std::clamp<uint64_t>(due_ns / 8, 300000, 1000000); }
uint64_t patience_ns(uint64_t due_ns) { return std::clamp<uint64_t>(due_ns / 4, 300000, 2000000); }

// To wake a sleeping process takes the system 50 to 100 microseconds, and its caches are another's by then: a caller
// stays awake through a run of at most this length.
constexpr uint64_t kLongestWatchNs = 20000000;
// So much between two looks is another's turn on this core: whoever it is needs it more, for a while.
constexpr uint64_t kInterruptedNs = 200000, kConsiderateNs = 1000000000;
constexpr size_t kMostWarmedBytes = 1 << 20, kLineBytes = 64;

std::atomic<uint64_t> considerate_until_ns{0};

// As poll, for at most `limit_ns`.
int wait(pollfd* fd, uint64_t limit_ns) {
  const timespec limit = {static_cast<time_t>(limit_ns / 1000000000u), static_cast<long>(limit_ns % 1000000000u)};
  return ppoll(fd, 1, &limit, nullptr);
}

// The runner's core holds the inputs' memory after a run; to take each line back takes longer than to write it. Nothing
// is read or written by this, and no address is a wrong one.
#if defined(__x86_64__)
__attribute__((target("prfchw")))
#endif
void take_back(const void* memory, size_t bytes) {
  const auto* at = static_cast<const uint8_t*>(memory);
  for (size_t offset = 0; offset < bytes; offset += kLineBytes) __builtin_prefetch(at + offset, 1);
  asm volatile("" ::"r"(memory) : "memory");  // or the compiler drops calls of a function that does nothing else
}

// As poll, looking again and again until then.
int look(pollfd* answer, uint64_t until_ns) {
  uint64_t last_ns = now_ns();
  int found = 0;
  while ((found = poll(answer, 1, 0)) == 0 && last_ns < until_ns) {
    const uint64_t now = now_ns();
    if (now - last_ns > kInterruptedNs) considerate_until_ns = now + kConsiderateNs;
    last_ns = now;
  }
  return found;
}

bool stays_awake(uint64_t due_ns) { return due_ns <= kLongestWatchNs && now_ns() >= considerate_until_ns.load(); }

// As poll, until the answer is about to come.
int wait_for(pollfd* answer, uint64_t due_ns) {
  const uint64_t lead = lead_ns(due_ns);
  if (due_ns <= lead) return poll(answer, 1, 0);
  return stays_awake(due_ns) ? look(answer, now_ns() + due_ns - lead) : wait(answer, due_ns - lead);
}

int64_t take(const ashore_conversation& with, int found) {
  const ssize_t got = found < 0 ? -1 : read(with.answers_fd, with.answer.data, with.answer.size_bytes);
  return got < 0 ? -errno : got;
}

}  // namespace
}  // namespace ashore

#define ASHORE_EXPORT extern "C" __attribute__((visibility("default")))

ASHORE_EXPORT int64_t ashore_turn(ashore_conversation* with, const void* request, size_t request_bytes,
                                  uint64_t due_ns) {
  if (write(with->requests_fd, request, request_bytes) < 0) return -errno;
  with->late_at_ns = ashore::now_ns() + due_ns + ashore::patience_ns(due_ns);
  pollfd answer = {with->answers_fd, POLLIN, 0};
  const int found = ashore::wait_for(&answer, due_ns);
  if (found != 0) return ashore::take(*with, found);
  if (with->inputs.size_bytes <= ashore::kMostWarmedBytes) {
    ashore::take_back(with->inputs.data, with->inputs.size_bytes);
  }
  return -EINPROGRESS;
}

ASHORE_EXPORT int64_t ashore_glance(const ashore_conversation* with, uint64_t limit_ns) {
  pollfd answer = {with->answers_fd, POLLIN, 0};
  const int found = ashore::look(&answer, std::min(ashore::now_ns() + limit_ns, with->late_at_ns));
  if (found != 0) return ashore::take(*with, found);
  return ashore::now_ns() < with->late_at_ns ? -EINPROGRESS : -ETIME;
}
