// Sizes of tensors. Files and frames are not trusted, so every product is checked.
#ifndef ASHORE_SHAPES_H_
#define ASHORE_SHAPES_H_

#include <cstdint>
#include <string>

#include "ashore_engine.h"

namespace ashore {

// 0 for a value that is no ashore_dtype.
uint32_t item_bytes(int32_t dtype);
// numpy's word for it; "" for a value that is no ashore_dtype.
const char* dtype_name(int32_t dtype);

// The bytes of a tensor; false where a size is negative or they are more than this machine has memory.
bool tensor_bytes(const int64_t* shape, int32_t rank, int32_t dtype, uint64_t* bytes);

// More than this is never worth asking the system for: the machine's memory.
uint64_t memory_limit_bytes();

// Adds, false beyond the limit.
bool add_bytes(uint64_t more, uint64_t* sum);

// For messages: "1x3x224x224", "scalar".
std::string shape_text(const int64_t* shape, int32_t rank);

}  // namespace ashore

#endif  // ASHORE_SHAPES_H_
