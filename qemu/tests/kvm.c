// SPDX-License-Identifier: GPL-2.0
/*
 * KVM is a secondary MMU: what it maps for a guest is in no page table of a process, and it hears
 * of changes from mmu_notifiers only. Here objects are the RAM of guests (src/examples/vm.h). What
 * is taken from a guest's hands it writes no more; what it writes is marked; and clones go their
 * own ways.
 */
#include "answers.h"
#include "counts.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <pthread.h>
#include <time.h>

#include "../../src/examples/vm.h"

enum {
	PAGES = 256, /* of a guest's data */
	FIRST = VM_DATA / VM_PAGE,
	ALL = FIRST + PAGES,
	WRITES = 64,
/* QEMU emulates what arm64's KVM does without VHE, a whole switch for each exit, three times as slowly. */
#ifdef __x86_64__
	CLONES = 100,
	RESTORES = 300,
#else
	CLONES = 30,
	RESTORES = 100,
#endif
};

#define BYTES vm_bytes(PAGES)

static int kvm;

struct machine {
	int ram;
	struct vm vm;
};

/* A machine that goes on from a snapshot, or, without, a new one, of which every page is there. */
static struct machine machine_of(int shot, const struct vm_cpu *cpu)
{
	struct machine m = {.ram = shot < 0 ? object_open() : clone_of(shot)};

	MUST(shot >= 0 || !object_resize(m.ram, BYTES));
	MUST(!vm_make(&m.vm, kvm, m.ram, PAGES));
	if (shot >= 0) {
		MUST(!vm_load_cpu(&m.vm, cpu));
	} else {
		MUST(!vm_boot(&m.vm));
		MUST(!vm_do(&m.vm, VM_COUNT, 1, PAGES, NULL));
	}
	return m;
}

static void machine_end(struct machine *m)
{
	vm_end(&m->vm);
	close(m->ram);
}

static uint32_t at(size_t page)
{
	return (uint32_t)(VM_DATA + page * PAGE);
}

/* What the guest does, and what an object has. */
static void put(struct machine *m, size_t page, uint32_t word)
{
	MUST(!vm_do(&m->vm, VM_WRITE, at(page), word, NULL));
}

static uint32_t got(struct machine *m, size_t page)
{
	uint32_t word;

	MUST(!vm_do(&m->vm, VM_READ, at(page), 0, &word));
	return word;
}

static uint32_t in(int fd, size_t page)
{
	uint32_t word;

	MUST(pread(fd, &word, sizeof(word), at(page)) == sizeof(word));
	return word;
}

static unsigned char *image_of(int fd)
{
	unsigned char *image = malloc(BYTES);

	MUST(image && pread(fd, image, BYTES, 0) == (ssize_t)BYTES);
	return image;
}

static bool is_as(int fd, const unsigned char *image)
{
	unsigned char *now = image_of(fd);
	const bool same = !memcmp(now, image, BYTES);

	free(now);
	return same;
}

#define NEEDS_KVM                                                      \
	do {                                                           \
		if (kvm < 0)                                           \
			SKIP("no KVM, of this CPU or of this kernel"); \
	} while (0)

/* --- clones --- */

/* Each guest has been told to walk from seed 2 * @i, and from the one behind that. */
static void walk_twice(unsigned char *ram, uint32_t i)
{
	const uint32_t mailbox[] = {VM_WALK, 2 * i + 1, WRITES};

	vm_walk(ram, PAGES, 2 * i, WRITES);
	vm_walk(ram, PAGES, 2 * i + 1, WRITES);
	memcpy(ram + VM_MAILBOX, mailbox, sizeof(mailbox));
}

