// SPDX-License-Identifier: GPL-2.0
/*
 * Memory pressure: an object of four times what its memory cgroup may have is used all
 * the same, since reclaim has its idle pages paged out. Nothing is lost, nobody is
 * killed, and mlocked pages stay.
 */
#include "answers.h"
#include "cgroup.h"
#include "counts.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <pthread.h>
#include <stdatomic.h>

/* How much of everything: a debug kernel in an emulated machine gets a part of it. */
static unsigned int limit_mib = 16, accesses = 3000;

static unsigned long limit_pages(void)
{
	return (unsigned long)limit_mib << (20 - 12);
}

static const char *limit_text(void)
{
	static char text[16];

	snprintf(text, sizeof(text), "%u", limit_mib << 20);
	return text;
}

static long charged_bytes(void)
{
	return read_number(CGROUP "/memory.current", "");
}

static long status_kib(const char *key)
{
	return read_number("/proc/self/status", key);
}

/*
 * As fill_page(), for a part of the page; the rest is one word. What goes out is charged to the
 * cgroup, too: four times the limit has room in it if it takes an eighth of that, compressed.
 */
enum { VARIED = 64, WORDS = PAGE / sizeof(uint64_t) };

static uint64_t word_of(uint64_t number, uint64_t generation, size_t i)
{
	return number << 32 | generation << 16 | (i < VARIED ? i : VARIED);
}

static void fill_simply(void *page, uint64_t number, uint64_t generation)
{
	uint64_t *word = page;

	for (size_t i = 0; i < WORDS; i++)
		word[i] = word_of(number, generation, i);
}

static bool is_simply(const void *page, uint64_t number, uint64_t generation)
{
	const uint64_t *word = page;

	for (size_t i = 0; i < WORDS; i++)
		if (word[i] != word_of(number, generation, i))
			return false;
	return true;
}

/* --- the object of a case, and what is in it --- */
static struct object {
	int fd;
	unsigned long pages;
	char *map;
	_Atomic unsigned long wrong;
	uint64_t *generation; /* of each page: shared by all who write */
} o;

