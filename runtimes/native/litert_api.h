// The part of LiteRT's C interface that the engine uses. The wheel ships the library without headers, so these are
// declared by hand, for ai-edge-litert 2.3; functions that a later version lacks are found missing by name.
#ifndef ASHORE_LITERT_API_H_
#define ASHORE_LITERT_API_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace ashore::litert {

using Status = int32_t;  // 0 is well
using Environment = struct EnvironmentHandle*;
using Model = struct ModelHandle*;
using Options = struct OptionsHandle*;
using OpaqueOptions = struct OpaqueOptionsHandle*;
using CompiledModel = struct CompiledModelHandle*;
using Signature = struct SignatureHandle*;
using Subgraph = struct SubgraphHandle*;
using Tensor = struct TensorHandle*;
using TensorBuffer = struct TensorBufferHandle*;
using Profiler = struct ProfilerHandle*;

constexpr uint32_t kMaxRank = 8;
constexpr int32_t kCpu = 1;                 // bit of the hardware accelerators
constexpr int32_t kQuantizedPerTensor = 1;  // of the ways to be quantized

struct Layout {
  uint32_t rank : 7;
  uint32_t has_strides : 1;
  uint32_t unused : 24;
  int32_t dimensions[kMaxRank];  // negative where any size fits
  uint32_t strides[kMaxRank];
};

struct TensorType {
  int32_t element_type;
  Layout layout;
};
static_assert(sizeof(TensorType) == 72, "the library's own size on 64-bit systems");

struct Quantization {
  float scale;
  int64_t zero_point;
};

struct EnvironmentOption {
  int32_t tag, unused;
  int32_t type, unused_too;
  int64_t value;
};

struct ProfilerEvent {
  const char* tag;
  uint32_t type;
  uint64_t start_us, elapsed_us;
  uint64_t memory[6];
  uint64_t index, detail;
  uint32_t source;
};
static_assert(sizeof(ProfilerEvent) == 104, "the library's own size on 64-bit systems");

constexpr uint32_t kOperator = 1 << 1;  // types of events; the others are not about single operators
constexpr uint32_t kDelegateOperator = 1 << 2;
constexpr uint32_t kDelegateProfiledOperator = 1 << 3;

struct Api {
  Status (*CreateEnvironment)(int32_t options, const EnvironmentOption*, Environment*);
  Status (*CreateModelFromBuffer)(Environment, const void* bytes, size_t size, Model*);
  void (*DestroyModel)(Model);
  Status (*CreateOptions)(Options*);
  void (*DestroyOptions)(Options);
  Status (*SetOptionsHardwareAccelerators)(Options, int32_t accelerators);
  Status (*CreateOpaqueOptions)(const char* identifier, void* text, void (*destroy)(void*), OpaqueOptions*);
  Status (*AddOpaqueOptions)(Options, OpaqueOptions);
  Status (*CreateCompiledModel)(Environment, Model, Options, CompiledModel*);
  void (*DestroyCompiledModel)(CompiledModel);
  Status (*GetNumModelSignatures)(Model, size_t*);
  Status (*GetModelSignature)(Model, size_t index, Signature*);
  Status (*GetSignatureKey)(Signature, const char**);
  Status (*GetSignatureSubgraph)(Signature, Subgraph*);
  Status (*GetNumSignatureInputs)(Signature, size_t*);
  Status (*GetSignatureInputName)(Signature, size_t index, const char**);
  Status (*GetSignatureInputTensorByIndex)(Signature, size_t index, Tensor*);
  Status (*GetNumSignatureOutputs)(Signature, size_t*);
  Status (*GetSignatureOutputName)(Signature, size_t index, const char**);
  Status (*GetSignatureOutputTensorByIndex)(Signature, size_t index, Tensor*);
  Status (*GetNumSubgraphInputs)(Subgraph, size_t*);
  Status (*GetSubgraphInput)(Subgraph, size_t index, Tensor*);
  Status (*GetNumSubgraphOutputs)(Subgraph, size_t*);
  Status (*GetSubgraphOutput)(Subgraph, size_t index, Tensor*);
  Status (*GetTensorIndex)(Tensor, uint32_t*);
  Status (*GetRankedTensorType)(Tensor, TensorType*);
  Status (*GetQuantizationTypeId)(Tensor, int32_t*);
  Status (*GetPerTensorQuantization)(Tensor, Quantization*);
  Status (*GetCompiledModelInputTensorLayout)(CompiledModel, size_t signature, size_t index, Layout*);
  Status (*GetCompiledModelOutputTensorLayouts)(CompiledModel, size_t signature, size_t count, Layout*, bool allocate);
  Status (*CompiledModelResizeInputTensor)(CompiledModel, size_t signature, size_t index, const int32_t* dimensions,
                                           size_t count);
  Status (*CreateTensorBufferFromHostMemory)(const TensorType*, void* memory, size_t size, void (*destroy)(void*),
                                             TensorBuffer*);
  void (*DestroyTensorBuffer)(TensorBuffer);
  Status (*RunCompiledModel)(CompiledModel, size_t signature, size_t inputs, TensorBuffer*, size_t outputs,
                             TensorBuffer*);
  Status (*CompiledModelGetErrorMessages)(CompiledModel, char** text);  // the caller frees it
  Status (*CompiledModelGetProfiler)(CompiledModel, Profiler*);
  Status (*StartProfiler)(Profiler);
  Status (*ResetProfiler)(Profiler);
  Status (*GetNumProfilerEvents)(Profiler, int32_t*);
  Status (*GetProfilerEvents)(Profiler, int32_t count, ProfilerEvent*);
};

// Opens libLiteRt.so beside the engine, once. Throws Failure where it is missing or of another version.
const Api& api();

// "InvalidArgument (1)"
std::string status_text(Status status);

}  // namespace ashore::litert

#endif  // ASHORE_LITERT_API_H_
