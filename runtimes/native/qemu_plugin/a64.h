/* What an A64 instruction does, told from its 32 bits. */
#ifndef ASHORE_A64_H_
#define ASHORE_A64_H_

#include <stdint.h>

/* In the order in which a word is tried. Every instruction is in one class only. */
enum a64_class {
  A64_DOT_PRODUCT, /* integer dot products and integer matrix multiplications: SDOT, UDOT, USDOT, SUDOT, SMMLA … */
  A64_FLOAT_FMA,   /* float multiply-adds, scalar or vector: FMADD, FMLA, FMLAL, FCMLA, BFDOT, BFMMLA … */
  A64_NEON,        /* everything else of the vector and float unit, SVE and SME included */
  A64_MEMORY,      /* loads, stores, atomics and prefetches, whichever registers they move */
  A64_OTHER,       /* integers, branches, system */
  A64_CLASSES
};

/* Names for people and for JSON, by class. */
extern const char* const a64_class_names[A64_CLASSES];

enum a64_class a64_classify(uint32_t word);

#endif /* ASHORE_A64_H_ */
