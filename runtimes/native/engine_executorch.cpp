// ExecuTorch: loads the `forward` of a .pte file, or its only method, and runs it.
#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>

#include "clock.h"
#include "counting.h"
#include "executorch_log.h"
#include "executorch_tensors.h"
#include "model.h"
#include "op_tracer.h"
#include "shapes.h"

// The wheel ships the library but not this header.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace ashore {

const char* const kEngineName = "executorch";
const char* const kEngineVersion = ASHORE_ENGINE_VERSION;

namespace {

class ExecuTorchModel final : public Model {
 public:
  ExecuTorchModel(ModelBytes bytes, const Options& options);

  bool planned_bytes(uint64_t* bytes) const override;
  void bind(const std::vector<ashore_view>& inputs) override;
  uint64_t run() override;
  ashore_view output(uint32_t index) override;

 private:
  std::string choose_method() const;
  void plan_memory(const et::MethodMeta& meta);
  void describe(const et::MethodMeta& meta);
  void place_outputs(const et::MethodMeta& meta);
  void mark_dynamic_inputs();
  bool takes_smaller(size_t index);

  // In the order in which each needs those before it.
  executorch::extension::BufferDataLoader loader_;
  std::unique_ptr<et::Program> program_;
  executorch::extension::MallocMemoryAllocator method_memory_, scratch_memory_;
  std::vector<AlignedBytes> planned_, placed_outputs_;
  std::vector<et::Span<uint8_t>> spans_;
  std::unique_ptr<et::HierarchicalAllocator> planned_memory_;
  std::unique_ptr<et::MemoryManager> memory_;
  std::unique_ptr<OpTracer> tracer_;
  std::unique_ptr<et::Method> method_;

