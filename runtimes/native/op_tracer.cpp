#include "op_tracer.h"

#include <executorch/runtime/platform/clock.h>

#include <cstring>

namespace ashore {
namespace {

constexpr char kKernelPrefix[] = "native_call_";

std::string delegate_name(const char* name, et::DelegateDebugIntId index) {
  return name != nullptr ? name : "delegate operator " + std::to_string(index);
}

// "Convolution (NHWC, F32) IGEMM #3" -> "Convolution (NHWC, F32) IGEMM"
std::string type_of(const std::string& name) {
  const size_t number = name.rfind(" #");
  const bool numbered =
      number != std::string::npos && name.find_first_not_of("0123456789", number + 2) == std::string::npos;
  return numbered ? name.substr(0, number) : name;
}

}  // namespace

OpTracer::OpTracer(OpTimes* times) : times_(times) {
  set_event_tracer_profiling_level(et::EventTracerProfilingLevel::kProfileAllEvents);
}

et::EventTracerEntry OpTracer::start_profiling(const char* name, et::ChainID /*chain*/, et::DebugHandle /*handle*/) {
  const std::string text = name != nullptr ? name : "";
  return begin(text, text == "DELEGATE_CALL");
}

void OpTracer::end_profiling(et::EventTracerEntry entry) { end(entry); }

et::EventTracerEntry OpTracer::start_profiling_delegate(const char* name, et::DelegateDebugIntId index) {
  return begin(delegate_name(name, index), true);
}

void OpTracer::end_profiling_delegate(et::EventTracerEntry entry, const void* /*metadata*/, size_t /*metadata_len*/) {
  end(entry);
}

void OpTracer::log_profiling_delegate(const char* name, et::DelegateDebugIntId index, et_timestamp_t start_time,
                                      et_timestamp_t end_time, const void* /*metadata*/, size_t /*metadata_len*/) {
  for (Open& outer : open_) outer.has_inner = true;
  count(delegate_name(name, index), true, start_time, end_time);
}

et::EventTracerEntry OpTracer::begin(std::string name, bool delegated) {
  const bool counts = delegated || name.rfind(kKernelPrefix, 0) == 0;
  if (counts) {
    for (Open& outer : open_) outer.has_inner = true;
  }
  et::EventTracerEntry entry{};
  entry.event_id = static_cast<int64_t>(open_.size());
  open_.push_back({std::move(name), delegated, !counts});
  entry.start_time = et::pal_current_ticks();
  return entry;
}

void OpTracer::end(const et::EventTracerEntry& entry) {
  const et_timestamp_t now = et::pal_current_ticks();
  if (entry.event_id < 0 || entry.event_id >= static_cast<int64_t>(open_.size())) return;
  const Open ended = open_[static_cast<size_t>(entry.event_id)];
  // An event that an error left open ends with the one around it.
  open_.resize(static_cast<size_t>(entry.event_id));
  if (!ended.has_inner) count(ended.name, ended.delegated, entry.start_time, now);
}

void OpTracer::count(const std::string& name, bool delegated, et_timestamp_t start, et_timestamp_t end) {
  const bool is_kernel = name.rfind(kKernelPrefix, 0) == 0;
  const std::string shown = is_kernel ? name.substr(sizeof(kKernelPrefix) - 1) : name;
  times_->add(shown, type_of(shown), delegated, end > start ? et::ticks_to_ns(end - start) : 0);
}

}  // namespace ashore
