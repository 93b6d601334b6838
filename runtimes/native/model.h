// What an engine implements in C++. engine.cpp makes the C interface of ashore_engine.h out of it.
#ifndef ASHORE_MODEL_H_
#define ASHORE_MODEL_H_

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "ashore_engine.h"
#include "op_times.h"

namespace ashore {

// A failure with the status that the C interface reports for it.
class Failure : public std::runtime_error {
 public:
  Failure(ashore_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  ashore_status status() const { return status_; }

 private:
  ashore_status status_;
};

struct TensorFacts {
  std::string name;
  ashore_dtype dtype = ASHORE_FLOAT32;
  std::vector<int64_t> shape, least, most;
  bool quantized = false;
  double scale = 0;
  int64_t zero_point = 0;
};

// Bytes that stay where they are until their owner ends.
struct ModelBytes {
  const void* data;
  uint64_t size;
};

class Model {
 public:
  virtual ~Model() = default;

  const std::vector<TensorFacts>& inputs() const { return inputs_; }
  const std::vector<TensorFacts>& outputs() const { return outputs_; }
  const OpTimes& op_times() const { return op_times_; }

  virtual bool planned_bytes(uint64_t* /*bytes*/) const { return false; }
  // The views have passed check_inputs of engine.cpp: number, type, rank, size and alignment are right.
  virtual void bind(const std::vector<ashore_view>& inputs) = 0;
  virtual uint64_t run() = 0;
  virtual ashore_view output(uint32_t index) = 0;

 protected:
  std::vector<TensorFacts> inputs_, outputs_;
  OpTimes op_times_;
};

struct Options {
  int32_t threads;
  bool count_operators;
};

// Each engine defines these.
extern const char* const kEngineName;
extern const char* const kEngineVersion;
void start_engine();
std::unique_ptr<Model> open_model(ModelBytes bytes, const Options& options);

}  // namespace ashore

#endif  // ASHORE_MODEL_H_
