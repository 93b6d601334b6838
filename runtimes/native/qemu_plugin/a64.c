#include "a64.h"

#include <stdbool.h>
#include <stddef.h>

const char* const a64_class_names[A64_CLASSES] = {"dot_product", "float_fma", "neon", "memory", "other"};

/* A word belongs to a pattern where its bits under the mask are the value. */
struct pattern {
  uint32_t mask, value;
};

/* Bit 30 chooses between 64 and 128 bits of vector, bits 21 and 11 are parts of element numbers, and registers are
 * the rest of what the masks leave open. */
static const struct pattern neon_dots[] = {
    {0x9FE0FC00, 0x0E809400}, /* SDOT and UDOT (bit 29) */
    {0xBFE0FC00, 0x0E809C00}, /* USDOT */
    {0xDFE0FC00, 0x4E80A400}, /* SMMLA and UMMLA (bit 29) */
    {0xFFE0FC00, 0x4E80AC00}, /* USMMLA */
    {0x9FC0F400, 0x0F80E000}, /* SDOT and UDOT by element */
    {0xBF40F400, 0x0F00F000}, /* SUDOT and USDOT (bit 23) by element */
};

static const struct pattern neon_fmas[] = {
    {0xFF000000, 0x1F000000}, /* FMADD, FMSUB, FNMADD, FNMSUB */
    {0xBF20FC00, 0x0E20CC00}, /* FMLA, and FMLS (bit 23) */
    {0xBF60FC00, 0x0E400C00}, /* FMLA and FMLS of half precision */
    {0xBF60FC00, 0x0E20EC00}, /* FMLAL, FMLSL */
    {0xBF60FC00, 0x2E20CC00}, /* FMLAL2, FMLSL2 */
    {0xBF20E400, 0x2E00C400}, /* FCMLA */
    {0xBFE0FC00, 0x2E40FC00}, /* BFDOT */
    {0xFFE0FC00, 0x6E40EC00}, /* BFMMLA */
    {0xBFE0FC00, 0x2EC0FC00}, /* BFMLALB, BFMLALT */
    {0xAF00B400, 0x0F001000}, /* FMLA and FMLS (bit 14) by element; bit 28 chooses scalars */
    {0xBFC0B400, 0x0F800000}, /* FMLAL, FMLSL by element */
    {0xBFC0B400, 0x2F808000}, /* FMLAL2, FMLSL2 by element */
    {0xBF009400, 0x2F001000}, /* FCMLA by element */
    {0xBF40F400, 0x0F40F000}, /* BFDOT, BFMLALB, BFMLALT by element */
};

static const struct pattern sve_dots[] = {
    {0xFFA0F800, 0x44800000}, /* SDOT, UDOT */
    {0xFFE0FC00, 0x44807800}, /* USDOT */
    {0xFFA0F800, 0x44A00000}, /* SDOT, UDOT by element */
    {0xFFE0F800, 0x44A01800}, /* USDOT, SUDOT by element */
    {0xFFA0F000, 0x44801000}, /* CDOT */
    {0xFFA0F000, 0x44A04000}, /* CDOT by element */
    {0xFF20FC00, 0x45009800}, /* SMMLA, USMMLA, UMMLA */
};

static const struct pattern sve_fmas[] = {
    {0xFF200000, 0x65200000}, /* FMLA, FMLS, FNMLA, FNMLS and those that write a factor's register: FMAD … */
    {0xFF208000, 0x64000000}, /* FCMLA */
    {0xFF20E000, 0x64200000}, /* FMLA, FMLS and FCMLA by element */
    {0xFF20C000, 0x64204000}, /* FMLALB, BFDOT … by element */
    {0xFF208000, 0x64208000}, /* FMLALB, BFDOT, FMMLA, BFMMLA … */
};

static bool among(uint32_t word, const struct pattern* patterns, size_t count) {
  for (size_t index = 0; index < count; ++index) {
    if ((word & patterns[index].mask) == patterns[index].value) return true;
  }
  return false;
}

#define AMONG(word, patterns) among(word, patterns, sizeof(patterns) / sizeof(patterns[0]))

static enum a64_class classify_neon(uint32_t word) {
  if (AMONG(word, neon_dots)) return A64_DOT_PRODUCT;
  return AMONG(word, neon_fmas) ? A64_FLOAT_FMA : A64_NEON;
}

static enum a64_class classify_sve(uint32_t word) {
  if ((word & 0x80000000) != 0) return A64_MEMORY;
  if (AMONG(word, sve_dots)) return A64_DOT_PRODUCT;
  return AMONG(word, sve_fmas) ? A64_FLOAT_FMA : A64_NEON;
}

/* Bits 28 to 25 choose the group. */
enum a64_class a64_classify(uint32_t word) {
  const uint32_t group = word >> 25 & 0xF;
  if ((group & 0x7) == 0x7) return classify_neon(word);
  if ((group & 0x5) == 0x4) return A64_MEMORY;
  if (group == 0x2) return classify_sve(word);
  /* SME, which none of QEMU's named CPUs has. */
  return group == 0x0 && word >> 31 != 0 ? A64_NEON : A64_OTHER;
}