static void clones_go_their_ways(void)
{
	static struct machine clone[CLONES];
	struct machine parent;
	struct vm_cpu cpu;
	unsigned char *image, *expected;
	unsigned long written = 0, wrong = 0;
	uint64_t shared;
	struct counts before;
	int shot;

	NEEDS_KVM;
	parent = machine_of(-1, NULL);
	MUST(!vm_save_cpu(&parent.vm, &cpu));
	shot = snapshot(parent.ram);
	shared = object_stat(shot).shared_pages;
	image = image_of(shot);
	expected = malloc(BYTES);
	MUST(expected);
	before = counts_now();

	for (uint32_t i = 0; i < CLONES; i++)
		clone[i] = machine_of(shot, &cpu);
	for (uint32_t i = 0; i < 2 * CLONES; i++)
		MUST(!vm_do(&clone[i % CLONES].vm, VM_WALK, 2 * (i % CLONES) + i / CLONES, WRITES,
		            NULL));
	for (uint32_t i = 0; i < CLONES; i++) {
		unsigned long differ = 0;

		memcpy(expected, image, BYTES);
		walk_twice(expected, i);
		wrong += !is_as(clone[i].ram, expected);
		for (size_t page = 0; page < ALL; page++)
			differ += memcmp(expected + page * PAGE, image + page * PAGE, PAGE) != 0;
		CHECK_EQ(object_stat(clone[i].ram).resident_pages, differ);
		written += differ;
	}
	CHECK_EQ(wrong, 0);
	CHECK_EQ(SINCE(before, pages_allocated) - SINCE(before, pages_freed), written);
	CHECK_EQ(SINCE(before, pages_copied_up), written);
	CHECK_EQ(object_stat(shot).shared_pages, shared);
	CHECK(is_as(shot, image));
	ksft_print_msg("%d clones of %d pages have %lu pages of their own\n", CLONES, ALL, written);

	for (uint32_t i = 0; i < CLONES; i++)
		machine_end(&clone[i]);
	CHECK_EQ(SINCE(before, pages_allocated), SINCE(before, pages_freed));
	machine_end(&parent);
	close(shot);
	free(image);
	free(expected);
}

/* --- a guest that runs meanwhile --- */

struct running {
	struct machine machine;
	pthread_t thread;
	int status;
};

static void *run_guest(void *argument)
{
	struct running *r = argument;

	r->status = vm_run(&r->machine.vm);
	return NULL;
}

/* Has the guest count in the first @pages pages, until it is told to stop. */
static void start_counting(struct running *r, uint32_t pages)
{
	r->machine = machine_of(-1, NULL);
	r->machine.vm.seconds = 120; /* as long as the test looks on */
	vm_ask(&r->machine.vm, VM_COUNT, UINT32_MAX, pages);
	MUST(!pthread_create(&r->thread, NULL, run_guest, r));
}

static void stop_counting(struct running *r)
{
	vm_ask(&r->machine.vm, VM_COUNT, 0, 0);
	MUST(!pthread_join(r->thread, NULL));
	CHECK_EQ(r->status, 0);
	machine_end(&r->machine);
}

static void snapshot_is_of_one_instant(void)
{
	enum { IN_ORDER = 64, SHOTS = 40 };
	struct running r;
	uint32_t last = 1;

	NEEDS_KVM;
	start_counting(&r, IN_ORDER);
	for (int i = 0; i < SHOTS; i++) {
		int shot;
		uint32_t word[IN_ORDER];

		CHECK(COMES(in(r.machine.ram, 0) > last));
		shot = snapshot(r.machine.ram);
		for (size_t page = 0; page < IN_ORDER; page++)
			word[page] = in(shot, page);
		for (size_t page = 1; page < IN_ORDER; page++)
			CHECK(word[page] == word[page - 1] || word[page] + 1 == word[page - 1]);
		CHECK(word[0] == word[IN_ORDER - 1] || word[0] == word[IN_ORDER - 1] + 1);
		CHECK(word[0] > last);
		last = word[0];
		CHECK(COMES(in(r.machine.ram, IN_ORDER - 1) > last + 1));
		for (size_t page = 0; page < IN_ORDER; page++)
			CHECK_EQ(in(shot, page), word[page]);
		close(shot);
	}
	stop_counting(&r);
}

/* --- what is taken from a guest that has it mapped --- */

static void after_snapshot(void)
{
	struct machine m;
	int shot;

	NEEDS_KVM;
	m = machine_of(-1, NULL);
	put(&m, 5, 100);
	shot = snapshot(m.ram);
	put(&m, 5, 101);
	CHECK_EQ(in(shot, 5), 100);
	CHECK_EQ(in(m.ram, 5), 101);

	/* What the guest reads is the snapshot's page, until another writes. */
	CHECK_EQ(got(&m, 6), 1);
	*(volatile uint32_t *)(m.vm.memory + at(6)) = 102;
	CHECK_EQ(got(&m, 6), 102);
	CHECK_EQ(got(&m, 7), 1);
	MUST(pwrite(m.ram, &(uint32_t){103}, 4, at(7)) == 4);
	CHECK_EQ(got(&m, 7), 103);
	CHECK_EQ(in(shot, 6), 1);
	CHECK_EQ(in(shot, 7), 1);
	machine_end(&m);
	close(shot);
}

