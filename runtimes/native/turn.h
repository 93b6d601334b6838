/* One turn of a conversation with a runner, from the side that asks.
 *
 * Python does the same in ashore_runtimes/session/watch.py and wire/frames.py; done here it takes the caller some 40
 * microseconds less, since after a model has run the caches hold little of an interpreter, and others may run meanwhile.
 */
#ifndef ASHORE_TURN_H_
#define ASHORE_TURN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  void* data;
  size_t size_bytes;
} ashore_memory;

/* `answer` is where an answer's beginning is read to; `inputs` is where the caller will write inputs of the next run, or
 * nothing; `late_at_ns` is for these functions alone. */
typedef struct {
  int requests_fd;
  int answers_fd;
  ashore_memory answer;
  ashore_memory inputs;
  uint64_t late_at_ns;
} ashore_conversation;

/* Writes a request of at most PIPE_BUF bytes, which a pipe takes whole or not at all; looks for the answer until
 * shortly before `due_ns` from now, asleep where that is long; reads what of the answer has come.
 *
 * Returns how many bytes that are, 0 where the runner closed its end, or a negative errno: -EAGAIN where nothing was
 * sent; -EINPROGRESS where the request is sent and its answer is about to come, for ashore_glance; -EINTR where it has
 * still to come; others as write and read say.
 */
int64_t ashore_turn(ashore_conversation* with, const void* request, size_t request_bytes, uint64_t due_ns);

/* Looks for the answer for at most `limit_ns`. Returns as ashore_turn; -ETIME where it is late, and worth no looking. */
int64_t ashore_glance(const ashore_conversation* with, uint64_t limit_ns);

#ifdef __cplusplus
}
#endif

#endif /* ASHORE_TURN_H_ */
