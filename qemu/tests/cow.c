// SPDX-License-Identifier: GPL-2.0
/*
 * Private writes, and what they leave alone: which calls the handler gets, who
 * copies and how often, and what everybody reads afterwards.
 *
 * usage: cow [SEED]
 */
#include "counts.h"
#include "parameters.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/random.h>

#define PAGES 128u
#define CHILDREN 5u
#define FAULT_AROUND "/sys/kernel/debug/fault_around_bytes"
#define COW_VIA "/sys/module/cowmem/parameters/cow_via"
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN ((1ULL << 55) - 1)

static unsigned int seed;

static void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	MUST(fd >= 0 && (length = read(fd, text, size - 1)) >= 0);
	text[length] = '\0';
	close(fd);
}

/* Which page frames @map's pages are; 0 for one that is not mapped. */
static void frames_of(const void *map, unsigned int pages, uint64_t *frames)
{
	const ssize_t bytes = pages * sizeof(*frames);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0 && pread(fd, frames, bytes, (uintptr_t)map / PAGE * 8) == bytes);
	close(fd);
	for (unsigned int i = 0; i < pages; i++)
		frames[i] = frames[i] & PAGEMAP_PRESENT ? frames[i] & PAGEMAP_PFN : 0;
}

static uint64_t frame_of(const void *page)
{
	uint64_t frame;

	frames_of(page, 1, &frame);
	return frame;
}

/* In how many page tables the frame is mapped. */
static uint64_t map_count(uint64_t frame)
{
	static int fd;
	uint64_t count;

	if (!fd)
		fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	MUST(pread(fd, &count, sizeof(count), frame * sizeof(count)) == sizeof(count));
	return count;
}

/* --- objects --- */

/* An object of @pages pages, generation 1, made without mapping it. */
static int object_filled(unsigned int pages)
{
	unsigned char page[PAGE];
	int fd = object_open();

	for (unsigned int i = 0; i < pages; i++) {
		fill_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
	}
	return fd;
}

static unsigned char *map_pages(int fd, unsigned int pages, int flags)
{
	return object_map(fd, pages * PAGE, PROT_READ | PROT_WRITE, flags);
}

static unsigned char *map_private(int fd, unsigned int pages, uint32_t cow)
{
	MUST(!object_set_cow(fd, cow));
	return map_pages(fd, pages, MAP_PRIVATE);
}

static bool object_unchanged(int fd, const unsigned char *shared, unsigned int pages)
{
	unsigned char page[PAGE];

	for (unsigned int i = 0; i < pages; i++)
		if (pread(fd, page, PAGE, i * PAGE) != (ssize_t)PAGE || !page_is(page, i, 1) ||
		    !page_is(shared + i * PAGE, i, 1))
			return false;
	return true;
}

/* --- a byte that tells who wrote where --- */
static size_t patch_at(unsigned int page)
{
	return page * PAGE + page * 37 % PAGE;
}

static unsigned char patch_of(unsigned int page, unsigned int writer)
{
	return 0x80 | (page * 5 + writer);
}

static void patch(volatile unsigned char *map, unsigned int page, unsigned int writer)
{
	map[patch_at(page)] = patch_of(page, writer);
}

/* @map's page is @source with only the patch of @writer applied. */
static bool is_patched(const unsigned char *map, unsigned int page, unsigned int writer,
                       const void *source)
{
	unsigned char expected[PAGE];

	memcpy(expected, source, PAGE);
	expected[patch_at(page) % PAGE] = patch_of(page, writer);
	return !memcmp(map + page * PAGE, expected, PAGE);
}

static bool is_source_patched(const unsigned char *map, unsigned int page, unsigned int writer)
{
	unsigned char source[PAGE];

	fill_page(source, page, 1);
	return is_patched(map, page, writer, source);
}

/* --- accesses that may be refused --- */
static sigjmp_buf escape;
static volatile struct {
	int code;
	void *address;
} caught;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	caught.code = info->si_code;
	caught.address = info->si_addr;
	siglongjmp(escape, signal);
}

/* The signal that a one-byte access gives, or 0. */
static int signal_of(volatile unsigned char *at, bool write)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct sigaction old_bus, old_segv;
	int signal;

	sigaction(SIGBUS, &action, &old_bus);
	sigaction(SIGSEGV, &action, &old_segv);
	signal = sigsetjmp(escape, 1);
	if (!signal) {
		if (write)
			*at = 1;
		else
			(void)*at;
	}
	sigaction(SIGBUS, &old_bus, NULL);
	sigaction(SIGSEGV, &old_segv, NULL);
	return signal;
}

/* Whether the access gives exactly this signal, at exactly this address. */
static bool refused(volatile unsigned char *at, bool write, int signal, int code)
{
	return signal_of(at, write) == signal && caught.code == code && caught.address == at;
}

