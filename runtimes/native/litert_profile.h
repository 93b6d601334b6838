// Operator times of LiteRT's profiler.
#ifndef ASHORE_LITERT_PROFILE_H_
#define ASHORE_LITERT_PROFILE_H_

#include "litert_api.h"
#include "op_times.h"

namespace ashore::litert {

// The profiler of a model that was compiled with profiling on, started. Throws Failure.
Profiler start_profiler(CompiledModel model);

// Moves what happened since the last call into `times`. Throws Failure where the profiler forgot the beginning.
void drain(Profiler profiler, OpTimes* times);

}  // namespace ashore::litert

#endif  // ASHORE_LITERT_PROFILE_H_
