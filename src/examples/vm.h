/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small monitor of virtual machines on KVM, for x86_64 and arm64. A machine has one CPU, RAM
 * from address 0 on, which is whatever descriptor it is given, and a bell. Its guest is a few
 * instructions: it rings the bell, which is an exit, and then does what the mailbox in its RAM
 * says. All that there is to know of a machine are its RAM and its CPU's registers.
 */
#ifndef COWMEM_VM_H
#define COWMEM_VM_H

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

static inline void vm_end(struct vm *vm)
{
	if (vm->run != MAP_FAILED)
		munmap(vm->run, vm->run_bytes);
	if (vm->cpu >= 0)
		close(vm->cpu);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->memory != MAP_FAILED)
		munmap(vm->memory, vm_bytes(vm->pages));
}

/* Has vm_run() end, now or the next time; from a handler of a signal that its thread gets. */
static inline void vm_kick(struct vm *vm)
{
	vm->run->immediate_exit = 1;
}

static inline void vm_is_late(int number, siginfo_t *info, void *context)
{
	struct vm *vm = info->si_value.sival_ptr;

	(void)number;
	(void)context;
	vm->late = 1;
	vm_kick(vm);
}

/*
 * A machine whose RAM is @ram, a descriptor, with @pages pages of data, and its CPU as it is when
 * the guest begins. @kvm is /dev/kvm's descriptor. 0, or what failed; vm_end() is due then, too.
 */
static inline int vm_make(struct vm *vm, int kvm, int ram, size_t pages)
{
	const int run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	const struct sigaction action = {.sa_sigaction = vm_is_late, .sa_flags = SA_SIGINFO};
	struct kvm_userspace_memory_region region = {.memory_size = vm_bytes(pages)};

	*vm = (struct vm){
		.fd = -1, .cpu = -1, .seconds = VM_SECONDS, .pages = pages, .run = MAP_FAILED};
	vm->memory = mmap(NULL, vm_bytes(pages), PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
	if (vm->memory == MAP_FAILED || run_bytes < 0 || sigaction(VM_SIGNAL, &action, NULL))
		return -errno;
	vm->run_bytes = (size_t)run_bytes;
	region.userspace_addr = (uintptr_t)vm->memory;
	vm->fd = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0 || ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return -errno;
	vm->cpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->cpu < 0)
		return -errno;
	vm->run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vm->cpu, 0);
	return vm->run == MAP_FAILED ? -errno : vm_reset_cpu(vm);
}

/* Has this thread get VM_SIGNAL in time: it would wait for ever for a guest that went astray. */
static inline int vm_set_limit(struct vm *vm, timer_t *timer)
{
	const struct itimerspec limit = {.it_value.tv_sec = vm->seconds};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
	                         .sigev_signo = VM_SIGNAL,
	                         .sigev_value.sival_ptr = vm};

	event._sigev_un._tid = gettid();
	return timer_create(CLOCK_MONOTONIC, &event, timer) ||
	                       timer_settime(*timer, 0, &limit, NULL)
	               ? -errno
	               : 0;
}

/*
 * Runs the guest until it rings: 0. -EINTR: it was kicked. -EIO: it did something else.
 * -ETIMEDOUT: it did not ring for vm->seconds. Where it is then is told on stderr.
 */
static inline int vm_run(struct vm *vm)
{
	const struct kvm_run *run = vm->run;
	timer_t timer;
	int err = vm_set_limit(vm, &timer);

	if (err)
		return err;
	if (ioctl(vm->cpu, KVM_RUN, 0)) {
		err = -errno;
		vm->run->immediate_exit = 0;
	}
	timer_delete(timer);
	if (vm->late) {
		vm->late = 0;
		vm->run->immediate_exit = 0;
		err = err == -EINTR ? -ETIMEDOUT : err;
	}
	if (!err && !(run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write &&
	              run->mmio.phys_addr == VM_BELL))
		err = -EIO;
	if (err == -EIO || err == -ETIMEDOUT)
		vm_tell(vm);
	return err;
}

/* Has KVM be done with the last exit: the registers are true only then. */
static inline int vm_settle(struct vm *vm)
{
	int err;

	vm_kick(vm);
	err = vm_run(vm);
	return err == -EINTR ? 0 : err;
}

/* The registers of a machine that does not run. */
static inline int vm_save_cpu(struct vm *vm, struct vm_cpu *cpu)
{
	const int err = vm_settle(vm);

	return err ? err : vm_get_cpu(vm, cpu);
}

static inline int vm_load_cpu(struct vm *vm, const struct vm_cpu *cpu)
{
	const int err = vm_settle(vm);

	return err ? err : vm_set_cpu(vm, cpu);
}

static inline void vm_ask(struct vm *vm, enum vm_command command, uint32_t a, uint32_t b)
{
	volatile uint32_t *mailbox = (volatile uint32_t *)(vm->memory + VM_MAILBOX);

	mailbox[0] = command;
	mailbox[1] = a;
	mailbox[2] = b;
}

/* Puts the guest into the RAM, and has it begin. It has rung when this returns. */
static inline int vm_boot(struct vm *vm)
{
	memcpy(vm->memory, vm_guest, (size_t)(vm_guest_end - vm_guest));
	vm_load_table(vm);
	return vm_run(vm);
}

/* Has a guest that has rung do something: 0 when it rings again, with what in @said, if not NULL. */
static inline int vm_do(struct vm *vm, enum vm_command command, uint32_t a, uint32_t b,
                        uint32_t *said)
{
	int err;

	vm_ask(vm, command, a, b);
	err = vm_run(vm);
	if (!err && said)
		memcpy(said, vm->run->mmio.data, sizeof(*said));
	return err;
}

#endif /* COWMEM_VM_H */
