#include "executorch_tensors.h"

#include <cstring>

#include "executorch_log.h"
#include "shapes.h"

namespace ashore {
namespace {

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;

struct Pair {
  ScalarType theirs;
  ashore_dtype ours;
};

constexpr Pair kTypes[] = {
    {ScalarType::Byte, ASHORE_UINT8},    {ScalarType::Char, ASHORE_INT8},      {ScalarType::Short, ASHORE_INT16},
    {ScalarType::Int, ASHORE_INT32},     {ScalarType::Long, ASHORE_INT64},     {ScalarType::Half, ASHORE_FLOAT16},
    {ScalarType::Float, ASHORE_FLOAT32}, {ScalarType::Double, ASHORE_FLOAT64}, {ScalarType::Bool, ASHORE_BOOL},
};

ScalarType to_theirs(int32_t dtype) {
  for (const Pair& pair : kTypes) {
    if (pair.ours == dtype) return pair.theirs;
  }
  throw Failure(ASHORE_UNSUPPORTED, std::string("ExecuTorch has no ") + dtype_name(dtype));
}

bool to_ours(ScalarType type, ashore_dtype* dtype) {
  for (const Pair& pair : kTypes) {
    if (pair.theirs == type) {
      *dtype = pair.ours;
      return true;
    }
  }
  return false;
}

bool is_row_major(const Tensor& tensor) {
  const auto order = tensor.dim_order();
  for (size_t axis = 0; axis < order.size(); ++axis) {
    if (order[axis] != axis) return false;
  }
  return true;
}

// Bytes of one element after another, as row-major order visits them.
void gather(const Tensor& tensor, size_t item_size, uint8_t* out) {
  const auto sizes = tensor.sizes();
  const auto strides = tensor.strides();
  const auto* data = static_cast<const uint8_t*>(tensor.const_data_ptr());
  std::vector<int64_t> at(sizes.size(), 0);
  for (ssize_t left = tensor.numel(); left > 0; --left, out += item_size) {
    size_t offset = 0;
    for (size_t axis = 0; axis < at.size(); ++axis)
      offset += static_cast<size_t>(at[axis]) * static_cast<size_t>(strides[axis]);
    std::memcpy(out, data + offset * item_size, item_size);
    for (size_t axis = at.size(); axis-- > 0;) {
      if (++at[axis] < sizes[axis]) break;
      at[axis] = 0;
    }
  }
}

}  // namespace

TensorFacts read_facts(const std::string& name, const et::Result<et::TensorInfo>& info) {
  if (!info.ok()) throw Failure(ASHORE_UNSUPPORTED, "'" + name + "' of the method is not a tensor");
  TensorFacts facts;
  facts.name = name;
  if (!to_ours(info.get().scalar_type(), &facts.dtype)) {
    throw Failure(ASHORE_UNSUPPORTED, "'" + name + "' has ScalarType " +
                                          std::to_string(static_cast<int>(info.get().scalar_type())) +
                                          ", which numpy has no word for");
  }
  for (const int32_t size : info.get().sizes()) facts.shape.push_back(size);
  facts.least = facts.most = facts.shape;
  uint64_t bytes = 0;
  if (!tensor_bytes(facts.shape.data(), static_cast<int32_t>(facts.shape.size()), facts.dtype, &bytes)) {
    throw Failure(ASHORE_INVALID_MODEL, "'" + name + "' of shape " +
                                            shape_text(facts.shape.data(), static_cast<int32_t>(facts.shape.size())) +
                                            " needs more memory than this machine has");
  }
  return facts;
}

struct InputTensor::Parts {
  std::vector<TensorImpl::SizesType> sizes;
  std::vector<TensorImpl::DimOrderType> order;
  std::vector<TensorImpl::StridesType> strides;
  std::unique_ptr<TensorImpl> impl;
};

InputTensor::InputTensor(const ashore_view& view) : parts_(std::make_shared<Parts>()) {
  parts_->strides.resize(static_cast<size_t>(view.rank));
  for (int32_t axis = 0; axis < view.rank; ++axis) {
    parts_->sizes.push_back(static_cast<TensorImpl::SizesType>(view.shape[axis]));
    parts_->order.push_back(static_cast<TensorImpl::DimOrderType>(axis));
  }
  int64_t stride = 1;
  for (size_t axis = parts_->sizes.size(); axis-- > 0;) {
    parts_->strides[axis] = static_cast<TensorImpl::StridesType>(stride);
    stride *= parts_->sizes[axis] > 0 ? parts_->sizes[axis] : 1;
  }
  parts_->impl = std::make_unique<TensorImpl>(to_theirs(view.dtype), view.rank, parts_->sizes.data(), view.data,
                                              parts_->order.data(), parts_->strides.data());
}

et::EValue InputTensor::value() const { return et::EValue(Tensor(parts_->impl.get())); }

ashore_view OutputCopy::view_of(const Tensor& tensor, const TensorFacts& facts) {
  ashore_dtype dtype = ASHORE_FLOAT32;
  if (!to_ours(tensor.scalar_type(), &dtype) || dtype != facts.dtype) {
    throw Failure(ASHORE_ENGINE_FAILED, "'" + facts.name + "' changed its element type");
  }
  shape_.assign(tensor.sizes().begin(), tensor.sizes().end());
  const auto rank = static_cast<int32_t>(shape_.size());
  uint64_t bytes = 0;
  const bool sound = tensor_bytes(shape_.data(), rank, dtype, &bytes) && bytes == tensor.nbytes();
  if (!sound || (bytes > 0 && tensor.const_data_ptr() == nullptr)) {
    throw Failure(ASHORE_ENGINE_FAILED, "'" + facts.name + "' has no sound memory");
  }
  if (is_row_major(tensor)) return {const_cast<void*>(tensor.const_data_ptr()), shape_.data(), bytes, rank, dtype};
  data_.resize(static_cast<size_t>(bytes));
  gather(tensor, item_bytes(dtype), data_.data());
  return {data_.data(), shape_.data(), bytes, rank, dtype};
}

}  // namespace ashore
