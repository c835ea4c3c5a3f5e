/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small monitor of virtual machines on KVM, for x86_64 and arm64. A machine has one CPU, RAM
 * from address 0 on, which is whatever descriptor it is given, and a bell. Its guest is a few
 * instructions: it rings the bell, which is an exit, and then does what the mailbox in its RAM
 * says. All that there is to know of a machine are its RAM and its CPU's registers.
 */
#ifndef COWMEM_VM_H
#define COWMEM_VM_H

#include "vcpu.h"

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