/* --- children --- */
static pid_t start_child(void (*run)(unsigned int), unsigned int number)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid)
		return pid;
	test_failed = false;
	run(number);
	_exit(test_failed);
}

static void check_child(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

/* --- cases --- */
static void first_store(uint32_t cow)
{
	const bool handler = cow == COWMEM_COW_HANDLER;
	const struct counts start = counts_now();
	int fd = object_filled(PAGES);
	unsigned char *private = map_private(fd, PAGES, cow), *shared;
	uint64_t copies[PAGES], sources[PAGES];
	struct counts before = counts_now();
	long faults = minor_faults();

	for (unsigned int i = 0; i < PAGES; i++)
		patch(private, i, 0);
	faults = minor_faults() - faults;

	CHECK_EQ(faults, PAGES);
	CHECK_EQ(SINCE(before, fault_private_write), PAGES);
	CHECK_EQ(SINCE(before, fault_read), 0);
	CHECK_EQ(SINCE(before, fault_shared_write), 0);
	CHECK_EQ(SINCE(before, mkwrite), 0);
	CHECK_EQ(SINCE(before, copies), handler ? PAGES : 0);
	CHECK_EQ(SINCE(before, zero_fills), 0);
	CHECK_EQ(SINCE(before, done_cow), handler ? PAGES : 0);
	CHECK_EQ(SINCE(before, page_returned), handler ? 0 : PAGES);
	CHECK_EQ(SINCE(before, page_locks), handler ? 0 : PAGES);
	CHECK_EQ(SINCE(before, page_locks_handed_over), handler ? 0 : PAGES);
	CHECK_EQ(SINCE(before, lost_races), 0);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES);

	shared = map_pages(fd, PAGES, MAP_SHARED);
	CHECK(object_unchanged(fd, shared, PAGES));
	frames_of(private, PAGES, copies);
	frames_of(shared, PAGES, sources);
	for (unsigned int i = 0; i < PAGES; i++) {
		CHECK(is_source_patched(private, i, 0));
		CHECK(copies[i] && copies[i] != sources[i]);
	}

	/* No lock was left behind: this one waits for each page's. */
	CHECK(!object_resize(fd, 0));
	CHECK_EQ(SINCE(before, pages_freed), PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	munmap(private, PAGES * PAGE);
	munmap(shared, PAGES * PAGE);
	close(fd);
	check_locks(before);
	check_returned(start);
}

static void first_store_handler(void)
{
	first_store(COWMEM_COW_HANDLER);
}

static void first_store_core(void)
{
	first_store(COWMEM_COW_CORE);
}

static void first_store_to_hole(void)
{
	static const unsigned char zeroes[PAGE];

	for (uint32_t cow = COWMEM_COW_HANDLER; cow <= COWMEM_COW_CORE; cow++) {
		const bool handler = cow == COWMEM_COW_HANDLER;
		const struct counts before = counts_now();
		int fd = object_open();
		unsigned char *private = map_private(fd, PAGES, cow);
		long faults = minor_faults();

		for (unsigned int i = 0; i < PAGES; i++)
			patch(private, i, 0);
		faults = minor_faults() - faults;

		CHECK_EQ(faults, PAGES);
		CHECK_EQ(SINCE(before, zero_fills), handler ? PAGES : 0);
		CHECK_EQ(SINCE(before, copies), 0);
		CHECK_EQ(SINCE(before, done_cow), handler ? PAGES : 0);
		CHECK_EQ(SINCE(before, page_returned), handler ? 0 : PAGES);
		CHECK_EQ(SINCE(before, pages_allocated), handler ? 0 : PAGES);
		CHECK_EQ(object_stat(fd).resident_pages, handler ? 0 : PAGES);
		for (unsigned int i = 0; i < PAGES; i++)
			CHECK(is_patched(private, i, 0, zeroes));
		munmap(private, PAGES * PAGE);
		close(fd);
		check_returned(before);
	}
}

/* What a stretch of accesses must have cost: faults taken, and calls of each kind. */
struct cost {
	long faults;
	unsigned long reads, shared_writes, private_writes, mkwrites;
};

#define CHECK_COST(accesses, ...)                                                      \
	do {                                                                           \
		const struct cost expected = {__VA_ARGS__};                            \
		const struct counts before = counts_now();                             \
		long faults = minor_faults();                                          \
                                                                                       \
		accesses;                                                              \
		faults = minor_faults() - faults;                                      \
		CHECK_EQ(faults, expected.faults);                                     \
		CHECK_EQ(SINCE(before, fault_read), expected.reads);                   \
		CHECK_EQ(SINCE(before, fault_shared_write), expected.shared_writes);   \
		CHECK_EQ(SINCE(before, fault_private_write), expected.private_writes); \
		CHECK_EQ(SINCE(before, mkwrite), expected.mkwrites);                   \
		CHECK_EQ(SINCE(before, copies) + SINCE(before, zero_fills),            \
		         expected.private_writes);                                     \
		check_locks(before);                                                   \
	} while (0)

static void read_pages(const unsigned char *map, unsigned int first, unsigned int pages)
{
	for (unsigned int i = first; i < first + pages; i++)
		(void)*(volatile const unsigned char *)(map + i * PAGE);
}

static void patch_pages(unsigned char *map, unsigned int first, unsigned int pages)
{
	for (unsigned int i = first; i < first + pages; i++)
		patch(map, i, 0);
}

static void access_mix(bool speculation)
{
	enum { K = 16, SECTIONS = 6 };
	/* Without page locks a shared write is mapped writable at once. */
	const unsigned long mkwrites = speculation ? 0 : K;
	const struct counts start = counts_now();
	int fd = object_filled(K * (SECTIONS - 1)); /* the last is a hole */
	unsigned char *shared, *private, *readable;

	/* Page by page. */
	MUST(!object_set_huge(fd, COWMEM_HUGE_NEVER));
	shared = map_pages(fd, K * SECTIONS, MAP_SHARED);
	private = map_private(fd, K * SECTIONS, COWMEM_COW_HANDLER);
	readable = object_map(fd, K * SECTIONS * PAGE, PROT_READ, MAP_SHARED);
	set_reuse(false);
	CHECK_COST(read_pages(shared, 0 * K, K), .faults = K, .reads = K);
	set_reuse(true);
	CHECK_COST(patch_pages(shared, 0 * K, K), .faults = K, .mkwrites = K);
	CHECK_COST(patch_pages(shared, 0 * K, K), .faults = 0);
	CHECK_COST(patch_pages(shared, 1 * K, K), .faults = K, .shared_writes = K,
	           .mkwrites = mkwrites);
	CHECK_COST(patch_pages(private, 2 * K, K), .faults = K, .private_writes = K);
	CHECK_COST(patch_pages(private, 2 * K, K), .faults = 0);
	CHECK_COST(read_pages(private, 3 * K, K), .faults = K, .reads = K);
	CHECK_COST(patch_pages(private, 3 * K, K), .faults = K); /* from the PTE: the core's */
	CHECK_COST(read_pages(readable, 4 * K, K), .faults = K, .reads = K);
	CHECK_COST(patch_pages(private, 5 * K, K), .faults = K, .private_writes = K);
	CHECK_COST(read_pages(shared, 5 * K, K), .faults = K, .reads = K);

	munmap(shared, K * SECTIONS * PAGE);
	munmap(private, K * SECTIONS * PAGE);
	munmap(readable, K * SECTIONS * PAGE);
	close(fd);
	check_returned(start);
	CHECK_EQ(SINCE(start, speculative_attempts) > 0, speculation);
	CHECK_EQ(SINCE(start, locked_retries) + SINCE(start, speculative_commits),
	         SINCE(start, speculative_attempts));
}

/* What is called next finds its stack there, not shared since a fork: its faults are the object's. */
__attribute__((noinline)) static void touch_stack(void)
{
	volatile char room[16 * PAGE];

	for (size_t at = 0; at < sizeof(room); at += PAGE)
		room[at] = 0;
}

static void access_mix_both_ways(void)
{
	touch_stack();
	access_mix(true);
	set_speculation(false);
	access_mix(false);
	set_speculation(true);
}

/* With fault-around: one read maps neighbours, and a store then takes one page out. */
static void read_then_write(void)
{
	enum { N = 64, VICTIM = 21 };

	MUST(write_text(FAULT_AROUND, "65536"));
	parameter_set("around_pages", "16");
	for (uint32_t cow = COWMEM_COW_HANDLER; cow <= COWMEM_COW_CORE; cow++) {
		int fd = object_filled(N);
		unsigned char *shared = map_pages(fd, N, MAP_SHARED);
		unsigned char *private = map_private(fd, N, cow);
		uint64_t source, copy, frames[N], sources[N];
		struct counts before;
		long faults;

		read_pages(shared, 0, N);
		faults = minor_faults();
		read_pages(private, 0, N);
		CHECK(minor_faults() - faults < N / 8);
		source = frame_of(private + VICTIM * PAGE);
		CHECK_EQ(source, frame_of(shared + VICTIM * PAGE));
		CHECK_EQ(map_count(source), 2);

		before = counts_now();
		faults = minor_faults();
		patch(private, VICTIM, 0);
		CHECK_EQ(minor_faults() - faults, 1);
		CHECK_EQ(SINCE(before, fault_private_write), 0);

		copy = frame_of(private + VICTIM * PAGE);
		CHECK(copy != source);
		CHECK_EQ(map_count(copy), 1);
		CHECK_EQ(map_count(source), 1);
		CHECK_EQ(frame_of(shared + VICTIM * PAGE), source);
		CHECK(is_source_patched(private, VICTIM, 0));

		faults = minor_faults();
		patch(private, VICTIM, 1);
		CHECK_EQ(minor_faults() - faults, 0);
		CHECK_EQ(frame_of(private + VICTIM * PAGE), copy);
		CHECK(is_source_patched(private, VICTIM, 1));
		frames_of(private, N, frames);
		frames_of(shared, N, sources);
		for (unsigned int i = 0; i < N; i++) {
			if (i == VICTIM)
				continue;
			CHECK_EQ(frames[i], sources[i]);
			CHECK_EQ(map_count(frames[i]), 2);
		}
		CHECK(object_unchanged(fd, shared, N));
		munmap(shared, N * PAGE);
		munmap(private, N * PAGE);
		close(fd);
	}
	MUST(write_text(FAULT_AROUND, "4096"));
	parameter_set("around_pages", "1");
}

/* A page not present, next to present ones: the handler's own install. */
static void write_between_read(void)
{
	enum { N = 64 };

	for (uint32_t cow = COWMEM_COW_HANDLER; cow <= COWMEM_COW_CORE; cow++) {
		int fd = object_filled(N);
		unsigned char *shared = map_pages(fd, N, MAP_SHARED);
		unsigned char *private = map_private(fd, N, cow);
		uint64_t frames[N], sources[N];
		struct counts before;
		long faults;

		read_pages(shared, 0, N);
		for (unsigned int i = 0; i < N; i += 2)
			read_pages(private, i, 1);
		before = counts_now();
		faults = minor_faults();
		for (unsigned int i = 1; i < N; i += 2)
			patch(private, i, 0);
		CHECK_EQ(minor_faults() - faults, N / 2);
		CHECK_EQ(SINCE(before, fault_private_write), N / 2);
		CHECK_EQ(SINCE(before, done_cow), cow == COWMEM_COW_HANDLER ? N / 2 : 0);
		frames_of(private, N, frames);
		frames_of(shared, N, sources);
		for (unsigned int i = 0; i < N; i++) {
			CHECK_EQ(frames[i] == sources[i], i % 2 == 0);
			CHECK_EQ(map_count(frames[i]), i % 2 == 0 ? 2 : 1);
			CHECK(i % 2 == 0 ? page_is(private + i * PAGE, i, 1)
			                 : is_source_patched(private, i, 0));
		}
		munmap(shared, N * PAGE);
		munmap(private, N * PAGE);
		close(fd);
	}
}

static void write_through_readonly_entry(bool speculation)
{
	int fd = object_filled(PAGES);
	unsigned char *shared = map_pages(fd, PAGES, MAP_SHARED), page[PAGE];
	struct counts before;
	long faults;

	set_reuse(false);
	read_pages(shared, 0, PAGES);
	set_reuse(true);
	before = counts_now();
	faults = minor_faults();
	patch_pages(shared, 0, PAGES);
	CHECK_EQ(minor_faults() - faults, PAGES);
	CHECK_EQ(SINCE(before, mkwrite), PAGES);
	CHECK_EQ(SINCE(before, fault_shared_write), 0);
	CHECK_EQ(SINCE(before, page_locks_mkwrite), speculation ? 0 : PAGES);
	CHECK_EQ(SINCE(before, page_locks), speculation ? 0 : PAGES);
	CHECK_EQ(SINCE(before, page_locks_handed_over), speculation ? 0 : PAGES);
	CHECK_EQ(SINCE(before, mapped), speculation ? PAGES : 0);
	CHECK_EQ(SINCE(before, page_unlocks), 0);
	CHECK_EQ(SINCE(before, mkwrite_truncated), 0);

	faults = minor_faults();
	patch_pages(shared, 0, PAGES);
	CHECK_EQ(minor_faults() - faults, 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		CHECK_EQ(pread(fd, page, PAGE, i * PAGE), PAGE);
		CHECK(!memcmp(page, shared + i * PAGE, PAGE));
		CHECK(is_source_patched(shared, i, 0));
	}
	CHECK(!object_resize(fd, 0)); /* waits for every page's lock */
	munmap(shared, PAGES * PAGE);
	close(fd);
	check_locks(before);
}

static void write_through_readonly_entry_speculative(void)
{
	write_through_readonly_entry(true);
}

static void write_through_readonly_entry_locked(void)
{
	set_speculation(false);
	write_through_readonly_entry(false);
	set_speculation(true);
}

/* A mapping of each mode, and what must be read through them. */
struct model {
	int fd;
	unsigned char *shared, *handler, *core;
	unsigned char *object, *private; /* expected bytes */
	bool *copied;
};

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand_r(&seed) % n;
}

