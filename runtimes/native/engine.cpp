// The C interface of ashore_engine.h on top of the C++ one of model.h. Nothing thrown gets past this file.
#include <cstring>
#include <exception>
#include <new>

#include "model.h"
#include "shapes.h"

namespace ashore {
namespace {

thread_local std::string last_error;

int32_t report(int32_t status, const char* message) {
  try {
    last_error = message;
  } catch (...) {
    last_error.clear();
  }
  return status;
}

template <typename Work>
int32_t guarded(Work work) {
  try {
    work();
    return ASHORE_OK;
  } catch (const Failure& failure) {
    return report(failure.status(), failure.what());
  } catch (const std::bad_alloc&) {
    return report(ASHORE_ENGINE_FAILED, "not enough memory");
  } catch (const std::exception& error) {
    return report(ASHORE_ENGINE_FAILED, error.what());
  } catch (...) {
    return report(ASHORE_ENGINE_FAILED, "an exception of unknown type");
  }
}

void require(bool condition, ashore_status status, const std::string& message) {
  if (!condition) throw Failure(status, message);
}

}  // namespace
}  // namespace ashore

struct ashore_model {
  std::unique_ptr<ashore::Model> model;
  bool bound = false;
  bool ran = false;
  bool counts_operators = false;
};

namespace ashore {
namespace {

const std::vector<TensorFacts>& facts_of(const ashore_model* model, int32_t side) {
  require(side == ASHORE_INPUT || side == ASHORE_OUTPUT, ASHORE_INVALID_INPUT, "no such side of a model");
  return side == ASHORE_INPUT ? model->model->inputs() : model->model->outputs();
}

void check_shape(const ashore_view& view, const TensorFacts& facts) {
  const std::string what = "input '" + facts.name + "'";
  require(view.dtype == facts.dtype, ASHORE_INVALID_INPUT,
          what + " takes " + dtype_name(facts.dtype) + ", not " + dtype_name(view.dtype));
  require(view.rank == static_cast<int32_t>(facts.shape.size()), ASHORE_INVALID_INPUT,
          what + " takes " + std::to_string(facts.shape.size()) + " dimensions, not " + std::to_string(view.rank));
  for (size_t axis = 0; axis < facts.shape.size(); ++axis) {
    const int64_t size = view.shape[axis];
    require(size >= facts.least[axis] && size <= facts.most[axis], ASHORE_INVALID_INPUT,
            what + " takes " + shape_text(facts.shape.data(), view.rank) + ", not " +
                shape_text(view.shape, view.rank) + ": axis " + std::to_string(axis) + " takes " +
                std::to_string(facts.least[axis]) + " to " + std::to_string(facts.most[axis]));
  }
}

void check_input(const ashore_view& view, const TensorFacts& facts) {
  check_shape(view, facts);
  uint64_t bytes = 0;
  require(tensor_bytes(view.shape, view.rank, view.dtype, &bytes), ASHORE_INVALID_INPUT,
          "input '" + facts.name + "' of shape " + shape_text(view.shape, view.rank) +
              " needs more memory than this machine has");
  require(
      view.size_bytes == bytes, ASHORE_INVALID_INPUT,
      "input '" + facts.name + "' needs " + std::to_string(bytes) + " bytes, not " + std::to_string(view.size_bytes));
  require(reinterpret_cast<uintptr_t>(view.data) % ASHORE_ALIGNMENT_BYTES == 0, ASHORE_INVALID_INPUT,
          "input '" + facts.name + "' does not start at a multiple of " + std::to_string(ASHORE_ALIGNMENT_BYTES));
}

int32_t start() {
  return guarded([] { start_engine(); });
}

int32_t open(const void* bytes, uint64_t size, int32_t threads, uint32_t flags, ashore_model** model) {
  *model = nullptr;
  return guarded([&] {
    require(threads >= 1 && threads <= 1024, ASHORE_INVALID_INPUT, "threads must be 1 to 1024");
    require(size > 0, ASHORE_INVALID_MODEL, "the file is empty");
    start_engine();
    auto opened = std::make_unique<ashore_model>();
    opened->counts_operators = (flags & ASHORE_COUNT_OPERATORS) != 0;
    opened->model = open_model({bytes, size}, {threads, opened->counts_operators});
    *model = opened.release();
  });
}

void close(ashore_model* model) { delete model; }

int32_t tensors(const ashore_model* model, int32_t side, uint32_t* count) {
  return guarded([&] { *count = static_cast<uint32_t>(facts_of(model, side).size()); });
}

int32_t describe(const ashore_model* model, int32_t side, uint32_t index, ashore_tensor_facts* out) {
  return guarded([&] {
    const auto& all = facts_of(model, side);
    require(index < all.size(), ASHORE_INVALID_INPUT, "the model has no tensor " + std::to_string(index));
    const TensorFacts& facts = all[index];
    *out = {facts.name.c_str(),
            facts.shape.data(),
            facts.least.data(),
            facts.most.data(),
            facts.quantized ? &facts.scale : nullptr,
            facts.zero_point,
            static_cast<int32_t>(facts.shape.size()),
            facts.dtype};
  });
}

int32_t planned_bytes(const ashore_model* model, uint64_t* bytes) {
  return guarded([&] {
    require(model->model->planned_bytes(bytes), ASHORE_UNSUPPORTED, "the engine does not say what it plans");
  });
}

int32_t bind(ashore_model* model, const ashore_view* inputs, uint32_t count) {
  return guarded([&] {
    model->bound = model->ran = false;
    const auto& facts = model->model->inputs();
    require(count == facts.size(), ASHORE_INVALID_INPUT,
            "the model takes " + std::to_string(facts.size()) + " inputs, not " + std::to_string(count));
    for (uint32_t index = 0; index < count; ++index) check_input(inputs[index], facts[index]);
    model->model->bind({inputs, inputs + count});
    model->bound = true;
  });
}

int32_t repeat(ashore_model* model, uint32_t runs, uint64_t* engine_ns) {
  return guarded([&] {
    require(model->bound, ASHORE_INVALID_INPUT, "no inputs are bound");
    model->ran = false;
    for (uint32_t run = 0; run < runs; ++run) engine_ns[run] = model->model->run();
    model->ran = true;
  });
}

int32_t run(ashore_model* model, uint64_t* engine_ns) { return repeat(model, 1, engine_ns); }

int32_t output(ashore_model* model, uint32_t index, ashore_view* view) {
  return guarded([&] {
    require(model->ran, ASHORE_INVALID_INPUT, "the model has not run");
    require(index < model->model->outputs().size(), ASHORE_INVALID_INPUT,
            "the model has no output " + std::to_string(index));
    *view = model->model->output(index);
  });
}

int32_t profile(ashore_model* model, uint64_t* runs, uint32_t* ops) {
  return guarded([&] {
    require(model->counts_operators, ASHORE_UNSUPPORTED, "the model was not opened to count operator times");
    *runs = model->model->op_times().runs();
    *ops = static_cast<uint32_t>(model->model->op_times().ops().size());
  });
}

int32_t op(const ashore_model* model, uint32_t index, ashore_op* out) {
  return guarded([&] {
    const auto& ops = model->model->op_times().ops();
    require(index < ops.size(), ASHORE_INVALID_INPUT, "there is no operator " + std::to_string(index));
    const OpTime& time = ops[index];
    *out = {time.name.c_str(), time.type.c_str(), time.ns, time.calls, time.delegated ? 1 : 0, 0};
  });
}

const char* last_error_text() { return last_error.c_str(); }

}  // namespace
}  // namespace ashore

extern "C" __attribute__((visibility("default"))) const ashore_api* ashore_engine(void) {
  using namespace ashore;  // NOLINT: every function of the table is there
  static const ashore_api kApi = {
      ASHORE_ABI_VERSION, 0,    kEngineName, kEngineVersion, start,  open,    close, tensors,        describe,
      planned_bytes,      bind, run,         repeat,         output, profile, op,    last_error_text};
  return &kApi;
}
