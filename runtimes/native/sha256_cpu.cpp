#include "sha256_cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

namespace ashore {
namespace {

constexpr unsigned kSha = 1u << 29, kSse41 = 1u << 19, kSsse3 = 1u << 9;

// The words of the message, four at a time; `group` counts the fours, and the last four groups lie in `words`.
__attribute__((target("sha,sse4.1,ssse3"))) inline __m128i next_words(__m128i* words, int group, const uint8_t* block) {
  if (group < 4) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + group), big_endian);
  }
  const __m128i last = words[(group + 3) & 3];
  const __m128i seven_back = _mm_alignr_epi8(last, words[(group + 2) & 3], 4);
  const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(words[group & 3], words[(group + 1) & 3]), seven_back);
  return _mm_sha256msg2_epu32(sum, last);
}

}  // namespace

bool cpu_hashes() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kSse41) == 0 || (ecx & kSsse3) == 0) return false;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & kSha) != 0;
}

__attribute__((target("sha,sse4.1,ssse3"))) void hash_blocks_by_cpu(uint32_t* state, const uint8_t* data,
                                                                    size_t blocks) {
  auto* stored = reinterpret_cast<__m128i*>(state);
  // The instructions want the words a b e f in one register and c d g h in the other, each backwards.
  const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(stored), 0xB1);
  const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(stored + 1), 0x1B);
  __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
  __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xF0);
  for (; blocks > 0; --blocks, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i words[4];
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {
      words[group & 3] = next_words(words, group, data);
      const auto* rounds = reinterpret_cast<const __m128i*>(kSha256Rounds) + group;
      const __m128i added = _mm_add_epi32(words[group & 3], _mm_load_si128(rounds));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, added);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(added, 0x0E));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128(stored, _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(stored + 1, _mm_alignr_epi8(dchg, feba, 8));
}

}  // namespace ashore

#elif defined(__aarch64__)

#include <arm_neon.h>
#include <sys/auxv.h>

namespace ashore {

bool cpu_hashes() {
  constexpr unsigned long kSha2 = 1ul << 6;  // HWCAP_SHA2
  return (getauxval(AT_HWCAP) & kSha2) != 0;
}

__attribute__((target("+crypto"))) void hash_blocks_by_cpu(uint32_t* state, const uint8_t* data, size_t blocks) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; blocks > 0; --blocks, data += 64) {
    const uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t words[4];
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {
      uint32x4_t& now = words[group & 3];
      if (group < 4) {
        now = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * group)));
      } else {
        const uint32x4_t half = vsha256su0q_u32(now, words[(group + 1) & 3]);
        now = vsha256su1q_u32(half, words[(group + 2) & 3], words[(group + 3) & 3]);
      }
      const uint32x4_t added = vaddq_u32(now, vld1q_u32(kSha256Rounds + 4 * group));
      const uint32x4_t abcd_old = abcd;
      abcd = vsha256hq_u32(abcd, efgh, added);
      efgh = vsha256h2q_u32(efgh, abcd_old, added);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

}  // namespace ashore

#else

namespace ashore {

bool cpu_hashes() { return false; }
void hash_blocks_by_cpu(uint32_t* /*state*/, const uint8_t* /*data*/, size_t /*blocks*/) {}

}  // namespace ashore

#endif