static void after_restore(void)
{
	struct machine m;
	uint64_t next;
	int shot;

	NEEDS_KVM;
	m = machine_of(-1, NULL);
	put(&m, 5, 100);
	shot = snapshot(m.ram);
	for (uint32_t i = 0; i < 4; i++) {
		put(&m, 5, 200 + i);
		CHECK_EQ(got(&m, 5), 200 + i);
		if (i % 2)
			CHECK(!restore_range(m.ram, shot, at(5), PAGE, &next));
		else
			CHECK(!restore(m.ram, shot));
		CHECK_EQ(in(m.ram, 5), 100);
		CHECK_EQ(got(&m, 5), 100);
		CHECK_EQ(in(shot, 5), 100);
	}
	machine_end(&m);
	close(shot);
}

static void after_punch_and_resize(void)
{
	struct machine m;
	unsigned long freed;

	NEEDS_KVM;
	m = machine_of(-1, NULL);
	put(&m, 5, 100);
	freed = counter("pages_freed");
	CHECK(!object_punch(m.ram, at(5), PAGE));
	CHECK_EQ(counter("pages_freed"), freed + 1);
	CHECK_EQ(got(&m, 5), 0);
	put(&m, 5, 101);
	CHECK_EQ(in(m.ram, 5), 101);

	put(&m, PAGES - 1, 102);
	CHECK(!object_resize(m.ram, BYTES - PAGE));
	CHECK_EQ(vm_do(&m.vm, VM_READ, at(PAGES - 1), 0, NULL), -EFAULT);
	CHECK(!object_resize(m.ram, BYTES));
	CHECK_EQ(vm_run(&m.vm), 0); /* the guest tries it again */
	CHECK_EQ(got(&m, PAGES - 1), 0);
	put(&m, PAGES - 1, 103);
	CHECK_EQ(in(m.ram, PAGES - 1), 103);
	machine_end(&m);
}

/* PAGE_OUT of one page, which must go. The answer. */
static struct cowmem_page_out page_out(struct machine *m, size_t page)
{
	struct cowmem_page_out out;

	MUST(!page_out_ask(m->ram, &out, COWMEM_PAGE_OUT_ACCESSED, FIRST + page, 1));
	CHECK_EQ(out.out, 1);
	CHECK(page_state(m->ram, 0, FIRST + page).flags & COWMEM_PAGE_PAGED_OUT);
	return out;
}

static void after_page_out(void)
{
	struct machine m;

	NEEDS_KVM;
	m = machine_of(-1, NULL);
	put(&m, 5, 100);
	for (uint32_t i = 0; i < 4; i++) {
		page_out(&m, 5);
		CHECK_EQ(got(&m, 5), 100 + i);
		put(&m, 5, 101 + i);
		CHECK_EQ(page_out(&m, 5).reused, 0);
		CHECK_EQ(in(m.ram, 5), 101 + i);
	}
	machine_end(&m);
}

#ifdef __x86_64__
/* KVM writes the time by an address of its own, and marks nothing. */
static void clock_is_kept(void)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry clock;
	} msrs = {.head.nmsrs = 1, .clock = {.index = 0x4b564d01, .data = at(9) | 1}};
	struct machine m;
	uint32_t version;

	NEEDS_KVM;
	m = machine_of(-1, NULL);
	page_state(m.ram, COWMEM_PAGEMAP_CLEAR_DIRTY, FIRST + 9);
	page_out(&m, 9);
	CHECK_EQ(*(volatile uint32_t *)(m.vm.memory + at(9)), 1);
	MUST(ioctl(m.vm.cpu, KVM_SET_MSRS, &msrs) == 1);
	got(&m, 5);
	version = in(m.ram, 9);
	CHECK(version > 1);
	CHECK(page_state(m.ram, COWMEM_PAGEMAP_CLEAR_DIRTY, FIRST + 9).flags & COWMEM_PAGE_DIRTY);
	CHECK_EQ(page_out(&m, 9).reused, 0);
	CHECK_EQ(in(m.ram, 9), version);
	machine_end(&m);
}
#endif

static void after_move(void)
{
	struct cowmem_move move;
	struct machine m;

	NEEDS_KVM;
	if (access("/sys/devices/system/node/node1", F_OK))
		SKIP("one NUMA node");
	m = machine_of(-1, NULL);
	for (uint32_t i = 0; i < 4; i++) {
		put(&m, 5, 100 + i);
		MUST(!move_ask(m.ram, &move, at(5), 1, i % 2));
		CHECK(i == 0 || move.moved == 1);
		CHECK_EQ(got(&m, 5), 100 + i);
		put(&m, 5, 200 + i);
		CHECK_EQ(in(m.ram, 5), 200 + i);
	}
	machine_end(&m);
}

