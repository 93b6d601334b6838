/* The part of QEMU's plugin interface that this plugin uses.
 *
 * Debian ships no header for it, so it is declared here, after QEMU's documentation ("QEMU TCG Plugins"). The interface
 * is numbered; ASHORE_QEMU_API says for which number to build: 1 for QEMU 4.2 to 8.2, 2 for 9.0, 3 for 9.1 and later.
 */
#ifndef ASHORE_QEMU_API_H_
#define ASHORE_QEMU_API_H_

#include <stddef.h>
#include <stdint.h>

/* Handles, valid only inside the callback that is given them. */
struct qemu_plugin_tb;   /* a translated block: instructions that run in a row */
struct qemu_plugin_insn; /* one of its instructions */

/* What a callback asks to read or write of the CPU: nothing. */
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS = 0 };

/* What QEMU says of itself; the rest of the structure is of no use here. */
struct qemu_info_t {
  const char* target_name;
};

/* Called when an instruction is about to run on a CPU; in qemu-user, each thread is a CPU. */
typedef void (*qemu_run_callback)(unsigned int cpu, void* data);
typedef void (*qemu_translation_callback)(uint64_t plugin, struct qemu_plugin_tb* block);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t plugin, qemu_translation_callback callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn* insn, qemu_run_callback callback,
                                            enum qemu_plugin_cb_flags flags, void* data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* block, size_t index);
#if ASHORE_QEMU_API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn* insn, void* copy, size_t size);
#else
const void* qemu_plugin_insn_data(const struct qemu_plugin_insn* insn);
#endif

/* What QEMU looks for in a plugin. */
#define ASHORE_EXPORT __attribute__((visibility("default")))
extern ASHORE_EXPORT int qemu_plugin_version;
ASHORE_EXPORT int qemu_plugin_install(uint64_t plugin, const struct qemu_info_t* info, int words, char** word);

#endif /* ASHORE_QEMU_API_H_ */
