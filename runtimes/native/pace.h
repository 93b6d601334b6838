// How fast this core is at this moment, by work that is always the same.
#ifndef ASHORE_PACE_H_
#define ASHORE_PACE_H_

#include <string>

namespace ashore {

// {"work": its name, "rounds_ns": [...]}: how long each round of the reference work took, after one that warms the
// caches; a few milliseconds in all. What it touches displaces some of a model's data from them. Rounds of works of
// different names cannot be compared.
std::string pace_json();

}  // namespace ashore

#endif  // ASHORE_PACE_H_