static bool same_as_model(const struct model *m, unsigned int page)
{
	const unsigned char *expected = m->copied[page] ? m->private : m->object;
	const size_t at = page * PAGE;

	return !memcmp(m->handler + at, expected + at, PAGE) &&
	       !memcmp(m->core + at, expected + at, PAGE);
}

static void write_private(struct model *m, size_t at, const unsigned char *bytes, size_t length)
{
	const unsigned int page = at / PAGE;

	memcpy(m->handler + at, bytes, length);
	memcpy(m->core + at, bytes, length);
	if (!m->copied[page])
		memcpy(m->private + page * PAGE, m->object + page * PAGE, PAGE);
	m->copied[page] = true;
	memcpy(m->private + at, bytes, length);
}

static void random_access(struct model *m, unsigned int pages)
{
	unsigned char bytes[64];
	const unsigned int page = below(pages), length = 1 + below(sizeof(bytes));
	const unsigned int some = 1 + below(pages - page < 4 ? pages - page : 4);
	const size_t at = page * PAGE + below(PAGE - length + 1), first = page * PAGE;

	for (unsigned int i = 0; i < length; i++)
		bytes[i] = below(256);
	switch (below(16)) {
	case 0 ... 6:
		write_private(m, at, bytes, length);
		break;
	case 7 ... 9:
		CHECK(same_as_model(m, page));
		break;
	case 10 ... 11:
		memcpy(m->shared + at, bytes, length);
		memcpy(m->object + at, bytes, length);
		break;
	case 12:
		CHECK_EQ(pwrite(m->fd, bytes, length, at), length);
		memcpy(m->object + at, bytes, length);
		break;
	case 13:
		CHECK(!object_punch(m->fd, first, some * PAGE));
		memset(m->object + first, 0, some * PAGE);
		break;
	case 14: /* drops the copies */
		CHECK(!madvise(m->handler + first, some * PAGE, MADV_DONTNEED));
		CHECK(!madvise(m->core + first, some * PAGE, MADV_DONTNEED));
		memset(m->copied + page, 0, some);
		break;
	case 15: /* splits the mappings, and lets them merge again */
		CHECK(!mprotect(m->handler + first, some * PAGE, PROT_READ));
		CHECK(!mprotect(m->core + first, some * PAGE, PROT_READ));
		CHECK(same_as_model(m, page));
		CHECK(!mprotect(m->handler + first, some * PAGE, PROT_READ | PROT_WRITE));
		CHECK(!mprotect(m->core + first, some * PAGE, PROT_READ | PROT_WRITE));
		break;
	}
}

