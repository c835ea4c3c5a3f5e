// SPDX-License-Identifier: GPL-2.0
/*
 * A microVM forked: a guest's RAM is an object of cowmem's. While the guest runs a snapshot of it
 * is taken, and clones of that are the RAM of as many more machines, each of which goes on where
 * the guest was, and then its own way. One is taken back to the snapshot and run, over and over,
 * as a fuzzer does. What that takes is told, beside what copies in memfds, or fork(), do.
 *
 *     cc -O2 microvm.c -lcowmem -o microvm
 *     ./microvm [CLONES [MIB [ROUNDS]]]
 */
#define _GNU_SOURCE
#include "vm.h"

#include <cowmem/cowmem.h>
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

enum {
	BUSY = 16,     /* pages that the guest writes to all the time */
	WRITES = 64,   /* of each clone */
	FUZZ = 16,     /* writes in each */
	SKIPPED = 4,   /* exit code */
	SLICE = 20000, /* microseconds that the guest runs before it is forked */
	FINISH_COUNT = 0,
};

/* Of one more machine: times in nanoseconds, memory in KiB. */
struct cost {
	uint64_t ready, machine, work, memory;
};

static struct vm guest;

static void on_alarm(int signal)
{
	(void)signal;
	vm_kick(&guest);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* What the library's, or the monitor's, functions give: not negative, or that is the end. */
static int good(int result, const char *what)
{
	if (result >= 0)
		return result;
	errno = -result;
	err(1, "%s", what);
}

static uint64_t free_kib(void)
{
	struct sysinfo info;

	sysinfo(&info);
	return info.freeram * info.mem_unit / 1024;
}

static uint64_t kib_of(int object)
{
	struct cowmem_stat stat;

	good(cowmem_object_stat(object, &stat), "STAT");
	return stat.resident_pages * VM_PAGE / 1024;
}

/* Has the guest run for a while, and takes a snapshot of it amid that: how long it stood still. */
static uint64_t fork_guest(int ram, struct vm_cpu *cpu, int *snapshot)
{
	const struct itimerval slice = {.it_value.tv_usec = SLICE};
	uint64_t began;
	int status;

	setitimer(ITIMER_REAL, &slice, NULL);
	status = vm_run(&guest);
	if (status != -EINTR)
		good(status ? status : -EIO, "the guest");
	began = now();
	good(vm_save_cpu(&guest, cpu), "the CPU");
	*snapshot = good(cowmem_object_snapshot(ram), "SNAPSHOT");
	return now() - began;
}

/* Has a machine that is where the guest was end what that did, and go its own way. */
static void diverge(struct vm *vm, uint32_t seed, uint32_t writes)
{
	vm_ask(vm, VM_COUNT, FINISH_COUNT, 0);
	good(vm_run(vm), "the clone");
	good(vm_do(vm, VM_WALK, seed, writes, NULL), "the clone");
}

/* Whether the last write to each place is there. */
static int went_its_way(const struct vm *vm, uint32_t seed, uint32_t writes)
{
	unsigned char *expected = calloc(1, vm_bytes(vm->pages));
	int wrong = 0;

	if (!expected)
		err(1, "memory");
	vm_walk(expected, vm->pages, seed, writes);
	while (writes--) {
		const size_t place = vm_place(vm->pages, seed = vm_next(seed));

		wrong += memcmp(vm->memory + place, expected + place, sizeof(seed)) != 0;
	}
	free(expected);
	return !wrong;
}

static struct cost clone_guest(struct vm *vm, int kvm, int snapshot, const struct vm_cpu *cpu,
                               uint32_t seed)
{
	const uint64_t began = now();
	const int ram = good(cowmem_object_clone(snapshot), "CLONE");
	const uint64_t ready = now();
	uint64_t machine, done;
	struct cost cost;

	good(vm_make(vm, kvm, ram, guest.pages), "a machine");
	good(vm_load_cpu(vm, cpu), "its CPU");
	machine = now();
	diverge(vm, seed, WRITES);
	done = now();
	cost = (struct cost){ready - began, machine - ready, done - machine, kib_of(ram)};
	close(ram); /* the machine's mapping keeps it */
	return cost;
}

/* The same RAM as a copy in a memfd. */
static struct cost copy_ram(void)
{
	const uint64_t began = now();
	const int ram = good(cowmem_object_create("copy", COWMEM_CREATE_MEMFD), "a memfd");
	const ssize_t bytes = (ssize_t)vm_bytes(guest.pages);
	struct cost cost = {0};

	if (write(ram, guest.memory, (size_t)bytes) != bytes)
		err(1, "the copy");
	cost.ready = now() - began;
	cost.memory = kib_of(ram);
	close(ram);
	return cost;
}

/* The same RAM, private memory, in a child of fork()'s, which writes as much. */
static struct cost fork_ram(void)
{
	const size_t bytes = vm_bytes(guest.pages);
	unsigned char *ram =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct cost *cost =
		mmap(NULL, VM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct cost result;
	uint64_t began;
	pid_t child;

	if (ram == MAP_FAILED || cost == MAP_FAILED)
		err(1, "memory");
	madvise(ram, bytes, MADV_NOHUGEPAGE);
	memcpy(ram, guest.memory, bytes);
	began = now();
	child = fork();
	if (!child) {
		struct rusage before, after;
		char line[128];
		FILE *status;

		cost->ready = now() - began;
		getrusage(RUSAGE_SELF, &before);
		began = now();
		vm_walk(ram, guest.pages, 1, WRITES);
		cost->work = now() - began;
		getrusage(RUSAGE_SELF, &after);
		cost->memory = (uint64_t)(after.ru_minflt - before.ru_minflt) * VM_PAGE / 1024;
		status = fopen("/proc/self/status", "r");
		while (status && fgets(line, sizeof(line), status))
			if (!strncmp(line, "VmPTE:", 6))
				cost->memory += strtoul(line + 6, NULL, 10);
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		err(1, "fork");
	result = *cost;
	munmap(ram, bytes);
	munmap(cost, VM_PAGE);
	return result;
}

static double us(uint64_t ns, unsigned int n)
{
	return (double)ns / 1000 / n;
}

int main(int argc, char **argv)
{
	const unsigned int clones = argc > 1 ? (unsigned int)atoi(argv[1]) : 100;
	const unsigned int mib = argc > 2 ? (unsigned int)atoi(argv[2]) : 32;
	const unsigned int rounds = argc > 3 ? (unsigned int)atoi(argv[3]) : 1000;
	const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int ram, snapshot, later, wrong = 0;
	struct cost sum = {0}, copy, forked;
	struct vm *vm = calloc(clones, sizeof(*vm));
	uint64_t pause, pause_later, lost, restores = 0, runs = 0;
	struct vm_cpu cpu, cpu_later;

	if (!clones || !mib || (mib & (mib - 1)) || mib > 512 || !rounds || !vm)
		errx(1, "usage: %s [CLONES [MIB [ROUNDS]]]; MIB is a power of two, 512 at most",
		     argv[0]);
	if (kvm < 0) {
		warn("/dev/kvm");
		return SKIPPED;
	}
	ram = good(cowmem_object_create("microvm", COWMEM_CREATE_MODULE), "an object of cowmem's");
	good(cowmem_object_resize(ram, vm_bytes(mib * 256), 0), "its size");
	good(vm_make(&guest, kvm, ram, mib * 256), "a machine");
	good(vm_boot(&guest), "the guest");
	good(vm_do(&guest, VM_COUNT, 1, mib * 256, NULL), "the guest"); /* all of its RAM is used */
	copy = copy_ram();
	forked = fork_ram();

	signal(SIGALRM, on_alarm);
	vm_ask(&guest, VM_COUNT, UINT32_MAX, BUSY);
	pause = fork_guest(ram, &cpu, &snapshot);
	pause_later = fork_guest(ram, &cpu_later, &later);
	close(later);

	lost = free_kib();
	for (unsigned int i = 0; i < clones; i++) {
		const struct cost cost = clone_guest(&vm[i], kvm, snapshot, &cpu, i + 1);

		sum.ready += cost.ready;
		sum.machine += cost.machine;
		sum.work += cost.work;
		sum.memory += cost.memory;
	}
	lost -= free_kib();
	for (unsigned int i = 0; i < clones; i++) {
		wrong += !went_its_way(&vm[i], i + 1, WRITES);
		vm_end(&vm[i]);
	}

	/* The guest itself goes on as the fuzzer's. */
	for (unsigned int i = 0; i < rounds; i++) {
		const uint64_t began = now();

		good(cowmem_object_restore(ram, snapshot), "RESTORE");
		good(vm_load_cpu(&guest, &cpu), "the CPU");
		restores += now() - began;
		diverge(&guest, i, FUZZ);
		runs += now() - began;
		wrong += i % 100 == 0 && !went_its_way(&guest, i, FUZZ);
	}
	runs -= restores;

	printf("a guest of %u MiB, forked while it runs to %u machines\n\n", mib, clones);
	printf("                                       cowmem    memfd     fork()\n");
	printf("one more machine's RAM, ready     µs %8.1f %8.1f   %8.1f\n", us(sum.ready, clones),
	       us(copy.ready, 1), us(forked.ready, 1));
	printf("  memory, with %d pages written  KiB %8.1f %8.1f   %8.1f\n", WRITES,
	       (double)sum.memory / clones, (double)copy.memory, (double)forked.memory);
	printf("  KVM's machine around it         µs %8.1f\n", us(sum.machine, clones));
	printf("  its writes                      µs %8.1f            %8.1f\n",
	       us(sum.work, clones), us(forked.work, 1));
	printf("all machines, with KVM's own     MiB %8.1f %8.1f\n", (double)lost / 1024,
	       (double)copy.memory * clones / 1024);
	printf("the guest stood still, first      µs %8.1f\n", us(pause, 1));
	printf("  and later, with %d pages new    µs %8.1f\n", BUSY, us(pause_later, 1));
	printf("RESTORE, one of %4u rounds       µs %8.1f %8.1f\n", rounds, us(restores, rounds),
	       us(copy.ready, 1));
	printf("  and %d pages written            µs %8.1f\n", FUZZ, us(runs, rounds));
	printf("\nmachines, and rounds, that did not go their way: %d\n", wrong);
	vm_end(&guest);
	return wrong != 0;
}
