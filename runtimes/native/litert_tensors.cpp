#include "litert_tensors.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string>

#include "flat_signature.h"
#include "shapes.h"

namespace ashore::litert {
namespace {

constexpr char kDefaultSignature[] = "serving_default";
constexpr size_t kMostTensors = 4096;

struct Pair {
  int32_t theirs;
  ashore_dtype ours;
};

constexpr Pair kTypes[] = {
    {1, ASHORE_FLOAT32},  {2, ASHORE_INT32},   {3, ASHORE_UINT8},   {4, ASHORE_INT64},
    {6, ASHORE_BOOL},     {7, ASHORE_INT16},   {9, ASHORE_INT8},    {10, ASHORE_FLOAT16},
    {11, ASHORE_FLOAT64}, {13, ASHORE_UINT64}, {16, ASHORE_UINT32}, {17, ASHORE_UINT16},
};

void check(Status status, const char* doing) {
  if (status != 0) throw Failure(ASHORE_INVALID_MODEL, std::string(doing) + ": " + status_text(status));
}

ashore_dtype to_ours(int32_t element_type, const std::string& name) {
  for (const Pair& pair : kTypes) {
    if (pair.theirs == element_type) return pair.ours;
  }
  throw Failure(ASHORE_UNSUPPORTED, "'" + name + "' holds LiteRT's element type " + std::to_string(element_type) +
                                        "; ashore runs models of numbers");
}

// The same questions about either side.
struct Side {
  ashore_side which;
  Status (*count)(Signature, size_t*);
  Status (*name)(Signature, size_t, const char**);
  Status (*tensor)(Signature, size_t, Tensor*);
  Status (*subgraph_count)(Subgraph, size_t*);
  Status (*subgraph_tensor)(Subgraph, size_t, Tensor*);
};

// Where a signature's tensor stands in its subgraph.
std::vector<uint32_t> subgraph_order(const Side& side, Signature signature) {
  Subgraph subgraph = nullptr;
  size_t count = 0;
  check(api().GetSignatureSubgraph(signature, &subgraph), "reading the signature");
  check(side.subgraph_count(subgraph, &count), "reading the subgraph");
  std::vector<uint32_t> indices;
  for (size_t place = 0; place < std::min(count, kMostTensors); ++place) {
    Tensor tensor = nullptr;
    uint32_t index = 0;
    check(side.subgraph_tensor(subgraph, place, &tensor), "reading the subgraph");
    check(api().GetTensorIndex(tensor, &index), "reading the subgraph");
    indices.push_back(index);
  }
  return indices;
}

void read_quantization(Tensor tensor, TensorFacts* facts) {
  int32_t kind = 0;
  Quantization quantization{};
  if (api().GetQuantizationTypeId(tensor, &kind) != 0 || kind != kQuantizedPerTensor) return;
  if (api().GetPerTensorQuantization(tensor, &quantization) != 0 || quantization.scale == 0) return;
  facts->quantized = true;
  facts->scale = static_cast<double>(quantization.scale);
  facts->zero_point = quantization.zero_point;
}

Edge read_edge(const Side& side, Signature signature, size_t place) {
  Edge edge{place, 0, {}, {}};
  const char* name = nullptr;
  Tensor tensor = nullptr;
  check(side.name(signature, place, &name), "reading the signature");
  check(side.tensor(signature, place, &tensor), "reading the signature");
  check(api().GetTensorIndex(tensor, &edge.tensor), "reading the signature");
  edge.facts.name = name != nullptr ? name : "";
  if (api().GetRankedTensorType(tensor, &edge.type) != 0 || edge.type.layout.rank > kMaxRank) {
    throw Failure(ASHORE_UNSUPPORTED, "'" + edge.facts.name + "' has no rank, or one above 8");
  }
  edge.facts.dtype = to_ours(edge.type.element_type, edge.facts.name);
  for (uint32_t axis = 0; axis < edge.type.layout.rank; ++axis) {
    const int64_t size = edge.type.layout.dimensions[axis];
    edge.facts.least.push_back(size < 0 ? 1 : size);
    edge.facts.most.push_back(size < 0 ? std::numeric_limits<int32_t>::max() : size);
    edge.facts.shape.push_back(size < 0 ? 1 : size);
  }
  read_quantization(tensor, &edge.facts);
  return edge;
}

// Tensors that are listed more than once get their own names, in alphabetical order as Python's interpreter has them.
void name_twins(const std::vector<NamedTensor>& names, std::vector<Edge>* edges) {
  for (size_t index = 0; index < edges->size(); ++index) {
    Edge& edge = (*edges)[index];
    std::vector<std::string> own;
    for (const NamedTensor& named : names) {
      if (named.tensor == edge.tensor) own.push_back(named.name);
    }
    std::sort(own.begin(), own.end());
    const auto is_twin = [&](const Edge& other) { return other.tensor == edge.tensor; };
    const auto before = std::count_if(edges->begin(), edges->begin() + static_cast<ptrdiff_t>(index), is_twin);
    if (own.size() > 1 && static_cast<size_t>(before) < own.size()) edge.facts.name = own[static_cast<size_t>(before)];
  }
}

bool has_twins(const std::vector<Edge>& edges) {
  std::set<uint32_t> tensors;
  for (const Edge& edge : edges) tensors.insert(edge.tensor);
  return tensors.size() < edges.size();
}

std::vector<Edge> read_side(const Side& side, Signature signature, ModelBytes file) {
  const std::vector<uint32_t> order = subgraph_order(side, signature);
  const auto rank = [&](const Edge& edge) {
    return std::find(order.begin(), order.end(), edge.tensor) - order.begin();
  };
  size_t count = 0;
  check(side.count(signature, &count), "reading the signature");
  if (count > kMostTensors) {
    throw Failure(ASHORE_UNSUPPORTED, "the signature has " + std::to_string(count) + " tensors");
  }
  std::vector<Edge> edges;
  for (size_t place = 0; place < count; ++place) edges.push_back(read_edge(side, signature, place));
  std::stable_sort(edges.begin(), edges.end(),
                   [&](const Edge& one, const Edge& other) { return rank(one) < rank(other); });
  const char* key = nullptr;
  if (has_twins(edges) && api().GetSignatureKey(signature, &key) == 0 && key != nullptr) {
    name_twins(read_signature_side(file, key, side.which), &edges);
  }
  return edges;
}

Signature choose_signature(litert::Model model, size_t* chosen) {
  size_t count = 0;
  check(api().GetNumModelSignatures(model, &count), "reading the model");
  Signature first = nullptr;
  for (size_t index = 0; index < count; ++index) {
    Signature signature = nullptr;
    const char* key = nullptr;
    check(api().GetModelSignature(model, index, &signature), "reading the model");
    check(api().GetSignatureKey(signature, &key), "reading the model");
    const bool is_default = key != nullptr && std::string(key) == kDefaultSignature;
    if (first == nullptr || is_default) {
      first = signature;
      *chosen = index;
    }
    if (is_default) break;
  }
  if (first == nullptr) throw Failure(ASHORE_INVALID_MODEL, "the model has no graph");
  return first;
}

}  // namespace

Edges read_edges(litert::Model model, ModelBytes file) {
  const Api& a = api();
  const Side inputs = {
      ASHORE_INPUT,           a.GetNumSignatureInputs, a.GetSignatureInputName, a.GetSignatureInputTensorByIndex,
      a.GetNumSubgraphInputs, a.GetSubgraphInput};
  const Side outputs = {
      ASHORE_OUTPUT,           a.GetNumSignatureOutputs, a.GetSignatureOutputName, a.GetSignatureOutputTensorByIndex,
      a.GetNumSubgraphOutputs, a.GetSubgraphOutput};
  Edges edges{};
  const Signature signature = choose_signature(model, &edges.signature);
  edges.inputs = read_side(inputs, signature, file);
  edges.outputs = read_side(outputs, signature, file);
  return edges;
}

void take_shape(const Layout& layout, TensorFacts* facts) {
  uint64_t bytes = 0;
  std::vector<int64_t> shape(layout.dimensions, layout.dimensions + std::min<uint32_t>(layout.rank, kMaxRank));
  const auto rank = static_cast<int32_t>(shape.size());
  if (layout.rank > kMaxRank || !tensor_bytes(shape.data(), rank, facts->dtype, &bytes)) {
    throw Failure(ASHORE_UNSUPPORTED, "'" + facts->name + "' of shape " + shape_text(shape.data(), rank) +
                                          " needs more memory than this machine has, or its size is not known");
  }
  facts->shape = shape;
}

}  // namespace ashore::litert
