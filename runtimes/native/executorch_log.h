// What ExecuTorch logs: it returns only error numbers, and says in its log what they mean.
#ifndef ASHORE_EXECUTORCH_LOG_H_
#define ASHORE_EXECUTORCH_LOG_H_

#include <executorch/runtime/core/error.h>

#include <string>

namespace ashore {

// Keep errors from now on; they go on to stderr, and nothing else does.
void keep_log();
void clear_log();

// "InvalidArgument: Attempted to resize a static tensor"
std::string explain(executorch::runtime::Error error);

// Throws Failure where a file could not be read.
void require_loaded(executorch::runtime::Error error, const std::string& doing);

// Nothing is logged or kept while one is alive: for questions whose answer may be no.
class QuietLog {
 public:
  QuietLog();
  ~QuietLog();
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;
};

}  // namespace ashore

#endif  // ASHORE_EXECUTORCH_LOG_H_
