// One model between a parent's requests: what the runner does.
#ifndef ASHORE_SESSION_H_
#define ASHORE_SESSION_H_

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "ashore_engine.h"
#include "exchange.h"
#include "frames.h"
#include "mapping.h"

namespace ashore {

class Session {
 public:
  Session(const ashore_api* engine, int32_t threads, Frames* frames, Exchange* exchange)
      : engine_(engine), threads_(threads), frames_(frames), exchange_(exchange) {}

  void hello();
  // Answers one request. Throws what it could not answer: see runner.cpp.
  void answer(Kind request);

 private:
  void load();
  void run();
  void repeat();
  void memory();
  void ops();
  void pace();

  void check_sha256(const Mapping& file, const uint8_t* expected) const;
  void bind(const std::vector<uint8_t>& layout);
  std::vector<ashore_view> place(const std::vector<Slot>& slots, uint64_t* end) const;
  void require_model() const;
  void check(int32_t status) const;
  std::string describe(int32_t side, std::vector<ashore_tensor_facts>* all) const;

  const ashore_api* engine_;
  int32_t threads_;
  Frames* frames_;
  Exchange* exchange_;
  Mapping file_;
  ashore_model* model_ = nullptr;  // the process ends with it
  std::vector<ashore_tensor_facts> inputs_, outputs_;
  std::vector<uint8_t> layout_;
  const uint8_t* bound_at_ = nullptr;
};

// A request that failed, for the answer FAILED.
class RequestFailed : public std::runtime_error {
 public:
  RequestFailed(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

}  // namespace ashore

#endif  // ASHORE_SESSION_H_
