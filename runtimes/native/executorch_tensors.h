// Between ExecuTorch's tensors and those of ashore_engine.h.
#ifndef ASHORE_EXECUTORCH_TENSORS_H_
#define ASHORE_EXECUTORCH_TENSORS_H_

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/executor/method_meta.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aligned_bytes.h"
#include "model.h"

namespace ashore {

TensorFacts read_facts(const std::string& name,
                       const executorch::runtime::Result<executorch::runtime::TensorInfo>& info);

// An argument that points at a caller's data.
class InputTensor {
 public:
  explicit InputTensor(const ashore_view& view);
  executorch::runtime::EValue value() const;

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

// Row-major data of an output, copied only where the engine's own lies in another order.
class OutputCopy {
 public:
  ashore_view view_of(const executorch::aten::Tensor& tensor, const TensorFacts& facts);

 private:
  std::vector<int64_t> shape_;
  std::vector<uint8_t> data_;
};

}  // namespace ashore

#endif  // ASHORE_EXECUTORCH_TENSORS_H_
