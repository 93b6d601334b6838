// LiteRT: loads a .tflite file and runs one signature of it through the CPU accelerator, which is XNNPACK.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "clock.h"
#include "counting.h"
#include "guarded_bytes.h"
#include "litert_api.h"
#include "litert_profile.h"
#include "litert_tensors.h"
#include "model.h"
#include "shapes.h"

namespace ashore {

const char* const kEngineName = "litert";
const char* const kEngineVersion = ASHORE_ENGINE_VERSION;

namespace {

using litert::api;

// Owns one of the library's objects.
template <typename Handle, void (*litert::Api::*Destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle != nullptr) (api().*Destroy)(handle);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  Handle handle = nullptr;
};

// The buffers of one side, in the order of the signature.
class Buffers {
 public:
  ~Buffers() { assign(0); }
  void assign(size_t count) {
    for (const litert::TensorBuffer buffer : handles_) {
      if (buffer != nullptr) api().DestroyTensorBuffer(buffer);
    }
    handles_.assign(count, nullptr);
  }
  litert::TensorBuffer* at(size_t place) { return &handles_.at(place); }
  litert::TensorBuffer* data() { return handles_.data(); }
  size_t size() const { return handles_.size(); }

 private:
  std::vector<litert::TensorBuffer> handles_;
};

// Of facts that passed take_shape.
uint64_t bytes_of(const TensorFacts& facts) {
  uint64_t bytes = 0;
  tensor_bytes(facts.shape.data(), static_cast<int32_t>(facts.shape.size()), facts.dtype, &bytes);
  return bytes;
}

// One for the process: it brings up the accelerators.
litert::Environment environment() {
  static const litert::Environment kEnvironment = [] {
    constexpr int32_t kInteger = 2, kAccelerators = 24, kLeastSeverity = 25;
    constexpr int64_t kErrors = 3;
    // Without these it looks for GPU libraries, and tells on stderr what it does.
    const litert::EnvironmentOption options[] = {{kAccelerators, 0, kInteger, 0, litert::kCpu},
                                                 {kLeastSeverity, 0, kInteger, 0, kErrors}};
    litert::Environment made = nullptr;
    const litert::Status status = api().CreateEnvironment(2, options, &made);
    if (status != 0) throw Failure(ASHORE_ENGINE_FAILED, "LiteRT does not start: " + litert::status_text(status));
    return made;
  }();
  return kEnvironment;
}

class LiteRTModel final : public Model {
 public:
  LiteRTModel(ModelBytes bytes, const Options& options);

  void bind(const std::vector<ashore_view>& inputs) override;
  uint64_t run() override;
  ashore_view output(uint32_t index) override;

 private:
  void compile(const Options& options);
  void describe();
  void resize(const std::vector<ashore_view>& inputs);
  void place_outputs();
  void read_output_shapes(bool allocate);
  void make_buffer(const litert::Edge& edge, void* data, uint64_t bytes, Buffers* buffers);
  void check(litert::Status status, ashore_status meaning, const std::string& doing) const;

