#include "litert_api.h"

#include <dlfcn.h>

#include "model.h"

namespace ashore::litert {
namespace {

// Beside the engine, and not from wherever the system searches: there, LiteRT would find its GPU libraries too.
std::string library_path() {
  static const char kHere = 0;
  Dl_info info{};
  const std::string engine = dladdr(&kHere, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
  const size_t slash = engine.rfind('/');
  return (slash == std::string::npos ? "." : engine.substr(0, slash)) + "/libLiteRt.so";
}

template <typename Function>
void find(void* library, const char* name, Function* function) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) {
    throw Failure(ASHORE_NO_LIBRARY, "libLiteRt.so of ai-edge-litert " + std::string(kEngineVersion) + " has no " +
                                         name + "; ashore knows version 2.3");
  }
  *function = reinterpret_cast<Function>(symbol);
}

Api open_library() {
  void* library = dlopen(library_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    throw Failure(ASHORE_NO_LIBRARY, reason != nullptr ? reason : "libLiteRt.so cannot be opened");
  }
  Api found{};
  find(library, "LiteRtCreateEnvironment", &found.CreateEnvironment);
  find(library, "LiteRtCreateModelFromBuffer", &found.CreateModelFromBuffer);
  find(library, "LiteRtDestroyModel", &found.DestroyModel);
  find(library, "LiteRtCreateOptions", &found.CreateOptions);
  find(library, "LiteRtDestroyOptions", &found.DestroyOptions);
  find(library, "LiteRtSetOptionsHardwareAccelerators", &found.SetOptionsHardwareAccelerators);
  find(library, "LiteRtCreateOpaqueOptions", &found.CreateOpaqueOptions);
  find(library, "LiteRtAddOpaqueOptions", &found.AddOpaqueOptions);
  find(library, "LiteRtCreateCompiledModel", &found.CreateCompiledModel);
  find(library, "LiteRtDestroyCompiledModel", &found.DestroyCompiledModel);
  find(library, "LiteRtGetNumModelSignatures", &found.GetNumModelSignatures);
  find(library, "LiteRtGetModelSignature", &found.GetModelSignature);
  find(library, "LiteRtGetSignatureKey", &found.GetSignatureKey);
  find(library, "LiteRtGetSignatureSubgraph", &found.GetSignatureSubgraph);
  find(library, "LiteRtGetNumSignatureInputs", &found.GetNumSignatureInputs);
  find(library, "LiteRtGetSignatureInputName", &found.GetSignatureInputName);
  find(library, "LiteRtGetSignatureInputTensorByIndex", &found.GetSignatureInputTensorByIndex);
  find(library, "LiteRtGetNumSignatureOutputs", &found.GetNumSignatureOutputs);
  find(library, "LiteRtGetSignatureOutputName", &found.GetSignatureOutputName);
  find(library, "LiteRtGetSignatureOutputTensorByIndex", &found.GetSignatureOutputTensorByIndex);
  find(library, "LiteRtGetNumSubgraphInputs", &found.GetNumSubgraphInputs);
  find(library, "LiteRtGetSubgraphInput", &found.GetSubgraphInput);
  find(library, "LiteRtGetNumSubgraphOutputs", &found.GetNumSubgraphOutputs);
  find(library, "LiteRtGetSubgraphOutput", &found.GetSubgraphOutput);
  find(library, "LiteRtGetTensorIndex", &found.GetTensorIndex);
  find(library, "LiteRtGetRankedTensorType", &found.GetRankedTensorType);
  find(library, "LiteRtGetQuantizationTypeId", &found.GetQuantizationTypeId);
  find(library, "LiteRtGetPerTensorQuantization", &found.GetPerTensorQuantization);
  find(library, "LiteRtGetCompiledModelInputTensorLayout", &found.GetCompiledModelInputTensorLayout);
  find(library, "LiteRtGetCompiledModelOutputTensorLayouts", &found.GetCompiledModelOutputTensorLayouts);
  find(library, "LiteRtCompiledModelResizeInputTensor", &found.CompiledModelResizeInputTensor);
  find(library, "LiteRtCreateTensorBufferFromHostMemory", &found.CreateTensorBufferFromHostMemory);
  find(library, "LiteRtDestroyTensorBuffer", &found.DestroyTensorBuffer);
  find(library, "LiteRtRunCompiledModel", &found.RunCompiledModel);
  find(library, "LiteRtCompiledModelGetErrorMessages", &found.CompiledModelGetErrorMessages);
  find(library, "LiteRtCompiledModelGetProfiler", &found.CompiledModelGetProfiler);
  find(library, "LiteRtStartProfiler", &found.StartProfiler);
  find(library, "LiteRtResetProfiler", &found.ResetProfiler);
  find(library, "LiteRtGetNumProfilerEvents", &found.GetNumProfilerEvents);
  find(library, "LiteRtGetProfilerEvents", &found.GetProfilerEvents);
  return found;
}

}  // namespace

const Api& api() {
  static const Api kApi = open_library();
  return kApi;
}

std::string status_text(Status status) {
  static const char* const kGeneral[] = {
      "Ok",           "InvalidArgument", "MemoryAllocationFailure", "RuntimeFailure", "MissingInput",
      "Unsupported",  "NotFound",        "TimeoutExpired",          "WrongVersion",   "Unknown",
      "AlreadyExists"};
  static const char* const kLoading[] = {"FileIO", "InvalidFlatbuffer", "DynamicLoading", "Serialization",
                                         "Compilation"};
  const char* name = "LiteRT's status";
  if (status >= 0 && status <= 10) name = kGeneral[status];
  if (status >= 500 && status <= 504) name = kLoading[status - 500];
  return std::string(name) + " (" + std::to_string(status) + ")";
}

}  // namespace ashore::litert
