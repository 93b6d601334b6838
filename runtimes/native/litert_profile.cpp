#include "litert_profile.h"

#include <string>
#include <vector>

#include "model.h"

namespace ashore::litert {
namespace {

constexpr int32_t kRing = 2048;  // events that the library keeps

void check(Status status, const char* doing) {
  if (status != 0) throw Failure(ASHORE_ENGINE_FAILED, std::string(doing) + ": " + status_text(status));
}

}  // namespace

Profiler start_profiler(CompiledModel model) {
  Profiler profiler = nullptr;
  check(api().CompiledModelGetProfiler(model, &profiler), "getting LiteRT's profiler");
  check(api().StartProfiler(profiler), "starting LiteRT's profiler");
  return profiler;
}

void drain(Profiler profiler, OpTimes* times) {
  int32_t count = 0;
  check(api().GetNumProfilerEvents(profiler, &count), "reading LiteRT's profiler");
  if (count >= kRing) {
    throw Failure(ASHORE_UNSUPPORTED, "LiteRT's profiler keeps 2047 events, and one run has more");
  }
  std::vector<ProfilerEvent> events(static_cast<size_t>(count > 0 ? count : 0));
  if (count > 0) check(api().GetProfilerEvents(profiler, count, events.data()), "reading LiteRT's profiler");
  for (const ProfilerEvent& event : events) {
    // A delegate's operators come instead of its node.
    const bool delegated = event.type == kDelegateOperator || event.type == kDelegateProfiledOperator;
    if (event.tag == nullptr || (!delegated && event.type != kOperator)) continue;
    const std::string type = event.tag;
    times->add(type + ":" + std::to_string(event.index), type, delegated, event.elapsed_us * 1000);
  }
  check(api().ResetProfiler(profiler), "resetting LiteRT's profiler");
  check(api().StartProfiler(profiler), "starting LiteRT's profiler");
}

}  // namespace ashore::litert