  // In the order in which each needs those before it.
  Owned<litert::Model, &litert::Api::DestroyModel> model_;
  Owned<litert::CompiledModel, &litert::Api::DestroyCompiledModel> compiled_;
  litert::Profiler profiler_ = nullptr;
  litert::Edges edges_{};
  std::vector<std::vector<int64_t>> sizes_;        // of the inputs, as the library has them; empty while unknown
  bool settled_ = true;                            // whether the outputs' shapes are known for the inputs' sizes
  std::map<uint32_t, GuardedBytes> output_bytes_;  // by tensor
  std::map<uint32_t, void*> places_;               // of all tensors at the edge
  std::vector<size_t> told_;                       // which outputs the caller knows of
  Buffers input_buffers_, output_buffers_;
};

void add_options(litert::Options options, const char* identifier, const std::string& text) {
  litert::OpaqueOptions opaque = nullptr;
  char* copy = strdup(text.c_str());
  if (copy == nullptr || api().CreateOpaqueOptions(identifier, copy, std::free, &opaque) != 0 ||
      api().AddOpaqueOptions(options, opaque) != 0) {
    throw Failure(ASHORE_NO_LIBRARY, std::string("LiteRT does not take the options '") + identifier + "'");
  }
}

LiteRTModel::LiteRTModel(ModelBytes bytes, const Options& options) {
  const auto status =
      api().CreateModelFromBuffer(environment(), bytes.data, static_cast<size_t>(bytes.size), &model_.handle);
  check(status, ASHORE_INVALID_MODEL, "reading the file");
  edges_ = litert::read_edges(model_.handle, bytes);
  compile(options);
  describe();
  if (options.count_operators) profiler_ = litert::start_profiler(compiled_.handle);
}

void LiteRTModel::compile(const Options& options) {
  Owned<litert::Options, &litert::Api::DestroyOptions> compilation;
  check(api().CreateOptions(&compilation.handle), ASHORE_ENGINE_FAILED, "making options");
  check(api().SetOptionsHardwareAccelerators(compilation.handle, litert::kCpu), ASHORE_ENGINE_FAILED,
        "choosing the CPU");
  add_options(compilation.handle, "xnnpack", "num_threads = " + std::to_string(options.threads) + "\n");
  const std::string profiling = options.count_operators ? "enable_profiling = true\n" : "";
  // Mode 2 keeps errors for who asks.
  add_options(compilation.handle, "runtime_options_string", profiling + "error_reporter_mode = 2\n");
  const auto status = api().CreateCompiledModel(environment(), model_.handle, compilation.handle, &compiled_.handle);
  check(status, ASHORE_INVALID_MODEL, "preparing the model");
}

void LiteRTModel::describe() {
  for (litert::Edge& edge : edges_.inputs) {
    litert::Layout layout{};
    check(api().GetCompiledModelInputTensorLayout(compiled_.handle, edges_.signature, edge.place, &layout),
          ASHORE_INVALID_MODEL, "reading the shape of '" + edge.facts.name + "'");
    litert::take_shape(layout, &edge.facts);
    inputs_.push_back(edge.facts);
  }
  std::set<std::pair<uint32_t, std::string>> known;
  for (size_t index = 0; index < edges_.outputs.size(); ++index) {
    const litert::Edge& edge = edges_.outputs[index];
    // A file without a signature may list one tensor twice, with one name: nobody could ask for the second.
    if (!known.insert({edge.tensor, edge.facts.name}).second) continue;
    told_.push_back(index);
    outputs_.push_back(edge.facts);
  }
}

void LiteRTModel::bind(const std::vector<ashore_view>& inputs) {
  resize(inputs);
  std::map<uint32_t, void*> places;
  input_buffers_.assign(edges_.inputs.size());
  output_buffers_.assign(edges_.outputs.size());
  for (size_t index = 0; index < inputs.size(); ++index) {
    litert::Edge& edge = edges_.inputs[index];
    for (int32_t axis = 0; axis < inputs[index].rank; ++axis) {
      edge.type.layout.dimensions[axis] = static_cast<int32_t>(inputs[index].shape[axis]);
    }
    places[edge.tensor] = inputs[index].data;
    make_buffer(edge, inputs[index].data, inputs[index].size_bytes, &input_buffers_);
  }
  for (const litert::Edge& edge : edges_.outputs) {
    // An output may be an input, or another output: one tensor has one place, or the library fills only one of them.
    void* place = places.try_emplace(edge.tensor, output_bytes_.at(edge.tensor).data()).first->second;
    make_buffer(edge, place, bytes_of(edge.facts), &output_buffers_);
  }
  places_ = std::move(places);
}

void LiteRTModel::make_buffer(const litert::Edge& edge, void* data, uint64_t bytes, Buffers* buffers) {
  litert::TensorBuffer* handle = buffers->at(edge.place);
  const auto size = static_cast<size_t>(bytes);
  check(api().CreateTensorBufferFromHostMemory(&edge.type, data, size, nullptr, handle), ASHORE_INVALID_INPUT,
        "binding '" + edge.facts.name + "'");
}

void LiteRTModel::resize(const std::vector<ashore_view>& inputs) {
  std::vector<std::vector<int64_t>> wanted;
  for (const ashore_view& view : inputs) wanted.emplace_back(view.shape, view.shape + view.rank);
  if (!sizes_.empty() && wanted == sizes_) return;
  sizes_.clear();  // a resize that fails half-way is done again by the next run, whatever its shapes
  for (size_t index = 0; index < inputs.size(); ++index) {
    const TensorFacts& facts = inputs_[index];
    if (facts.least == facts.most) continue;
    const std::vector<int32_t> dimensions(wanted[index].begin(), wanted[index].end());
    check(api().CompiledModelResizeInputTensor(compiled_.handle, edges_.signature, edges_.inputs[index].place,
                                               dimensions.data(), dimensions.size()),
          ASHORE_INVALID_INPUT,
          "resizing '" + facts.name + "' to " + shape_text(wanted[index].data(), inputs[index].rank));
  }
  place_outputs();
  sizes_ = wanted;
}

// Enough for what one output can grow by while the library runs.
constexpr size_t kRoomToGrow = size_t{256} << 20;

// The library writes outputs into memory of the caller's, whose size should follow from the inputs'. But the shape of
// an output that the delegate computes from what lies outside of it changes only while the model runs: before, the
// library tells that of the run before. So there is room for more, and the shapes are read again after the run.
void LiteRTModel::place_outputs() {
  read_output_shapes(true);
  settled_ = std::all_of(inputs_.begin(), inputs_.end(),
                         [](const TensorFacts& each) { return each.least == each.most; });
  output_bytes_.clear();
  for (const litert::Edge& edge : edges_.outputs) {
    output_bytes_.try_emplace(edge.tensor, static_cast<size_t>(bytes_of(edge.facts)), settled_ ? 0 : kRoomToGrow);
  }
}

void LiteRTModel::read_output_shapes(bool allocate) {
  std::vector<litert::Layout> layouts(edges_.outputs.size());
  check(api().GetCompiledModelOutputTensorLayouts(compiled_.handle, edges_.signature, layouts.size(), layouts.data(),
                                                  allocate),
        ASHORE_INVALID_INPUT, "finding the shapes of the outputs");
  for (litert::Edge& edge : edges_.outputs) {
    edge.type.layout = layouts[edge.place];
    litert::take_shape(edge.type.layout, &edge.facts);
  }
}

uint64_t LiteRTModel::run() {
  const uint64_t begin_ns = now_ns();
  begin_counting();
  const auto status = api().RunCompiledModel(compiled_.handle, edges_.signature, input_buffers_.size(),
                                             input_buffers_.data(), output_buffers_.size(), output_buffers_.data());
  end_counting();
  const uint64_t engine_ns = now_ns() - begin_ns;
  check(status, ASHORE_ENGINE_FAILED, "running the model");
  if (!settled_) {
    read_output_shapes(false);
    settled_ = true;
  }
  if (profiler_ != nullptr) {
    litert::drain(profiler_, &op_times_);
    op_times_.count_run();
  }
  return engine_ns;
}

ashore_view LiteRTModel::output(uint32_t index) {
  const litert::Edge& edge = edges_.outputs[told_[index]];
  const auto rank = static_cast<int32_t>(edge.facts.shape.size());
  return {places_.at(edge.tensor), edge.facts.shape.data(), bytes_of(edge.facts), rank, edge.facts.dtype};
}

void LiteRTModel::check(litert::Status status, ashore_status meaning, const std::string& doing) const {
  if (status == 0) return;
  std::string message = doing + ": " + litert::status_text(status);
  char* details = nullptr;
  if (compiled_.handle != nullptr && api().CompiledModelGetErrorMessages(compiled_.handle, &details) == 0 &&
      details != nullptr) {
    if (*details != '\0') message += std::string(": ") + details;
    std::free(details);
  }
  throw Failure(meaning, message);
}

}  // namespace

void start_engine() { environment(); }

std::unique_ptr<Model> open_model(ModelBytes bytes, const Options& options) {
  return std::make_unique<LiteRTModel>(bytes, options);
}

}  // namespace ashore
