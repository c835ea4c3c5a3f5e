// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once, on all CPUs, for as many seconds as the first argument says: faults
 * of every kind against resizing, punching, fork, madvise, mremap and file I/O.
 *
 * Every word of the object's memory says which page it is for (R26). Who reads may find
 * an old word of that page or a zero, but nothing else: a word of another page, or of
 * somebody else's memory, would come from a page that was freed under him. A thread
 * that fills and frees memory all the time sees to it that freed pages do not keep what
 * they had.
 */
#include "counts.h"
#include "parameters.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGES 96U
#define MANY 2048U /* pages, of the object for the storm of faults alone */
#define WORDS (PAGE / sizeof(uint64_t))
#define OBJECT_WORD 0x0b1ec7ULL  /* the upper bits of a word that the object holds */
#define PRIVATE_WORD 0x9717a7ULL /* of one that a private mapping got */
#define FOREIGN_WORD 0xf03e16ULL /* of memory that has nothing to do with it */
#define WORKERS 9U

static int seconds = 4;

static int fd, many;
static unsigned char *shared; /* one mapping for all threads */
static _Atomic bool stop;
static _Atomic unsigned long wrong, accesses, bus_errors;
static uint64_t first_wrong, first_wrong_page;

/* --- stamps --- */

/* Of three bytes each: whose it is, and the page's number, which is never 0; then a salt. */
static uint64_t word_of(uint64_t kind, unsigned int page, unsigned int salt)
{
	return kind << 40 | (uint64_t)(page + 1) << 16 | (salt & 0xffff);
}

/*
 * Byte by byte, since the kernel zeroes and copies so: each one is the page's, from
 * whenever, or 0.
 */
static bool belongs(uint64_t word, unsigned int page)
{
	const uint64_t object = word_of(OBJECT_WORD, page, 0);
	const uint64_t private = word_of(PRIVATE_WORD, page, 0);

	for (unsigned int shift = 16; shift < 64; shift += 8) {
		const uint8_t byte = word >> shift & 0xff;

		if (byte && byte != (object >> shift & 0xff) && byte != (private >> shift & 0xff))
			return false;
	}
	return true;
}

static void complain(uint64_t word, unsigned int page)
{
	if (!atomic_fetch_add(&wrong, 1)) {
		first_wrong = word;
		first_wrong_page = page;
	}
}

/* --- accesses that may be SIGBUS, since the object shrinks and grows --- */

static __thread sigjmp_buf beyond;
static __thread volatile sig_atomic_t expected;

