#include "shapes.h"

#include <unistd.h>

namespace ashore {

uint32_t item_bytes(int32_t dtype) {
  switch (dtype) {
    case ASHORE_BOOL:
    case ASHORE_UINT8:
    case ASHORE_INT8:
      return 1;
    case ASHORE_INT16:
    case ASHORE_UINT16:
    case ASHORE_FLOAT16:
      return 2;
    case ASHORE_INT32:
    case ASHORE_UINT32:
    case ASHORE_FLOAT32:
      return 4;
    case ASHORE_INT64:
    case ASHORE_UINT64:
    case ASHORE_FLOAT64:
      return 8;
    default:
      return 0;
  }
}

const char* dtype_name(int32_t dtype) {
  static const char* const kNames[] = {"",        "bool",    "uint8",   "int8",   "int16",  "int32", "int64",
                                       "float16", "float32", "float64", "uint16", "uint32", "uint64"};
  return dtype >= 0 && dtype <= ASHORE_UINT64 ? kNames[dtype] : "";
}

uint64_t memory_limit_bytes() {
  static const uint64_t kLimit =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  return kLimit;
}

bool tensor_bytes(const int64_t* shape, int32_t rank, int32_t dtype, uint64_t* bytes) {
  uint64_t product = item_bytes(dtype);
  if (product == 0 || rank < 0 || rank > ASHORE_MAX_RANK) return false;
  for (int32_t axis = 0; axis < rank; ++axis) {
    if (shape[axis] < 0) return false;
    if (__builtin_mul_overflow(product, static_cast<uint64_t>(shape[axis]), &product)) return false;
    // A later size of 0 does not excuse an absurd one: engines multiply too.
    if (product > memory_limit_bytes()) return false;
  }
  *bytes = product;
  return true;
}

bool add_bytes(uint64_t more, uint64_t* sum) {
  return !__builtin_add_overflow(*sum, more, sum) && *sum <= memory_limit_bytes();
}

std::string shape_text(const int64_t* shape, int32_t rank) {
  if (rank == 0) return "scalar";
  std::string text;
  for (int32_t axis = 0; axis < rank; ++axis) {
    if (axis > 0) text += "x";
    text += std::to_string(shape[axis]);
  }
  return text;
}

}  // namespace ashore
