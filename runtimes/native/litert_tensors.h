// The inputs and outputs of one signature of a .tflite file.
#ifndef ASHORE_LITERT_TENSORS_H_
#define ASHORE_LITERT_TENSORS_H_

#include <vector>

#include "litert_api.h"
#include "model.h"

namespace ashore::litert {

// A tensor at the model's edge.
struct Edge {
  size_t place;     // in the signature, which is the order of buffers in a run
  uint32_t tensor;  // in the subgraph; one tensor may be two outputs
  TensorType type;
  TensorFacts facts;
};

struct Edges {
  size_t signature;
  // In the order of the file's subgraph: signatures list their tensors by name.
  std::vector<Edge> inputs, outputs;
};

// Of the signature that ashore's converter writes, or the first. Throws Failure where ashore cannot serve one of them.
Edges read_edges(litert::Model model, ModelBytes file);

// Where `layout` is sound, its sizes go into `facts`. Throws Failure with what is wrong.
void take_shape(const Layout& layout, TensorFacts* facts);

}  // namespace ashore::litert

#endif  // ASHORE_LITERT_TENSORS_H_