static void modes_agree(void)
{
	enum { N = 64, ACCESSES = 3000 };
	const struct counts before = counts_now();
	const unsigned int first_seed = seed;
	struct model m = {.fd = object_open()};

	m.shared = map_pages(m.fd, N, MAP_SHARED);
	m.handler = map_private(m.fd, N, COWMEM_COW_HANDLER);
	m.core = map_private(m.fd, N, COWMEM_COW_CORE);
	m.object = calloc(N, PAGE);
	m.private = calloc(N, PAGE);
	m.copied = calloc(N, sizeof(bool));
	MUST(m.object && m.private && m.copied);

	for (unsigned int i = 0; i < ACCESSES && !test_failed; i++)
		random_access(&m, N);
	for (unsigned int i = 0; i < N; i++)
		CHECK(same_as_model(&m, i));
	CHECK(!memcmp(m.handler, m.core, N * PAGE));
	CHECK(!memcmp(m.shared, m.object, N * PAGE));
	/* Both ways were gone. */
	CHECK(SINCE(before, copies) && SINCE(before, zero_fills));
	CHECK(SINCE(before, fault_private_write) > SINCE(before, done_cow));
	ksft_print_msg(
		"%d accesses, seed %u; %lu copies by the handler, %lu private writes in all\n",
		ACCESSES, first_seed, SINCE(before, done_cow), SINCE(before, fault_private_write));

	munmap(m.shared, N * PAGE);
	munmap(m.handler, N * PAGE);
	munmap(m.core, N * PAGE);
	close(m.fd);
	free(m.object);
	free(m.private);
	free(m.copied);
	check_locks(before);
	check_returned(before);
}

