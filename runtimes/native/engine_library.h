// An engine's shared object, opened by its name.
#ifndef ASHORE_ENGINE_LIBRARY_H_
#define ASHORE_ENGINE_LIBRARY_H_

#include <string>

#include "ashore_engine.h"

namespace ashore {

// The table of libashore_<name>.so beside this program, its library brought up. Null with the reason in `problem`.
const ashore_api* load_engine(const std::string& name, std::string* problem);

}  // namespace ashore

#endif  // ASHORE_ENGINE_LIBRARY_H_
