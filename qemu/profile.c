// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU's, so a program of the host: counts the instructions that the guest
 * executes between two of its instructions (bench_start() and bench_stop() of
 * qemu/bench.c), for each translation block. Every time the second is reached it
 * writes "window" and a line "ADDRESS INSTRUCTIONS" for each block that was executed.
 *
 *   -plugin FILE,begin=ADDRESS,end=ADDRESS,out=FILE
 *
 * For one CPU: the counts are not atomic.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What is used of QEMU's plugin interface, version 1 (its docs/devel/tcg-plugins.rst).
 * Debian 12 has QEMU with plugins, but not their header.
 */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
                                           void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
                                            void (*cb)(unsigned int cpu, void *data),
                                            enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op,
                                              void *to, uint64_t add);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

/* Blocks by their address; a block translated again finds its own. */
#define MAX_BLOCKS (1U << 20)
static struct block {
	uint64_t address;
	uint64_t instructions;
} blocks[MAX_BLOCKS];

static uint64_t begin, end;
static FILE *out;

static struct block *block_at(uint64_t address)
{
	size_t at = (address * 0x9e3779b97f4a7c15ULL) >> 44;

	for (size_t probes = 0; probes < MAX_BLOCKS; probes++) {
		struct block *block = &blocks[(at + probes) % MAX_BLOCKS];

		if (!block->address)
			block->address = address;
		if (block->address == address)
			return block;
	}
	fprintf(stderr, "profile: more than %u blocks\n", MAX_BLOCKS);
	exit(1);
}

static void on_begin(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	for (size_t i = 0; i < MAX_BLOCKS; i++)
		blocks[i].instructions = 0;
}

static void on_end(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	fprintf(out, "window\n");
	for (size_t i = 0; i < MAX_BLOCKS; i++)
		if (blocks[i].instructions)
			fprintf(out, "%llx %llu\n", (unsigned long long)blocks[i].address,
			        (unsigned long long)blocks[i].instructions);
	fflush(out);
}

static void on_translation(uint64_t id, struct qemu_plugin_tb *tb)
{
	const size_t instructions = qemu_plugin_tb_n_insns(tb);

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
	                                         &block_at(qemu_plugin_tb_vaddr(tb))->instructions,
	                                         instructions);
	for (size_t i = 0; i < instructions; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_vaddr(insn) == begin)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_begin,
			                                       QEMU_PLUGIN_CB_NO_REGS, NULL);
		if (qemu_plugin_insn_vaddr(insn) == end)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_end, QEMU_PLUGIN_CB_NO_REGS,
			                                       NULL);
	}
}

static const char *value_of(const char *name, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], name, strlen(name)) && argv[i][strlen(name)] == '=')
			return argv[i] + strlen(name) + 1;
	fprintf(stderr, "profile: %s= is missing\n", name);
	exit(1);
}

__attribute__((visibility("default"))) int
qemu_plugin_install(uint64_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	(void)info;
	begin = strtoull(value_of("begin", argc, argv), NULL, 16);
	end = strtoull(value_of("end", argc, argv), NULL, 16);
	out = fopen(value_of("out", argc, argv), "w");
	if (!out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	return 0;
}
