// SPDX-License-Identifier: GPL-2.0
/*
 * What is taken by 64 KiB at once (parameter huge_sizes): in objects that take large pages, where there is no whole block of
 * 2 MiB to be had. A fault fills the hole that a leaf of the tree is with 16 pages, which are pages like others, and maps
 * them; and it brings as many in.
 */
#include "cgroup.h"
#include "huge.h"
#include "injection.h"
#include "parameters.h"
#include "store.h"
#include "walks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/vfs.h>

#define LEAF_PAGES 16UL
#define LEAF (LEAF_PAGES * PAGE)
#define PAGES 256UL /* of an object that has no whole block */
#define SIZE (PAGES * PAGE)
/* PR_THP_DISABLE_EXCEPT_ADVISED, newer than the build host's headers. */
#define EXCEPT_ADVISED (1UL << 1)

/* Where no leaf lies in two page tables. */
static char *map_as(int fd, unsigned long bytes, int how)
{
	char *room = mmap(NULL, bytes + BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *map = (char *)(((uintptr_t)room + BLOCK - 1) / BLOCK * BLOCK);

	MUST(room != MAP_FAILED && !munmap(room, bytes + BLOCK));
	MUST(mmap(map, bytes, PROT_READ | PROT_WRITE, how | MAP_FIXED_NOREPLACE, fd, 0) == map);
	return map;
}

static char *map_of(int fd, unsigned long bytes)
{
	return map_as(fd, bytes, MAP_SHARED);
}

static unsigned long present(const char *map, unsigned long pages)
{
	uint64_t entries[PAGES];
	unsigned long count = 0;

	MUST(pages <= PAGES);
	proc_pagemap(getpid(), (uintptr_t)map, pages, entries);
	for (unsigned long i = 0; i < pages; i++)
		count += !!(entries[i] & PROC_PRESENT);
	return count;
}

/* One store has 16 pages there, and mapped to be written: one fault for each 64 KiB. */
static void stores(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_of(fd, SIZE);
	long faults = minor_faults();

	fill_page(map + 5 * PAGE, 5, 1);
	CHECK_EQ(minor_faults() - faults, 1);
	CHECK_EQ(SINCE(before, leaves_filled), 1);
	CHECK_EQ(SINCE(before, pages_allocated), LEAF_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, LEAF_PAGES);
	CHECK_EQ(object_stat(fd).large_pages, 0);
	CHECK_EQ(present(map, PAGES), LEAF_PAGES);
	CHECK_EQ(present(map, LEAF_PAGES), LEAF_PAGES);
	CHECK(pages_are_zero(map, 0, 5) && pages_are_zero(map, 6, LEAF_PAGES - 6));
	faults = minor_faults();
	fill_pages(map, 0, LEAF_PAGES, 2);
	CHECK_EQ(minor_faults() - faults, 0);
	fill_pages(map, LEAF_PAGES, PAGES - LEAF_PAGES, 2);
	CHECK_EQ(minor_faults() - faults, PAGES / LEAF_PAGES - 1);
	CHECK_EQ(SINCE(before, leaves_filled), PAGES / LEAF_PAGES);
	CHECK_EQ(SINCE(before, large_allocated) + SINCE(before, large_fallbacks), 0);
	CHECK(pages_are(map, 0, PAGES, 2) && file_is(fd, 0, PAGES, 2));
	CHECK_EQ(object_stat(fd).resident_pages, PAGES);
	finish(fd, map, SIZE, before);
}

/* Wherever it is mapped, also where a leaf lies in two page tables: all of it that is in the fault's. */
static void anywhere(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *room = mmap(NULL, 2 * BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *border = (char *)(((uintptr_t)room + SIZE + BLOCK - 1) / BLOCK * BLOCK);
	char *map = border - 24 * PAGE;
	long faults;

	MUST(room != MAP_FAILED);
	MUST(mmap(map, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == map);
	faults = minor_faults();
	fill_page(map, 0, 1);
	CHECK_EQ(present(map, PAGES), LEAF_PAGES);
	fill_page(map + 24 * PAGE, 24, 1); /* behind the border */
	CHECK_EQ(SINCE(before, leaves_filled), 2);
	CHECK_EQ(present(map, PAGES), LEAF_PAGES + 8);
	CHECK_EQ(present(map + 24 * PAGE, 8), 8);
	CHECK_EQ(minor_faults() - faults, 2);
	fill_page(map + 23 * PAGE, 23, 1);
	CHECK_EQ(present(map, PAGES), 2 * LEAF_PAGES);
	CHECK_EQ(minor_faults() - faults, 3);
	fill_page(map + 40 * PAGE, 40, 1);
	CHECK_EQ(minor_faults() - faults, 4);
	CHECK_EQ(present(map, PAGES), 3 * LEAF_PAGES);
	munmap(room, 2 * BLOCK);
	finish(fd, NULL, 0, before);
}

/* So has a read; and the stores that follow take no fault, either. A private mapping reads the same pages. */
static void reads(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_of(fd, SIZE);
	char *private = map_as(fd, SIZE, MAP_PRIVATE);
	long faults = minor_faults();

	CHECK(pages_are_zero(map, 0, LEAF_PAGES));
	fill_pages(map, 0, LEAF_PAGES, 1);
	CHECK_EQ(minor_faults() - faults, 1);
	faults = minor_faults();
	CHECK(pages_are_zero(private, LEAF_PAGES, LEAF_PAGES));
	CHECK_EQ(minor_faults() - faults, 1);
	CHECK_EQ(SINCE(before, leaves_filled), 2);
	fill_page(private + 20 * PAGE, 20, 2);
	CHECK(page_is(private + 20 * PAGE, 20, 2));
	CHECK(pages_are_zero(map, LEAF_PAGES, LEAF_PAGES));
	munmap(private, SIZE);
	finish(fd, map, SIZE, before);
}

/* How many leaves a store into page @index of @map fills; and how many pages are there then. */
static unsigned long filled_by(int fd, char *map, unsigned long index, unsigned long *resident)
{
	const struct counts before = counts_now();

	fill_page(map + index * PAGE, index, 1);
	CHECK(page_is(map + index * PAGE, index, 1));
	*resident = object_stat(fd).resident_pages;
	return SINCE(before, leaves_filled);
}

/* Not beyond the end, nor where the mapping does not reach, nor where something is; nor for whoever does not want it. */
static void only_whole_leaves(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	int fd = huge_create(20 * PAGE);
	char *map = map_of(fd, SIZE);
	unsigned long resident;

	CHECK_EQ(filled_by(fd, map, 17, &resident), 0);
	CHECK_EQ(resident, 1);
	CHECK_EQ(filled_by(fd, map, 2, &resident), 1);
	CHECK_EQ(resident, 1 + LEAF_PAGES);
	munmap(map, SIZE);
	close(fd);

	fd = huge_create(SIZE);
	map = map_of(fd, LEAF - PAGE);
	CHECK_EQ(filled_by(fd, map, 0, &resident), 0);
	CHECK_EQ(resident, 1);
	munmap(map, LEAF - PAGE);
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 7 * LEAF + PAGE);
	MUST(map != MAP_FAILED);
	CHECK_EQ(filled_by(fd, map, 0, &resident), 0);
	CHECK_EQ(resident, 2);
	CHECK_EQ(object_punch(fd, 7 * LEAF + PAGE, PAGE), 0);
	munmap(map, SIZE);
	map = map_of(fd, SIZE);
	CHECK_EQ(filled_by(fd, map, 3, &resident), 0); /* page 0 is there */
	CHECK_EQ(resident, 2);
	MUST(!madvise(map, SIZE, MADV_NOHUGEPAGE));
	CHECK_EQ(filled_by(fd, map, LEAF_PAGES, &resident), 0);
	CHECK_EQ(resident, 3);
	munmap(map, SIZE);
	MUST(!object_set_huge(fd, COWMEM_HUGE_ADVISE));
	map = map_of(fd, SIZE);
	CHECK_EQ(filled_by(fd, map, 2 * LEAF_PAGES, &resident), 0);
	CHECK_EQ(resident, 4);
	MUST(!madvise(map, SIZE, MADV_HUGEPAGE));
	CHECK_EQ(filled_by(fd, map, 3 * LEAF_PAGES, &resident), 1);
	CHECK_EQ(resident, 4 + LEAF_PAGES);
	MUST(!object_set_huge(fd, COWMEM_HUGE_NEVER));
	CHECK_EQ(filled_by(fd, map, 4 * LEAF_PAGES, &resident), 0);
	CHECK_EQ(resident, 5 + LEAF_PAGES);
	MUST(!object_set_huge(fd, COWMEM_HUGE_ALWAYS));
	MUST(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	CHECK_EQ(filled_by(fd, map, 5 * LEAF_PAGES, &resident), 0);
	MUST(!prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	CHECK_EQ(resident, 6 + LEAF_PAGES);
	/* Where a process has only what it asks for itself, the object's word is not that. */
	if (!prctl(PR_SET_THP_DISABLE, 1, EXCEPT_ADVISED, 0, 0)) {
		char *other = map_of(fd, SIZE);

		CHECK_EQ(filled_by(fd, other, 8 * LEAF_PAGES, &resident), 0);
		MUST(!madvise(other, SIZE, MADV_HUGEPAGE));
		CHECK_EQ(filled_by(fd, other, 9 * LEAF_PAGES, &resident), 1);
		MUST(!prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
		CHECK_EQ(object_punch(fd, 8 * LEAF, 2 * LEAF), 0);
		munmap(other, SIZE);
	}
	if (have_soft_dirty()) {
		forget_soft_dirty();
		CHECK_EQ(filled_by(fd, map, 6 * LEAF_PAGES, &resident), 0);
		CHECK_EQ(resident, 7 + LEAF_PAGES);
		CHECK_EQ(object_punch(fd, 6 * LEAF, LEAF), 0);
		munmap(map, SIZE);
		map = map_of(fd, SIZE);
	}
	/* Of a hole that was made all of the leaf is one again. */
	CHECK_EQ(object_punch(fd, 0, LEAF), 0);
	CHECK_EQ(filled_by(fd, map, 3, &resident), 1);
	CHECK_EQ(resident, 4 + 2 * LEAF_PAGES);
	finish(fd, map, SIZE, before);
}

/* The hole of a snapshot stays one; the object, and a clone, have their own pages there. */
static void beside_snapshots(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_of(fd, SIZE), *seen, *cloned;
	int then, clone;
	unsigned long resident;

	fill_pages(map, 0, LEAF_PAGES, 1);
	then = snapshot(fd);
	clone = clone_of(fd);
	CHECK_EQ(filled_by(fd, map, LEAF_PAGES, &resident), 1);
	CHECK_EQ(resident, LEAF_PAGES); /* of its own: the first are the snapshot's, too */
	cloned = map_of(clone, SIZE);
	CHECK_EQ(filled_by(clone, cloned, LEAF_PAGES + 1, &resident), 1);
	CHECK(pages_are_zero(cloned, LEAF_PAGES, 1) && pages_are(cloned, 0, LEAF_PAGES, 1));
	/* A snapshot that is read fills none. */
	seen = object_map(then, SIZE, PROT_READ, MAP_SHARED);
	CHECK(pages_are_zero(seen, LEAF_PAGES, 1) && pages_are(seen, 0, LEAF_PAGES, 1));
	CHECK_EQ(SINCE(before, leaves_filled), 3);
	fill_pages(map, 0, 2 * LEAF_PAGES, 2);
	CHECK(pages_are(map, 0, 2 * LEAF_PAGES, 2) && pages_are(seen, 0, LEAF_PAGES, 1));
	CHECK(pages_are(cloned, 0, LEAF_PAGES, 1) && page_is(cloned + 17 * PAGE, 17, 1));
	munmap(seen, SIZE);
	munmap(cloned, SIZE);
	close(then);
	close(clone);
	finish(fd, map, SIZE, before);
}

static void sizes(void)
{
	static const char *const wrong[] = {"0x1000", "0x20000", "0x210001", "-1", "64K"};
	struct counts before = counts_now();
	unsigned long resident;
	char *map, text[16] = "";
	int fd;

	for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
		CHECK(!write_text(PARAMETERS "huge_sizes", wrong[i]));
	fd = open(PARAMETERS "huge_sizes", O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	CHECK(!strcmp(text, "0x210000\n"));
	NEED_HUGE();

	fd = huge_create(BLOCK);
	map = map_of(fd, BLOCK);
	parameter_set("huge_sizes", "0x10000");
	CHECK_EQ(filled_by(fd, map, 7, &resident), 1);
	CHECK_EQ(resident, LEAF_PAGES);
	CHECK_EQ(object_punch(fd, 0, BLOCK), 0);
	parameter_set("huge_sizes", "0");
	CHECK_EQ(filled_by(fd, map, 7, &resident), 0);
	CHECK_EQ(resident, 1);
	CHECK_EQ(object_punch(fd, 0, BLOCK), 0);
	parameter_set("huge_sizes", "0x200000");
	munmap(map, BLOCK);
	map = map_of(fd, BLOCK);
	CHECK_EQ(filled_by(fd, map, 7, &resident), 0);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	MUST(!ftruncate(fd, 0) && !ftruncate(fd, SIZE));
	CHECK_EQ(filled_by(fd, map, 7, &resident), 0);
	CHECK_EQ(resident, 1);
	parameter_set("huge_sizes", "0x210000");
	CHECK_EQ(SINCE(before, large_allocated), 1);
	finish(fd, map, BLOCK, before);
}

/* Pages that are out come in by leaves, for a read and for a store. */
static void paged_out(void)
{
	NEED_HUGE();

	struct counts before = counts_now(), out;
	const int fd = huge_create(SIZE);
	char *map = map_of(fd, SIZE);
	long faults;

	fill_pages(map, 0, 3 * LEAF_PAGES, 1);
	CHECK_EQ(page_out_all(fd, 3 * LEAF_PAGES), 3 * LEAF_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	out = counts_now();
	CHECK(page_is(map + 5 * PAGE, 5, 1));
	CHECK_EQ(SINCE(out, pages_brought_along), LEAF_PAGES - 1);
	CHECK_EQ(present(map, PAGES), LEAF_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, LEAF_PAGES);
	CHECK(pages_are(map, 0, LEAF_PAGES, 1));
	fill_page(map + 20 * PAGE, 20, 2);
	CHECK_EQ(object_stat(fd).resident_pages, 2 * LEAF_PAGES);
	CHECK_EQ(present(map, PAGES), 2 * LEAF_PAGES);
	CHECK(pages_are(map, LEAF_PAGES, 4, 1) && pages_are(map, 21, 11, 1));
	faults = minor_faults();
	fill_pages(map, LEAF_PAGES, LEAF_PAGES, 3);
	CHECK_EQ(minor_faults() - faults, 0);
	CHECK_EQ(SINCE(out, pages_brought_in), 2 * LEAF_PAGES);
	/* The third is brought in by its last page. */
	CHECK(page_is(map + 47 * PAGE, 47, 1));
	CHECK_EQ(object_stat(fd).resident_pages, 3 * LEAF_PAGES);
	/* Pages that were only read go out again as they came; those that were stored into have their new bytes. */
	CHECK_EQ(page_out_all(fd, 3 * LEAF_PAGES), 3 * LEAF_PAGES);
	CHECK(pages_are(map, 0, LEAF_PAGES, 1) && pages_are(map, LEAF_PAGES, LEAF_PAGES, 3) &&
	      pages_are(map, 2 * LEAF_PAGES, LEAF_PAGES, 1));
	/* A page in memory, and a hole, do not end that. */
	CHECK_EQ(page_out_all(fd, 3 * LEAF_PAGES), 3 * LEAF_PAGES);
	CHECK_EQ(object_punch(fd, 4 * PAGE, PAGE), 0);
	CHECK_EQ(prefetch_ask(fd, 2, 1), 1);
	out = counts_now();
	CHECK(page_is(map + 9 * PAGE, 9, 1));
	CHECK_EQ(SINCE(out, pages_brought_along), LEAF_PAGES - 3);
	CHECK_EQ(present(map, PAGES), LEAF_PAGES - 1);
	CHECK(pages_are(map, 0, 4, 1) && pages_are(map, 5, 11, 1) && pages_are_zero(map, 4, 1));
	finish(fd, map, SIZE, before);
}

/* Where there is no space for a leaf in a mounted file system, page by page. */
static void little_space(void)
{
	static const char where[] = "/tmp/leaves";
	struct counts before = counts_now();
	unsigned long resident;
	struct statfs room;
	char *map;
	int fd;

	NEED_HUGE();
	mkdir(where, 0755);
	MUST(!mount("none", where, "cowmem", 0, "huge=always,size=80k"));
	fd = open("/tmp/leaves/a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !ftruncate(fd, SIZE));
	map = map_of(fd, SIZE);
	CHECK_EQ(filled_by(fd, map, 0, &resident), 1);
	MUST(!statfs(where, &room));
	CHECK_EQ(room.f_bfree, 4);
	for (unsigned long i = 0; i < 4; i++)
		CHECK_EQ(filled_by(fd, map, LEAF_PAGES * (1 + i), &resident), 0);
	CHECK_EQ(resident, 20);
	MUST(!statfs(where, &room));
	CHECK_EQ(room.f_bfree, 0);
	CHECK_EQ(object_punch(fd, 0, LEAF), 0);
	MUST(!statfs(where, &room));
	CHECK_EQ(room.f_bfree, LEAF_PAGES);
	CHECK(layers_are_sound(fd));
	munmap(map, SIZE);
	close(fd);
	MUST(!umount(where));
	rmdir(where);
	check_returned(before);
}

static int charged;

static void fill_in_cgroup(void)
{
	char *map = map_of(charged, SIZE);
	const long current = read_number(CGROUP "/memory.current", "");

	fill_pages(map, 0, PAGES, 1);
	/* Each CPU may have 64 pages that were charged in advance. */
	CHECK(read_number(CGROUP "/memory.current", "") >= current + (long)SIZE / 2);
	CHECK(pages_are(map, 0, PAGES, 1));
	munmap(map, SIZE);
}

/* Each page is charged to whoever's store had it made, and gives that back for itself. */
static void charged_each(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const long dying = dying_cgroups();
	long current;

	charged = huge_create(SIZE);
	CHECK_EQ(run_in_cgroup("32M", fill_in_cgroup), 0);
	CHECK_EQ(SINCE(before, leaves_filled), PAGES / LEAF_PAGES);
	current = read_number(CGROUP "/memory.current", "");
	/* Half of each leaf. */
	for (unsigned long i = 0; i < PAGES; i += LEAF_PAGES)
		CHECK_EQ(object_punch(charged, i * PAGE, LEAF / 2), 0);
	empty_batches();
	CHECK(read_number(CGROUP "/memory.current", "") <= current - (long)SIZE / 4);
	finish(charged, NULL, 0, before);
	check_cgroup_goes(dying);
}

/* Each allocation of the fault fails once: it falls back, or all is as it was. */
static void without_memory(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_of(fd, SIZE);
	unsigned int n = 1, alone = 0;
	bool failed = true;

	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (fail_nth < 0) {
		munmap(map, SIZE);
		close(fd);
		SKIP("no fault injection in this kernel");
	}
	/* The page table is there from now on. */
	map[0] = 1;
	CHECK_EQ(object_punch(fd, 0, LEAF), 0);
	set_all(injection, ARRAY_LENGTH(injection));
	for (; failed && n < 40; n++) {
		unsigned long resident;

		arm(n);
		*(volatile char *)(map + 3 * PAGE) = 1;
		failed = disarm();
		resident = object_stat(fd).resident_pages;
		CHECK(resident == LEAF_PAGES || resident == 1);
		alone += resident == 1;
		CHECK(pages_are_zero(map, 4, 12) && map[3 * PAGE] == 1);
		CHECK(layers_are_sound(fd));
		CHECK_EQ(object_punch(fd, 0, LEAF), 0);
		MUST(!madvise(map, SIZE, MADV_DONTNEED));
	}
	restore_all(injection, ARRAY_LENGTH(injection));
	close(fail_nth);
	CHECK(!failed);
	/* Of the leaf's memory, and behind that, of the tree's. */
	CHECK(SINCE(before, large_fallbacks) >= 1);
	CHECK(alone > SINCE(before, large_fallbacks));
	finish(fd, map, SIZE, before);
}

#define THREADS 4U
#define ROUNDS 8U

static struct {
	char *map;
	int fd;
	pthread_barrier_t start;
	atomic_ulong wrong;
	atomic_bool over;
} storm;

/* Each thread has its own pages of each leaf. */
static void *stores_its_own(void *which)
{
	const unsigned int thread = (unsigned int)(uintptr_t)which;

	use_all_cpus();
	for (unsigned int round = 1; round <= ROUNDS; round++) {
		pthread_barrier_wait(&storm.start);
		for (unsigned long i = thread; i < PAGES; i += THREADS)
			fill_page(storm.map + i * PAGE, i, round);
		for (unsigned long i = thread; i < PAGES; i += THREADS)
			if (!page_is(storm.map + i * PAGE, i, round))
				atomic_fetch_add(&storm.wrong, 1);
		pthread_barrier_wait(&storm.start);
	}
	return NULL;
}

/* A word of each page, in no order; what is read of one is that, or nothing, as somebody takes it away at any time. */
static void *stores_and_looks(void *which)
{
	uint64_t random = (uintptr_t)which + 1;

	use_all_cpus();
	while (!atomic_load(&storm.over)) {
		volatile uint64_t *word;
		unsigned long page;
		uint64_t seen;

		next_random(&random);
		page = (random >> 33) % PAGES;
		word = (volatile uint64_t *)(storm.map + page * PAGE + (uintptr_t)which * 64);
		if (random >> 63)
			*word = page + 1;
		seen = *word;
		if (seen && seen != page + 1)
			atomic_fetch_add(&storm.wrong, 1);
	}
	return NULL;
}

/* Threads that fill leaves, on all CPUs, as PUNCH, SNAPSHOT, RESTORE and page-out take them away and freeze them. */
static void taken_away(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	pthread_t thread[THREADS];
	uint64_t random = 7;

	storm.fd = huge_create(SIZE);
	storm.map = map_of(storm.fd, SIZE);
	storm.over = false;
	for (unsigned int i = 0; i < THREADS; i++)
		MUST(!pthread_create(&thread[i], NULL, stores_and_looks, (void *)(uintptr_t)i));
	/* Until the threads have come by. */
	for (unsigned int round = 0; round < 4 * ROUNDS || SINCE(before, leaves_filled) <= ROUNDS;
	     round++) {
		struct cowmem_page_out out;
		unsigned long first;
		int then;

		next_random(&random);
		first = (random >> 33) % PAGES;
		CHECK_EQ(object_punch(storm.fd, first * PAGE, SIZE - first * PAGE), 0);
		MUST(!page_out_ask(storm.fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
		if (round % 4)
			continue;
		then = snapshot(storm.fd);
		if (round % 8)
			CHECK_EQ(restore(storm.fd, then), 0);
		close(then);
	}
	atomic_store(&storm.over, true);
	for (unsigned int i = 0; i < THREADS; i++)
		MUST(!pthread_join(thread[i], NULL));
	CHECK_EQ(atomic_load(&storm.wrong), 0);
	CHECK(SINCE(before, leaves_filled) > ROUNDS);
	finish(storm.fd, storm.map, SIZE, before);
}

/* Threads that store into the same leaves, all holes before, beside page-out: each has one page at each place. */
static void stormed(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	pthread_t thread[THREADS];

	storm.fd = huge_create(SIZE);
	storm.map = map_of(storm.fd, SIZE);
	MUST(!pthread_barrier_init(&storm.start, NULL, THREADS + 1));
	for (unsigned int i = 0; i < THREADS; i++)
		MUST(!pthread_create(&thread[i], NULL, stores_its_own, (void *)(uintptr_t)i));
	for (unsigned int round = 1; round <= ROUNDS; round++) {
		struct cowmem_page_out out;

		pthread_barrier_wait(&storm.start);
		for (int i = 0; i < 4; i++)
			MUST(!page_out_ask(storm.fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
		pthread_barrier_wait(&storm.start);
		CHECK(pages_are(storm.map, 0, PAGES, round));
		if (round % 4 == 0)
			CHECK(layers_are_sound(storm.fd));
		CHECK_EQ(object_punch(storm.fd, 0, SIZE), 0);
		CHECK_EQ(object_stat(storm.fd).resident_pages, 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		MUST(!pthread_join(thread[i], NULL));
	pthread_barrier_destroy(&storm.start);
	CHECK_EQ(atomic_load(&storm.wrong), 0);
	CHECK(SINCE(before, leaves_filled) > ROUNDS);
	finish(storm.fd, storm.map, SIZE, before);
}

static const struct test_case cases[] = {
	{"a store fills 64 KiB, and maps them", "", stores},
	{"a read does, too", "", reads},
	{"wherever it is mapped", "", anywhere},
	{"only what is whole, and a hole", "", only_whole_leaves},
	{"what a snapshot has as a hole", "", beside_snapshots},
	{"which sizes are taken", "", sizes},
	{"64 KiB come in at once", "", paged_out},
	{"a file system without space for it", "", little_space},
	{"each page is charged for itself", "", charged_each},
	{"without memory for it, pages of 4 KiB", "R85", without_memory},
	{"threads that fill the same 64 KiB", "", stormed},
	{"while they are taken away", "", taken_away},
};

int main(void)
{
	count_faults_exactly();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