  uint64_t planned_total_ = 0;
  std::vector<InputTensor> bound_;
  std::vector<OutputCopy> copies_;
};

ExecuTorchModel::ExecuTorchModel(ModelBytes bytes, const Options& options)
    : loader_(bytes.data, static_cast<size_t>(bytes.size)) {
  // A method takes the pool as it is when it loads: a reset later would not reach it.
  executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(static_cast<uint32_t>(options.threads));
  auto program = et::Program::load(&loader_, et::Program::Verification::InternalConsistency);
  require_loaded(program.error(), "loading the program");
  program_ = std::make_unique<et::Program>(std::move(program.get()));
  const std::string name = choose_method();
  auto meta = program_->method_meta(name.c_str());
  require_loaded(meta.error(), "reading method '" + name + "'");
  describe(meta.get());
  plan_memory(meta.get());
  if (options.count_operators) tracer_ = std::make_unique<OpTracer>(&op_times_);
  auto method = program_->load_method(name.c_str(), memory_.get(), tracer_.get());
  require_loaded(method.error(), "loading method '" + name + "'");
  method_ = std::make_unique<et::Method>(std::move(method.get()));
  place_outputs(meta.get());
  mark_dynamic_inputs();
  op_times_.clear();
}

std::string ExecuTorchModel::choose_method() const {
  std::string chosen;
  for (size_t index = 0; index < program_->num_methods(); ++index) {
    auto name = program_->get_method_name(index);
    if (!name.ok() || name.get() == nullptr) continue;
    if (chosen.empty() || std::string(name.get()) == "forward") chosen = name.get();
  }
  if (chosen.empty()) throw Failure(ASHORE_INVALID_MODEL, "the program has no method");
  return chosen;
}

void ExecuTorchModel::plan_memory(const et::MethodMeta& meta) {
  for (size_t index = 0; index < meta.num_memory_planned_buffers(); ++index) {
    auto size = meta.memory_planned_buffer_size(index);
    require_loaded(size.error(), "reading the memory plan");
    if (size.get() < 0 || !add_bytes(static_cast<uint64_t>(size.get()), &planned_total_)) {
      throw Failure(ASHORE_INVALID_MODEL, "the file plans " + std::to_string(size.get()) +
                                              " bytes for activations, more than this machine's memory");
    }
    planned_.emplace_back(static_cast<size_t>(size.get()));
    spans_.emplace_back(planned_.back().data(), static_cast<size_t>(size.get()));
  }
  planned_memory_ =
      std::make_unique<et::HierarchicalAllocator>(et::Span<et::Span<uint8_t>>(spans_.data(), spans_.size()));
  memory_ = std::make_unique<et::MemoryManager>(&method_memory_, planned_memory_.get(), &scratch_memory_);
}

void ExecuTorchModel::describe(const et::MethodMeta& meta) {
  for (size_t index = 0; index < meta.num_inputs(); ++index) {
    inputs_.push_back(read_facts("input_" + std::to_string(index), meta.input_tensor_meta(index)));
  }
  for (size_t index = 0; index < meta.num_outputs(); ++index) {
    outputs_.push_back(read_facts("output_" + std::to_string(index), meta.output_tensor_meta(index)));
  }
  copies_.resize(outputs_.size());
}

// A file may leave the memory of outputs to the caller.
void ExecuTorchModel::place_outputs(const et::MethodMeta& meta) {
  for (size_t index = 0; index < outputs_.size(); ++index) {
    const auto info = meta.output_tensor_meta(index);
    const et::EValue& value = method_->get_output(index);
    if (!info.ok() || info.get().is_memory_planned() || !value.isTensor()) continue;
    if (value.toTensor().const_data_ptr() != nullptr) continue;
    placed_outputs_.emplace_back(info.get().nbytes());
    // An output that is an input, or a constant, refuses: its data comes from elsewhere.
    (void)method_->set_output_data_ptr(placed_outputs_.back().data(), info.get().nbytes(), index);
  }
}

// A file says of a dynamic input only its largest shape, so ask whether it takes a smaller one.
void ExecuTorchModel::mark_dynamic_inputs() {
  const QuietLog quiet;
  for (size_t index = 0; index < inputs_.size(); ++index) {
    if (!takes_smaller(index)) continue;
    for (int64_t& least : inputs_[index].least) least = std::min<int64_t>(least, 1);
  }
}

bool ExecuTorchModel::takes_smaller(size_t index) {
  const TensorFacts& facts = inputs_[index];
  size_t longest = 0;
  for (size_t axis = 1; axis < facts.shape.size(); ++axis) {
    if (facts.shape[axis] > facts.shape[longest]) longest = axis;
  }
  if (facts.shape.empty() || facts.shape[longest] <= 1) return false;
  std::vector<int64_t> smaller = facts.shape;
  smaller[longest] = 1;
  uint64_t bytes = 0;
  if (!tensor_bytes(smaller.data(), static_cast<int32_t>(smaller.size()), facts.dtype, &bytes)) return false;
  AlignedBytes zeros(static_cast<size_t>(bytes));
  InputTensor tensor({zeros.data(), smaller.data(), bytes, static_cast<int32_t>(smaller.size()), facts.dtype});
  return method_->set_input(tensor.value(), index) == et::Error::Ok;
}

bool ExecuTorchModel::planned_bytes(uint64_t* bytes) const {
  *bytes = planned_total_;
  return true;
}

void ExecuTorchModel::bind(const std::vector<ashore_view>& inputs) {
  bound_.clear();
  bound_.reserve(inputs.size());
  for (const ashore_view& view : inputs) bound_.emplace_back(view);
}

uint64_t ExecuTorchModel::run() {
  clear_log();
  // Every time: an input's place in the plan may be overwritten after its last use.
  for (size_t index = 0; index < bound_.size(); ++index) {
    const et::Error error = method_->set_input(bound_[index].value(), index);
    if (error != et::Error::Ok)
      throw Failure(ASHORE_INVALID_INPUT, "input '" + inputs_[index].name + "': " + explain(error));
  }
  const uint64_t begin_ns = now_ns();
  begin_counting();
  const et::Error error = method_->execute();
  end_counting();
  const uint64_t engine_ns = now_ns() - begin_ns;
  if (error != et::Error::Ok) throw Failure(ASHORE_ENGINE_FAILED, explain(error));
  op_times_.count_run();
  return engine_ns;
}

ashore_view ExecuTorchModel::output(uint32_t index) {
  const et::EValue& value = method_->get_output(index);
  if (!value.isTensor()) throw Failure(ASHORE_ENGINE_FAILED, "'" + outputs_[index].name + "' is no tensor any more");
  return copies_[index].view_of(value.toTensor(), outputs_[index]);
}

}  // namespace

void start_engine() {
  et::runtime_init();
  keep_log();
}

std::unique_ptr<Model> open_model(ModelBytes bytes, const Options& options) {
  clear_log();
  return std::make_unique<ExecuTorchModel>(bytes, options);
}

}  // namespace ashore