/* What the children of a case inherit. */
static unsigned char *family_map;
static atomic_uint *family_done;

/* Pages of the family: a third copied before the fork, a third after, a third not. */
static void forked_child(unsigned int number)
{
	unsigned char *map = family_map;

	(void)number;
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(i % 3 ? page_is(map + i * PAGE, i, 1) : is_source_patched(map, i, 1));
	for (unsigned int i = 0; i < PAGES; i++)
		if (i % 3 != 2)
			patch(map, i, 2);
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(i % 3 == 2 ? page_is(map + i * PAGE, i, 1) : is_source_patched(map, i, 2));
}

static void fork_shows_each_its_own(void)
{
	for (uint32_t cow = COWMEM_COW_HANDLER; cow <= COWMEM_COW_CORE; cow++) {
		const struct counts before = counts_now();
		int fd = object_filled(PAGES);
		unsigned char *shared = map_pages(fd, PAGES, MAP_SHARED);

		family_map = map_private(fd, PAGES, cow);
		for (unsigned int i = 0; i < PAGES; i += 3)
			patch(family_map, i, 1);
		check_child(start_child(forked_child, 0));
		for (unsigned int i = 0; i < PAGES; i++)
			CHECK(i % 3 ? page_is(family_map + i * PAGE, i, 1)
			            : is_source_patched(family_map, i, 1));
		/* One the child has written, and one that nobody has. */
		patch(family_map, 1, 3);
		patch(family_map, 2, 3);
		CHECK(is_source_patched(family_map, 1, 3) && is_source_patched(family_map, 2, 3));
		CHECK(object_unchanged(fd, shared, PAGES));
		CHECK_EQ(object_stat(fd).resident_pages, PAGES);
		munmap(shared, PAGES * PAGE);
		munmap(family_map, PAGES * PAGE);
		close(fd);
		check_locks(before);
		check_returned(before);
	}
}