/* --- marks --- */

static void pagemap_all(struct machine *m, uint32_t flags, struct cowmem_page *state)
{
	MUST(!pagemap_ask(m->ram, flags, at(0), PAGES, state));
}

/* What the guest did to a page. */
enum done { NOTHING, READ, WRITTEN };

/* How many pages, of what was @done to them, are DIRTY, or are not. */
struct told {
	unsigned int dirty[3], clean[3];
};

static void add_told(struct told *told, const struct cowmem_page *state, const enum done *done)
{
	for (size_t page = 0; page < PAGES; page++)
		if (state[page].flags & COWMEM_PAGE_DIRTY)
			told->dirty[done[page]]++;
		else
			told->clean[done[page]]++;
}

/* Not by KVM's word alone, which comes late: an entry that lets stores through has a dirty bit. */
static void marks_tell_all(void)
{
	static struct cowmem_page state[PAGES];
	static const enum done nothing[PAGES];
	struct told clearing = {}, without = {}, idle = {};
	struct machine m;

	NEEDS_KVM;
	m = machine_of(-1, NULL);
	for (uint32_t round = 0; round < 32; round++) {
		enum done done[PAGES] = {};
		uint32_t number = round;

		for (int i = 0; i < WRITES; i++) {
			number = vm_next(number);
			done[(vm_place(PAGES, number) - VM_DATA) / PAGE] = WRITTEN;
		}
		pagemap_all(&m, COWMEM_PAGEMAP_CLEAR_DIRTY, state);
		/* What comes back from the store when it is read, which KVM must not have to write to. */
		if (round % 4 == 1)
			page_out_all(m.ram, ALL);
		for (size_t page = round % 8; page < PAGES && round % 2; page++) {
			if (done[page] == NOTHING && page % 8 == round % 8)
				done[page] = READ;
			if (done[page] != NOTHING)
				got(&m, page);
		}
		MUST(!vm_do(&m.vm, VM_WALK, round, WRITES, NULL));
		pagemap_all(&m, 0, state);
		add_told(&without, state, done);
		pagemap_all(&m, COWMEM_PAGEMAP_CLEAR_DIRTY, state);
		add_told(&clearing, state, done);
		pagemap_all(&m, 0, state);
		add_told(&idle, state, nothing);
	}
	CHECK_EQ(clearing.clean[WRITTEN], 0);
	CHECK_EQ(clearing.dirty[NOTHING] + clearing.dirty[READ], 0);
	CHECK_EQ(without.clean[WRITTEN], 0);
	CHECK_EQ(idle.dirty[NOTHING], 0); /* since a CLEAR nobody wrote */
	ksft_print_msg("of %u pages that the guest read, %u are told; a call that does not CLEAR "
	               "leaves out %u of %u that it wrote\n",
	               clearing.dirty[READ] + clearing.clean[READ], clearing.dirty[READ],
	               without.clean[WRITTEN], without.dirty[WRITTEN] + without.clean[WRITTEN]);
	machine_end(&m);
}

static uint32_t word_at(const struct machine *m, size_t page)
{
	return *(volatile uint32_t *)(m->vm.memory + at(page));
}

/* What changes between two calls is told by the one or the other, while the guest writes. */
static void marks_tell_all_meanwhile(void)
{
	enum { BUSY = 64, ROUNDS = 100 };
	static struct cowmem_page state[2][PAGES];
	static uint32_t word[2][BUSY];
	unsigned long changed = 0, missed = 0;
	struct running r;

	NEEDS_KVM;
	start_counting(&r, BUSY);
	for (int round = 0; round < ROUNDS; round++) {
		const int now = round % 2;

		for (size_t page = 0; page < BUSY; page++)
			word[now][page] = word_at(&r.machine, page);
		pagemap_all(&r.machine, COWMEM_PAGEMAP_CLEAR_DIRTY, state[now]);
		for (size_t page = 0; page < BUSY && round; page++) {
			if (word[0][page] == word[1][page])
				continue;
			changed++;
			missed += !((state[0][page].flags | state[1][page].flags) &
			            COWMEM_PAGE_DIRTY);
		}
		if (round % 10 == 9)
			page_out_all(r.machine.ram, ALL);
		CHECK(COMES(word_at(&r.machine, (size_t)round % BUSY) != word[now][round % BUSY]));
	}
	stop_counting(&r);
	CHECK(changed >= ROUNDS - 1);
	CHECK_EQ(missed, 0);
	ksft_print_msg("%lu changes seen in %d rounds\n", changed, ROUNDS);
}

