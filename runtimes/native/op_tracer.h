// Sums ExecuTorch's events by operator, in place of a trace that grows with every run.
#ifndef ASHORE_OP_TRACER_H_
#define ASHORE_OP_TRACER_H_

#include <executorch/runtime/core/event_tracer.h>

#include <string>
#include <vector>

#include "op_times.h"

namespace ashore {

namespace et = executorch::runtime;

class OpTracer final : public et::EventTracer {
 public:
  explicit OpTracer(OpTimes* times);

  // A kernel's own event nests in that of the instruction that calls it, and a delegate's events in DELEGATE_CALL:
  // only the innermost is counted, or a call whose delegate tells nothing.
  et::EventTracerEntry start_profiling(const char* name, et::ChainID chain, et::DebugHandle handle) override;
  void end_profiling(et::EventTracerEntry entry) override;
  et::EventTracerEntry start_profiling_delegate(const char* name, et::DelegateDebugIntId index) override;
  void end_profiling_delegate(et::EventTracerEntry entry, const void* metadata, size_t metadata_len) override;
  void log_profiling_delegate(const char* name, et::DelegateDebugIntId index, et_timestamp_t start_time,
                              et_timestamp_t end_time, const void* metadata, size_t metadata_len) override;

  // The rest is not about time.
  void create_event_block(const char* /*name*/) override {}
  void track_allocation(et::AllocatorID /*id*/, size_t /*size*/) override {}
  et::AllocatorID track_allocator(const char* /*name*/) override { return 0; }
  et::Result<bool> log_evalue(const et::EValue& /*value*/, et::LoggedEValueType /*type*/) override { return false; }
  et::Result<bool> log_intermediate_output_delegate(const char* /*name*/, et::DelegateDebugIntId /*index*/,
                                                    const executorch::aten::Tensor& /*output*/) override {
    return false;
  }
  et::Result<bool> log_intermediate_output_delegate(const char* /*name*/, et::DelegateDebugIntId /*index*/,
                                                    const et::ArrayRef<executorch::aten::Tensor> /*output*/) override {
    return false;
  }
  et::Result<bool> log_intermediate_output_delegate(const char* /*name*/, et::DelegateDebugIntId /*index*/,
                                                    const int& /*output*/) override {
    return false;
  }
  et::Result<bool> log_intermediate_output_delegate(const char* /*name*/, et::DelegateDebugIntId /*index*/,
                                                    const bool& /*output*/) override {
    return false;
  }
  et::Result<bool> log_intermediate_output_delegate(const char* /*name*/, et::DelegateDebugIntId /*index*/,
                                                    const double& /*output*/) override {
    return false;
  }
  void set_delegation_intermediate_output_filter(et::EventTracerFilterBase* /*filter*/) override {}

 private:
  struct Open {
    std::string name;
    bool delegated;
    bool has_inner;
  };

  et::EventTracerEntry begin(std::string name, bool delegated);
  void end(const et::EventTracerEntry& entry);
  void count(const std::string& name, bool delegated, et_timestamp_t start, et_timestamp_t end);

  OpTimes* times_;
  std::vector<Open> open_;
};

}  // namespace ashore

#endif  // ASHORE_OP_TRACER_H_