static void sibling(unsigned int number)
{
	unsigned char *map = family_map;

	for (unsigned int i = number; i < PAGES; i += CHILDREN)
		patch(map, i, number);
	atomic_fetch_add(family_done, 1);
	CHECK(COMES(atomic_load(family_done) == CHILDREN));
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(i % CHILDREN == number ? is_source_patched(map, i, number)
		                             : page_is(map + i * PAGE, i, 1));
}

static void children_patch_different_pages(void)
{
	family_done = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(family_done != MAP_FAILED);
	for (uint32_t cow = COWMEM_COW_HANDLER; cow <= COWMEM_COW_CORE; cow++) {
		const struct counts before = counts_now();
		int fd = object_filled(PAGES);
		unsigned char *shared = map_pages(fd, PAGES, MAP_SHARED);
		pid_t children[CHILDREN];

		family_map = map_private(fd, PAGES, cow);
		atomic_store(family_done, 0);
		for (unsigned int i = 0; i < CHILDREN; i++)
			children[i] = start_child(sibling, i);
		for (unsigned int i = 0; i < CHILDREN; i++)
			check_child(children[i]);
		CHECK_EQ(SINCE(before, fault_private_write), PAGES);
		CHECK_EQ(SINCE(before, copies), cow == COWMEM_COW_HANDLER ? PAGES : 0);
		for (unsigned int i = 0; i < PAGES; i++)
			CHECK(page_is(family_map + i * PAGE, i, 1));
		CHECK(object_unchanged(fd, shared, PAGES));
		munmap(shared, PAGES * PAGE);
		munmap(family_map, PAGES * PAGE);
		close(fd);
		check_returned(before);
	}
	munmap(family_done, PAGE);
}

static void mode_is_taken_at_mmap(void)
{
	enum { N = 8 };
	int fd = object_filled(N);
	unsigned char *handler = map_private(fd, N, COWMEM_COW_HANDLER), *core;
	struct counts before;

	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_HANDLER);
	core = map_private(fd, N, COWMEM_COW_CORE);
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_CORE);
	CHECK_ERRNO(object_set_cow(fd, COWMEM_COW_CORE + 1), EINVAL);
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_CORE);

	before = counts_now();
	patch_pages(handler, 0, N);
	CHECK_EQ(SINCE(before, done_cow), N);
	CHECK_EQ(SINCE(before, page_returned), 0);
	before = counts_now();
	patch_pages(core, 0, N);
	CHECK_EQ(SINCE(before, done_cow), 0);
	CHECK_EQ(SINCE(before, page_returned), N);
	CHECK(!memcmp(handler, core, N * PAGE));
	munmap(handler, N * PAGE);
	munmap(core, N * PAGE);
	close(fd);
}

/* What writing the parameter gives: 0 or an errno. */
static int set_parameter(const char *text)
{
	int fd = open(COW_VIA, O_WRONLY | O_CLOEXEC), err;

	MUST(fd >= 0);
	err = write(fd, text, strlen(text)) < 0 ? errno : 0;
	close(fd);
	return err;
}