static void begin_with(int fd, unsigned long pages)
{
	o.pages = pages;
	o.fd = fd;
	o.map = object_map(o.fd, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	o.generation = mmap(NULL, pages * sizeof(*o.generation), PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(o.generation != MAP_FAILED);
	for (unsigned long i = 0; i < pages; i++) {
		o.generation[i] = 1;
		fill_simply(o.map + i * PAGE, i, 1);
	}
}

static void begin(unsigned long pages)
{
	begin_with(object_open(), pages);
}

static void check_all(void)
{
	unsigned long wrong = atomic_load(&o.wrong);

	for (unsigned long i = 0; i < o.pages; i++)
		wrong += !is_simply(o.map + i * PAGE, i, o.generation[i]);
	CHECK_EQ(wrong, 0);
}

static void end(void)
{
	munmap(o.map, o.pages * PAGE);
	munmap(o.generation, o.pages * sizeof(*o.generation));
	close(o.fd);
}

/* Reads and writes at random, of every @of pages the one that is the worker's own. */
static void read_and_write(char *map, unsigned int worker, unsigned int of, unsigned int times)
{
	unsigned int random = worker + 1;

	while (times--) {
		const unsigned long page =
			((unsigned long)rand_r(&random) % (o.pages / of)) * of + worker;

		if (!is_simply(map + page * PAGE, page, o.generation[page]))
			atomic_fetch_add(&o.wrong, 1);
		if (rand_r(&random) % 2)
			fill_simply(map + page * PAGE, page, ++o.generation[page]);
	}
}

static void *read_and_write_second(void *unused)
{
	(void)unused;
	read_and_write(o.map, 1, 2, accesses / 2);
	return NULL;
}

/* --- four times the limit --- */
static void work_beyond_limit(void)
{
	enum { SLACK = 1 << 20 };
	const long base = charged_bytes();
	long highest = 0;
	pthread_t second;

	begin(4 * limit_pages());
	highest = status_kib("VmRSS:");
	MUST(!pthread_create(&second, NULL, read_and_write_second, NULL));
	for (int i = 0; i < 10; i++) {
		const long now = status_kib("VmRSS:");

		highest = now > highest ? now : highest;
		read_and_write(o.map, 0, 2, accesses / 20);
	}
	MUST(!pthread_join(second, NULL));
	CHECK(object_stat(o.fd).resident_pages < limit_pages());
	CHECK(charged_bytes() <= (long)limit_mib << 20);
	check_all();
	CHECK(status_kib("VmHWM:") >= highest);
	CHECK(store_stat(o.fd).slots > o.pages / 2);
	end();
	CHECK(charged_bytes() < base + SLACK);
}

static void in_limited_cgroup(void (*body)(void))
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();

	CHECK_EQ(run_in_cgroup(limit_text(), body), 0);
	CHECK_EQ(read_number(CGROUP "/memory.events", "oom_kill "), 0);
	ksft_print_msg("out %lu, by pressure %lu, stored %lu, in %lu, without memory %lu\n",
	               SINCE(before, pages_paged_out), SINCE(before, pages_shrunk),
	               SINCE(before, pages_stored), SINCE(before, pages_brought_in),
	               SINCE(before, no_memory));
	CHECK(SINCE(before, pages_shrunk) > limit_pages());
	check_cgroup_goes(dying);
	check_returned(before);
}

static void four_times_the_limit(void)
{
	in_limited_cgroup(work_beyond_limit);
}

/* --- children, and mlock --- */
enum { CHILDREN = 3, PRIVATE_PAGES = 200 };

/* With a shared mapping that it has by fork, and a private one that keeps its copies. */
static void be_a_child(unsigned int number)
{
	char *private = object_map(o.fd, o.pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	unsigned long wrong = 0;

	for (unsigned long i = 0; i < PRIVATE_PAGES; i++) {
		char *page = private + (i * CHILDREN + number) * PAGE;

		wrong += !is_simply(page, i * CHILDREN + number, 1);
		fill_simply(page, i, number + 7);
	}
	read_and_write(o.map, number, CHILDREN, accesses / CHILDREN);
	for (unsigned long i = 0; i < PRIVATE_PAGES; i++)
		wrong += !is_simply(private + (i * CHILDREN + number) * PAGE, i, number + 7);
	_exit(wrong || atomic_load(&o.wrong));
}

static void children_at_work(void)
{
	begin(3 * limit_pages());
	for (unsigned int i = 0; i < CHILDREN; i++) {
		const pid_t pid = fork();

		MUST(pid >= 0);
		if (!pid)
			be_a_child(i);
	}
	for (int i = 0; i < CHILDREN; i++) {
		int status = -1;

		MUST(wait(&status) > 0);
		CHECK_EQ(status, 0);
	}
	check_all();
	end();
}

static void children_under_pressure(void)
{
	in_limited_cgroup(children_at_work);
}

/* Whether some of the first @pages pages are not resident by the end of one of a few scans of the others. */
static bool some_go(unsigned long pages)
{
	for (int scan = 0; scan < 16; scan++) {
		for (unsigned long i = pages; i < o.pages; i++)
			MUST(is_simply(o.map + i * PAGE, i, o.generation[i]));
		for (unsigned long i = 0; i < pages; i++)
			if (!(page_state(o.fd, 0, i).flags & COWMEM_PAGE_RESIDENT))
				return true;
	}
	return false;
}

static void lock_and_work(void)
{
	const unsigned long locked = limit_pages() / 8;
	uint64_t entries[64];

	begin(2 * limit_pages());
	MUST(locked % ARRAY_LENGTH(entries) == 0 && !mlock(o.map, locked * PAGE));
	for (int round = 0; round < 4; round++) {
		read_and_write(o.map, 0, 1, accesses / 8);
		for (unsigned long i = 0; i < locked; i += ARRAY_LENGTH(entries)) {
			proc_pagemap(getpid(), (uintptr_t)o.map + i * PAGE, ARRAY_LENGTH(entries),
			             entries);
			for (size_t n = 0; n < ARRAY_LENGTH(entries); n++)
				CHECK(entries[n] & PROC_PRESENT);
		}
	}
	MUST(!munlock(o.map, locked * PAGE));
	/* Now they may go like any other: as what was used often, when a few scans did not use them. */
	CHECK(some_go(locked));
	check_all();
	end();
}

static void locked_under_pressure(void)
{
	in_limited_cgroup(lock_and_work);
}

/* --- a family --- */

/* Of @stride pages one is written: most of what the cgroup may have, by each of three who write. */
static unsigned long stride;

static unsigned long sparse_pages(void)
{
	return limit_pages() / 4 * 3;
}

/* The page tables go with the mapping: they cannot be reclaimed. */
static void write_sparsely(int fd, uint64_t generation)
{
	const size_t bytes = sparse_pages() * stride * PAGE;
	char *map = object_map(fd, bytes, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (unsigned long i = 0; i < sparse_pages(); i++)
		fill_simply(map + i * stride * PAGE, i, generation);
	munmap(map, bytes);
}

static unsigned long wrong_pages(int fd, uint64_t generation)
{
	const size_t bytes = sparse_pages() * stride * PAGE;
	const char *map = object_map(fd, bytes, PROT_READ, MAP_SHARED);
	unsigned long wrong = 0;

	for (unsigned long i = 0; i < sparse_pages(); i++)
		wrong += !is_simply(map + i * stride * PAGE, i, generation);
	munmap((void *)map, bytes);
	return wrong;
}

/*
 * An object, a snapshot of it, a clone that writes and one that does not. The nodes of their
 * trees are charged to the cgroup, too, and stay.
 */
static void a_family_at_work(void)
{
	enum { LEAF_BYTES = 144, LEAF_PAGES = 16, WRITERS = 3 };
	const unsigned long leaf_pages = stride < LEAF_PAGES ? LEAF_PAGES / stride : 1;
	const int origin = object_open();
	int before, clone, of_the_clone;

	write_sparsely(origin, 1);
	before = snapshot(origin);
	write_sparsely(origin, 2);
	clone = clone_of(origin);
	write_sparsely(clone, 3);
	of_the_clone = clone_of(clone);
	CHECK_EQ(wrong_pages(before, 1), 0);
	CHECK_EQ(wrong_pages(origin, 2), 0);
	CHECK_EQ(wrong_pages(clone, 3), 0);
	CHECK_EQ(wrong_pages(of_the_clone, 3), 0);
	CHECK(charged_bytes() <= (long)limit_mib << 20);
	CHECK(read_number(CGROUP "/memory.stat", "slab_unreclaimable ") >
	      (long)(WRITERS * sparse_pages() / leaf_pages * LEAF_BYTES));
	MUST(!close(before) && !close(origin) && !close(clone) && !close(of_the_clone));
}

static void a_dense_family(void)
{
	stride = 1;
	in_limited_cgroup(a_family_at_work);
}

static void a_sparse_family(void)
{
	stride = 64;
	in_limited_cgroup(a_family_at_work);
}

/* --- the whole machine --- */
static void reclaim_everywhere(void)
{
	MUST(write_text("/proc/sys/vm/drop_caches", "2"));
}

static void shrinkers_reach_every_object(void)
{
	const struct counts before = counts_now();
	struct cowmem_page state;

	MUST(write_text("/proc/sys/vm/drop_caches", "4")); /* without a word in the log */
	begin_with(object_open_small(), 1024);             /* so that one page can be locked */
	MUST(!mlock(o.map + 100 * PAGE, PAGE));
	for (int i = 0; i < 20 && object_stat(o.fd).resident_pages > 1; i++)
		reclaim_everywhere();
	CHECK_EQ(object_stat(o.fd).resident_pages, 1);
	CHECK_EQ(SINCE(before, pages_shrunk), o.pages - 1);
	CHECK(store_stat(o.fd).slots >= o.pages - 1); /* the locked page may have one */
	state = page_state(o.fd, 0, 100);
	CHECK_EQ(state.flags & (COWMEM_PAGE_RESIDENT | COWMEM_PAGE_LOCKED),
	         COWMEM_PAGE_RESIDENT | COWMEM_PAGE_LOCKED);
	check_all();
	/* What nobody maps any more is idle, too. */
	munmap(o.map, o.pages * PAGE);
	empty_batches();
	for (int i = 0; i < 20 && object_stat(o.fd).resident_pages; i++)
		reclaim_everywhere();
	CHECK_EQ(object_stat(o.fd).resident_pages, 0);
	o.map = object_map(o.fd, o.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	check_all();
	end();
	check_returned(before);
}

/* Pages that somebody else takes away count in the peak all the same. */
static void the_peak_is_kept(void)
{
	enum { SLACK = 1024 }; /* KiB: the kernel counts by CPU, and adds up now and then */
	const struct counts before = counts_now();
	const long at_first = status_kib("VmRSS:");
	long highest;
	int status;
	pid_t pid;

	begin(4096);
	highest = status_kib("VmRSS:");
	CHECK(highest > at_first + 4096 * 4 - SLACK);
	pid = fork();
	MUST(pid >= 0);
	if (!pid)
		_exit(page_out_all(o.fd, o.pages) != o.pages);
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK(status_kib("VmRSS:") < highest - 4096 * 4 + SLACK);
	CHECK(status_kib("VmHWM:") >= highest - SLACK);
	end();
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"an object of four times its cgroup's limit", "R48 R89 R90", four_times_the_limit},
		{"children that share it, and have copies of it", "R90", children_under_pressure},
		{"a family of more than twice its cgroup's limit", "R90", a_dense_family},
		{"a family of more than twice its cgroup's limit, sparse", "R90", a_sparse_family},
		{"mlocked pages stay, whatever the pressure", "R73", locked_under_pressure},
		{"shrinkers reach every object", "R73", shrinkers_reach_every_object},
		{"the peak of resident memory outlives page-out", "R89", the_peak_is_kept},
	};

	if (debug_kernel()) {
		limit_mib = 4;
		accesses = 300;
	}
	return run_tests(cases, ARRAY_LENGTH(cases));
}
