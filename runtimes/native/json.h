// The little JSON that answers need.
#ifndef ASHORE_JSON_H_
#define ASHORE_JSON_H_

#include <string>

#include "ashore_engine.h"

namespace ashore {

// A JSON string of any bytes: what is no UTF-8 becomes U+FFFD.
std::string quoted(const std::string& text);

// TensorFacts as runtimes/ashore_runtimes/wire/facts.py has them.
std::string facts_json(const ashore_tensor_facts& facts);
std::string op_json(const ashore_op& op);

}  // namespace ashore

#endif  // ASHORE_JSON_H_