static void parameter_is_the_default(void)
{
	static const char *const bad[] = {"nobody", "handle", "core2", "1", " ", "handler core"};
	static const struct {
		const char *name, *shown;
		uint32_t cow;
	} modes[] = {
		{"core", "core\n", COWMEM_COW_CORE},
		{"handler\n", "handler\n", COWMEM_COW_HANDLER},
		{"core\n", "core\n", COWMEM_COW_CORE},
	};
	char saved[32], text[32];
	int old = object_open();
	const uint32_t old_cow = object_stat(old).cow;

	read_text(COW_VIA, saved, sizeof(saved));
	for (size_t i = 0; i < ARRAY_LENGTH(modes); i++) {
		int fd;

		CHECK_EQ(set_parameter(modes[i].name), 0);
		read_text(COW_VIA, text, sizeof(text));
		CHECK(!strcmp(text, modes[i].shown));
		fd = object_open();
		CHECK_EQ(object_stat(fd).cow, modes[i].cow);
		CHECK_EQ(object_stat(old).cow, old_cow);
		close(fd);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		CHECK_EQ(set_parameter(bad[i]), EINVAL);
		read_text(COW_VIA, text, sizeof(text));
		CHECK(!strcmp(text, "core\n"));
	}
	CHECK_EQ(set_parameter(saved), 0);
	close(old);
}

/* A debugger's write to memory that the process itself may only read: 0 or an errno. */
static int force(void *at, unsigned char byte)
{
	pid_t debugger = fork();
	int memory, status;
	char path[32];

	MUST(debugger >= 0);
	if (debugger) {
		MUST(waitpid(debugger, &status, 0) == debugger && WIFEXITED(status));
		return WEXITSTATUS(status);
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
	memory = open(path, O_RDWR | O_CLOEXEC);
	_exit(memory >= 0 && !ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) &&
	                      pwrite(memory, &byte, 1, (uintptr_t)at) == 1
	              ? 0
	              : errno);
}

static void forced_write(void)
{
	enum { N = 4 };

	for (uint32_t cow = COWMEM_COW_HANDLER; cow <= COWMEM_COW_CORE; cow++) {
		const bool handler = cow == COWMEM_COW_HANDLER;
		int fd = object_filled(N);
		unsigned char *shared = object_map(fd, N * PAGE, PROT_READ, MAP_SHARED), *private;
		struct counts before;

		MUST(!object_set_cow(fd, cow));
		private = object_map(fd, N * PAGE, PROT_READ, MAP_PRIVATE);
		read_pages(private, 0, 2); /* half of it is present */
		before = counts_now();
		for (unsigned int i = 0; i < N; i++)
			CHECK_EQ(force(private + patch_at(i), patch_of(i, 0)), 0);
		CHECK_EQ(SINCE(before, fault_private_write), N - 2);
		CHECK_EQ(SINCE(before, done_cow), handler ? N - 2 : 0);
		for (unsigned int i = 0; i < N; i++)
			CHECK(is_source_patched(private, i, 0));
		CHECK_EQ(force(shared, 'x'), EIO);
		CHECK(object_unchanged(fd, shared, N));
		CHECK(refused(private, true, SIGSEGV, SEGV_ACCERR));
		munmap(shared, N * PAGE);
		munmap(private, N * PAGE);
		close(fd);
	}
}

static void mprotect_keeps_copies(void)
{
	enum { N = 8 };

	for (uint32_t cow = COWMEM_COW_HANDLER; cow <= COWMEM_COW_CORE; cow++) {
		int fd = object_filled(N);
		unsigned char *shared = map_pages(fd, N, MAP_SHARED);
		unsigned char *private = map_private(fd, N, cow);
		struct counts before;
		uint64_t copy;

		patch_pages(private, 0, N / 2);
		copy = frame_of(private);
		CHECK(!mprotect(private, N * PAGE, PROT_READ));
		CHECK(refused(private, true, SIGSEGV, SEGV_ACCERR));
		CHECK(refused(private + (N - 1) * PAGE + 5, true, SIGSEGV, SEGV_ACCERR));
		for (unsigned int i = 0; i < N / 2; i++)
			CHECK(is_source_patched(private, i, 0));
		CHECK(!mprotect(private, N * PAGE, PROT_NONE));
		CHECK(refused(private + PAGE, false, SIGSEGV, SEGV_ACCERR));

		CHECK(!mprotect(private, N * PAGE, PROT_READ | PROT_WRITE));
		before = counts_now();
		for (unsigned int i = 0; i < N / 2; i++)
			patch(private, i, 1);
		CHECK_EQ(SINCE(before, fault_private_write), 0);
		CHECK_EQ(frame_of(private), copy);
		for (unsigned int i = N / 2; i < N; i++)
			patch(private, i, 1);
		CHECK_EQ(SINCE(before, fault_private_write), N / 2);
		for (unsigned int i = 0; i < N; i++)
			CHECK(is_source_patched(private, i, 1));
		CHECK(object_unchanged(fd, shared, N));
		munmap(shared, N * PAGE);
		munmap(private, N * PAGE);
		close(fd);
	}
}

