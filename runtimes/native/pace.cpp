#include "pace.h"

#include <algorithm>
#include <cstddef>

#include "clock.h"
#include "json.h"

namespace ashore {
namespace {

// A round is what an inference is made of: products of matrices that the nearest caches hold, as many multiplications,
// additions and loads at once as the core can, then a pass over memory that they do not hold, as weights are read. So
// it slows down with what slows an inference down: another thread on the same core, a lower clock, a bus that is shared.
constexpr int kSide = 128, kTileRows = 4, kTileLanes = 2, kProducts = 2, kRounds = 4;
// The first rounds after a pause take longer: the core wakes up, and memory that the model displaced comes back.
constexpr int kWarmUps = 3;
constexpr size_t kPassBytes = 4 << 20;
// Changes with whatever changes the time of a round on a machine that is the same.
constexpr char kWork[] = "2 products of 128x128 floats and a pass over 4 MiB, 2, compiler " __VERSION__;

using Lanes = float __attribute__((vector_size(16)));
constexpr int kLanes = 4, kColumns = kSide / kLanes, kPassed = kPassBytes / sizeof(Lanes);

// Takes no memory before somebody asks.
struct Operands {
  Lanes right[kSide][kColumns];
  Lanes product[kSide][kColumns];
  float left[kSide][kSide];
  Lanes passed[kPassed];
  Lanes sum;
};
alignas(64) Operands operands;

// Pages that nobody wrote to would all be one.
void fill() {
  std::fill_n(&operands.left[0][0], kSide * kSide, 0.5f);
  std::fill_n(&operands.right[0][0], kSide * kColumns, Lanes{} + 0.25f);
  std::fill_n(operands.passed, kPassed, Lanes{} + 0.125f);
}

void multiply_tile(int row, int column) {
  Lanes sums[kTileRows][kTileLanes] = {};
  for (int inner = 0; inner < kSide; ++inner) {
    const Lanes* right = &operands.right[inner][column];
#pragma GCC unroll 4
    for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 2
      for (int c = 0; c < kTileLanes; ++c) sums[r][c] += operands.left[row + r][inner] * right[c];
    }
  }
  for (int r = 0; r < kTileRows; ++r) {
    for (int c = 0; c < kTileLanes; ++c) operands.product[row + r][column + c] = sums[r][c];
  }
}

void pass() {
  Lanes sums[4] = {};
  for (int index = 0; index < kPassed; index += 4) {
#pragma GCC unroll 4
    for (int lane = 0; lane < 4; ++lane) sums[lane] += operands.passed[index + lane];
  }
  operands.sum = sums[0] + sums[1] + sums[2] + sums[3];
  asm volatile("" ::"r"(&operands) : "memory");
}

void multiply() {
  for (int column = 0; column < kColumns; column += kTileLanes) {
    for (int row = 0; row < kSide; row += kTileRows) multiply_tile(row, column);
  }
  asm volatile("" ::"r"(&operands) : "memory");  // or the compiler drops what nobody reads
}

uint64_t round_ns() {
  const uint64_t begin_ns = now_ns();
  for (int product = 0; product < kProducts; ++product) multiply();
  pass();
  return now_ns() - begin_ns;
}

}  // namespace

std::string pace_json() {
  fill();
  for (int index = 0; index < kWarmUps; ++index) round_ns();
  std::string rounds;
  for (int index = 0; index < kRounds; ++index) {
    rounds += (index > 0 ? "," : "") + std::to_string(round_ns());
  }
  return "{\"work\":" + quoted(kWork) + ",\"rounds_ns\":[" + rounds + "]}";
}

}  // namespace ashore
