#include "memory.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace ashore {
namespace {

struct Row {
  const char* file;
  const char* label;
  const char* key;
};

constexpr Row kRows[] = {
    {"/proc/self/status", "VmRSS:", "rss_bytes"},
    {"/proc/self/status", "VmHWM:", "peak_bytes"},
    {"/proc/self/status", "VmSwap:", "swap_bytes"},
    {"/proc/self/smaps_rollup", "Pss:", "pss_bytes"},
};

// A line is "label   123 kB".
bool find_kilobytes(const char* path, const char* label, uint64_t* kilobytes) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return false;
  bool found = false;
  char line[256];
  while (!found && std::fgets(line, sizeof(line), file) != nullptr) {
    found = std::strncmp(line, label, std::strlen(label)) == 0 &&
            std::sscanf(line + std::strlen(label), "%" SCNu64, kilobytes) == 1;
  }
  std::fclose(file);
  return found;
}

}  // namespace

std::string memory_json() {
  std::string json = "{";
  for (const Row& row : kRows) {
    uint64_t kilobytes = 0;
    if (!find_kilobytes(row.file, row.label, &kilobytes)) continue;
    json += "\"" + std::string(row.key) + "\":" + std::to_string(kilobytes * 1024) + ",";
  }
  return json + "\"method\":\"/proc/self/status\"}";
}

}  // namespace ashore
