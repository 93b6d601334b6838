// The names of a .tflite file's signature, read from the file itself: where one tensor is two outputs, LiteRT gives
// both the name of one.
#ifndef ASHORE_FLAT_SIGNATURE_H_
#define ASHORE_FLAT_SIGNATURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model.h"

namespace ashore {

struct NamedTensor {
  std::string name;
  uint32_t tensor;  // its index in the subgraph
};

// Of the signature `key`, in the order of the file; empty where there is none, or the file is damaged there.
std::vector<NamedTensor> read_signature_side(ModelBytes file, const std::string& key, ashore_side side);

}  // namespace ashore

#endif  // ASHORE_FLAT_SIGNATURE_H_
