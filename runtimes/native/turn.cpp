#include "turn.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "clock.h"

namespace ashore {
namespace {

// Runs differ by about as much, and a sleep may end late.
constexpr uint64_t kLeadNs = 300000, kPatienceNs = 300000;
// To wake a sleeping process takes the system 50 to 100 microseconds, and its caches are another's by then: a caller
// stays awake through a run of at most this length.
constexpr uint64_t kLongestWatchNs = 20000000;
// So much between two looks is another's turn on this core: whoever it is needs it more, for a while.
constexpr uint64_t kInterruptedNs = 200000, kConsiderateNs = 1000000000;
constexpr size_t kMostWarmedBytes = 1 << 20, kLineBytes = 64;

std::atomic<uint64_t> considerate_until_ns{0};

uint64_t lead_ns(uint64_t due_ns) {
  const bool stays_awake = due_ns <= kLongestWatchNs && now_ns() >= considerate_until_ns.load();
  return stays_awake ? due_ns : kLeadNs;
}

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
}

// Looks until something is there or it is late. Calls `shortly` once, when the answer is about to come.
template <typename Shortly>
int look(pollfd* answer, uint64_t due_at_ns, Shortly shortly) {
  bool was_called = false;
  uint64_t last_ns = now_ns();
  while (last_ns < due_at_ns + kPatienceNs) {
    const int found = poll(answer, 1, 0);
    if (found != 0) return found;
    if (!was_called && last_ns + kLeadNs >= due_at_ns) {
      shortly();
      was_called = true;
    }
    const uint64_t now = now_ns();
    if (now - last_ns > kInterruptedNs) considerate_until_ns = now + kConsiderateNs;
    last_ns = now;
  }
  return 0;
}

int watch(int fd, uint64_t due_ns, const ashore_memory& inputs) {
  pollfd answer = {fd, POLLIN, 0};
  const uint64_t due_at_ns = now_ns() + due_ns, lead = lead_ns(due_ns);
  const int found = due_ns > lead ? wait(&answer, due_ns - lead) : 0;
  if (found != 0) return found;
  return look(&answer, due_at_ns, [&inputs] {
    if (inputs.size_bytes <= kMostWarmedBytes) take_back(inputs.data, inputs.size_bytes);
  });
}

}  // namespace
}  // namespace ashore

__attribute__((visibility("default"))) int64_t ashore_turn(const ashore_conversation* with, const void* request,
                                                           size_t request_bytes, uint64_t due_ns) {
  if (write(with->requests_fd, request, request_bytes) < 0) return -errno;
  const int found = ashore::watch(with->answers_fd, due_ns, with->inputs);
  if (found == 0) return -ETIME;
  const ssize_t got = found < 0 ? -1 : read(with->answers_fd, with->answer.data, with->answer.size_bytes);
  return got < 0 ? -errno : got;
}
