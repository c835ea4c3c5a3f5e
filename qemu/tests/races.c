// SPDX-License-Identifier: GPL-2.0
/*
 * Threads and processes that get into each other's way: on one address, on one
 * object, with its removal, and with their own end. Every loop is bounded by a
 * count and by time.
 */
#include "cgroup.h"
#include "counts.h"
#include "parameters.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <linux/userfaultfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define THREADS 4u
#define SECONDS 2.0 /* how long a case may go on looking for its race */

/* --- time and chance --- */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static __thread unsigned int chance = 1;

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand_r(&chance) % n;
}

/* --- threads --- */
struct thread {
	pthread_t id;
	unsigned int number;
	void (*body)(unsigned int number, void *shared);
	void *shared;
};

static void *thread_main(void *argument)
{
	struct thread *self = argument;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(self->number % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	chance = self->number + 1;
	self->body(self->number, self->shared);
	return NULL;
}

static void start(struct thread *threads, unsigned int count, void (*body)(unsigned int, void *),
                  void *shared)
{
	for (unsigned int i = 0; i < count; i++) {
		threads[i] = (struct thread){.number = i, .body = body, .shared = shared};
		MUST(!pthread_create(&threads[i].id, NULL, thread_main, &threads[i]));
	}
}

static void join(struct thread *threads, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		MUST(!pthread_join(threads[i].id, NULL));
}

/* --- accesses that may give SIGBUS --- */
static __thread sigjmp_buf escape;
static __thread volatile sig_atomic_t guarded;

static void on_bus(int signal)
{
	if (!guarded)
		_exit(128 + signal);
	siglongjmp(escape, 1);
}

static void catch_bus(void)
{
	struct sigaction action = {.sa_handler = on_bus, .sa_flags = SA_NODEFER};

	MUST(!sigaction(SIGBUS, &action, NULL));
}

static bool try_store(volatile uint64_t *at, uint64_t value)
{
	bool done = false;

	guarded = 1;
	if (!sigsetjmp(escape, 0)) {
		*at = value;
		done = true;
	}
	guarded = 0;
	return done;
}

static bool try_load(uint64_t *to, volatile const uint64_t *from)
{
	bool done = false;

	guarded = 1;
	if (!sigsetjmp(escape, 0)) {
		*to = *from;
		done = true;
	}
	guarded = 0;
	return done;
}

static bool try_copy_page(uint64_t *to, const uint64_t *from)
{
	bool done = false;

	guarded = 1;
	if (!sigsetjmp(escape, 0)) {
		memcpy(to, from, PAGE);
		done = true;
	}
	guarded = 0;
	return done;
}

/* --- objects --- */
static void fill(int fd, unsigned int pages, uint64_t generation)
{
	unsigned char page[PAGE];

	for (unsigned int i = 0; i < pages; i++) {
		fill_page(page, i + 1, generation);
		MUST(pwrite(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
	}
}

static void *map_pages(int fd, unsigned int pages, int flags, uint32_t cow)
{
	MUST(!object_set_cow(fd, cow));
	return object_map(fd, pages * PAGE, PROT_READ | PROT_WRITE, flags);
}

static uint64_t *page_of(void *map, unsigned int page)
{
	return (uint64_t *)((char *)map + page * PAGE);
}

/* How many of the pages have an entry, present or swapped, in our page table. */
static unsigned int entries(const void *map, unsigned int pages)
{
	const uint64_t present_or_swapped = 3ULL << 62;
	uint64_t entry[pages];
	unsigned int found = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	const ssize_t bytes = sizeof(entry);

	MUST(fd >= 0 && pread(fd, entry, bytes, (uintptr_t)map / PAGE * 8) == bytes);
	close(fd);
	for (unsigned int i = 0; i < pages; i++)
		found += !!(entry[i] & present_or_swapped);
	return found;
}

/*
 * Runs @body in a child in a memory cgroup of its own. A cgroup goes only when
 * every anonymous page charged to it was freed; one that leaked keeps it for ever.
 */
static void in_cgroup(void (*body)(void))
{
	const long dying = dying_cgroups();

	CHECK_EQ(run_in_cgroup("max", body), 0);
	check_cgroup_goes(dying);
}

/* --- several threads, one page at a time --- */
struct sweep {
	unsigned char *map;
	unsigned int pages;
	atomic_uint arrived;
};

static void wait_for_all(struct sweep *sweep, unsigned int meeting)
{
	atomic_fetch_add(&sweep->arrived, 1);
	for (unsigned int spins = 0; atomic_load(&sweep->arrived) < THREADS * (meeting + 1);
	     spins++)
		if (spins > 100)
			sched_yield();
}

static void store_to_every_page(unsigned int number, void *shared)
{
	struct sweep *sweep = shared;

	for (unsigned int i = 0; i < sweep->pages; i++) {
		wait_for_all(sweep, i);
		((volatile unsigned char *)sweep->map)[i * PAGE + 8 * number] = 0xA0 + number;
	}
}

/* The page is the source with every thread's store in it. */
static bool has_all_stores(const unsigned char *page, unsigned int number)
{
	unsigned char expected[PAGE];

	fill_page(expected, number, 1);
	for (unsigned int t = 0; t < THREADS; t++)
		expected[8 * t] = 0xA0 + t;
	return !memcmp(page, expected, PAGE);
}

static void race_for_one_page(uint32_t cow)
{
	enum { N = 64, MIN_ROUNDS = 4, PATIENCE = 300 /* seconds */ };
	const bool handler = cow == COWMEM_COW_HANDLER;
	struct sweep sweep = {.pages = N};
	struct thread threads[THREADS];
	const double end = now() + PATIENCE;
	const struct counts before = counts_now();
	unsigned int rounds = 0;
	int fd = object_open();

	fill(fd, N, 1);
	sweep.map = map_pages(fd, N, MAP_PRIVATE, cow);
	while (!test_failed &&
	       (rounds < MIN_ROUNDS || (handler && !SINCE(before, lost_races) && now() < end))) {
		atomic_store(&sweep.arrived, 0);
		start(threads, THREADS, store_to_every_page, &sweep);
		join(threads, THREADS);
		/* Had two copies been mapped, one after the other, a store would be gone. */
		for (unsigned int i = 0; i < N; i++)
			CHECK(has_all_stores(sweep.map + i * PAGE, i + 1));
		CHECK(!madvise(sweep.map, N * PAGE, MADV_DONTNEED));
		rounds++;
	}
	if (handler) {
		CHECK(SINCE(before, lost_races) > 0);
		CHECK_EQ(SINCE(before, done_cow), rounds * N);
		CHECK_EQ(SINCE(before, fault_private_write),
		         SINCE(before, done_cow) + SINCE(before, lost_races));
		ksft_print_msg("%u rounds, %lu races lost\n", rounds, SINCE(before, lost_races));
	} else {
		CHECK(SINCE(before, page_returned) >= rounds * N);
		CHECK_EQ(SINCE(before, fault_private_write), SINCE(before, page_returned));
	}
	munmap(sweep.map, N * PAGE);
	close(fd);
	check_returned(before);
}

static void race_for_one_page_handler(void)
{
	race_for_one_page(COWMEM_COW_HANDLER);
}

static void race_for_one_page_core(void)
{
	race_for_one_page(COWMEM_COW_CORE);
}

static void same_address_handler(void)
{
	in_cgroup(race_for_one_page_handler);
}

static void same_address_core(void)
{
	in_cgroup(race_for_one_page_core);
}

/* --- several threads, each its own pages --- */
#define LOCK_STAT "/proc/lock_stat"

struct contention {
	unsigned long contentions, acquisitions;
};

/* What keeps faults and removal apart, and what each page table has. */
#define OBJECTS_LOCK "cowmem_object"
#define PTE_LOCK "ptlock_ptr("

/* What lock_stat knows of a class of locks. */
static struct contention contention_of(const char *class)
{
	struct contention sum = {0};
	FILE *file = fopen(LOCK_STAT, "re");
	char *line = NULL;
	size_t size = 0;

	MUST(file);
	while (getline(&line, &size, file) > 0) {
		unsigned long contentions, acquisitions;
		const char *numbers = strstr(line, class);

		numbers = numbers ? strchr(numbers, ':') : NULL;
		/* con-bounces contentions wait-min -max -total -avg acq-bounces acquisitions */
		if (numbers && sscanf(numbers, ": %*u %lu %*f %*f %*f %*f %*u %lu", &contentions,
		                      &acquisitions) == 2) {
			sum.contentions += contentions;
			sum.acquisitions += acquisitions;
		}
	}
	free(line);
	fclose(file);
	return sum;
}

static void store_to_own_pages(unsigned int number, void *shared)
{
	struct sweep *sweep = shared;

	wait_for_all(sweep, 0);
	for (unsigned int i = number; i < sweep->pages; i += THREADS)
		((volatile unsigned char *)sweep->map)[i * PAGE + 8] = 0xA0 + number;
}

static void different_pages(void)
{
	enum { N = 512, ROUNDS = 3 };
	const bool lock_stat = !access(LOCK_STAT, R_OK);
	const struct counts before = counts_now();
	struct sweep sweep = {.pages = N};
	struct thread threads[THREADS];
	int fd = object_open();

	fill(fd, N, 1);
	sweep.map = map_pages(fd, N, MAP_PRIVATE, COWMEM_COW_HANDLER);
	set_speculation(false); /* with it they would not even take the lock */
	if (lock_stat)
		MUST(write_text(LOCK_STAT, "0") && write_text("/proc/sys/kernel/lock_stat", "1"));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		atomic_store(&sweep.arrived, 0);
		start(threads, THREADS, store_to_own_pages, &sweep);
		join(threads, THREADS);
		for (unsigned int i = 0; i < N; i++) {
			unsigned char expected[PAGE];

			fill_page(expected, i + 1, 1);
			expected[8] = 0xA0 + i % THREADS;
			CHECK(!memcmp(sweep.map + i * PAGE, expected, PAGE));
		}
		CHECK(!madvise(sweep.map, N * PAGE, MADV_DONTNEED));
	}
	CHECK_EQ(SINCE(before, done_cow), N * ROUNDS);
	CHECK_EQ(SINCE(before, lost_races), 0);
	set_speculation(true);
	munmap(sweep.map, N * PAGE);
	close(fd);
	check_returned(before);
	if (lock_stat) {
		struct contention lock;

		MUST(write_text("/proc/sys/kernel/lock_stat", "0"));
		lock = contention_of(OBJECTS_LOCK);
		CHECK(lock.acquisitions >= N * ROUNDS);
		CHECK_EQ(lock.contentions, 0);
	} else {
		SKIP("the contents were right, but this kernel has no lock_stat to show R13");
	}
}

/* --- several threads, each a page table of its own --- */
enum { TABLE_PAGES = 512 };

static void store_to_own_table(unsigned int number, void *shared)
{
	struct sweep *sweep = shared;

	wait_for_all(sweep, 0);
	for (unsigned int i = 0; i < TABLE_PAGES; i++)
		((volatile unsigned char *)sweep->map)[(number * TABLE_PAGES + i) * PAGE] = 1;
}

static void different_tables(void)
{
	const size_t length = THREADS * TABLE_PAGES * PAGE, table = TABLE_PAGES * PAGE;
	struct sweep sweep = {.pages = THREADS * TABLE_PAGES};
	struct thread threads[THREADS];
	struct contention lock;
	uintptr_t reserved;
	int fd = object_open();

	if (access(LOCK_STAT, R_OK)) {
		close(fd);
		SKIP("this kernel has no lock_stat");
	}
	reserved = (uintptr_t)mmap(NULL, length + table, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	                           0);
	MUST(reserved != (uintptr_t)MAP_FAILED);
	sweep.map = mmap((void *)((reserved + table - 1) & ~(table - 1)), length,
	                 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
	MUST(sweep.map != MAP_FAILED);
	/* The kernel has one count for the locks of all processes: what the threads' own stacks take, too. */
	for (int tries = 0; tries < 5; tries++) {
		MUST(!madvise(sweep.map, length, MADV_DONTNEED));
		atomic_store(&sweep.arrived, 0);
		MUST(write_text(LOCK_STAT, "0") && write_text("/proc/sys/kernel/lock_stat", "1"));
		start(threads, THREADS, store_to_own_table, &sweep);
		join(threads, THREADS);
		MUST(write_text("/proc/sys/kernel/lock_stat", "0"));
		lock = contention_of(PTE_LOCK);
		ksft_print_msg("PTE locks taken %lu times, waited for %lu times\n",
		               lock.acquisitions, lock.contentions);
		CHECK(lock.acquisitions >= sweep.pages);
		if (!lock.contentions)
			break;
	}
	CHECK_EQ(lock.contentions, 0);
	munmap((void *)reserved, length + table);
	close(fd);
}

/* --- removal, under fire --- */
enum { STORM_PAGES = 64, GENERATION = 7, LAST_WORD = PAGE / 8 - 1 };
enum removal { RESIZE, PUNCH };

struct storm {
	enum removal removal;
	int fd;
	uint64_t *maps[THREADS];
	atomic_uint started; /* pages that racers have begun with */
	atomic_bool removed; /* the removal has returned */
	/* What the racers saw. */
	atomic_uint whole, zero, bus, torn, late;
};

static uint64_t token(unsigned int number)
{
	return 0x7000 + number;
}

static void note_copy(struct storm *storm, const uint64_t *page, unsigned int i, uint64_t mark)
{
	static const uint64_t zeroes[PAGE / 8];
	uint64_t copy[PAGE / 8];

	memcpy(copy, page, PAGE);
	if (copy[LAST_WORD] != mark) {
		atomic_fetch_add(&storm->torn, 1);
		return;
	}
	copy[LAST_WORD] = (uint64_t)(i + 1) << 32 | GENERATION << 16 | LAST_WORD;
	if (page_is(copy, i + 1, GENERATION)) {
		atomic_fetch_add(&storm->whole, 1);
		return;
	}
	copy[LAST_WORD] = 0;
	if (storm->removal == PUNCH && !memcmp(copy, zeroes, PAGE))
		atomic_fetch_add(&storm->zero, 1);
	else
		atomic_fetch_add(&storm->torn, 1);
}

/* Makes private copies while the sources go. Each must be whole, or never come to be. */
static void copy_in_storm(unsigned int number, void *shared)
{
	struct storm *storm = shared;
	uint64_t *map = storm->maps[number], copy[PAGE / 8], word;
	const unsigned int first = below(STORM_PAGES);

	for (unsigned int n = 0; n < STORM_PAGES; n++) {
		const unsigned int i = (first + n) % STORM_PAGES;
		uint64_t *page = page_of(map, i);
		const bool removed = atomic_load(&storm->removed);

		atomic_fetch_add(&storm->started, 1);
		if (i % 4 == 3) /* some pages are mapped before they are copied */
			try_load(&word, page);
		if (!try_store(&page[LAST_WORD], token(number))) {
			atomic_fetch_add(&storm->bus, 1);
			continue;
		}
		if (removed && storm->removal == RESIZE)
			atomic_fetch_add(&storm->late, 1);
		if (try_copy_page(copy, page))
			note_copy(storm, copy, i, token(number));
		else
			atomic_fetch_add(&storm->bus, 1);
	}
}

/*
 * Writes into the object while its pages go, then once more when they have gone:
 * after a punch those stores must be in the object, after a resize none may succeed.
 */
static void write_in_storm(unsigned int number, void *shared)
{
	struct storm *storm = shared;
	uint64_t *map = storm->maps[number], word;
	const unsigned int first = below(STORM_PAGES);

	for (unsigned int n = 0; n < STORM_PAGES; n++) {
		uint64_t *page = page_of(map, (first + n) % STORM_PAGES);

		atomic_fetch_add(&storm->started, 1);
		if (!try_load(&word, &page[number]) || !try_store(&page[number], token(number)))
			atomic_fetch_add(&storm->bus, 1);
		else
			atomic_fetch_add(&storm->whole, 1);
	}
	while (!atomic_load(&storm->removed))
		sched_yield();
	for (unsigned int i = 0; i < STORM_PAGES; i++)
		if (try_store(&page_of(map, i)[number], token(number) + 1) &&
		    storm->removal == RESIZE)
			atomic_fetch_add(&storm->late, 1);
}

/* After a punch with writers at work: nothing of the old pages, all of the late stores. */
static void check_punched(int fd, void *map)
{
	for (unsigned int i = 0; i < STORM_PAGES; i++) {
		uint64_t expected[PAGE / 8] = {0}, page[PAGE / 8];

		for (unsigned int t = 0; t < THREADS; t++)
			expected[t] = token(t) + 1;
		CHECK_EQ(pread(fd, page, PAGE, i * PAGE), PAGE);
		CHECK(!memcmp(page, expected, PAGE));
		CHECK(!memcmp(page_of(map, i), expected, PAGE));
	}
}

static void storm_round(struct storm *storm, bool private, int recycler)
{
	const unsigned int delay = below(THREADS * STORM_PAGES);
	struct thread threads[THREADS];
	uint64_t word;

	MUST(!object_resize(storm->fd, STORM_PAGES * PAGE));
	fill(storm->fd, STORM_PAGES, GENERATION);
	for (unsigned int t = 0; t < THREADS; t++)
		MUST(!madvise(storm->maps[t], STORM_PAGES * PAGE, MADV_DONTNEED));
	atomic_store(&storm->started, 0);
	atomic_store(&storm->removed, false);

	start(threads, THREADS, private ? copy_in_storm : write_in_storm, storm);
	while (atomic_load(&storm->started) < delay)
		sched_yield();
	if (storm->removal == RESIZE) {
		CHECK(!object_resize(storm->fd, 0));
		for (unsigned int t = 0; t < THREADS; t++)
			CHECK_EQ(entries(storm->maps[t], STORM_PAGES), 0);
		CHECK_EQ(object_stat(storm->fd).resident_pages, 0);
	} else {
		CHECK(!object_punch(storm->fd, 0, STORM_PAGES * PAGE));
	}
	atomic_store(&storm->removed, true);
	fill(recycler, STORM_PAGES, GENERATION + 1); /* puts the freed memory to another use */
	join(threads, THREADS);

	if (storm->removal == PUNCH && !private)
		check_punched(storm->fd, storm->maps[0]);
	for (unsigned int i = 0; storm->removal == RESIZE && i < STORM_PAGES; i++)
		CHECK(!try_load(&word, page_of(storm->maps[i % THREADS], i)));
	MUST(!object_resize(recycler, 0) && !object_resize(recycler, STORM_PAGES * PAGE));
}

static void storm(enum removal removal, bool private)
{
	enum { MIN_ROUNDS = 3, MAX_ROUNDS = 200 };
	struct storm storm = {.removal = removal, .fd = object_open()};
	const struct counts before = counts_now();
	const double end = now() + SECONDS;
	int recycler = object_open();
	unsigned int rounds = 0;

	for (unsigned int t = 0; t < THREADS; t++)
		storm.maps[t] = map_pages(storm.fd, STORM_PAGES, private ? MAP_PRIVATE : MAP_SHARED,
		                          t == 2 ? COWMEM_COW_CORE : COWMEM_COW_HANDLER);
	while (!test_failed && (rounds < MIN_ROUNDS || (now() < end && rounds < MAX_ROUNDS))) {
		storm_round(&storm, private, recycler);
		rounds++;
	}
	CHECK_EQ(atomic_load(&storm.torn), 0);
	CHECK_EQ(atomic_load(&storm.late), 0);
	CHECK(atomic_load(&storm.whole) > 0);
	CHECK(atomic_load(removal == RESIZE ? &storm.bus
	                  : private         ? &storm.zero
	                                    : &storm.whole) > 0);
	ksft_print_msg("%u rounds: %u whole, %u zero, %u SIGBUS, %lu truncated before mkwrite\n",
	               rounds, storm.whole, storm.zero, storm.bus,
	               SINCE(before, mkwrite_truncated));
	for (unsigned int t = 0; t < THREADS; t++)
		munmap(storm.maps[t], STORM_PAGES * PAGE);
	close(storm.fd);
	close(recycler);
	CHECK_EQ(SINCE(before, objects_freed), SINCE(before, objects_created) + 1);
	CHECK_EQ(SINCE(before, pages_freed), SINCE(before, pages_allocated));
}

static void resize_under_private_writes(void)
{
	storm(RESIZE, true);
}

static void punch_under_private_writes(void)
{
	storm(PUNCH, true);
}

static void resize_under_shared_writes(void)
{
	storm(RESIZE, false);
}

static void punch_under_shared_writes(void)
{
	storm(PUNCH, false);
}

/* --- everything at once --- */
enum { MIX_PAGES = 64 };

struct mix {
	int fd;
	uint64_t *shared, *private;
	atomic_bool stop;
	atomic_uint done[THREADS], wrong;
};

/* A word of the page it was found on, of whatever generation, or zero (or half zeroed). */
static bool word_belongs(uint64_t word, unsigned int page)
{
	return word >> 32 == 0 || word >> 32 == page + 1;
}

static bool page_belongs(const uint64_t *page, size_t bytes, unsigned int number)
{
	for (size_t i = 0; i < bytes / 8; i++)
		if (!word_belongs(page[i], number))
			return false;
	return true;
}

static void mixed_access(unsigned int number, void *shared)
{
	struct mix *mix = shared;
	uint64_t page[PAGE / 8];

	for (uint64_t n = 0; !atomic_load(&mix->stop); n++) {
		const unsigned int i = below(MIX_PAGES), word = below(PAGE / 8);
		uint64_t *map = number == 3 ? mix->private : mix->shared;
		uint64_t value = (uint64_t)(i + 1) << 32 | (n & 0xffff) << 16 | word;
		bool right = true;
		ssize_t length;

		switch (number) {
		case 0:
			fill_page(page, i + 1, n & 0xffff);
			length = pwrite(mix->fd, page, PAGE, i * PAGE);
			right = length > 0 || errno == ENOSPC;
			break;
		case 1:
			length = pread(mix->fd, page, PAGE, i * PAGE);
			right = length >= 0 && page_belongs(page, length, i);
			break;
		default:
			if (try_store(&page_of(map, i)[word], value) &&
			    try_load(&value, &page_of(map, i)[below(PAGE / 8)]))
				right = word_belongs(value, i);
		}
		atomic_fetch_add(&mix->done[number], 1);
		if (!right)
			atomic_fetch_add(&mix->wrong, 1);
	}
}

static void io_and_mappings_and_resize(void)
{
	static const uint64_t sizes[] = {MIX_PAGES * PAGE, MIX_PAGES * PAGE / 2,
	                                 MIX_PAGES * PAGE - 100, 5};
	const struct counts before = counts_now();
	struct mix mix = {.fd = object_open()};
	struct thread threads[THREADS];
	const double end = now() + SECONDS;
	unsigned int removals = 0;

	mix.shared = map_pages(mix.fd, MIX_PAGES, MAP_SHARED, COWMEM_COW_HANDLER);
	mix.private = map_pages(mix.fd, MIX_PAGES, MAP_PRIVATE, COWMEM_COW_HANDLER);
	start(threads, THREADS, mixed_access, &mix);
	for (; now() < end && removals < 2000; removals++) {
		const unsigned int i = below(MIX_PAGES);

		if (removals % 4 == 3)
			CHECK(!object_punch(mix.fd, i * PAGE, (1 + below(MIX_PAGES - i)) * PAGE));
		else
			CHECK(!object_resize(mix.fd, sizes[below(ARRAY_LENGTH(sizes))]));
		usleep(below(500));
	}
	atomic_store(&mix.stop, true);
	join(threads, THREADS);
	CHECK_EQ(atomic_load(&mix.wrong), 0);
	for (unsigned int t = 0; t < THREADS; t++)
		CHECK(atomic_load(&mix.done[t]) > 0);
	ksft_print_msg("%u writes, %u reads, %u shared and %u private stores, %u removals\n",
	               mix.done[0], mix.done[1], mix.done[2], mix.done[3], removals);

	CHECK(!object_resize(mix.fd, 0));
	CHECK_EQ(object_stat(mix.fd).resident_pages, 0);
	CHECK_EQ(entries(mix.shared, MIX_PAGES) + entries(mix.private, MIX_PAGES), 0);
	munmap(mix.shared, MIX_PAGES * PAGE);
	munmap(mix.private, MIX_PAGES * PAGE);
	close(mix.fd);
	check_returned(before);
}

/* --- one write() against one resize() --- */
enum { SHORT = 5 };

struct held_write {
	int fd;
	unsigned char *buffer;
	ssize_t written;
};

static void write_held_up(unsigned int number, void *shared)
{
	struct held_write *held = shared;

	(void)number;
	held->written = pwrite(held->fd, held->buffer, PAGE, 0);
}

/*
 * A write() that is stopped at its first byte, where its buffer is not there yet,
 * while a resize cuts the page short. In whatever order the two are taken to have
 * come: what the resize cut off is zeroes when the object grows again.
 */
static void resize_during_write(void)
{
	static const unsigned char zeroes[PAGE];
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	const struct counts before = counts_now();
	unsigned char text[PAGE], page[PAGE];
	struct held_write held = {.fd = object_open()};
	struct uffdio_copy copy;
	struct uffd_msg message;
	struct thread thread;
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	MUST(uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api));
	held.buffer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(held.buffer != MAP_FAILED);
	range.range = (struct uffdio_range){.start = (uintptr_t)held.buffer, .len = PAGE};
	MUST(!ioctl(uffd, UFFDIO_REGISTER, &range));
	memset(text, 0xEE, PAGE);

	start(&thread, 1, write_held_up, &held);
	MUST(read(uffd, &message, sizeof(message)) == sizeof(message));
	CHECK(!object_resize(held.fd, SHORT)); /* would wait for ever for a lock that write held */
	copy = (struct uffdio_copy){
		.dst = (uintptr_t)held.buffer, .src = (uintptr_t)text, .len = PAGE};
	MUST(!ioctl(uffd, UFFDIO_COPY, &copy));
	join(&thread, 1);

	CHECK(held.written > 0);
	CHECK_EQ(object_stat(held.fd).bytes, SHORT);
	CHECK(!object_resize(held.fd, PAGE));
	CHECK_EQ(pread(held.fd, page, PAGE, 0), PAGE);
	CHECK(!memcmp(page, text, SHORT) || !memcmp(page, zeroes, SHORT));
	CHECK(!memcmp(page + SHORT, zeroes, PAGE - SHORT));
	munmap(held.buffer, PAGE);
	close(uffd);
	close(held.fd);
	check_returned(before);
}

/* --- fork, in the middle of faults --- */
struct forking {
	uint64_t *map;
	unsigned int pages;
	atomic_bool stop;
	atomic_uint sweeps;
};

static void store_until_stopped(unsigned int number, void *shared)
{
	struct forking *forking = shared;

	while (!atomic_load(&forking->stop)) {
		for (unsigned int i = number; i < forking->pages; i += THREADS)
			((volatile uint64_t *)page_of(forking->map, i))[LAST_WORD] = token(number);
		for (unsigned int i = number; i < forking->pages; i += THREADS)
			MUST(page_of(forking->map, i)[LAST_WORD] == token(number));
		for (unsigned int i = number; i < forking->pages; i += THREADS)
			madvise(page_of(forking->map, i), PAGE, MADV_DONTNEED);
		atomic_fetch_add(&forking->sweeps, 1);
	}
}

/* A private page is the object's, with or without the store of the thread that owns it. */
static bool page_is_owned(const uint64_t *page, unsigned int i, uint64_t mark)
{
	uint64_t copy[PAGE / 8];

	memcpy(copy, page, PAGE);
	if (copy[LAST_WORD] == mark)
		copy[LAST_WORD] = (uint64_t)(i + 1) << 32 | GENERATION << 16 | LAST_WORD;
	return page_is(copy, i + 1, GENERATION);
}

static int forked(const struct forking *forking)
{
	for (unsigned int i = 0; i < forking->pages; i++) {
		uint64_t *page = page_of(forking->map, i);

		if (!page_is_owned(page, i, token(i % THREADS)))
			return 1;
		page[0] = ~0ULL;
		if (page[0] != ~0ULL)
			return 2;
	}
	return 0;
}

static void fork_under_faults(void)
{
	enum { N = 64, MAX_FORKS = 40 };
	const struct counts before = counts_now();
	struct forking forking = {.pages = N};
	struct thread threads[THREADS];
	const double end = now() + SECONDS;
	unsigned int forks = 0;
	int fd = object_open();

	fill(fd, N, GENERATION);
	forking.map = map_pages(fd, N, MAP_PRIVATE, COWMEM_COW_HANDLER);
	start(threads, THREADS, store_until_stopped, &forking);
	for (; forks < MAX_FORKS && now() < end; forks++) {
		pid_t pid = fork();
		int status;

		MUST(pid >= 0);
		if (!pid)
			_exit(forked(&forking));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0);
	}
	atomic_store(&forking.stop, true);
	join(threads, THREADS);
	for (unsigned int i = 0; i < N; i++)
		CHECK(page_is_owned(page_of(forking.map, i), i, token(i % THREADS)));
	CHECK(atomic_load(&forking.sweeps) > 0);
	ksft_print_msg("%u forks, %u sweeps\n", forks, forking.sweeps);
	munmap(forking.map, N * PAGE);
	close(fd);
	check_returned(before);
}

/* --- death, in the middle of faults --- */
static void live_dangerously(unsigned int number, void *shared)
{
	struct mix *mix = shared;

	chance = number + getpid();
	if (number)
		mixed_access(number, mix);
	for (;;) {
		if (object_resize(mix->fd, below(MIX_PAGES * PAGE)) ||
		    object_punch(mix->fd, below(MIX_PAGES) * PAGE, PAGE))
			_exit(1);
		madvise(mix->private, MIX_PAGES * PAGE, MADV_DONTNEED);
	}
}

/* Every thread but the one that removes pages, which does not count. */
static bool all_have_begun(struct mix *mix)
{
	for (unsigned int t = 1; t < THREADS; t++)
		if (!atomic_load(&mix->done[t]))
			return false;
	return true;
}

static void kill_under_faults(void)
{
	enum { MIN_KILLS = 4, MAX_KILLS = 20 };
	const struct counts before = counts_now();
	const double end = now() + SECONDS;

	struct mix *mix =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(mix != MAP_FAILED);
	for (unsigned int kills = 0; kills < MIN_KILLS || (kills < MAX_KILLS && now() < end);
	     kills++) {
		struct thread threads[THREADS];
		unsigned char page[PAGE];
		int status;
		pid_t pid;

		memset(mix, 0, sizeof(*mix));
		mix->fd = object_open();
		mix->shared = map_pages(mix->fd, MIX_PAGES, MAP_SHARED, COWMEM_COW_HANDLER);
		mix->private = map_pages(mix->fd, MIX_PAGES, MAP_PRIVATE, kills % 2);
		pid = fork();
		MUST(pid >= 0);
		if (!pid) {
			start(threads, THREADS, live_dangerously, mix);
			join(threads, THREADS);
			_exit(0);
		}
		CHECK(COMES(all_have_begun(mix)));
		usleep(below(20000));
		CHECK(!kill(pid, SIGKILL));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		CHECK(all_have_begun(mix));

		/* No lock went down with it, and the object still works. */
		CHECK(!object_resize(mix->fd, 0));
		CHECK_EQ(object_stat(mix->fd).resident_pages, 0);
		CHECK(!object_resize(mix->fd, MIX_PAGES * PAGE));
		fill(mix->fd, MIX_PAGES, GENERATION);
		for (unsigned int i = 0; i < MIX_PAGES; i++)
			CHECK(pread(mix->fd, page, PAGE, i * PAGE) == (ssize_t)PAGE &&
			      page_is(page, i + 1, GENERATION) &&
			      page_is(page_of(mix->private, i), i + 1, GENERATION));
		munmap(mix->shared, MIX_PAGES * PAGE);
		munmap(mix->private, MIX_PAGES * PAGE);
		close(mix->fd);
	}
	munmap(mix, PAGE);
	CHECK(SINCE(before, fault_private_write) > 0);
	CHECK(SINCE(before, fault_shared_write) + SINCE(before, mkwrite) > 0);
	check_returned(before);
}

/* --- the buffer of a read or write is a mapping of the object itself --- */
struct self_io {
	int fd;
	atomic_bool stop;
};

/* Queues for the lock alone, so that taking it shared twice would never end. */
static void punch_beyond(unsigned int number, void *shared)
{
	struct self_io *io = shared;

	(void)number;
	while (!atomic_load(&io->stop))
		if (object_punch(io->fd, 1UL << 30, PAGE))
			_exit(1);
}

/* Every page of the object, one way or the other, by way of its own mapping. */
static void copy_onto_itself(int fd, unsigned int pages, int flags, uint32_t cow)
{
	unsigned char page[PAGE], *map = map_pages(fd, pages, flags, cow);
	const bool shared = flags == MAP_SHARED;

	/* Untouched mapping: every access of the buffer is a fault. */
	for (unsigned int i = 0; i + 1 < pages; i += 2) {
		/* page i of the object, into the mapping of page i itself */
		CHECK_EQ(pread(fd, map + i * PAGE, PAGE, i * PAGE), PAGE);
		CHECK(page_is(map + i * PAGE, i + 1, 1));
		/* page i + 1 of the object, from the mapping of page i + 1 itself */
		CHECK_EQ(pwrite(fd, map + (i + 1) * PAGE, PAGE, (i + 1) * PAGE), PAGE);
		CHECK(page_is(map + (i + 1) * PAGE, i + 2, 1));
	}
	CHECK(!madvise(map, pages * PAGE, MADV_DONTNEED));
	/* One call over it all, a page further on: every fault is on the page before. */
	CHECK_EQ(pread(fd, map + PAGE, (pages - 1) * PAGE, 0), (pages - 1) * PAGE);
	for (unsigned int i = 1; i < pages; i++)
		CHECK(page_is(map + i * PAGE, shared ? 1 : i, 1));
	/* Into holes, out of holes. */
	CHECK(!object_punch(fd, 0, pages * PAGE));
	CHECK(!madvise(map, pages * PAGE, MADV_DONTNEED));
	CHECK_EQ(pwrite(fd, map, PAGE, PAGE), PAGE);
	CHECK_EQ(pwrite(fd, map + 2 * PAGE, PAGE, 2 * PAGE), PAGE);
	CHECK_EQ(pread(fd, map + 3 * PAGE, PAGE, 3 * PAGE), PAGE);
	memset(page, 0, PAGE);
	for (unsigned int i = 0; i < 4; i++)
		CHECK(!memcmp(map + i * PAGE, page, PAGE));
	munmap(map, pages * PAGE);
}

static void self_io(void)
{
	enum { N = 32, ROUNDS = 2 };
	struct self_io io = {.fd = object_open()};
	struct thread thread;

	MUST(!object_resize(io.fd, N * PAGE));
	start(&thread, 1, punch_beyond, &io);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		fill(io.fd, N, 1);
		copy_onto_itself(io.fd, N, MAP_SHARED, COWMEM_COW_HANDLER);
		fill(io.fd, N, 1);
		copy_onto_itself(io.fd, N, MAP_PRIVATE, COWMEM_COW_HANDLER);
		fill(io.fd, N, 1);
		copy_onto_itself(io.fd, N, MAP_PRIVATE, COWMEM_COW_CORE);
	}
	atomic_store(&io.stop, true);
	join(&thread, 1);
}

