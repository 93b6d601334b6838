#include "turn.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "clock.h"

namespace ashore {
namespace {

// Runs differ by about as much, and a sleep may end late.
constexpr uint64_t kLeadNs = 300000, kPatienceNs = 300000;

// As poll, for at most `limit_ns`.
int wait(pollfd* fd, uint64_t limit_ns) {
  const timespec limit = {static_cast<time_t>(limit_ns / 1000000000u), static_cast<long>(limit_ns % 1000000000u)};
  return ppoll(fd, 1, &limit, nullptr);
}

// To wake a sleeping process takes the system 50 to 100 microseconds, so be awake when the answer comes.
int watch(int fd, uint64_t due_ns) {
  pollfd answer = {fd, POLLIN, 0};
  const uint64_t due_at_ns = now_ns() + due_ns;
  int found = due_ns > kLeadNs ? wait(&answer, due_ns - kLeadNs) : 0;
  while (found == 0 && now_ns() < due_at_ns + kPatienceNs) found = poll(&answer, 1, 0);
  return found;
}

}  // namespace
}  // namespace ashore

__attribute__((visibility("default"))) int64_t ashore_turn(int requests_fd, int answers_fd, const void* request,
                                                           size_t request_bytes, uint64_t due_ns, void* answer,
                                                           size_t answer_bytes) {
  if (write(requests_fd, request, request_bytes) < 0) return -errno;
  const int found = ashore::watch(answers_fd, due_ns);
  if (found == 0) return -ETIME;
  const ssize_t got = found < 0 ? -1 : read(answers_fd, answer, answer_bytes);
  return got < 0 ? -errno : got;
}
