/* Counts the instructions of inferences in a program for arm64 that runs under qemu-aarch64, by class.
 *
 *   qemu-aarch64 -plugin PLUGIN.so,out=FILE … PROGRAM …
 *
 * appends to FILE one line of JSON for each stretch between the marks of counting_marks.h: {"dot_product":…,"neon":…}. Only the
 * thread that passed the first mark is counted. Instructions are classified when QEMU translates a block; what runs
 * with each block is one call that adds up five numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../counting_marks.h"
#include "a64.h"
#include "qemu_api.h"

int qemu_plugin_version = ASHORE_QEMU_API;

/* Instructions in a row that always run together: a block, or what lies between marks in it. QEMU keeps translated
 * blocks for as long as it can, and so are these. */
struct stretch {
  uint64_t counts[A64_CLASSES];
};

#define NOBODY (-1)

static const char* out_path;
static int counted_cpu = NOBODY; /* read by all threads, so only through __atomic_… */
static uint64_t counts[A64_CLASSES];

static void run_stretch(unsigned int cpu, void* data) {
  if (__atomic_load_n(&counted_cpu, __ATOMIC_RELAXED) != (int)cpu) return;
  const struct stretch* stretch = data;
  for (int class = 0; class < A64_CLASSES; ++class) counts[class] += stretch->counts[class];
}

/* A run that failed has no second mark: the next one begins anew. */
static void run_begin(unsigned int cpu, void* data) {
  (void)data;
  memset(counts, 0, sizeof(counts));
  __atomic_store_n(&counted_cpu, (int)cpu, __ATOMIC_RELAXED);
}

static size_t format(char* line, size_t size) {
  size_t used = 0;
  for (int class = 0; class < A64_CLASSES; ++class) {
    used += (size_t)snprintf(line + used, size - used, "%c\"%s\":%llu", class == 0 ? '{' : ',', a64_class_names[class],
                             (unsigned long long)counts[class]);
  }
  return used + (size_t)snprintf(line + used, size - used, "}\n");
}

/* Opens the file each time: descriptors are shared with the program, which might close what it does not know. */
static void run_end(unsigned int cpu, void* data) {
  (void)data;
  if (__atomic_load_n(&counted_cpu, __ATOMIC_RELAXED) != (int)cpu) return;
  __atomic_store_n(&counted_cpu, NOBODY, __ATOMIC_RELAXED);
  char line[64 * A64_CLASSES];
  const size_t size = format(line, sizeof(line));
  const int file = open(out_path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file < 0 || write(file, line, size) != (ssize_t)size) {
    fprintf(stderr, "ashore's instruction counter cannot write to %s: %s\n", out_path, strerror(errno));
  }
  if (file >= 0) close(file);
}

static uint32_t word_of(const struct qemu_plugin_insn* insn) {
  uint8_t bytes[4] = {0};
#if ASHORE_QEMU_API >= 3
  (void)qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
#else
  memcpy(bytes, qemu_plugin_insn_data(insn), sizeof(bytes));
#endif
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static struct stretch* new_stretch(void) {
  struct stretch* stretch = calloc(1, sizeof(*stretch));
  if (stretch == NULL) abort();
  return stretch;
}

/* Marks are not counted themselves. */
static bool is_mark(struct qemu_plugin_insn* insn, uint32_t word) {
  if (word == ASHORE_MOVZ_XZR(ASHORE_MARK_BEGIN)) {
    qemu_plugin_register_vcpu_insn_exec_cb(insn, run_begin, QEMU_PLUGIN_CB_NO_REGS, NULL);
    return true;
  }
  if (word == ASHORE_MOVZ_XZR(ASHORE_MARK_END)) {
    qemu_plugin_register_vcpu_insn_exec_cb(insn, run_end, QEMU_PLUGIN_CB_NO_REGS, NULL);
    return true;
  }
  return false;
}

static void translate(uint64_t plugin, struct qemu_plugin_tb* block) {
  (void)plugin;
  struct stretch* stretch = NULL;
  const size_t size = qemu_plugin_tb_n_insns(block);
  for (size_t index = 0; index < size; ++index) {
    struct qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(block, index);
    const uint32_t word = word_of(insn);
    if (is_mark(insn, word)) {
      stretch = NULL;
      continue;
    }
    if (stretch == NULL) {
      stretch = new_stretch();
      qemu_plugin_register_vcpu_insn_exec_cb(insn, run_stretch, QEMU_PLUGIN_CB_NO_REGS, stretch);
    }
    ++stretch->counts[a64_classify(word)];
  }
}

int qemu_plugin_install(uint64_t plugin, const struct qemu_info_t* info, int words, char** word) {
  if (strcmp(info->target_name, "aarch64") != 0) {
    fprintf(stderr, "ashore's instruction counter knows aarch64, not %s\n", info->target_name);
    return -1;
  }
  if (words != 1 || strncmp(word[0], "out=", 4) != 0 || (out_path = strdup(word[0] + 4)) == NULL) {
    fprintf(stderr, "ashore's instruction counter needs out=FILE\n");
    return -1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(plugin, translate);
  return 0;
}
