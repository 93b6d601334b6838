/* The C interface of an ashore engine: a shared object that loads one kind of model file and runs it.
 *
 * Integers and pointers only, so that C#, Java and Python can call it without a compiler. Every engine exports the same
 * names; a program that uses two of them opens each by its own path and asks it for its functions.
 *
 * Ownership   What a function hands out belongs to the model and stays valid as long as its description says. What a
 *             caller hands in stays the caller's, and must outlive the use its description names.
 * Threads     A model is used by one thread at a time, any thread. Different models are independent, but the size of
 *             ExecuTorch's thread pool is one for the whole process: the latest ashore_open sets it.
 * Errors      Functions return ASHORE_OK or another ashore_status, never throw, and leave a sentence for people in
 *             ashore_last_error() of the same thread.
 * Alignment   Data of inputs starts at a multiple of ASHORE_ALIGNMENT_BYTES, and at least ASHORE_SLACK_BYTES behind its
 *             end are readable memory: vector instructions read past the last element.
 */
#ifndef ASHORE_ENGINE_H_
#define ASHORE_ENGINE_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASHORE_ABI_VERSION 1
#define ASHORE_ALIGNMENT_BYTES 64
#define ASHORE_SLACK_BYTES 128
#define ASHORE_MAX_RANK 16

typedef struct ashore_model ashore_model;

typedef enum ashore_status {
  ASHORE_OK = 0,
  ASHORE_INVALID_MODEL = 1, /* the bytes are no model, or a damaged one */
  ASHORE_UNSUPPORTED = 2,   /* a sound model that this engine cannot run, or a question it cannot answer */
  ASHORE_INVALID_INPUT = 3, /* wrong number, shape, size or alignment of tensors */
  ASHORE_ENGINE_FAILED = 4, /* the library's own failure, out of memory included */
  ASHORE_NO_LIBRARY = 5     /* the library behind the engine is missing or of another version */
} ashore_status;

/* Element types, little-endian. The values are ashore's own. */
typedef enum ashore_dtype {
  ASHORE_BOOL = 1,
  ASHORE_UINT8 = 2,
  ASHORE_INT8 = 3,
  ASHORE_INT16 = 4,
  ASHORE_INT32 = 5,
  ASHORE_INT64 = 6,
  ASHORE_FLOAT16 = 7,
  ASHORE_FLOAT32 = 8,
  ASHORE_FLOAT64 = 9,
  ASHORE_UINT16 = 10,
  ASHORE_UINT32 = 11,
  ASHORE_UINT64 = 12
} ashore_dtype;

typedef enum ashore_side { ASHORE_INPUT = 0, ASHORE_OUTPUT = 1 } ashore_side;

/* Bits of the flags of ashore_open. */
#define ASHORE_COUNT_OPERATORS 1

/* What a model says of one tensor. Pointers stay valid until ashore_close. */
typedef struct ashore_tensor_facts {
  const char* name;     /* UTF-8 where the file's is */
  const int64_t* shape; /* `rank` sizes, each at least 0 */
  const int64_t* least; /* smallest size of each axis; equal to `most` where it is fixed */
  const int64_t* most;  /* largest size of each axis; 2^31 - 1 where the file names none */
  const double* scale;  /* null where the tensor is not quantized as a whole */
  int64_t zero_point;
  int32_t rank;
  int32_t dtype;
} ashore_tensor_facts;

/* Row-major data without gaps. */
typedef struct ashore_view {
  void* data;
  const int64_t* shape;
  uint64_t size_bytes;
  int32_t rank;
  int32_t dtype;
} ashore_view;

/* Time of one operator, summed over all runs since ashore_open. Pointers stay valid until the next run. */
typedef struct ashore_op {
  const char* name;
  const char* type;
  uint64_t ns;
  uint64_t calls;
  int32_t delegated; /* 1 where it ran inside XNNPACK */
  int32_t reserved;
} ashore_op;

typedef struct ashore_api {
  /* ASHORE_ABI_VERSION of the engine. */
  uint32_t abi_version;
  uint32_t reserved;

  /* "executorch" or "litert", and the version of the library; constant for the life of the process. */
  const char* name;
  const char* version;

  /* Brings up the library behind the engine. Done by `open` too; calling it first tells how long that alone takes. */
  int32_t (*start)(void);

  /* Loads the `size_bytes` of a model file at `bytes`, which must stay unchanged until `close`, start at a multiple of
   * ASHORE_ALIGNMENT_BYTES and have ASHORE_SLACK_BYTES of readable memory behind them. */
  int32_t (*open)(const void* bytes, uint64_t size_bytes, int32_t threads, uint32_t flags, ashore_model** model);

  /* Ends the model and all that it handed out. Null is ignored. */
  void (*close)(ashore_model* model);

  int32_t (*tensors)(const ashore_model* model, int32_t side, uint32_t* count);
  int32_t (*describe)(const ashore_model* model, int32_t side, uint32_t index, ashore_tensor_facts* facts);

  /* Bytes the engine plans for activations; ASHORE_UNSUPPORTED where it does not say. */
  int32_t (*planned_bytes)(const ashore_model* model, uint64_t* bytes);

  /* Takes the inputs of all coming runs from these places, whose values may change between runs. The data must stay
   * where it is until the next `bind` or `close`; the views themselves are copied. */
  int32_t (*bind)(ashore_model* model, const ashore_view* inputs, uint32_t count);

  /* One inference on the bound inputs; `engine_ns` is the library's own call, without moving inputs in. */
  int32_t (*run)(ashore_model* model, uint64_t* engine_ns);

  /* `runs` inferences in a row, the time of each in `engine_ns[0 .. runs)`. */
  int32_t (*repeat)(ashore_model* model, uint32_t runs, uint64_t* engine_ns);

  /* The latest output; valid until the next `bind`, `run`, `repeat` or `close`. */
  int32_t (*output)(ashore_model* model, uint32_t index, ashore_view* view);

  /* Operator times, where `open` was asked for them: first how many there are, then each. */
  int32_t (*profile)(ashore_model* model, uint64_t* runs, uint32_t* ops);
  int32_t (*op)(const ashore_model* model, uint32_t index, ashore_op* op);

  /* Why the latest call of this thread failed; valid until its next call, never null. */
  const char* (*last_error)(void);
} ashore_api;

/* The only name an engine exports. The table is constant. */
const ashore_api* ashore_engine(void);

#ifdef __cplusplus
}
#endif

#endif /* ASHORE_ENGINE_H_ */
