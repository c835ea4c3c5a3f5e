/* SPDX-License-Identifier: GPL-2.0 */
/* A guest of KVM's, and its CPU's registers, which each architecture has of its own (vm.h). */
#ifndef COWMEM_VCPU_H
#define COWMEM_VCPU_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define VM_SIGNAL SIGRTMIN /* ends a vm_run() that is late */
#define VM_SECONDS 20      /* that a guest runs at most, if nothing else is said */

struct vm {
	int fd, cpu;
	unsigned int seconds;       /* that vm_run() takes at most */
	volatile sig_atomic_t late; /* it did */
	size_t pages;               /* of the data, a power of two */
	unsigned char *memory;
	struct kvm_run *run; /* what KVM and we tell each other */
	size_t run_bytes;
};

/* The registers that the guest uses. */
struct vm_cpu {
#ifdef __x86_64__
	struct kvm_regs regs;
#else
	uint64_t regs[34]; /* x0 to x30, sp, pc, pstate */
#endif
};

#ifdef __x86_64__
static inline int vm_get_cpu(const struct vm *vm, struct vm_cpu *cpu)
{
	return ioctl(vm->cpu, KVM_GET_REGS, &cpu->regs) ? -errno : 0;
}

static inline int vm_set_cpu(const struct vm *vm, const struct vm_cpu *cpu)
{
	return ioctl(vm->cpu, KVM_SET_REGS, &cpu->regs) ? -errno : 0;
}

/* The CPU as it is when the guest begins: protected mode, where segments are all memory. */
static inline int vm_reset_cpu(const struct vm *vm)
{
	const struct vm_cpu begin = {
		.regs = {.rflags = 2, .rdi = VM_BELL, .rdx = (vm->pages - 1) * VM_PAGE}};
	const struct kvm_segment data = {
		.limit = ~0U, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_sregs sregs;

	if (ioctl(vm->cpu, KVM_GET_SREGS, &sregs))
		return -errno;
	sregs.cr0 |= 1;
	sregs.cs = sregs.ds = sregs.es = sregs.ss = data;
	sregs.cs.selector = 8;
	sregs.cs.type = 11;
	if (ioctl(vm->cpu, KVM_SET_SREGS, &sregs))
		return -errno;
	return vm_set_cpu(vm, &begin);
}

static inline void vm_load_table(struct vm *vm)
{
	(void)vm;
}

/* Says where the guest is. */
static inline void vm_tell(const struct vm *vm)
{
	struct vm_cpu cpu;
	struct kvm_sregs sregs;

	if (vm_get_cpu(vm, &cpu) || ioctl(vm->cpu, KVM_GET_SREGS, &sregs))
		return;
	fprintf(stderr,
	        "the guest is at %#llx: eax %#llx, ebx %#llx, ecx %#llx, esi %#llx; cr2 %#llx\n",
	        (unsigned long long)cpu.regs.rip, (unsigned long long)cpu.regs.rax,
	        (unsigned long long)cpu.regs.rbx, (unsigned long long)cpu.regs.rcx,
	        (unsigned long long)cpu.regs.rsi, (unsigned long long)sregs.cr2);
}

#else
static inline int vm_one_reg(const struct vm *vm, unsigned long request, uint64_t id,
                             uint64_t *value)
{
	struct kvm_one_reg reg = {.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | id,
	                          .addr = (uintptr_t)value};

	return ioctl(vm->cpu, request, &reg) ? -errno : 0;
}

/* The same of all in struct vm_cpu; the kernel counts in words of 32 bits. */
static inline int vm_all_regs(const struct vm *vm, unsigned long request, struct vm_cpu *cpu)
{
	int err = 0;

	for (unsigned int i = 0; i < 34 && !err; i++)
		err = vm_one_reg(vm, request, KVM_REG_ARM_CORE | (2 * i), &cpu->regs[i]);
	return err;
}

static inline int vm_get_cpu(const struct vm *vm, struct vm_cpu *cpu)
{
	return vm_all_regs(vm, KVM_GET_ONE_REG, cpu);
}

static inline int vm_set_cpu(const struct vm *vm, const struct vm_cpu *cpu)
{
	struct vm_cpu copy = *cpu;

	return vm_all_regs(vm, KVM_SET_ONE_REG, &copy);
}

/* The CPU as it is when the guest begins: EL1, interrupts masked, with the MMU on. */
static inline int vm_reset_cpu(const struct vm *vm)
{
	struct vm_cpu begin = {.regs = {[0] = VM_BELL,
	                                [1] = (vm->pages - 1) * VM_PAGE,
	                                [2] = VM_DATA,
	                                [33] = 0x3c5}};
	struct {
		uint64_t id, value;
	} system[] = {
		{ARM64_SYS_REG(3, 0, 10, 2, 0), 0xff},      /* MAIR_EL1: cached, and a device */
		{ARM64_SYS_REG(3, 0, 2, 0, 2), 0x803519},   /* TCR_EL1: 39 bits, cached tables */
		{ARM64_SYS_REG(3, 0, 2, 0, 0), VM_TABLE},   /* TTBR0_EL1 */
		{ARM64_SYS_REG(3, 0, 1, 0, 0), 0x30d01805}, /* SCTLR_EL1: MMU and caches */
	};
	struct kvm_vcpu_init init;
	int err = 0;

	if (ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init) ||
	    ioctl(vm->cpu, KVM_ARM_VCPU_INIT, &init))
		return -errno;
	for (unsigned int i = 0; i < 4 && !err; i++)
		err = vm_one_reg(vm, KVM_SET_ONE_REG, system[i].id, &system[i].value);
	return err ? err : vm_set_cpu(vm, &begin);
}

/* A gigabyte of cached memory, and one of the bell. */
static inline void vm_load_table(struct vm *vm)
{
	const uint64_t table[] = {0x701, VM_BELL | 0x405 | 3ULL << 53};

	memcpy(vm->memory + VM_TABLE, table, sizeof(table));
}

/* Says where the guest is, and of its last exception what and where that was. */
static inline void vm_tell(const struct vm *vm)
{
	uint64_t esr = 0, elr = 0, far = 0;
	struct vm_cpu cpu;

	if (vm_get_cpu(vm, &cpu) ||
	    vm_one_reg(vm, KVM_GET_ONE_REG, ARM64_SYS_REG(3, 0, 5, 2, 0), &esr) ||
	    vm_one_reg(vm, KVM_GET_ONE_REG, KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(elr_el1),
	               &elr) ||
	    vm_one_reg(vm, KVM_GET_ONE_REG, ARM64_SYS_REG(3, 0, 6, 0, 0), &far))
		return;
	fprintf(stderr,
	        "the guest is at %#llx: w3 %#llx, w5 %#llx, w6 %#llx, w7 %#llx; pstate %#llx; "
	        "exception %#llx at %#llx, of address %#llx\n",
	        (unsigned long long)cpu.regs[32], (unsigned long long)cpu.regs[3],
	        (unsigned long long)cpu.regs[5], (unsigned long long)cpu.regs[6],
	        (unsigned long long)cpu.regs[7], (unsigned long long)cpu.regs[33],
	        (unsigned long long)esr, (unsigned long long)elr, (unsigned long long)far);
}
#endif

#endif /* COWMEM_VCPU_H */