static void buffer_is_the_object(void)
{
	const struct counts before = counts_now();
	pid_t pid = fork(), ended;
	int status = -1;

	MUST(pid >= 0);
	if (!pid) {
		test_failed = false;
		self_io();
		_exit(test_failed);
	}
	/* A deadlock is not slow, it is for ever. */
	CHECK(COMES((ended = waitpid(pid, &status, WNOHANG))));
	CHECK_EQ(ended, pid);
	CHECK_EQ(status, 0);
	if (ended == pid)
		check_returned(before);
	else
		kill(pid, SIGKILL);
}

/* --- after it all --- */
static struct counts at_start;

static void nothing_is_left(void)
{
	CHECK(SINCE(at_start, objects_created) > 0 && SINCE(at_start, pages_allocated) > 0);
	check_returned(at_start);
}

/* lockdep switches itself off with its first complaint. */
static void lockdep_has_no_complaint(void)
{
	char text[8192], *found;
	size_t length;
	FILE *file = fopen("/proc/lockdep_stats", "re");

	if (!file)
		SKIP("this kernel has no lockdep");
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	fclose(file);
	found = strstr(text, "debug_locks:");
	MUST(found);
	CHECK_EQ(atoi(found + strlen("debug_locks:")), 1);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"one address, the handler copies: one copy, none leaks", "R7",
	         same_address_handler},
		{"one address, the core copies: one copy, none leaks", "", same_address_core},
		{"different pages: no thread waits for another", "R13", different_pages},
		{"different page tables: no thread waits for another", "R91", different_tables},
		{"resize under private writes: whole copies or SIGBUS", "R6",
	         resize_under_private_writes},
		{"punch under private writes: whole copies or zeroes", "R6",
	         punch_under_private_writes},
		{"resize under shared writes: nothing stays mapped", "R6 R18",
	         resize_under_shared_writes},
		{"punch under shared writes: no store goes astray", "R6 R18",
	         punch_under_shared_writes},
		{"read, write, mappings and resize at once", "R6", io_and_mappings_and_resize},
		{"resize during a write: nothing is left beyond the end", "", resize_during_write},
		{"fork under faults", "", fork_under_faults},
		{"SIGKILL under faults: no lock and no page is lost", "", kill_under_faults},
		{"read and write with the object's own mapping as buffer", "",
	         buffer_is_the_object},
		{"every object and page came back", "", nothing_is_left},
		{"lockdep has no complaint", "R82", lockdep_has_no_complaint},
	};

	catch_bus();
	at_start = counts_now();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