/* --- a fuzzer's loop --- */

static uint64_t now_us(void)
{
	struct timespec now;

	MUST(!clock_gettime(CLOCK_MONOTONIC, &now));
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void restores_over_and_over(void)
{
	enum { FUZZ = 16 };
	unsigned long wrong = 0, net;
	uint64_t restoring = 0, running = 0;
	struct counts before;
	unsigned char *image;
	struct vm_cpu cpu;
	struct machine m;
	int shot;

	NEEDS_KVM;
	m = machine_of(-1, NULL);
	MUST(!vm_save_cpu(&m.vm, &cpu));
	shot = snapshot(m.ram);
	image = image_of(shot);
	before = counts_now();
	for (uint32_t round = 0; round < RESTORES; round++) {
		const uint64_t began = now_us();
		uint64_t ran;

		MUST(!vm_do(&m.vm, VM_WALK, round, FUZZ, NULL));
		ran = now_us();
		wrong += in(m.ram, (vm_place(PAGES, vm_next(round)) - VM_DATA) / PAGE) == 1;
		MUST(!restore(m.ram, shot));
		MUST(!vm_load_cpu(&m.vm, &cpu));
		restoring += now_us() - ran;
		running += ran - began;
		/* The guest itself finds nothing of it. */
		wrong += got(&m, (vm_place(PAGES, vm_next(round)) - VM_DATA) / PAGE) != 1;
	}
	MUST(!restore(m.ram, shot));
	CHECK_EQ(wrong, 0);
	CHECK_EQ(SINCE(before, restores), RESTORES + 1);
	net = SINCE(before, pages_allocated) - SINCE(before, pages_freed);
	CHECK_EQ(net, 0);
	CHECK(is_as(m.ram, image));
	CHECK(is_as(shot, image));
	ksft_print_msg("%d rounds, each of %d pages: RESTORE %llu us, the guest %llu us\n",
	               RESTORES, FUZZ, (unsigned long long)restoring / RESTORES,
	               (unsigned long long)running / RESTORES);
	machine_end(&m);
	close(shot);
	free(image);
}

static void example_runs(void)
{
	int status;
	pid_t child;

	NEEDS_KVM;
	fflush(stdout);
	child = fork();
	if (!child) {
		execl("/bin/microvm", "microvm", "10", "4", "50", NULL);
		_exit(127);
	}
	MUST(child > 0 && waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* A guest that went astray holds up nobody. */
static void does_not_run_for_ever(void)
{
	struct machine m;

	NEEDS_KVM;
	m = machine_of(-1, NULL);
	m.vm.seconds = 1;
	CHECK_EQ(vm_do(&m.vm, VM_COUNT, UINT32_MAX, 1, NULL), -ETIMEDOUT);
	vm_ask(&m.vm, VM_COUNT, 0, 0);
	CHECK_EQ(vm_run(&m.vm), 0); /* it goes on where it was */
	machine_end(&m);
}

static const struct test_case cases[] = {
	{"clones of a guest go their own ways", "R96", clones_go_their_ways},
	{"a snapshot is of one instant while a guest writes", "R96", snapshot_is_of_one_instant},
	{"a guest writes no page of a snapshot", "R68 R96", after_snapshot},
	{"a guest has nothing that RESTORE took back", "R68 R96", after_restore},
	{"a guest has nothing that PUNCH and RESIZE took", "R68 R96", after_punch_and_resize},
	{"a guest's pages go out, and come back as it wrote them", "R68 R96", after_page_out},
#ifdef __x86_64__
	{"what KVM writes for a guest is marked, and goes out", "R96", clock_is_kept},
#endif
	{"a guest's pages are moved", "R68 R96", after_move},
	{"what a guest writes is marked", "R96", marks_tell_all},
	{"what a guest writes is marked, while it writes", "R96", marks_tell_all_meanwhile},
	{"a guest is restored over and over", "R96", restores_over_and_over},
	{"a guest that does not ring is left", "", does_not_run_for_ever},
	{"the example, microvm", "", example_runs},
};

int main(void)
{
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	/* With the first VM, and the last, the kernel patches its scheduler, which QEMU does not always survive: once is enough. */
	if (kvm >= 0)
		ioctl(kvm, KVM_CREATE_VM, 0);
	return run_tests(cases, ARRAY_LENGTH(cases));
}