static void beyond_the_end(void)
{
	enum { N = 6, TAIL = 2, KEPT = 100 };
	const struct counts before = counts_now();
	unsigned char tail[PAGE], *maps[3];
	int fd = object_filled(N), end[2];
	unsigned long accesses = 0;

	MUST(!pipe2(end, O_CLOEXEC));
	CHECK(!object_resize(fd, TAIL * PAGE + KEPT));
	maps[0] = map_pages(fd, N, MAP_SHARED);
	maps[1] = map_private(fd, N, COWMEM_COW_HANDLER);
	maps[2] = map_private(fd, N, COWMEM_COW_CORE);
	fill_page(tail, TAIL, 1);
	memset(tail + KEPT, 0, PAGE - KEPT);

	for (size_t i = 0; i < ARRAY_LENGTH(maps); i++) {
		unsigned char *map = maps[i];

		CHECK_EQ(signal_of(map + TAIL * PAGE + KEPT - 1, false), 0);
		CHECK(!memcmp(map + TAIL * PAGE, tail, PAGE));
		for (unsigned int page = TAIL + 1; page < N; page++) {
			CHECK(refused(map + page * PAGE + 77, false, SIGBUS, BUS_ADRERR));
			CHECK(refused(map + page * PAGE + 78, true, SIGBUS, BUS_ADRERR));
			CHECK_EQ(frame_of(map + page * PAGE), 0);
			accesses += 2;
		}
		CHECK_EQ(SINCE(before, beyond_end), accesses);
		/* The same from inside the kernel. */
		CHECK_ERRNO(write(end[1], map + (TAIL + 1) * PAGE, 1), EFAULT);
		CHECK_EQ(write(end[1], "x", 1), 1);
		CHECK_ERRNO(read(end[0], map + (TAIL + 1) * PAGE, 1), EFAULT);
		CHECK(SINCE(before, beyond_end) >= accesses + 2);
		accesses = SINCE(before, beyond_end);
	}
	/* A private copy of the last page, made by each. */
	for (size_t i = 1; i < ARRAY_LENGTH(maps); i++) {
		CHECK(!madvise(maps[i] + TAIL * PAGE, PAGE, MADV_DONTNEED));
		patch(maps[i], TAIL, 0);
		CHECK(is_patched(maps[i], TAIL, 0, tail));
	}
	CHECK(!memcmp(maps[0] + TAIL * PAGE, tail, PAGE));
	CHECK_EQ(object_stat(fd).resident_pages, TAIL + 1);
	for (size_t i = 0; i < ARRAY_LENGTH(maps); i++)
		munmap(maps[i], N * PAGE);
	close(fd);
	close(end[0]);
	close(end[1]);
	check_locks(before);
	check_returned(before);
}

static char fault_around[32];

static void restore_fault_around(void)
{
	MUST(write_text(FAULT_AROUND, fault_around));
	parameter_set("around_pages", "16");
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"first store, the handler copies: one fault, one copy", "R2", first_store_handler},
		{"first store, the core copies: one fault, no copy of ours", "R16",
	         first_store_core},
		{"first store to a hole: zeroes, and no memory of the object's", "R2",
	         first_store_to_hole},
		{"every kind of access reaches the handler as what it is", "R1",
	         access_mix_both_ways},
		{"read with fault-around, then write: one copy, neighbours shared", "R8",
	         read_then_write},
		{"write between pages that are mapped already", "R8", write_between_read},
		{"write through a read-only entry: no page lock", "",
	         write_through_readonly_entry_speculative},
		{"write through a read-only entry, locked: one lock, handed over", "R16 R17",
	         write_through_readonly_entry_locked},
		{"both modes, byte for byte, over random accesses", "R4", modes_agree},
		{"fork: parent and child each see their own", "", fork_shows_each_its_own},
		{"children patch different pages, none sees another's", "",
	         children_patch_different_pages},
		{"the copy mode is taken at mmap", "R4", mode_is_taken_at_mmap},
		{"parameter cow_via", "", parameter_is_the_default},
		{"a forced write makes a private copy", "R1", forced_write},
		{"mprotect keeps private copies", "", mprotect_keeps_copies},
		{"beyond the end: SIGBUS at the address", "", beyond_the_end},
	};

	if (argc > 1)
		seed = strtoul(argv[1], NULL, 0);
	else
		MUST(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
	count_faults_exactly();
	read_text(FAULT_AROUND, fault_around, sizeof(fault_around));
	atexit(restore_fault_around);
	MUST(write_text(FAULT_AROUND, "4096")); /* off: each read is one fault */
	parameter_set("around_pages", "1");     /* and each write */
	return run_tests(cases, ARRAY_LENGTH(cases));
}
