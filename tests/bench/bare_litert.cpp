// LiteRT through its C interface, and nothing else: what the runner is measured against.
#include "../../runtimes/native/litert_api.h"  // only its types: the wheel ships no headers
#include "bare_loop.h"

using namespace ashore::litert;

extern "C" {
Status LiteRtCreateEnvironment(int32_t options, const EnvironmentOption*, Environment*);
Status LiteRtCreateModelFromFile(Environment, const char* path, Model*);
Status LiteRtCreateOptions(Options*);
Status LiteRtSetOptionsHardwareAccelerators(Options, int32_t accelerators);
Status LiteRtCreateOpaqueOptions(const char* identifier, void* text, void (*destroy)(void*), OpaqueOptions*);
Status LiteRtAddOpaqueOptions(Options, OpaqueOptions);
Status LiteRtCreateCompiledModel(Environment, Model, Options, CompiledModel*);
Status LiteRtGetCompiledModelInputTensorLayout(CompiledModel, size_t signature, size_t index, Layout*);
Status LiteRtGetCompiledModelOutputTensorLayouts(CompiledModel, size_t signature, size_t count, Layout*, bool allocate);
Status LiteRtCreateManagedTensorBuffer(Environment, int32_t kind, const TensorType*, size_t size, TensorBuffer*);
Status LiteRtLockTensorBuffer(TensorBuffer, void** memory, int32_t mode);
Status LiteRtUnlockTensorBuffer(TensorBuffer);
Status LiteRtRunCompiledModel(CompiledModel, size_t signature, size_t inputs, TensorBuffer*, size_t outputs,
                              TensorBuffer*);
}

constexpr int32_t kFloat32 = 1, kHostMemory = 1, kForWriting = 1;

// ashore's files have inputs and outputs of float, whatever is inside.
TensorBuffer make_buffer(Environment environment, const Layout& layout) {
  const TensorType type{kFloat32, layout};
  size_t bytes = sizeof(float);
  for (uint32_t axis = 0; axis < layout.rank; ++axis) bytes *= static_cast<size_t>(layout.dimensions[axis]);
  TensorBuffer buffer = nullptr;
  require(LiteRtCreateManagedTensorBuffer(environment, kHostMemory, &type, bytes, &buffer) == 0, "buffer");
  return buffer;
}

CompiledModel compile(Environment environment, Model model, const std::string& threads) {
  Options options = nullptr;
  OpaqueOptions xnnpack = nullptr;
  CompiledModel compiled = nullptr;
  char* text = strdup(("num_threads = " + threads + "\n").c_str());
  require(LiteRtCreateOptions(&options) == 0 && LiteRtSetOptionsHardwareAccelerators(options, kCpu) == 0 &&
              LiteRtCreateOpaqueOptions("xnnpack", text, std::free, &xnnpack) == 0 &&
              LiteRtAddOpaqueOptions(options, xnnpack) == 0 &&
              LiteRtCreateCompiledModel(environment, model, options, &compiled) == 0,
          "compile");
  return compiled;
}

int main(int, char** words) {
  // The CPU alone, as in the runner: without this it would load what it has for GPUs too.
  const EnvironmentOption cpu_only{24, 0, 2, 0, kCpu};
  Environment environment = nullptr;
  Model model = nullptr;
  require(LiteRtCreateEnvironment(1, &cpu_only, &environment) == 0, "environment");
  require(LiteRtCreateModelFromFile(environment, words[1], &model) == 0, "model");
  CompiledModel compiled = compile(environment, model, words[3]);
  Layout in{}, out{};
  require(LiteRtGetCompiledModelInputTensorLayout(compiled, 0, 0, &in) == 0, "input");
  require(LiteRtGetCompiledModelOutputTensorLayouts(compiled, 0, 1, &out, true) == 0, "output");
  TensorBuffer input = make_buffer(environment, in), output = make_buffer(environment, out);
  const auto data = read_file(words[2]);
  void* memory = nullptr;
  require(LiteRtLockTensorBuffer(input, &memory, kForWriting) == 0, "lock");
  std::memcpy(memory, data.data(), data.size());
  require(LiteRtUnlockTensorBuffer(input) == 0, "unlock");
  return serve([&] {
    return timed([&] { require(LiteRtRunCompiledModel(compiled, 0, 1, &input, 1, &output) == 0, "run"); });
  });
}