static void on_bus_error(int signal)
{
	if (!expected) {
		static const char text[] = "# SIGBUS where none can be\n";

		(void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
		_exit(1);
	}
	(void)signal;
	siglongjmp(beyond, 1);
}

enum access { LOOK, STORE_OBJECT, STORE_PRIVATE };

static unsigned int next(unsigned int *random, unsigned int bound)
{
	return (unsigned int)rand_r(random) % bound;
}

static void touch(unsigned char *map, unsigned int page, enum access access, unsigned int salt)
{
	volatile uint64_t *words = (volatile uint64_t *)(map + page * PAGE);

	atomic_fetch_add_explicit(&accesses, 1, memory_order_relaxed);
	if (sigsetjmp(beyond, 0)) { /* without a system call: SA_NODEFER masks nothing */
		expected = 0;
		atomic_fetch_add_explicit(&bus_errors, 1, memory_order_relaxed);
		return;
	}
	expected = 1;
	/* Unseen: a first write that comes before any read. */
	if (access != LOOK)
		words[salt % WORDS] =
			word_of(access == STORE_OBJECT ? OBJECT_WORD : PRIVATE_WORD, page, salt);
	for (size_t i = 0; i < WORDS; i += 7) {
		const uint64_t word = words[i];

		if (!belongs(word, page))
			complain(word, page);
		if (access != LOOK)
			words[i] = word_of(access == STORE_OBJECT ? OBJECT_WORD : PRIVATE_WORD,
			                   page, salt);
	}
	expected = 0;
}

/* --- the workers; each goes round until it is told to stop --- */

static void touch_shared(unsigned int *random)
{
	touch(shared, next(random, PAGES), next(random, 2) ? LOOK : STORE_OBJECT, *random);
	if (!next(random, 40))
		MUST(!madvise(shared, PAGES * PAGE, MADV_DONTNEED));
}

/* A private mapping, for a few accesses. */
static void touch_private(unsigned int *random)
{
	unsigned char *map = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	for (unsigned int i = 0; i < 60; i++)
		touch(map, next(random, PAGES), next(random, 2) ? LOOK : STORE_PRIVATE, *random);
	switch (next(random, 3)) {
	case 0:
		MUST(!madvise(map, PAGES * PAGE, MADV_DONTNEED));
		break;
	case 1:
		madvise(map, PAGES * PAGE, MADV_COLLAPSE); /* refused: not a regular file */
		break;
	case 2:
		MUST(!mprotect(map, PAGES * PAGE / 2, PROT_READ));
		MUST(!mprotect(map, PAGES * PAGE / 2, PROT_READ | PROT_WRITE));
		break;
	}
	for (unsigned int i = 0; i < 60; i++)
		touch(map, next(random, PAGES), next(random, 2) ? LOOK : STORE_PRIVATE, *random);
	MUST(!munmap(map, PAGES * PAGE));
}

static void move(unsigned int *random)
{
	const size_t half = PAGES * PAGE / 2;
	unsigned char *map = object_map(fd, 2 * half, PROT_READ | PROT_WRITE,
	                                next(random, 2) ? MAP_PRIVATE : MAP_SHARED);
	unsigned char *room = mmap(NULL, half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(room != MAP_FAILED);
	for (unsigned int i = 0; i < PAGES; i++)
		touch(map, i, LOOK, 0);
	MUST(mremap(map, half, half, MREMAP_MAYMOVE | MREMAP_FIXED, room) == room);
	for (unsigned int i = 0; i < PAGES / 2; i++)
		touch(room, i, next(random, 2) ? LOOK : STORE_OBJECT, *random);
	MUST(!munmap(room, half) && !munmap(map + half, half));
}

static void fork_and_touch(unsigned int *random)
{
	unsigned char *map = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	int status;
	pid_t pid;

	for (unsigned int i = 0; i < PAGES; i += 3)
		touch(map, i, i % 2 ? LOOK : STORE_PRIVATE, *random);
	pid = fork();
	MUST(pid >= 0);
	for (unsigned int i = 0; i < 2 * PAGES; i++)
		touch(i % 2 ? map : shared, next(random, PAGES), i % 4 ? LOOK : STORE_PRIVATE,
		      *random);
	if (!pid)
		_exit(atomic_load(&wrong) != 0);
	MUST(waitpid(pid, &status, 0) == pid);
	if (status)
		complain(0, 0);
	MUST(!munmap(map, PAGES * PAGE));
}

static void resize(unsigned int *random)
{
	MUST(!object_resize(fd, next(random, PAGES * PAGE)));
	MUST(!object_resize(fd, PAGES * PAGE));
	usleep(next(random, 5000));
}

static void punch_some(int object, unsigned int pages, unsigned int *random)
{
	const unsigned int first = next(random, pages);

	MUST(!object_punch(object, first * PAGE, (1 + next(random, 8)) * PAGE));
	usleep(next(random, 2000));
}

static void punch(unsigned int *random)
{
	punch_some(fd, PAGES, random);
}

static void punch_many(unsigned int *random)
{
	punch_some(many, MANY, random);
}

static void read_and_write(unsigned int *random)
{
	const unsigned int page = next(random, PAGES);
	uint64_t words[WORDS];

	if (pread(fd, words, PAGE, page * PAGE) == (ssize_t)PAGE)
		for (size_t i = 0; i < WORDS; i++)
			if (!belongs(words[i], page))
				complain(words[i], page);
	for (size_t i = 0; i < WORDS; i++)
		words[i] = word_of(OBJECT_WORD, page, *random);
	(void)!pwrite(fd, words, PAGE, page * PAGE); /* beyond the end: ENOSPC */
}

/* Takes the pages that others freed, and fills them with what nobody may see. */
static void recycle(unsigned int *random)
{
	enum { FILLED = 128 };
	uint64_t *words = mmap(NULL, FILLED * PAGE, PROT_READ | PROT_WRITE,
	                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(words != MAP_FAILED);
	for (size_t i = 0; i < FILLED * WORDS; i++)
		words[i] = word_of(FOREIGN_WORD, next(random, PAGES), 0);
	MUST(!munmap(words, FILLED * PAGE));
	usleep(1000);
}

/*
 * Faults, and as little as possible beside them: what a race detector can find grows with
 * the square of their rate.
 */
static void fault_all(unsigned int *random)
{
	const bool private = next(random, 2);
	unsigned char *map = object_map(many, MANY * PAGE, PROT_READ | PROT_WRITE,
	                                private ? MAP_PRIVATE : MAP_SHARED);

	unsigned int page;

	for (page = 0; page < MANY && !atomic_load(&stop); page++) {
		volatile uint64_t *word = (volatile uint64_t *)(map + page * PAGE);

		if (next(random, 8))
			*word = word_of(private ? PRIVATE_WORD : OBJECT_WORD, page, *random);
		if (!belongs(*word, page))
			complain(*word, page);
	}
	atomic_fetch_add(&accesses, page);
	MUST(!munmap(map, MANY * PAGE));
}

typedef void (*const worker)(unsigned int *random);

static worker everything[WORKERS] = {
	touch_shared,   touch_shared, touch_private, touch_private, move,
	fork_and_touch, resize,       punch,         recycle,
};
static worker faults_alone[WORKERS] = {
	fault_all, fault_all, fault_all, fault_all,  fault_all,
	fault_all, fault_all, fault_all, punch_many,
};
static worker *workers;

static void *work(void *argument)
{
	const unsigned long number = (unsigned long)argument;
	unsigned int random = (unsigned int)number + 1;

	while (!atomic_load(&stop)) {
		workers[number](&random);
		if (number < 2 && !next(&random, 4))
			read_and_write(&random);
	}
	return NULL;
}

/* --- a storm, and what is left of it --- */

static void balance(struct counts before)
{
	check_returned(before);
	CHECK_EQ(SINCE(before, speculative_commits) + SINCE(before, locked_retries),
	         SINCE(before, speculative_attempts));
	CHECK_EQ(SINCE(before, speculative_abort_odd) + SINCE(before, speculative_abort_end) +
	                 SINCE(before, speculative_abort_moved) +
	                 SINCE(before, speculative_abort_snapshot) +
	                 SINCE(before, speculative_abort_no_memory) +
	                 SINCE(before, speculative_abort_poisoned) +
	                 SINCE(before, speculative_abort_no_table) +
	                 SINCE(before, speculative_abort_changed) +
	                 SINCE(before, speculative_abort_reaped) +
	                 SINCE(before, speculative_abort_shared),
	         SINCE(before, locked_retries));
}

static void storm(worker *all, bool speculation, const char *around)
{
	const struct counts before = counts_now();
	pthread_t threads[WORKERS];

	workers = all;
	set_speculation(speculation);
	parameter_set("around_shared", around);
	atomic_store(&stop, false);
	atomic_store(&wrong, 0);
	atomic_store(&accesses, 0);
	fd = object_open();
	many = object_open();
	MUST(!object_resize(many, MANY * PAGE));
	shared = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	MUST(!object_resize(fd, PAGES * PAGE));
	for (unsigned long i = 0; i < WORKERS; i++)
		MUST(!pthread_create(&threads[i], NULL, work, (void *)i));
	sleep((unsigned int)seconds);
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < WORKERS; i++)
		MUST(!pthread_join(threads[i], NULL));
	MUST(!munmap(shared, PAGES * PAGE));
	close(many);
	close(fd);

	if (atomic_load(&wrong))
		ksft_print_msg("%lu words wrong, the first 0x%llx in page %llu\n",
		               atomic_load(&wrong), (unsigned long long)first_wrong,
		               (unsigned long long)first_wrong_page);
	CHECK_EQ(atomic_load(&wrong), 0);
	CHECK(atomic_load(&accesses) > 100);
	CHECK(SINCE(before, around_mapped) > 0);
	CHECK(SINCE(before, done_cow) > 0);
	CHECK(SINCE(before, pages_freed) > 0);
	CHECK_EQ(SINCE(before, speculative_commits) > 0, speculation);
	balance(before);
	ksft_print_msg("%lu pages touched, %lu SIGBUS; attempts %lu, commits %lu, aborts: odd %lu, "
	               "end %lu, moved %lu, snapshot %lu, hole %lu, no table %lu, changed %lu\n",
	               atomic_load(&accesses), atomic_load(&bus_errors),
	               SINCE(before, speculative_attempts), SINCE(before, speculative_commits),
	               SINCE(before, speculative_abort_odd), SINCE(before, speculative_abort_end),
	               SINCE(before, speculative_abort_moved),
	               SINCE(before, speculative_abort_snapshot),
	               SINCE(before, speculative_abort_no_memory),
	               SINCE(before, speculative_abort_no_table),
	               SINCE(before, speculative_abort_changed));
	ksft_print_msg("mapped around %lu, overtaken %lu, undone %lu, page locks: around %lu, "
	               "handlers %lu\n",
	               SINCE(before, around_mapped), SINCE(before, around_overtaken),
	               SINCE(before, around_undone), SINCE(before, around_page_locks),
	               SINCE(before, page_locks));
	set_speculation(true);
	parameter_set("around_shared", "trylock");
}

static void speculative(void)
{
	storm(everything, true, "trylock");
}

static void speculative_lockfree(void)
{
	storm(everything, true, "lockfree");
}

static void locked(void)
{
	storm(everything, false, "trylock");
}

static void faults(void)
{
	storm(faults_alone, true, "lockfree");
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"storm, without locks", "R6 R26 R33 R35 R38", speculative},
		{"storm, without locks, fault-around lock-free", "R6 R22 R26 R33 R35 R38",
	         speculative_lockfree},
		{"storm, with locks", "R6 R26", locked},
		{"storm of faults alone", "R26 R33", faults},
	};
	struct sigaction action = {.sa_handler = on_bus_error, .sa_flags = SA_NODEFER};

	if (argc > 1)
		seconds = atoi(argv[1]) / (int)ARRAY_LENGTH(cases);
	MUST(seconds > 0 && !sigaction(SIGBUS, &action, NULL));
	return run_tests(cases, ARRAY_LENGTH(cases));
}
