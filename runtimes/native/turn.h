/* One turn of a conversation with a runner, from the side that asks.
 *
 * Python does the same in ashore_runtimes/watch.py and frames.py; done here it takes the caller some 40 microseconds
 * less, since after a model has run the caches hold little of an interpreter, and others may run meanwhile.
 */
#ifndef ASHORE_TURN_H_
#define ASHORE_TURN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes a request of at most PIPE_BUF bytes, which a pipe takes whole or not at all; sleeps until shortly before
 * `due_ns` from now, then looks again and again until shortly after; reads what of the answer has come.
 *
 * Returns how many bytes that are, 0 where the runner closed its end, or a negative errno: -EAGAIN where nothing was
 * sent; -ETIME or -EINTR where the request is sent and its answer has still to come; others as write and read say.
 */
int64_t ashore_turn(int requests_fd, int answers_fd, const void* request, size_t request_bytes, uint64_t due_ns,
                    void* answer, size_t answer_bytes);

#ifdef __cplusplus
}
#endif

#endif /* ASHORE_TURN_H_ */
