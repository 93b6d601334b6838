// What this process takes of the machine's memory, as the kernel counts it.
#ifndef ASHORE_MEMORY_H_
#define ASHORE_MEMORY_H_

#include <string>

namespace ashore {

// JSON {"rss_bytes", "peak_bytes", "swap_bytes", "pss_bytes", "method"}; what the kernel does not tell is left out.
std::string memory_json();

}  // namespace ashore

#endif  // ASHORE_MEMORY_H_
