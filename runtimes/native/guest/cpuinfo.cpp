// Prints what Linux on this arm64 CPU shows in /proc/cpuinfo: cpuinfo PROCESSORS
//
// Under qemu-aarch64 before 8.2 a program sees the /proc/cpuinfo of the machine that emulates, and libraries that choose
// code by the CPU's model then choose for another. The emulated CPU itself tells its model, as Linux lets any program ask.
#include <sys/auxv.h>

#include <cstdio>
#include <cstdlib>

namespace {

struct Feature {
  int bit;
  const char* name;
};

// In the order and by the names of Linux; those that engines look for.
constexpr Feature kFeatures[] = {
    {0, "fp"},       {1, "asimd"},    {3, "aes"},     {4, "pmull"},    {5, "sha1"},      {6, "sha2"},     {7, "crc32"},
    {8, "atomics"},  {9, "fphp"},     {10, "asimdhp"}, {11, "cpuid"},  {12, "asimdrdm"}, {13, "jscvt"},   {14, "fcma"},
    {15, "lrcpc"},   {16, "dcpop"},   {17, "sha3"},   {20, "asimddp"}, {21, "sha512"},   {22, "sve"},     {23, "asimdfhm"},
};
constexpr Feature kFeatures2[] = {{1, "sve2"}, {9, "svei8mm"}, {10, "svef32mm"}, {12, "svebf16"}, {13, "i8mm"}, {14, "bf16"}};

unsigned long midr() {
  unsigned long value;
  asm("mrs %0, midr_el1" : "=r"(value));
  return value;
}

template <size_t kCount>
void print_features(const Feature (&features)[kCount], unsigned long present) {
  for (const Feature& feature : features) {
    if ((present >> feature.bit & 1) != 0) std::printf(" %s", feature.name);
  }
}

void print_processor(int index) {
  const unsigned long model = midr();
  std::printf("processor\t: %d\nBogoMIPS\t: 100.00\nFeatures\t:", index);
  print_features(kFeatures, getauxval(AT_HWCAP));
  print_features(kFeatures2, getauxval(AT_HWCAP2));
  std::printf("\nCPU implementer\t: 0x%02lx\nCPU architecture: 8\nCPU variant\t: 0x%lx\nCPU part\t: 0x%03lx\nCPU revision\t: %lu\n\n",
              model >> 24 & 0xFF, model >> 20 & 0xF, model >> 4 & 0xFFF, model & 0xF);
}

}  // namespace

int main(int count, char** words) {
  const int processors = count == 2 ? std::atoi(words[1]) : 0;
  if (processors < 1) return 64;
  for (int index = 0; index < processors; ++index) print_processor(index);
  return std::fflush(stdout) == 0 ? 0 : 74;
}
