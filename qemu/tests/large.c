// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of 2 MiB (COWMEM_CREATE_HUGE): how they are mapped, what faults they take, what their parts hold when
 * they are copied, snapshotted, punched, paged out or taken apart, and that all memory comes back.
 */
#include "cgroup.h"
#include "counts.h"
#include "disks.h"
#include "huge.h"
#include "injection.h"
#include "parameters.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <sys/mount.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>

#define SIZE (2 * BLOCK)

static char *map_shared(int fd)
{
	return object_map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
}

/* One fault for 512 pages, one entry, at an address for that, and all of that is the object's. */
static void one_fault(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);
	long faults;

	CHECK_EQ((uintptr_t)map % BLOCK, 0);
	CHECK_EQ(pmd_mapped(map), 0);
	faults = minor_faults();
	for (unsigned long i = 0; i < BLOCK_PAGES; i++)
		map[i * PAGE] = 0;
	CHECK_EQ(minor_faults() - faults, 1);
	CHECK_EQ(SINCE(before, large_allocated), 1);
	CHECK_EQ(SINCE(before, large_mapped), 1);
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	CHECK_EQ(smaps(map, "Rss:"), BLOCK / 1024);
	CHECK_EQ(object_stat(fd).resident_pages, BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	CHECK(pages_are_zero(map, 0, BLOCK_PAGES));
	/* A reader that may write is let through to write. */
	faults = minor_faults();
	CHECK(pages_are_zero(map, BLOCK_PAGES, BLOCK_PAGES));
	fill_pages(map, BLOCK_PAGES, BLOCK_PAGES, 1);
	CHECK_EQ(minor_faults() - faults, 1);
	CHECK(file_is(fd, BLOCK_PAGES, BLOCK_PAGES, 1));
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	finish(fd, map, SIZE, before);
}

/* Not beyond the end, nor where the mapping does not reach, nor where something is; nor without the flag. */
static void only_whole_blocks(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	int fd = huge_create(BLOCK + PAGE);
	char *map = map_shared(fd);

	map[BLOCK] = 1;
	CHECK_EQ(SINCE(before, large_allocated), 0);
	map[0] = 1;
	CHECK_EQ(SINCE(before, large_allocated), 1);
	finish(fd, map, SIZE, before);

	fd = huge_create(SIZE);
	MUST(pwrite(fd, "x", 1, (off_t)(7 * PAGE)) == 1);
	map = object_map(fd, BLOCK - PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	map[0] = 1;
	munmap(map, BLOCK - PAGE);
	map = map_shared(fd);
	map[PAGE] = 1;
	CHECK_EQ(map[7 * PAGE], 'x');
	CHECK_EQ(SINCE(before, large_allocated), 1);
	CHECK_EQ(pmd_mapped(map), 0);
	finish(fd, map, SIZE, before);

	fd = object_file(object_open());
	MUST(fd >= 0 && !object_set_huge(fd, COWMEM_HUGE_NEVER) && !ftruncate(fd, SIZE));
	map = map_shared(fd);
	map[0] = 1;
	CHECK_EQ(SINCE(before, large_allocated), 1);
	CHECK_EQ(object_stat(fd).large_pages, 0);
	munmap(map, SIZE);
	close(fd);
}

/* mprotect(), MADV_DONTNEED, mremap() and munmap() of halves. */
static void halves(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd), *to;

	fill_pages(map, 0, 2 * BLOCK_PAGES, 1);
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	MUST(!madvise(map, BLOCK / 2, MADV_DONTNEED));
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1));
	/* All of it is whole still, and one entry maps it again. */
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	MUST(!mprotect(map + BLOCK / 2, BLOCK / 2, PROT_READ));
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	fill_pages(map, 0, BLOCK_PAGES / 2, 2);
	MUST(!mprotect(map, SIZE, PROT_READ | PROT_WRITE));
	fill_pages(map, BLOCK_PAGES / 2, BLOCK_PAGES / 2, 2);
	CHECK(pages_are(map, 0, BLOCK_PAGES, 2) && pages_are(map, BLOCK_PAGES, BLOCK_PAGES, 1));
	to = mmap(NULL, BLOCK / 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(to != MAP_FAILED);
	MUST(mremap(map + SIZE - BLOCK / 2, BLOCK / 2, BLOCK / 2, MREMAP_MAYMOVE | MREMAP_FIXED,
	            to) == to);
	for (unsigned long i = 0; i < BLOCK_PAGES / 2; i++)
		CHECK(page_is(to + i * PAGE, i + BLOCK_PAGES + BLOCK_PAGES / 2, 1));
	CHECK(pages_are(map, BLOCK_PAGES, BLOCK_PAGES / 2, 1));
	munmap(to, BLOCK / 2);
	munmap(map, BLOCK / 2);
	CHECK(pages_are(map, BLOCK_PAGES / 2, BLOCK_PAGES / 2, 2) &&
	      pages_are(map, BLOCK_PAGES, BLOCK_PAGES / 2, 1));
	CHECK(file_is(fd, 0, BLOCK_PAGES, 2) && file_is(fd, BLOCK_PAGES, BLOCK_PAGES, 1));
	CHECK_EQ(object_stat(fd).large_pages, 2 * BLOCK_PAGES);
	CHECK_EQ(SINCE(before, large_broken), 0);
	finish(fd, map, SIZE, before);
}

/* Private mappings read by one entry, and write copies of 4 KiB; fork() shares both. */
static void private_and_fork(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);
	char *private = object_map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	int status;
	pid_t pid;

	fill_pages(map, 0, BLOCK_PAGES, 1);
	CHECK(pages_are(private, 0, BLOCK_PAGES, 1));
	CHECK_EQ(pmd_mapped(private), BLOCK / 1024);
	fill_page(private + 9 * PAGE, 9, 5);
	CHECK_EQ(smaps(private, "Anonymous:"), PAGE / 1024);
	CHECK(page_is(map + 9 * PAGE, 9, 1) && page_is(private + 9 * PAGE, 9, 5));
	CHECK(pages_are(private, 0, 9, 1) && pages_are(private, 10, BLOCK_PAGES - 10, 1));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		const bool sees = pages_are(map, 0, BLOCK_PAGES, 1) &&
		                  page_is(private + 9 * PAGE, 9, 5) && page_is(private, 0, 1);

		fill_page(map + 3 * PAGE, 3, 2);
		fill_page(private + 3 * PAGE, 3, 7);
		_exit(!sees);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK(page_is(map + 3 * PAGE, 3, 2) && page_is(private + 3 * PAGE, 3, 2));
	munmap(private, SIZE);
	finish(fd, map, SIZE, before);
}

/* SNAPSHOT keeps the folio whole; the first write copies 4 KiB, and both sides have what is theirs. */
static void snapshot_and_write(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd), *seen;
	int then;
	long faults;

	fill_pages(map, 0, 2 * BLOCK_PAGES, 1);
	then = snapshot(fd);
	CHECK_EQ(pmd_mapped(map), SIZE / 1024); /* to be read */
	CHECK_EQ(SINCE(before, large_unmapped), 0);
	CHECK_EQ(SINCE(before, pages_allocated), 2 * BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(object_stat(then).shared_pages, 2 * BLOCK_PAGES);
	CHECK(layers_are_sound(fd));
	seen = object_map(then, SIZE, PROT_READ, MAP_SHARED);
	faults = minor_faults();
	CHECK(pages_are(seen, 0, 2 * BLOCK_PAGES, 1) && pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	CHECK_EQ(minor_faults() - faults, 2);
	CHECK_EQ(pmd_mapped(seen), SIZE / 1024);
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	fill_page(map + 100 * PAGE, 100, 2);
	CHECK_EQ(SINCE(before, pages_copied_up), 1);
	CHECK_EQ(SINCE(before, pages_allocated), 2 * BLOCK_PAGES + 1);
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	CHECK_EQ(pmd_mapped(seen), SIZE / 1024);
	CHECK(page_is(map + 100 * PAGE, 100, 2) && pages_are(map, 0, 100, 1) &&
	      pages_are(map, 101, 2 * BLOCK_PAGES - 101, 1));
	CHECK(pages_are(seen, 0, 2 * BLOCK_PAGES, 1) && file_is(then, 0, 2 * BLOCK_PAGES, 1));
	CHECK(layers_are_sound(fd));
	/* By write(), too. */
	{
		char page[PAGE];

		fill_page(page, 600, 3);
		MUST(pwrite(fd, page, PAGE, (off_t)(600 * PAGE)) == PAGE);
	}
	CHECK(page_is(map + 600 * PAGE, 600, 3) && page_is(seen + 600 * PAGE, 600, 1));
	fill_pages(map, 0, 2 * BLOCK_PAGES, 4);
	CHECK(pages_are(seen, 0, 2 * BLOCK_PAGES, 1) && pages_are(map, 0, 2 * BLOCK_PAGES, 4));
	CHECK_EQ(restore(fd, then), 0);
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1) && pages_are(seen, 0, 2 * BLOCK_PAGES, 1));
	munmap(seen, SIZE);
	CHECK(layers_are_sound(fd));
	close(then);
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	fill_pages(map, 0, 2 * BLOCK_PAGES, 5);
	CHECK(file_is(fd, 0, 2 * BLOCK_PAGES, 5));
	finish(fd, map, SIZE, before);
}

/*
 * The first write to a block that one entry mapped leaves the other pages mapped, to read: each write to one of these takes
 * one fault, for which the core asks only to write, and reads take none.
 */
static void written_after_snapshot(void)
{
	enum { REST = BLOCK_PAGES - 1 };
	NEED_HUGE();

	struct counts before = counts_now(), then;
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);
	int seen;
	long faults;

	fill_pages(map, 0, 2 * BLOCK_PAGES, 1);
	seen = snapshot(fd);
	then = counts_now();
	faults = minor_faults();
	fill_page(map + 3 * PAGE, 3, 2);
	CHECK_EQ(SINCE(then, around_mapped), REST);
	CHECK_EQ(SINCE(then, fault_shared_write), 1);
	CHECK(pages_are(map, 0, 3, 1) && pages_are(map, 4, BLOCK_PAGES - 4, 1));
	CHECK_EQ(minor_faults() - faults, 1);
	CHECK_EQ(smaps(map, "Rss:"), SIZE / 1024);
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	faults = minor_faults();
	fill_pages(map, 0, BLOCK_PAGES, 3);
	CHECK_EQ(minor_faults() - faults, REST);
	CHECK_EQ(SINCE(then, fault_shared_write), 1);
	CHECK_EQ(SINCE(then, around_mapped), REST);
	CHECK_EQ(SINCE(then, pages_copied_up), BLOCK_PAGES);
	CHECK(layers_are_sound(fd));
	/* What is the object's own by then is left out. */
	{
		char page[PAGE];

		fill_page(page, BLOCK_PAGES + 7, 4);
		MUST(pwrite(fd, page, PAGE, (off_t)((BLOCK_PAGES + 7) * PAGE)) == PAGE);
	}
	fill_page(map + SIZE - PAGE, 2 * BLOCK_PAGES - 1, 4);
	CHECK_EQ(SINCE(then, around_mapped), REST + REST - 1);
	CHECK(pages_are(map, BLOCK_PAGES, 7, 1) &&
	      page_is(map + (BLOCK_PAGES + 7) * PAGE, BLOCK_PAGES + 7, 4) &&
	      pages_are(map, BLOCK_PAGES + 8, BLOCK_PAGES - 9, 1) &&
	      pages_are(map, 0, BLOCK_PAGES, 3) && file_is(seen, 0, 2 * BLOCK_PAGES, 1));
	fill_pages(map, BLOCK_PAGES, BLOCK_PAGES, 5);
	CHECK(pages_are(map, BLOCK_PAGES, BLOCK_PAGES, 5) && file_is(seen, 0, 2 * BLOCK_PAGES, 1));
	/* Of a mapping that has half of a block, and not at a block's address. */
	{
		const size_t half = BLOCK / 2;
		char *part = mmap(NULL, half, PROT_READ | PROT_WRITE, MAP_SHARED, fd, BLOCK / 4);

		MUST(part != MAP_FAILED);
		CHECK_EQ(restore(fd, seen), 0);
		then = counts_now();
		fill_page(part, BLOCK_PAGES / 4, 6);
		CHECK(SINCE(then, around_mapped) < BLOCK_PAGES / 2);
		CHECK(pages_are(part - BLOCK_PAGES / 4 * PAGE, BLOCK_PAGES / 4 + 1,
		                BLOCK_PAGES / 2 - 1, 1) &&
		      page_is(map + BLOCK / 4, BLOCK_PAGES / 4, 6) &&
		      file_is(seen, 0, 2 * BLOCK_PAGES, 1));
		CHECK(layers_are_sound(fd));
		munmap(part, half);
	}
	close(seen);
	finish(fd, map, SIZE, before);
}

/* What nobody else sees any more is the object's again, whole and without a copy. */
static void whole_again(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);

	fill_pages(map, 0, BLOCK_PAGES, 1);
	close(snapshot(fd));
	fill_pages(map, 0, BLOCK_PAGES, 2);
	CHECK_EQ(SINCE(before, pages_copied_up), 0);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	CHECK(file_is(fd, 0, BLOCK_PAGES, 2));
	CHECK_EQ(SINCE(before, pages_allocated), BLOCK_PAGES);
	finish(fd, map, SIZE, before);
}

/* A clone of each of three generations, all written at places of their own. */
static void clones(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd), *of[3];
	int clone[3];

	fill_pages(map, 0, BLOCK_PAGES, 1);
	for (int i = 0; i < 3; i++) {
		clone[i] = clone_of(i ? clone[i - 1] : fd);
		of[i] = map_shared(clone[i]);
		for (unsigned long page = (unsigned long)i; page < BLOCK_PAGES; page += 16)
			fill_page(of[i] + page * PAGE, page, 2 + (unsigned int)i);
	}
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1));
	for (int i = 0; i < 3; i++)
		for (unsigned long page = 0; page < BLOCK_PAGES; page++) {
			const int from = (int)(page % 16);

			CHECK(page_is(of[i] + page * PAGE, page,
			              from <= i ? 2 + (unsigned int)from : 1));
		}
	CHECK_EQ(SINCE(before, pages_copied_up), 3 * BLOCK_PAGES / 16);
	CHECK(layers_are_sound(fd));
	/* A block of holes of the last one is large, too. */
	of[2][BLOCK] = 1;
	CHECK_EQ(object_stat(clone[2]).large_pages, BLOCK_PAGES);
	for (int i = 0; i < 3; i++) {
		munmap(of[i], SIZE);
		close(clone[i]);
	}
	finish(fd, map, SIZE, before);
}

/* PUNCH, and RESIZE, of parts: what is left has its bytes, and the rest of the memory is given back. */
static void punched(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);

	fill_pages(map, 0, 2 * BLOCK_PAGES, 1);
	CHECK_EQ(object_punch(fd, 0, BLOCK), 0);
	CHECK_EQ(SINCE(before, pages_freed), BLOCK_PAGES);
	CHECK_EQ(SINCE(before, large_broken), 0);
	CHECK_EQ(object_punch(fd, BLOCK + 3 * PAGE, 5 * PAGE), 0);
	CHECK_EQ(SINCE(before, large_broken), 1);
	CHECK_EQ(SINCE(before, pages_freed), BLOCK_PAGES + 5);
	CHECK_EQ(object_stat(fd).resident_pages, BLOCK_PAGES - 5);
	CHECK_EQ(object_stat(fd).large_pages, 0);
	CHECK(layers_are_sound(fd));
	CHECK(pages_are(map, BLOCK_PAGES, 3, 1) &&
	      pages_are(map, BLOCK_PAGES + 8, BLOCK_PAGES - 8, 1));
	CHECK(pages_are_zero(map, BLOCK_PAGES + 3, 5));
	/* The first block is a hole again. */
	map[0] = 1;
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	fill_pages(map, 0, BLOCK_PAGES, 2);
	MUST(!ftruncate(fd, 100 * PAGE + 8));
	CHECK_EQ(object_stat(fd).resident_pages, 101);
	CHECK(pages_are(map, 0, 100, 2));
	CHECK_EQ(*(uint64_t *)(map + 100 * PAGE), 100ULL << 32 | 2 << 16);
	CHECK_EQ(*(uint64_t *)(map + 100 * PAGE + 8), 0);
	CHECK_EQ(SINCE(before, pages_allocated) - SINCE(before, pages_freed), 101);
	finish(fd, map, SIZE, before);
}

/* What a pipe has a reference to stays one folio until that is gone, and punched bytes do not come back. */
static void referenced(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd), page[PAGE];
	struct iovec from = {.iov_base = map + 5 * PAGE, .iov_len = PAGE};
	int ends[2], then;

	fill_pages(map, 0, BLOCK_PAGES, 1);
	MUST(!pipe(ends));
	MUST(vmsplice(ends[1], &from, 1, 0) == (ssize_t)PAGE);
	CHECK_EQ(object_punch(fd, 7 * PAGE, PAGE), 0);
	CHECK_EQ(SINCE(before, large_broken), 0);
	CHECK(pages_are_zero(map, 7, 1));
	CHECK(pages_are(map, 0, 7, 1) && pages_are(map, 8, BLOCK_PAGES - 8, 1));
	/* SNAPSHOT copies what somebody has. */
	then = snapshot(fd);
	fill_pages(map, 0, 7, 2);
	CHECK(file_is(then, 0, 7, 1) && file_is(then, 8, BLOCK_PAGES - 8, 1));
	CHECK(layers_are_sound(fd));
	MUST(read(ends[0], page, PAGE) == (ssize_t)PAGE);
	close(ends[0]);
	close(ends[1]);
	close(then);
	CHECK(pages_are(map, 0, 7, 2));
	/* Now it can be taken apart. */
	CHECK_EQ(object_punch(fd, 9 * PAGE, PAGE), 0);
	CHECK_EQ(SINCE(before, large_broken), 1);
	CHECK(pages_are(map, 10, BLOCK_PAGES - 10, 1) && pages_are_zero(map, 9, 1));
	finish(fd, map, SIZE, before);
}

/* A page of 4 KiB where a part had been, of a folio that stayed whole, is the snapshot's as well as the parts. */
static void small_beside_parts(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd), page[PAGE];
	struct iovec from = {.iov_base = map + 5 * PAGE, .iov_len = PAGE};
	int ends[2], then;

	fill_pages(map, 0, BLOCK_PAGES, 1);
	MUST(!pipe(ends));
	MUST(vmsplice(ends[1], &from, 1, 0) == (ssize_t)PAGE);
	CHECK_EQ(object_punch(fd, 7 * PAGE, PAGE), 0);
	CHECK_EQ(SINCE(before, large_broken), 0);
	MUST(read(ends[0], page, PAGE) == (ssize_t)PAGE);
	close(ends[0]);
	close(ends[1]);
	fill_pages(map, 7, 1, 2);
	then = snapshot(fd);
	fill_pages(map, 7, 1, 3);
	CHECK(file_is(then, 7, 1, 2) && file_is(then, 8, BLOCK_PAGES - 8, 1));
	CHECK(pages_are(map, 7, 1, 3) && pages_are(map, 0, 7, 1));
	CHECK(layers_are_sound(fd));
	close(then);
	finish(fd, map, SIZE, before);
}

/* --- what SNAPSHOT freezes by parts --- */
/* Has a pipe keep a reference to the page at @at: its ends. */
struct pipe {
	int from, to;
};

static struct pipe pipe_with(char *at)
{
	struct iovec page = {.iov_base = at, .iov_len = PAGE};
	int ends[2];

	MUST(!pipe2(ends, O_CLOEXEC));
	MUST(vmsplice(ends[1], &page, 1, 0) == (ssize_t)PAGE);
	return (struct pipe){ends[0], ends[1]};
}

static void let_pipe_go(struct pipe pipe)
{
	close(pipe.from);
	close(pipe.to);
}

enum { SMALL = 7 }; /* of a block that partly_large() made */

/*
 * The block that begins with page @first of @fd, mapped at @map, is 511 parts of a large folio, of the first generation,
 * and a page of 4 KiB, of the second.
 */
static void make_partly_large(int fd, char *map, unsigned long first)
{
	const unsigned long small = first + SMALL;
	struct pipe pipe;

	fill_pages(map, first, BLOCK_PAGES, 1);
	pipe = pipe_with(map + (first + 5) * PAGE);
	CHECK_EQ(object_punch(fd, small * PAGE, PAGE), 0);
	let_pipe_go(pipe);
	fill_pages(map, small, 1, 2);
}

static bool is_partly_large(const char *map, unsigned long first)
{
	const unsigned long small = first + SMALL;

	return pages_are(map, first, SMALL, 1) && pages_are(map, small, 1, 2) &&
	       pages_are(map, small + 1, BLOCK_PAGES - SMALL - 1, 1);
}

static struct {
	struct pipe part, small;
	struct counts before;
	_Atomic bool over;
	unsigned long when; /* how many pages were copied by then */
} amid;

/* Lets go what pipes have when SNAPSHOT has copied some pages because of that. */
static void *lets_go_amid(void *unused)
{
	use_all_cpus();
	do
		amid.when = SINCE(amid.before, pages_frozen_copied);
	while (amid.when < 2 * SMALL && !atomic_load(&amid.over));
	let_pipe_go(amid.part);
	let_pipe_go(amid.small);
	amid.when = SINCE(amid.before, pages_frozen_copied);
	return unused;
}

/* Whether the references went while SNAPSHOT copied the parts: then, too, it copies all of them, and a write finds its page. */
static bool let_go_while_frozen(void)
{
	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd), *seen;
	pthread_t thread;
	int then;

	make_partly_large(fd, map, 0);
	amid.part = pipe_with(map + 5 * PAGE);
	amid.small = pipe_with(map + SMALL * PAGE);
	amid.before = before;
	atomic_store(&amid.over, false);
	MUST(!pthread_create(&thread, NULL, lets_go_amid, NULL));
	then = snapshot(fd);
	atomic_store(&amid.over, true);
	MUST(!pthread_join(thread, NULL));
	CHECK_EQ(SINCE(before, pages_frozen_copied), BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, BLOCK_PAGES + 1);
	CHECK_EQ(object_stat(then).shared_pages, BLOCK_PAGES);
	CHECK(layers_are_sound(fd));
	/* A page that the tree says is its own, and that is not, would have a store come again for ever. */
	MUST(!test_failed);
	seen = object_map(then, SIZE, PROT_READ, MAP_SHARED);
	fill_pages(map, 0, BLOCK_PAGES, 3);
	CHECK(pages_are(map, 0, BLOCK_PAGES, 3) && is_partly_large(seen, 0));
	munmap(seen, SIZE);
	CHECK(layers_are_sound(fd));
	close(then);
	finish(fd, map, SIZE, before);
	return amid.when < BLOCK_PAGES;
}

static void let_go_amid_snapshot(void)
{
	NEED_HUGE();

	int tries = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one CPU");
	while (!let_go_while_frozen() && !test_failed)
		MUST(++tries < 50);
}

/* The @n-th allocation of a SNAPSHOT fails: whether it came to that. What the pipe has page @held of is copied. */
static bool snapshot_fails(unsigned int n, unsigned long held, unsigned int *failures)
{
	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);
	struct pipe pipe;
	bool came;
	int then;

	fill_pages(map, 0, BLOCK_PAGES, 1);
	make_partly_large(fd, map, BLOCK_PAGES);
	pipe = pipe_with(map + held * PAGE);
	arm(n);
	then = relative(fd, COWMEM_IOC_SNAPSHOT);
	if (then < 0)
		CHECK_EQ(errno, ENOMEM);
	came = disarm();
	CHECK(layers_are_sound(fd));
	MUST(!test_failed); /* as above */
	if (then < 0) {
		++*failures;
		CHECK(came);
		CHECK(COMES(object_stat(fd).layers == 0));
	}
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1) && is_partly_large(map, BLOCK_PAGES));
	for (unsigned long page = 3; page < 2 * BLOCK_PAGES;
	     page += page % BLOCK_PAGES < 9 ? 1 : 99)
		fill_pages(map, page, 1, 3);
	for (unsigned long page = 3; page < 2 * BLOCK_PAGES;
	     page += page % BLOCK_PAGES < 9 ? 1 : 99)
		CHECK(page_is(map + page * PAGE, page, 3) && file_is(fd, page, 1, 3));
	CHECK(page_is(map, 0, 1) && page_is(map + BLOCK, BLOCK_PAGES, 1));
	if (then >= 0) {
		CHECK(file_is(then, 0, BLOCK_PAGES + SMALL, 1));
		CHECK(file_is(then, BLOCK_PAGES + SMALL, 1, 2));
		close(then);
	}
	let_pipe_go(pipe);
	finish(fd, map, SIZE, before);
	return came;
}

/* A SNAPSHOT that fails, wherever that is, leaves an object of which each page can be written, and is what it was. */
static void failed_snapshot(void)
{
	NEED_HUGE();

	unsigned int failures[2] = {0, 0}, n;

	if (access(FAIL_NTH, W_OK))
		SKIP("this kernel has no fault injection");
	set_all(injection, ARRAY_LENGTH(injection));
	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	MUST(fail_nth >= 0);
	for (n = 1; snapshot_fails(n, BLOCK_PAGES + SMALL, &failures[0]) && !test_failed; n++)
		MUST(n < 300);
	ksft_print_msg("%u allocations\n", n - 1);
	CHECK(failures[0] > 0);
	/* Of the last block the parts are copied one by one. */
	for (n = 24; snapshot_fails(n, BLOCK_PAGES + 5, &failures[1]) && !test_failed; n *= 2)
		MUST(n < 10000);
	ksft_print_msg("%u and %u of them let it fail\n", failures[0], failures[1]);
	CHECK(failures[1] > 1);
	close(fail_nth);
	restore_all(injection, ARRAY_LENGTH(injection));
}

/* Page-out breaks the folio, and all bytes come back; mlock() keeps it whole. */
static void paged_out(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);
	struct cowmem_page_out out;

	fill_pages(map, 0, 2 * BLOCK_PAGES, 1);
	MUST(!mlock(map, SIZE));
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 2 * BLOCK_PAGES));
	CHECK_EQ(out.out, 0);
	CHECK_EQ(out.locked, 2 * BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).large_pages, 2 * BLOCK_PAGES);
	MUST(!munlock(map, SIZE));
	/* Used lately: it stays, once. */
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	MUST(!page_out_ask(fd, &out, 0, 0, 2 * BLOCK_PAGES));
	CHECK_EQ(out.out, 0);
	CHECK_EQ(out.accessed, 2 * BLOCK_PAGES);
	/* That it was used is forgotten, of all of a page of 2 MiB, which stays one; nobody uses the second from then on. */
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_AGE, 0, 2 * BLOCK_PAGES));
	CHECK_EQ(out.accessed, 2 * BLOCK_PAGES);
	CHECK_EQ(out.out, 0);
	CHECK_EQ(object_stat(fd).large_pages, 2 * BLOCK_PAGES);
	/* And no entry goes for that; TLBs have none that would keep the next use from being seen. */
	CHECK_EQ(SINCE(before, large_unmapped), 0);
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	CHECK(pages_are(map, 0, 1, 1));
	MUST(!page_out_ask(fd, &out, 0, 0, 2 * BLOCK_PAGES));
	CHECK_EQ(out.accessed, BLOCK_PAGES);
	CHECK_EQ(out.out, BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	CHECK_EQ(page_out_all(fd, 2 * BLOCK_PAGES), BLOCK_PAGES);
	CHECK_EQ(SINCE(before, large_broken), 2);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK(layers_are_sound(fd));
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1) && file_is(fd, BLOCK_PAGES, BLOCK_PAGES, 1));
	fill_pages(map, 0, BLOCK_PAGES, 2);
	CHECK(pages_are(map, 0, BLOCK_PAGES, 2));
	finish(fd, map, SIZE, before);
}

/* What a snapshot and a clone share goes out for both, by way of pages, and comes back; not while somebody has a part. */
static void shared_paged_out(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd), *seen, *other;
	struct cowmem_page_out out;
	struct pipe pipe;
	int then, clone;

	fill_pages(map, 0, 2 * BLOCK_PAGES, 1);
	then = snapshot(fd);
	clone = clone_of(then);
	seen = object_map(then, SIZE, PROT_READ, MAP_SHARED);
	other = map_shared(clone);
	CHECK(pages_are(seen, 0, 2 * BLOCK_PAGES, 1) && pages_are(other, 0, 2 * BLOCK_PAGES, 1));
	fill_pages(map, 0, 3, 2);
	fill_pages(other, 600, 3, 3);
	/* Not by who has others see it. */
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 2 * BLOCK_PAGES));
	CHECK_EQ(out.out, 3);
	CHECK_EQ(SINCE(before, large_broken), 0);
	MUST(!mlock(other, BLOCK));
	pipe = pipe_with(seen + 700 * PAGE);
	MUST(!page_out_ask(then, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 2 * BLOCK_PAGES));
	CHECK_EQ(out.out, 0);
	CHECK_EQ(out.locked, BLOCK_PAGES);
	CHECK_EQ(out.busy, BLOCK_PAGES);
	CHECK_EQ(SINCE(before, large_broken), 0);
	CHECK_EQ(object_stat(then).shared_pages, 2 * BLOCK_PAGES);
	MUST(!munlock(other, BLOCK));
	let_pipe_go(pipe);
	CHECK_EQ(page_out_all(then, 2 * BLOCK_PAGES), 2 * BLOCK_PAGES);
	CHECK_EQ(SINCE(before, large_broken), 2);
	CHECK_EQ(object_stat(then).shared_pages, 0);
	CHECK(layers_are_sound(fd));
	CHECK(pages_are(map, 0, 3, 2) && pages_are(map, 3, 2 * BLOCK_PAGES - 3, 1));
	CHECK(pages_are(other, 0, 600, 1) && pages_are(other, 600, 3, 3) &&
	      pages_are(other, 603, 2 * BLOCK_PAGES - 603, 1));
	CHECK(pages_are(seen, 0, 2 * BLOCK_PAGES, 1));
	CHECK(layers_are_sound(fd));
	munmap(seen, SIZE);
	munmap(other, SIZE);
	close(clone);
	close(then);
	finish(fd, map, SIZE, before);
}

/* RMAP and PAGEMAP tell of each page; clearing makes pages of it, and tells of each that is written then. */
static void told_of(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);
	struct cowmem_mapping mapping[BLOCK_PAGES];
	struct cowmem_page page[BLOCK_PAGES];
	struct cowmem_rmap rmap;

	fill_pages(map, 0, BLOCK_PAGES, 1);
	MUST(!rmap_ask(fd, &rmap, 0, 0, BLOCK_PAGES, mapping, BLOCK_PAGES));
	CHECK_EQ(rmap.count, BLOCK_PAGES);
	for (unsigned long i = 0; i < BLOCK_PAGES; i++) {
		CHECK_EQ(mapping[i].address, (uintptr_t)map + i * PAGE);
		CHECK_EQ(mapping[i].offset, i * PAGE);
		CHECK(mapping[i].flags & COWMEM_MAPPING_WRITABLE);
	}
	MUST(!pagemap_ask(fd, 0, 0, BLOCK_PAGES, page));
	for (unsigned long i = 0; i < BLOCK_PAGES; i++) {
		CHECK_EQ(page[i].mapcount, 1);
		CHECK(page[i].flags & COWMEM_PAGE_RESIDENT && page[i].flags & COWMEM_PAGE_DIRTY);
	}
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024); /* they only looked */
	/* One entry says of all its pages that they were used; that can be cleared, and it stays. */
	for (int used = 1; used >= 0; used--) {
		MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_REFERENCED, 0, BLOCK_PAGES, page));
		for (unsigned long i = 0; i < BLOCK_PAGES; i++)
			CHECK_EQ(page[i].referenced, used);
	}
	CHECK(page_is(map + 9 * PAGE, 9, 1));
	MUST(!pagemap_ask(fd, 0, 0, BLOCK_PAGES, page));
	CHECK_EQ(page[9].referenced, 1);
	CHECK_EQ(SINCE(before, large_unmapped), 0);
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, BLOCK_PAGES, page));
	fill_page(map + 77 * PAGE, 77, 2);
	MUST(!pagemap_ask(fd, 0, 0, BLOCK_PAGES, page));
	for (unsigned long i = 0; i < BLOCK_PAGES; i++)
		CHECK_EQ(!!(page[i].flags & COWMEM_PAGE_DIRTY), i == 77);
	CHECK(pages_are(map, 0, 77, 1) && pages_are(map, 78, BLOCK_PAGES - 78, 1));
	finish(fd, map, SIZE, before);
}

static sigjmp_buf out_of_sigbus;

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	siglongjmp(out_of_sigbus, 1);
}

static bool is_sigbus(const volatile char *at)
{
	if (sigsetjmp(out_of_sigbus, 1))
		return true;
	(void)*at;
	return false;
}

static struct cowmem_collapse collapse(int fd, unsigned long offset, unsigned long length)
{
	struct cowmem_collapse collapse = {
		.size = sizeof(collapse), .offset = offset, .length = length};

	MUST(!ioctl(fd, COWMEM_IOC_COLLAPSE, &collapse));
	CHECK_EQ(collapse.next, offset + length);
	return collapse;
}

/* An object that takes large folios, of which each page is one of 4 KiB, since write() made it. */
static int small_create(unsigned int generation)
{
	const int fd = huge_create(SIZE);
	char page[PAGE];

	for (unsigned long i = 0; i < 2 * BLOCK_PAGES; i++) {
		fill_page(page, i, generation);
		MUST(pwrite(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
	}
	return fd;
}

/* 512 pages that are mapped, by several, become one: the same bytes, and one entry maps them. Private copies stay. */
static void collapsed(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = small_create(1);
	char *map = map_shared(fd);
	char *private = object_map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct cowmem_collapse answer;
	long faults;

	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1) && pages_are(private, 0, 2 * BLOCK_PAGES, 1));
	fill_page(private + 700 * PAGE, 700, 9);
	fill_page(map + 5 * PAGE, 5, 2);
	CHECK_EQ(pmd_mapped(map), 0);
	CHECK_EQ(object_stat(fd).large_pages, 0);
	/* Blocks that lie within the range as a whole. */
	answer = collapse(fd, PAGE, SIZE - 2 * PAGE);
	CHECK_EQ(answer.collapsed + answer.busy + answer.sparse, 0);
	answer = collapse(fd, 0, SIZE);
	CHECK_EQ(answer.collapsed, 2);
	CHECK_EQ(answer.huge + answer.sparse + answer.shared + answer.busy + answer.no_memory, 0);
	CHECK_EQ(SINCE(before, large_collapsed), 2);
	CHECK_EQ(object_stat(fd).large_pages, 2 * BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, 2 * BLOCK_PAGES);
	CHECK_EQ(SINCE(before, pages_allocated) - SINCE(before, pages_freed), 2 * BLOCK_PAGES);
	CHECK_EQ(SINCE(before, tables_freed), 2); /* not those of a mapping with private copies */
	CHECK(layers_are_sound(fd));
	faults = minor_faults();
	CHECK(page_is(map + 5 * PAGE, 5, 2) && pages_are(map, 0, 5, 1) &&
	      pages_are(map, 6, 2 * BLOCK_PAGES - 6, 1));
	CHECK_EQ(minor_faults() - faults, 2);
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	CHECK(page_is(private + 700 * PAGE, 700, 9) && page_is(private + 5 * PAGE, 5, 2) &&
	      pages_are(private, 6, 694, 1) && pages_are(private, 701, 2 * BLOCK_PAGES - 701, 1));
	CHECK_EQ(pmd_mapped(private), 0);
	fill_pages(map, 0, 2 * BLOCK_PAGES, 3);
	CHECK(file_is(fd, 0, 2 * BLOCK_PAGES, 3));
	CHECK_EQ(collapse(fd, 0, SIZE).huge, 2);
	munmap(private, SIZE);
	finish(fd, map, SIZE, before);
}

/* A read has PAGEMAP tell of no change, also where the first store takes another fault for that. */
static void a_read_leaves_it_clean(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = small_create(1);
	char *map = map_shared(fd);
	struct cowmem_page page[BLOCK_PAGES];
	long faults;

	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, BLOCK_PAGES, page));
	CHECK_EQ(collapse(fd, 0, SIZE).collapsed, 2);
	CHECK(page_is(map, 0, 1));
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	MUST(!pagemap_ask(fd, 0, 0, BLOCK_PAGES, page));
	for (unsigned long i = 0; i < BLOCK_PAGES; i++)
		CHECK(!(page[i].flags & COWMEM_PAGE_DIRTY));
	faults = minor_faults();
	fill_page(map + 5 * PAGE, 5, 3);
	CHECK_EQ(minor_faults() - faults, 1);
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	/* What did, the next one may write without a fault. */
	CHECK(page_is(map + BLOCK, BLOCK_PAGES, 1));
	faults = minor_faults();
	fill_page(map + BLOCK, BLOCK_PAGES, 3);
	CHECK_EQ(minor_faults() - faults, 0);
	munmap(map, SIZE);
	map = map_shared(fd);
	MUST(!pagemap_ask(fd, 0, 0, BLOCK_PAGES, page));
	CHECK(page[5].flags & COWMEM_PAGE_DIRTY);
	CHECK(page_is(map + 5 * PAGE, 5, 3));
	finish(fd, map, SIZE, before);
}

/* What somebody has a reference to is not exchanged for another page: who has it sees what is written. */
static void pinned_is_not_collapsed(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = small_create(1);
	char *map = map_shared(fd), page[PAGE];
	struct iovec from = {.iov_base = map + 5 * PAGE, .iov_len = PAGE};
	struct cowmem_collapse answer;
	int ends[2];

	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	MUST(!pipe(ends));
	MUST(vmsplice(ends[1], &from, 1, 0) == (ssize_t)PAGE);
	answer = collapse(fd, 0, SIZE);
	CHECK_EQ(answer.collapsed, 1);
	CHECK_EQ(answer.busy, 1);
	CHECK_EQ(SINCE(before, large_refused), 1);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	fill_page(map + 5 * PAGE, 5, 2);
	MUST(read(ends[0], page, PAGE) == (ssize_t)PAGE);
	CHECK(page_is(page, 5, 2));
	close(ends[0]);
	close(ends[1]);
	answer = collapse(fd, 0, SIZE);
	CHECK_EQ(answer.collapsed, 1);
	CHECK_EQ(answer.huge, 1);
	CHECK(page_is(map + 5 * PAGE, 5, 2) && pages_are(map, 6, 2 * BLOCK_PAGES - 6, 1));
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	finish(fd, map, SIZE, before);
}

/* Holes, what a snapshot shares, and what is damaged stay; what is out comes in. */
static void what_is_collapsed(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = small_create(1);
	char *map = map_shared(fd);
	struct cowmem_collapse answer = {.size = sizeof(answer), .offset = 1, .length = PAGE};
	struct cowmem_page pages[BLOCK_PAGES];
	struct cowmem_page_out out;
	int then;

	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_COLLAPSE, &answer), EINVAL);
	CHECK_EQ(object_punch(fd, 9 * PAGE, PAGE), 0);
	answer = collapse(fd, 0, SIZE);
	CHECK_EQ(answer.sparse, 1);
	CHECK_EQ(answer.collapsed, 1);
	fill_page(map + 9 * PAGE, 9, 1);
	then = snapshot(fd);
	answer = collapse(fd, 0, SIZE);
	CHECK_EQ(answer.shared, 2);
	/* Written, it is the object's own: the snapshot has its pages. */
	fill_pages(map, 0, 2 * BLOCK_PAGES, 2);
	answer = collapse(fd, 0, SIZE);
	CHECK_EQ(answer.collapsed, 2);
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 2) && file_is(then, 0, 2 * BLOCK_PAGES, 1));
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	CHECK(layers_are_sound(fd));
	close(then);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, BLOCK_PAGES));
	CHECK(out.out > BLOCK_PAGES / 2);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	answer = collapse(fd, 0, BLOCK);
	CHECK_EQ(answer.collapsed, 1);
	CHECK_EQ(store_stat(fd).slots, 0);
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 2));
	/* Of what has not changed since PAGEMAP cleared that, nothing is told. */
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, BLOCK_PAGES, pages));
	CHECK_EQ(collapse(fd, 0, BLOCK).collapsed, 1);
	MUST(!pagemap_ask(fd, 0, 0, BLOCK_PAGES, pages));
	for (unsigned long i = 0; i < BLOCK_PAGES; i++)
		CHECK(!(pages[i].flags & COWMEM_PAGE_DIRTY));
	fill_page(map + 4 * PAGE, 4, 3);
	MUST(!pagemap_ask(fd, 0, 0, BLOCK_PAGES, pages));
	CHECK(pages[4].flags & COWMEM_PAGE_DIRTY);
	finish(fd, map, SIZE, before);
}

/* What COLLAPSE says of the first block of @fd, which is of pages of 4 KiB. */
static struct cowmem_collapse one_answer(int fd)
{
	const struct cowmem_collapse answer = collapse(fd, 0, BLOCK);

	CHECK_EQ(answer.collapsed + answer.huge + answer.sparse + answer.shared + answer.busy +
	                 answer.poisoned + answer.no_memory + answer.io_error,
	         1);
	CHECK_EQ(object_stat(fd).large_pages, answer.collapsed ? BLOCK_PAGES : 0);
	CHECK(layers_are_sound(fd));
	return answer;
}

/* A block with a damaged page stays; without it, it does not. */
static void poisoned_is_not_collapsed(void)
{
	NEED_HUGE();

	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO}, old;
	struct counts before = counts_now();
	const int fd = small_create(1);
	char *map = map_shared(fd);

	if (!(object_features(fd) & COWMEM_FEATURE_POISON)) {
		finish(fd, map, SIZE, before);
		SKIP("this kernel does not know damaged memory");
	}
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1));
	CHECK_EQ(poison_ask(fd, 11), 1);
	CHECK_EQ(one_answer(fd).poisoned, 1);
	MUST(!sigaction(SIGBUS, &action, &old));
	CHECK(is_sigbus(map + 11 * PAGE) && !is_sigbus(map + 10 * PAGE));
	MUST(!sigaction(SIGBUS, &old, NULL));
	CHECK(pages_are(map, 0, 11, 1) && pages_are(map, 12, BLOCK_PAGES - 12, 1));
	CHECK_EQ(object_punch(fd, 11 * PAGE, PAGE), 0);
	fill_pages(map, 11, 1, 1);
	CHECK_EQ(one_answer(fd).collapsed, 1);
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1));
	finish(fd, map, SIZE, before);
}

static int collapsed_in_cgroup;

static void collapse_in_cgroup(void)
{
	CHECK_EQ(one_answer(collapsed_in_cgroup).no_memory, 1);
}

/* The @n-th allocation of a COLLAPSE fails: whether it came to that. */
static bool collapse_fails(int fd, const char *map, unsigned int n, unsigned int *failures)
{
	struct cowmem_collapse answer;
	bool came;

	arm(n);
	answer = collapse(fd, 0, BLOCK);
	came = disarm();
	CHECK_EQ(answer.collapsed + answer.no_memory, 1);
	CHECK(came || answer.collapsed);
	CHECK_EQ(object_stat(fd).large_pages, answer.collapsed ? BLOCK_PAGES : 0);
	CHECK(layers_are_sound(fd));
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1));
	*failures += answer.no_memory;
	return came && !answer.collapsed;
}

/* Without memory for 2 MiB, and for what else it takes, the pages are as they were. */
static void collapse_without_memory(void)
{
	NEED_HUGE();

	const long dying = dying_cgroups();
	struct counts before = counts_now();
	const int fd = small_create(1);
	char *map = map_shared(fd);

	collapsed_in_cgroup = fd;
	CHECK_EQ(run_in_cgroup("1800K", collapse_in_cgroup), 0);
	check_cgroup_goes(dying);
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1));
	if (!access(FAIL_NTH, W_OK)) {
		unsigned int failures = 0, n = 1;

		set_all(injection, ARRAY_LENGTH(injection));
		fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
		MUST(fail_nth >= 0);
		while (collapse_fails(fd, map, n, &failures) && !test_failed)
			MUST(++n < 100);
		close(fail_nth);
		restore_all(injection, ARRAY_LENGTH(injection));
		ksft_print_msg("%u failed allocations\n", failures);
		CHECK(failures > 0);
	} else {
		CHECK_EQ(one_answer(fd).collapsed, 1);
	}
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	finish(fd, map, SIZE, before);
}

/* What the store cannot give back keeps its block as it is, until it can be read again. */
static void unreadable_is_not_collapsed(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	struct disk disk;
	char page[PAGE];
	off_t place;
	int fd;

	if (access("/dev/loop-control", F_OK))
		SKIP("this kernel has no loop devices");
	disk = use_disk(BLOCK_PAGES);
	fd = huge_create(SIZE);
	for (unsigned long i = 0; i < BLOCK_PAGES; i++) {
		noise_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
	}
	CHECK_EQ(page_out_all(fd, 64), 64);
	place = place_of(disk.file, 20) + 4000;
	damage(disk.file, place);
	CHECK_EQ(one_answer(fd).io_error, 1);
	CHECK(SINCE(before, checksum_errors) > 0);
	for (unsigned long i = 0; i < BLOCK_PAGES; i++)
		if (i == 20)
			CHECK_ERRNO(pread(fd, page, PAGE, (off_t)(i * PAGE)), EIO);
		else
			CHECK(pread(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE &&
			      noise_is(page, i, 1));
	damage(disk.file, place);
	CHECK_EQ(one_answer(fd).collapsed, 1);
	CHECK_EQ(store_stat(fd).slots, 0);
	for (unsigned long i = 0; i < BLOCK_PAGES; i++)
		CHECK(pread(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE &&
		      noise_is(page, i, 1));
	finish(fd, NULL, SIZE, before);
	let_disk_go(disk);
}

/* What mlock() holds, and where an object was not made for it. */
static void collapsed_elsewhere(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = small_create(1), device = object_open(),
		  plain = object_create(device, "plain"), pinnable = object_create_pinnable(device);
	char *map = map_shared(fd), *other;
	struct cowmem_collapse answer = {.size = sizeof(answer), .length = SIZE};

	MUST(!mlock(map, SIZE));
	CHECK_EQ(collapse(fd, 0, SIZE).collapsed, 2);
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);
	MUST(!munlock(map, SIZE));
	MUST(plain >= 0 && pinnable >= 0 && !object_set_huge(plain, COWMEM_HUGE_NEVER) &&
	     !ftruncate(plain, SIZE) && !ftruncate(pinnable, SIZE));
	CHECK_ERRNO(ioctl(pinnable, COWMEM_IOC_COLLAPSE, &answer), EOPNOTSUPP);
	other = map_shared(plain);
	fill_pages(other, 0, 2 * BLOCK_PAGES, 1);
	CHECK_EQ(collapse(plain, 0, SIZE).collapsed, 2);
	CHECK_EQ(object_stat(plain).large_pages, 2 * BLOCK_PAGES);
	CHECK(pages_are(other, 0, 2 * BLOCK_PAGES, 1));
	fill_pages(other, 0, 2 * BLOCK_PAGES, 2);
	CHECK(file_is(plain, 0, 2 * BLOCK_PAGES, 2));
	CHECK(layers_are_sound(plain));
	munmap(other, SIZE);
	close(plain);
	close(pinnable);
	close(device);
	finish(fd, map, SIZE, before);
}

/* Holds a mapping of @fd, of which soft-dirty bits were cleared, in a child, until @until is closed. */
static pid_t hold_tracked(int fd, const int *until)
{
	char *map = map_shared(fd), done;
	int ready[2];
	pid_t pid;

	MUST(!pipe(ready));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		close(until[1]);
		forget_soft_dirty();
		MUST(write(ready[1], "", 1) == 1);
		_exit(read(until[0], &done, 1) != 0);
	}
	MUST(read(ready[0], &done, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	munmap(map, SIZE);
	return pid;
}

/* Why the worker leaves blocks as they are. */
enum reason {
	NEVER,
	UNASKED,
	REFUSED,
	LOCKED,
	TOLD,
	SOFT_DIRTY_TOLD,
	OUT,
	SHARED,
	PUNCHED,
	HELD,
	REASONS
};

/*
 * It looks at objects in the order in which they were made: as the last is collapsed, those before it have been left. They are not,
 * when nothing is in the way any more.
 */
static void collapsed_unasked(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	struct cowmem_page told[BLOCK_PAGES];
	int fds[REASONS], last, then, until[2], ends[2], status;
	char *map[REASONS], *last_map, page[PAGE];
	struct iovec from;
	pid_t child;

	MUST(!pipe(until) && !pipe(ends));
	for (unsigned int i = 0; i < REASONS; i++)
		fds[i] = small_create(i);
	child = hold_tracked(fds[SOFT_DIRTY_TOLD], until);
	MUST(!object_set_huge(fds[NEVER], COWMEM_HUGE_NEVER));
	MUST(!object_set_huge(fds[UNASKED], COWMEM_HUGE_ADVISE));
	for (unsigned int i = 0; i < REASONS; i++)
		map[i] = map_shared(fds[i]);
	MUST(!madvise(map[REFUSED], SIZE, MADV_NOHUGEPAGE));
	MUST(!mlock(map[LOCKED], SIZE));
	MUST(!pagemap_ask(fds[TOLD], COWMEM_PAGEMAP_CLEAR_DIRTY, 0, BLOCK_PAGES, told));
	CHECK_EQ(page_out_all(fds[OUT], BLOCK_PAGES + 1), BLOCK_PAGES + 1);
	then = snapshot(fds[SHARED]);
	for (unsigned long at = PAGE; at < SIZE; at += BLOCK) {
		CHECK_EQ(object_punch(fds[PUNCHED], at, PAGE), 0);
		from = (struct iovec){.iov_base = map[HELD] + at, .iov_len = PAGE};
		MUST(vmsplice(ends[1], &from, 1, 0) == (ssize_t)PAGE);
	}
	last = small_create(99);
	last_map = map_shared(last);
	CHECK(pages_are(last_map, 0, 2 * BLOCK_PAGES, 99));

	CHECK_EQ(read_number(PARAMETERS "collapse", ""), 0);
	parameter_set("collapse", "1");
	CHECK(COMES(object_stat(last).large_pages == 2 * BLOCK_PAGES));
	CHECK(pages_are(last_map, 0, 2 * BLOCK_PAGES, 99));
	CHECK_EQ(pmd_mapped(last_map), SIZE / 1024);
	/* Once more: what was busy for a moment is so no longer. */
	CHECK_EQ(object_punch(last, 3 * PAGE, PAGE), 0);
	CHECK_EQ(object_stat(last).large_pages, BLOCK_PAGES);
	fill_page(last_map + 3 * PAGE, 3, 99);
	CHECK(COMES(object_stat(last).large_pages == 2 * BLOCK_PAGES));
	for (unsigned int i = 0; i < REASONS; i++)
		if (i != SOFT_DIRTY_TOLD || have_soft_dirty())
			CHECK_EQ(object_stat(fds[i]).large_pages, 0);
	CHECK_EQ(store_stat(fds[OUT]).slots, BLOCK_PAGES + 1);
	CHECK_EQ(SINCE(before, large_refused), 0); /* of whom asked */

	MUST(!object_set_huge(fds[NEVER], COWMEM_HUGE_ALWAYS));
	MUST(!madvise(map[UNASKED], SIZE, MADV_HUGEPAGE));
	MUST(!madvise(map[REFUSED], SIZE, MADV_HUGEPAGE));
	MUST(!munlock(map[LOCKED], SIZE));
	close(until[1]);
	MUST(waitpid(child, &status, 0) == child && status == 0);
	CHECK(pages_are(map[OUT], 0, 2 * BLOCK_PAGES, OUT));
	close(then);
	fill_pages(map[SHARED], 0, 2 * BLOCK_PAGES, SHARED);
	for (unsigned long i = 1; i < 2 * BLOCK_PAGES; i += BLOCK_PAGES) {
		fill_page(map[PUNCHED] + i * PAGE, i, PUNCHED);
		MUST(read(ends[0], page, PAGE) == (ssize_t)PAGE);
	}
	for (unsigned int i = 0; i < REASONS; i++) {
		if (i != TOLD)
			CHECK(COMES(object_stat(fds[i]).large_pages == 2 * BLOCK_PAGES));
		CHECK(pages_are(map[i], 0, 2 * BLOCK_PAGES, i));
		CHECK(layers_are_sound(fds[i]));
	}
	CHECK_EQ(object_stat(fds[TOLD]).large_pages, 0);
	parameter_set("collapse", "0");
	for (unsigned int i = 0; i < REASONS; i++) {
		munmap(map[i], SIZE);
		close(fds[i]);
	}
	for (unsigned int i = 0; i < 2; i++)
		close(ends[i]);
	close(until[0]);
	finish(last, last_map, SIZE, before);
}

static void own_in_cgroup(void)
{
	const int fd = small_create(1);
	const long charged = read_number(CGROUP "/memory.current", "");

	CHECK(charged >= (long)SIZE);
	parameter_set("collapse", "1");
	CHECK(COMES(object_stat(fd).large_pages == 2 * BLOCK_PAGES));
	parameter_set("collapse", "0");
	CHECK(file_is(fd, 0, 2 * BLOCK_PAGES, 1));
	CHECK(COMES(read_number(CGROUP "/memory.current", "") < charged + (long)BLOCK / 2));
	CHECK(read_number(CGROUP "/memory.current", "") > charged - (long)BLOCK / 2);
}

static int full, elsewhere; /* objects, the second made, and filled, outside of the cgroup */
static const char *limit_file;

/*
 * Pages of which there is no room for 512 more, or only above memory.high, stay as they are, and in memory. The worker comes to the other
 * object behind them.
 */
static void full_in_cgroup(void)
{
	char limit[32], page[PAGE] = {1};

	for (unsigned long i = 0; i < 2 * BLOCK_PAGES; i++)
		MUST(pwrite(full, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
	MUST(!object_set_huge(elsewhere, COWMEM_HUGE_ALWAYS));
	snprintf(limit, sizeof(limit), "%ld",
	         read_number(CGROUP "/memory.current", "") + (long)BLOCK / 2);
	MUST(write_text(limit_file, limit));
	parameter_set("collapse", "1");
	CHECK(COMES(object_stat(elsewhere).large_pages == 2 * BLOCK_PAGES));
	parameter_set("collapse", "0");
	CHECK_EQ(object_stat(full).large_pages, 0);
	CHECK_EQ(object_stat(full).resident_pages, 2 * BLOCK_PAGES);
	CHECK_EQ(read_number(CGROUP "/memory.events", "oom_kill "), 0);
}

/* What the worker makes large is charged to whom the pages were. */
static void unasked_in_cgroup(void)
{
	NEED_HUGE();

	const long dying = dying_cgroups();
	struct counts before = counts_now();
	struct cowmem_page_out out;

	CHECK_EQ(run_in_cgroup("32M", own_in_cgroup), 0);
	parameter_set("collapse", "0");
	check_cgroup_goes(dying);
	full = huge_create(SIZE);
	elsewhere = small_create(2);
	for (int i = 0; i < 2; i++) {
		limit_file = i ? CGROUP "/memory.high" : CGROUP "/memory.max";
		MUST(!object_set_huge(elsewhere, COWMEM_HUGE_NEVER));
		CHECK_EQ(run_in_cgroup("32M", full_in_cgroup), 0);
		parameter_set("collapse", "0");
		CHECK_EQ(object_punch(full, 0, SIZE), 0);
		check_cgroup_goes(dying);
		/* By 4 KiB again. */
		for (unsigned long at = 3; at < 2 * BLOCK_PAGES; at += BLOCK_PAGES) {
			MUST(!page_out_ask(elsewhere, &out, COWMEM_PAGE_OUT_ACCESSED, at, 1));
			CHECK_EQ(prefetch_ask(elsewhere, at, 1), 1);
		}
		CHECK_EQ(object_stat(elsewhere).large_pages, 0);
	}
	close(full);
	finish(elsewhere, NULL, SIZE, before);
}

/* Touches a block of @fd, mapped anew with @advice, or none: whether it has become large. It is punched then. */
static bool takes_large(int fd, int advice)
{
	char *map = map_shared(fd);
	bool large;

	if (advice >= 0)
		MUST(!madvise(map, SIZE, advice));
	fill_page(map + PAGE, 1, 1);
	large = object_stat(fd).large_pages == BLOCK_PAGES;
	CHECK(page_is(map + PAGE, 1, 1) && pages_are_zero(map, 2, BLOCK_PAGES - 2));
	CHECK_EQ(pmd_mapped(map), large ? BLOCK / 1024 : 0);
	munmap(map, SIZE);
	CHECK_EQ(object_punch(fd, 0, SIZE), 0);
	return large;
}

/* What SET_HUGE says, and madvise() of one mapping. */
static void modes(void)
{
	struct counts before = counts_now();
	const int device = object_open(), fd = object_create(device, "modes"),
		  pinnable = object_create_pinnable(device);

	MUST(fd >= 0 && pinnable >= 0 && !ftruncate(fd, SIZE));
	CHECK_EQ(object_set_huge(fd, COWMEM_HUGE_NEVER), 0);
	CHECK_EQ(object_stat(fd).huge, COWMEM_HUGE_NEVER);
	CHECK_ERRNO(object_set_huge(fd, COWMEM_HUGE_ALWAYS + 1), EINVAL);
	CHECK_ERRNO(object_set_huge(pinnable, COWMEM_HUGE_ALWAYS), EOPNOTSUPP);
	CHECK_EQ(object_set_huge(pinnable, COWMEM_HUGE_NEVER), 0);
	close(pinnable);
	close(device);
	if (!has_huge()) {
		CHECK_ERRNO(object_set_huge(fd, COWMEM_HUGE_ADVISE), EOPNOTSUPP);
		close(fd);
		return;
	}

	char *map = map_shared(fd);
	int of;

	CHECK(!takes_large(fd, -1));
	CHECK(!takes_large(fd, MADV_HUGEPAGE));
	CHECK_EQ(object_set_huge(fd, COWMEM_HUGE_ADVISE), 0);
	CHECK_EQ(object_stat(fd).huge, COWMEM_HUGE_ADVISE);
	CHECK(!takes_large(fd, -1));
	CHECK(takes_large(fd, MADV_HUGEPAGE));
	CHECK(!takes_large(fd, MADV_NOHUGEPAGE));
	/* In a mapping of before it is by 4 KiB. */
	CHECK_EQ(object_set_huge(fd, COWMEM_HUGE_ALWAYS), 0);
	map[0] = 1;
	CHECK_EQ(object_stat(fd).large_pages, 0);
	CHECK_EQ(object_punch(fd, 0, SIZE), 0);
	CHECK(takes_large(fd, -1));
	CHECK(!takes_large(fd, MADV_NOHUGEPAGE));
	of = clone_of(fd);
	CHECK_EQ(object_stat(of).huge, COWMEM_HUGE_ALWAYS);
	CHECK(takes_large(of, -1));
	close(of);
	CHECK_EQ(SINCE(before, large_allocated), 3);
	/* What is large stays so, and is mapped as such where that can be. */
	munmap(map, SIZE);
	map = map_shared(fd);
	fill_pages(map, 0, BLOCK_PAGES, 1);
	CHECK_EQ(object_set_huge(fd, COWMEM_HUGE_NEVER), 0);
	MUST(!madvise(map, SIZE, MADV_DONTNEED));
	CHECK(pages_are(map, 0, BLOCK_PAGES, 1));
	CHECK_EQ(pmd_mapped(map), BLOCK / 1024);
	map[BLOCK] = 1;
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	finish(fd, map, SIZE, before);
}

/* A mounted file system says it of its files; what they take counts there page by page. */
static void mounted(void)
{
	static const char where[] = "/tmp/huge";
	struct counts before = counts_now();
	char *map;
	int fd;

	mkdir(where, 0755);
	CHECK_ERRNO(mount("none", where, "cowmem", 0, "huge=sometimes"), EINVAL);
	CHECK_ERRNO(mount("none", where, "cowmem", 0, "huge=always,pinnable"), EINVAL);
	MUST(!mount("none", where, "cowmem", 0, "huge=never"));
	MUST(!umount(where));
	if (!has_huge()) {
		CHECK_ERRNO(mount("none", where, "cowmem", 0, "huge=always"), EINVAL);
		rmdir(where);
		return;
	}
	MUST(!mount("none", where, "cowmem", 0, "huge=within_size,size=3m"));
	fd = open("/tmp/huge/a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !ftruncate(fd, SIZE));
	CHECK_EQ(object_stat(fd).huge, COWMEM_HUGE_ALWAYS);
	map = map_shared(fd);
	fill_pages(map, 0, BLOCK_PAGES, 1);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	/* There is room for half of another. */
	fill_pages(map, BLOCK_PAGES, BLOCK_PAGES / 2, 1);
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	CHECK(pages_are(map, 0, BLOCK_PAGES + BLOCK_PAGES / 2, 1));
	{
		struct statfs room;

		MUST(!statfs(where, &room));
		CHECK_EQ(room.f_bfree, 0);
		CHECK_EQ(object_punch(fd, PAGE, 3 * PAGE), 0);
		MUST(!statfs(where, &room));
		CHECK_EQ(room.f_bfree, 3);
		fill_pages(map, 1, 3, 1);
		CHECK_EQ(collapse(fd, 0, BLOCK).collapsed, 1);
		CHECK(pages_are(map, 0, BLOCK_PAGES, 1));
		MUST(!statfs(where, &room));
		CHECK_EQ(room.f_bfree, 0);
	}
	CHECK(layers_are_sound(fd));
	munmap(map, SIZE);
	close(fd);
	MUST(!unlink("/tmp/huge/a"));
	CHECK_ERRNO(mount("none", where, "cowmem", MS_REMOUNT, "pinnable"), EINVAL);
	MUST(!mount("none", where, "cowmem", MS_REMOUNT, "huge=advise"));
	fd = open("/tmp/huge/b", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	CHECK_EQ(object_stat(fd).huge, COWMEM_HUGE_ADVISE);
	close(fd);
	MUST(!umount(where));
	rmdir(where);
	check_returned(before);
}

/* A poisoned page is one of 4 KiB. */
static void poisoned(void)
{
	NEED_HUGE();

	struct cowmem_info info = {.size = sizeof(info)};
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO}, old;
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);

	MUST(!ioctl(fd, COWMEM_IOC_GET_INFO, &info));
	if (!(info.features & COWMEM_FEATURE_POISON)) {
		close(fd);
		SKIP("this kernel does not know damaged memory");
	}
	fill_pages(map, 0, BLOCK_PAGES, 1);
	MUST(!sigaction(SIGBUS, &action, &old));
	CHECK_EQ(poison_ask(fd, 11), 1);
	CHECK(is_sigbus(map + 11 * PAGE) && !is_sigbus(map + 10 * PAGE));
	CHECK(pages_are(map, 0, 11, 1) && pages_are(map, 12, BLOCK_PAGES - 12, 1));
	MUST(!sigaction(SIGBUS, &old, NULL));
	CHECK_EQ(object_punch(fd, 11 * PAGE, PAGE), 0);
	CHECK(pages_are_zero(map, 11, 1));
	munmap(map, SIZE);
	close(fd);
}

/* A block device with 64 pages of @generation, or -1: this kernel has no loop devices. */
static int disk_of(unsigned int generation)
{
	char *pages =
		mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, loop, backing, disk;
	char path[32];

	if (control < 0)
		return -1;
	number = ioctl(control, LOOP_CTL_GET_FREE);
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	backing = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	loop = open(path, O_RDWR | O_CLOEXEC);
	MUST(pages != MAP_FAILED && number >= 0 && backing >= 0 && loop >= 0);
	fill_pages(pages, 0, 64, generation);
	MUST(write(backing, pages, 64 * PAGE) == 64 * (ssize_t)PAGE);
	munmap(pages, 64 * PAGE);
	MUST(!ioctl(loop, LOOP_SET_FD, backing));
	disk = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	MUST(disk >= 0 && !ioctl(loop, LOOP_CLR_FD, 0)); /* when the last who has it open is gone */
	close(loop);
	close(backing);
	close(control);
	return disk;
}

/* The kernel's own references to pages of it: O_DIRECT both ways, process_vm_writev(). */
static void direct_io(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE), other = huge_create(SIZE), disk = disk_of(3);
	char *map = map_shared(fd), *to = map_shared(other), page[PAGE];
	struct iovec from = {page, PAGE}, there = {map + 300 * PAGE, PAGE};

	fill_pages(map, 0, BLOCK_PAGES, 1);
	MUST(pwrite(other, map, BLOCK, 0) == (ssize_t)BLOCK);
	CHECK(file_is(other, 0, BLOCK_PAGES, 1));
	fill_page(page, 300, 2);
	MUST(process_vm_writev(getpid(), &from, 1, &there, 1, 0) == (ssize_t)PAGE);
	CHECK(page_is(map + 300 * PAGE, 300, 2) && pages_are(map, 0, 300, 1));
	if (disk >= 0) {
		MUST(pread(disk, map, 64 * PAGE, 0) == 64 * (ssize_t)PAGE);
		CHECK(pages_are(map, 0, 64, 3) && pages_are(map, 64, 236, 1));
		/* Into a block that nothing has touched. */
		MUST(pread(disk, map + BLOCK, 64 * PAGE, 0) == 64 * (ssize_t)PAGE);
		CHECK(!memcmp(map, map + BLOCK, 64 * PAGE));
		CHECK(pages_are_zero(map, BLOCK_PAGES + 64, BLOCK_PAGES - 64));
		fill_pages(map, 0, 64, 4);
		MUST(pwrite(disk, map, 64 * PAGE, 0) == 64 * (ssize_t)PAGE);
		MUST(pread(disk, to + BLOCK + PAGE, 64 * PAGE, 0) == 64 * (ssize_t)PAGE);
		CHECK(!memcmp(map, to + BLOCK + PAGE, 64 * PAGE));
		close(disk);
	}
	munmap(to, SIZE);
	close(other);
	finish(fd, map, SIZE, before);
}

static unsigned long microseconds(void)
{
	struct timespec now;

	MUST(!clock_gettime(CLOCK_MONOTONIC, &now));
	return (unsigned long)now.tv_sec * 1000000 + (unsigned long)now.tv_nsec / 1000;
}

/* Of @fd, all of which was written: the least that a SNAPSHOT of some took, and that of all to write. */
static void time_snapshots(int fd, const char *what)
{
	const unsigned long pages = 16 * BLOCK_PAGES;
	char *map = object_map(fd, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	unsigned long snapshots = ~0UL, writes = ~0UL;

	/* The least of some; the first makes the pages. */
	for (int i = 0; i < (debug_kernel() ? 2 : 5); i++) {
		unsigned long begin = microseconds(), end;
		int then;

		for (unsigned long page = 0; page < pages; page++)
			*(volatile char *)(map + page * PAGE) = (char)i;
		end = microseconds();
		writes = end - begin < writes ? end - begin : writes;
		then = snapshot(fd);
		begin = microseconds();
		snapshots = begin - end < snapshots ? begin - end : snapshots;
		close(then);
	}
	ksft_print_msg("%s: 32 MiB written in %lu us, SNAPSHOT of them %lu us\n", what, writes,
	               snapshots);
	munmap(map, pages * PAGE);
}

/* What a SNAPSHOT of written pages takes: told, not checked. What was taken over is not copied. */
static void costs(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(16 * BLOCK), device = object_open(), small = object_file(device);

	MUST(small >= 0 && !object_set_huge(small, COWMEM_HUGE_NEVER) &&
	     !ftruncate(small, 16 * BLOCK));
	time_snapshots(fd, "large");
	CHECK_EQ(SINCE(before, pages_copied_up), 0);
	CHECK_EQ(SINCE(before, pages_taken_over), (debug_kernel() ? 1 : 4) * 16 * BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).shared_pages, 0);
	time_snapshots(small, "small");
	close(small);
	close(device);
	finish(fd, NULL, SIZE, before);
}

static struct {
	char *map;
	_Atomic bool over;
	_Atomic unsigned long renewed; /* the block that is just being made anew, and 1 */
	_Atomic unsigned long foreign, stores;
} storm;

/* Stores what says to which page it belongs, and looks whether what is there does. */
static void *stores_and_looks(void *start)
{
	uint64_t random = (uintptr_t)start;

	use_all_cpus();
	while (!atomic_load(&storm.over)) {
		unsigned long page;
		volatile uint64_t *word;
		uint64_t value;

		next_random(&random);
		page = random >> 33 & (2 * BLOCK_PAGES - 1);
		/* A small page that a thread puts there first would be all that the block ever has. */
		if (page / BLOCK_PAGES + 1 == atomic_load(&storm.renewed))
			continue;
		word = (volatile uint64_t *)(storm.map + page * PAGE) + (random >> 50 & 511);
		value = *word; /* once: it may be punched */
		if (value && value >> 32 != page)
			atomic_fetch_add(&storm.foreign, 1);
		if (random >> 60 & 1)
			*word = (uint64_t)page << 32 | 1;
		atomic_fetch_add(&storm.stores, 1);
	}
	return NULL;
}

#define COUNTING 2UL /* threads, each with pages of its own */

/* Counts up in each of its pages, and looks whether the last number is there still. */
static void *counts_up(void *which)
{
	uint64_t last[2 * BLOCK_PAGES / COUNTING] = {0};

	use_all_cpus();
	for (unsigned long i = 0; !atomic_load(&storm.over); i = (i + 1) % ARRAY_LENGTH(last)) {
		volatile uint64_t *word =
			(volatile uint64_t *)(storm.map + (i * COUNTING + (uintptr_t)which) * PAGE);

		if (*word != last[i])
			atomic_fetch_add(&storm.foreign, 1);
		*word = ++last[i];
	}
	return NULL;
}

enum { FRESH = 16 }; /* blocks */

static struct {
	pthread_barrier_t begin, end;
	char *map;
	bool over;
} first;

/* Stores one page of each block, the @which-th half of it, at the same time as the other thread. */
static void *stores_first(void *which)
{
	use_all_cpus();
	for (;;) {
		pthread_barrier_wait(&first.begin);
		if (first.over)
			return NULL;
		for (unsigned long block = 0; block < FRESH; block++)
			first.map[block * BLOCK + (uintptr_t)which * (BLOCK - PAGE)] = 1;
		pthread_barrier_wait(&first.end);
	}
}

/* Has both threads do that. */
static void store_at_once(void)
{
	pthread_barrier_wait(&first.begin);
	pthread_barrier_wait(&first.end);
}

/* Where several threads store into a hole at once, one of them has all of the block become large, and the others find that. */
static void first_stores(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(FRESH * BLOCK);
	unsigned int rounds = 0;
	pthread_t thread[2];

	first.over = false;
	MUST(!pthread_barrier_init(&first.begin, NULL, 3) &&
	     !pthread_barrier_init(&first.end, NULL, 3));
	for (uintptr_t i = 0; i < 2; i++)
		MUST(!pthread_create(&thread[i], NULL, stores_first, (void *)i));
	for (unsigned int i = 0; i < fewer_if_debug(100); i++) {
		const struct counts now = counts_now();

		/* Anew, without what a fault may have put there that found no memory for a large folio: a page table. */
		first.map = object_map(fd, FRESH * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED);
		store_at_once();
		if (!SINCE(now, large_fallbacks)) {
			CHECK_EQ(object_stat(fd).resident_pages, FRESH * BLOCK_PAGES);
			CHECK_EQ(pmd_mapped(first.map), FRESH * BLOCK / 1024);
			/* The same of what a snapshot had, and nobody has any more. */
			close(snapshot(fd));
			store_at_once();
			CHECK_EQ(SINCE(now, pages_copied_up), 0);
			CHECK_EQ(object_stat(fd).resident_pages, FRESH * BLOCK_PAGES);
			CHECK_EQ(pmd_mapped(first.map), FRESH * BLOCK / 1024);
			rounds++;
		}
		munmap(first.map, FRESH * BLOCK);
		CHECK_EQ(object_punch(fd, 0, FRESH * BLOCK), 0);
	}
	first.over = true;
	pthread_barrier_wait(&first.begin);
	for (unsigned int i = 0; i < 2; i++)
		MUST(!pthread_join(thread[i], NULL));
	CHECK(rounds);
	finish(fd, NULL, SIZE, before);
}

/* Has a snapshot keep what @fd has until all of that, which is written without end, was copied by pages. */
static void copy_all(int fd)
{
	const int then = snapshot(fd);

	CHECK(COMES(object_stat(fd).resident_pages == 2 * BLOCK_PAGES));
	close(then);
}

/* No store is lost while the worker puts together what a snapshot, or page-out, has taken apart. */
static void stored_unasked(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	pthread_t thread[COUNTING];

	storm.map = map_shared(fd);
	atomic_store(&storm.over, false);
	atomic_store(&storm.foreign, 0);
	parameter_set("collapse", "1");
	for (uintptr_t i = 0; i < COUNTING; i++)
		MUST(!pthread_create(&thread[i], NULL, counts_up, (void *)i));
	for (unsigned int i = 0; i < 6; i++) {
		if (i % 2)
			CHECK(COMES(page_out_all(fd, BLOCK_PAGES / 2) > 0));
		else
			copy_all(fd);
		CHECK(COMES(object_stat(fd).large_pages == 2 * BLOCK_PAGES));
	}
	parameter_set("collapse", "0");
	atomic_store(&storm.over, true);
	for (unsigned long i = 0; i < COUNTING; i++)
		MUST(!pthread_join(thread[i], NULL));
	CHECK_EQ(atomic_load(&storm.foreign), 0);
	CHECK(SINCE(before, large_collapsed) >= 6);
	finish(fd, storm.map, SIZE, before);
}

/* A mapping of which a block is in two page tables, and has something in the second only: a SNAPSHOT finds that, too. */
static void of_two_tables(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd), *area, *second;
	const unsigned long late = BLOCK_PAGES - 12;
	int then;

	fill_pages(map, 0, BLOCK_PAGES, 1);
	area = mmap(NULL, 3 * BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(area != MAP_FAILED);
	second = (char *)(((uintptr_t)area + BLOCK) & ~(BLOCK - 1)) + 100 * PAGE;
	MUST(mmap(second, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == second);
	fill_page(second + late * PAGE, late, 2);
	then = snapshot(fd);
	fill_page(second + late * PAGE, late, 3);
	CHECK(file_is(then, 0, late, 1) && file_is(then, late, 1, 2));
	CHECK(file_is(fd, late, 1, 3));
	MUST(!restore(fd, then));
	CHECK(page_is(second + late * PAGE, late, 2) && page_is(map + late * PAGE, late, 2));
	close(then);
	munmap(area, 3 * BLOCK);
	finish(fd, map, SIZE, before);
}

/* What @then has, as one number. */
static uint64_t sum_of_all(int then)
{
	static uint64_t words[BLOCK / sizeof(uint64_t)];
	uint64_t sum = 0;

	for (off_t at = 0; at < (off_t)SIZE; at += BLOCK) {
		MUST(pread(then, words, BLOCK, at) == (ssize_t)BLOCK);
		for (size_t i = 0; i < BLOCK / sizeof(uint64_t); i++)
			sum = sum * 31 + words[i];
	}
	return sum;
}

/* The snapshot, if there is one, is what it was. */
static void let_sealed_go(int *then, uint64_t sum)
{
	if (*then < 0)
		return;
	CHECK(sum_of_all(*then) == sum);
	close(*then);
	*then = -1;
}

/* All that makes, shares, copies and breaks large folios, against threads that use them. */
static void stormed(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	const unsigned int rounds = fewer_if_debug(200);
	struct cowmem_page pages[64];
	struct cowmem_page_out out;
	uint64_t random = 1, sum = 0;
	pthread_t thread[2];
	int then = -1;

	storm.map = map_shared(fd);
	atomic_store(&storm.over, false);
	for (unsigned long i = 0; i < ARRAY_LENGTH(thread); i++)
		MUST(!pthread_create(&thread[i], NULL, stores_and_looks, (void *)(i + 7)));
	for (unsigned int round = 0; round < rounds; round++) {
		const unsigned long seen = atomic_load(&storm.stores);
		unsigned long first, length;

		next_random(&random);
		first = random >> 40 & (BLOCK_PAGES - 1);
		length = 1 + (random >> 20 & 63);
		switch (random >> 60) {
		case 0:
		case 1:
		case 2:
		case 3:
			first = random >> 59 & 1 ? BLOCK : 0;
			atomic_store(&storm.renewed, first / BLOCK + 1);
			MUST(!object_punch(fd, first, BLOCK));
			/* What is mapped anew has no page table yet, in which each page has an entry. The next touch is to find that. */
			MUST(mmap(storm.map + first, BLOCK, PROT_READ | PROT_WRITE,
			          MAP_SHARED | MAP_FIXED, fd, (off_t)first) == storm.map + first);
			(void)*(volatile char *)(storm.map + first);
			atomic_store(&storm.renewed, 0);
			break;
		case 4:
			MUST(!object_punch(fd, first * PAGE, length * PAGE));
			break;
		case 5:
		case 6:
			let_sealed_go(&then, sum);
			then = snapshot(fd);
			sum = sum_of_all(then);
			break;
		case 7:
			if (then >= 0)
				MUST(!restore(fd, then));
			break;
		case 8:
			/* Of the snapshot, what both share. */
			MUST(!page_out_ask(then >= 0 && random >> 59 & 1 ? then : fd, &out,
			                   COWMEM_PAGE_OUT_ACCESSED, first, length));
			break;
		case 9:
			MUST(!madvise(storm.map + first * PAGE, length * PAGE, MADV_DONTNEED));
			break;
		case 10:
			MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, first * PAGE, length,
			                  pages));
			break;
		case 11:
			let_sealed_go(&then, sum);
			break;
		case 12:
		case 13:
			collapse(fd, 0, SIZE);
			break;
		default:
			/* The others have their time. */
			for (int i = 0; i < 100 && atomic_load(&storm.stores) < seen + 1000; i++)
				usleep(100);
		}
	}
	atomic_store(&storm.over, true);
	for (unsigned long i = 0; i < ARRAY_LENGTH(thread); i++)
		MUST(!pthread_join(thread[i], NULL));
	CHECK_EQ(atomic_load(&storm.foreign), 0);
	ksft_print_msg(
		"%lu large folios, %lu of them collapsed, %lu for which there was no memory; %lu "
		"broken, %lu mapped, %lu entries taken out; %lu stores\n",
		SINCE(before, large_allocated), SINCE(before, large_collapsed),
		SINCE(before, large_fallbacks), SINCE(before, large_broken),
		SINCE(before, large_mapped), SINCE(before, large_unmapped),
		atomic_load(&storm.stores));
	CHECK(SINCE(before, large_allocated) > 2 && SINCE(before, large_broken) > 0);
	CHECK(SINCE(before, large_allocated) > 8 || SINCE(before, large_fallbacks) > 8 ||
	      debug_kernel());
	let_sealed_go(&then, sum);
	finish(fd, storm.map, SIZE, before);
}

/* A cgroup that has no room for 2 MiB: by 4 KiB, and that is counted; and the charge goes with the pages. */
static void without_memory(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const long dying = dying_cgroups();
	const int fd = huge_create(SIZE);
	char *map = map_shared(fd);
	int status;
	pid_t pid;

	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	MUST(!mkdir(CGROUP, 0755));
	MUST(write_text(CGROUP "/memory.max", "1800K"));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		MUST(write_text(CGROUP "/cgroup.procs", "0"));
		for (unsigned long i = 0; i < 8; i++)
			fill_page(map + i * PAGE, i, 1);
		_exit(!pages_are(map, 0, 8, 1));
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(SINCE(before, large_allocated), 0);
	CHECK(SINCE(before, large_fallbacks) >= 1);
	CHECK(pages_are(map, 0, 8, 1));
	/* With room, and broken: each page gives back what is its. */
	MUST(write_text(CGROUP "/memory.max", "64M"));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		MUST(write_text(CGROUP "/cgroup.procs", "0"));
		fill_pages(map, BLOCK_PAGES, BLOCK_PAGES, 1);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && !status);
	CHECK_EQ(SINCE(before, large_allocated), 1);
	CHECK_EQ(object_punch(fd, BLOCK + PAGE, PAGE), 0);
	CHECK_EQ(SINCE(before, large_broken), 1);
	CHECK(pages_are(map, BLOCK_PAGES + 2, BLOCK_PAGES - 2, 1));
	finish(fd, map, SIZE, before);
	check_cgroup_goes(dying);
}

/* Memory pressure takes it apart, and out. */
static void reclaim_of(bool is_shared)
{
	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	int status, then = -1;
	char *map;
	pid_t pid;

	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	MUST(!mkdir(CGROUP, 0755));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		MUST(write_text(CGROUP "/cgroup.procs", "0"));
		map = map_shared(fd);
		fill_pages(map, 0, 2 * BLOCK_PAGES, 1);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && !status);
	CHECK_EQ(object_stat(fd).large_pages, 2 * BLOCK_PAGES);
	if (is_shared)
		then = snapshot(fd);
	reclaim_all();
	CHECK_EQ(object_stat(fd).large_pages, 0);
	CHECK(SINCE(before, pages_shrunk) > BLOCK_PAGES);
	CHECK(SINCE(before, large_broken) > 0);
	CHECK(layers_are_sound(fd));
	CHECK(file_is(fd, 0, 2 * BLOCK_PAGES, 1));
	close(then);
	close(fd);
	check_returned(before);
	MUST(!rmdir(CGROUP));
}

static void reclaimed(void)
{
	NEED_HUGE();
	reclaim_of(false);
	reclaim_of(true);
}

/* The kernel without them says so; with them it does not know other flags. */
static void flags(void)
{
	const int fd = object_open();
	struct cowmem_create create = {.size = sizeof(create), .flags = COWMEM_CREATE_HUGE};

	if (!has_huge())
		CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CREATE, &create), EOPNOTSUPP);
	create.flags = COWMEM_CREATE_HUGE << 1;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CREATE, &create), EINVAL);
	close(fd);
}

/* Of those that came with large folios. */
static const struct {
	unsigned int number;
	uint32_t size;
} commands[] = {
	{COWMEM_IOC_COLLAPSE, sizeof(struct cowmem_collapse)},
	{COWMEM_IOC_SET_HUGE, sizeof(struct cowmem_set_huge)},
};

/* What is wrong on every kernel; the least that they are asked is right, but for that. */
static void bad_arguments(void)
{
	struct counts before = counts_now();
	const int device = object_open(), fd = object_create(device, "bad"), then = snapshot(fd),
		  null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct cowmem_collapse collapse = {.size = sizeof(collapse), .length = BLOCK};
	union {
		uint32_t words[2]; /* size, flags */
		char bytes[PAGE];
	} argument;

	MUST(null >= 0);
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		memset(&argument, 0, sizeof(argument));
		argument.words[0] = commands[i].size;
		CHECK_ERRNO(ioctl(fd, commands[i].number, NULL), EFAULT);
		CHECK_ERRNO(ioctl(null, commands[i].number, &argument), ENOTTY);
		argument.words[1] = 1;
		CHECK_ERRNO(ioctl(fd, commands[i].number, &argument), EINVAL);
		argument.words[1] = 0;
		argument.words[0] = commands[i].size - 1;
		CHECK_ERRNO(ioctl(fd, commands[i].number, &argument), EINVAL);
		argument.words[0] = commands[i].size + 8;
		argument.bytes[commands[i].size] = 1;
		CHECK_ERRNO(ioctl(fd, commands[i].number, &argument), E2BIG);
	}
	CHECK_ERRNO(ioctl(then, COWMEM_IOC_COLLAPSE, &collapse), EBADF);
	CHECK_ERRNO(object_set_huge(then, COWMEM_HUGE_NEVER), EBADF);
	collapse.length = 0;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_COLLAPSE, &collapse), EINVAL);
	collapse.length = PAGE + 1;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_COLLAPSE, &collapse), EINVAL);
	close(null);
	close(then);
	close(device);
	finish(fd, NULL, SIZE, before);
}

static const struct test_case cases[] = {
	{"what COLLAPSE and SET_HUGE do not take", "", bad_arguments},
	{"who asks for it is told whether there are any", "", flags},
	{"one fault and one entry map 512 pages", "", one_fault},
	{"only what is whole, and a hole, becomes large", "", only_whole_blocks},
	{"halves are protected, dropped, moved and unmapped", "R84", halves},
	{"private mappings and children", "R28", private_and_fork},
	{"a snapshot shares it, and a write copies 4 KiB", "R84", snapshot_and_write},
	{"a write leaves the rest of a block mapped, to read", "R28 R84", written_after_snapshot},
	{"what nobody else sees is written as it is", "", whole_again},
	{"clones of clones", "", clones},
	{"what is punched or cut off is given back", "R85", punched},
	{"what somebody has a reference to stays whole", "", referenced},
	{"small pages beside parts are the snapshot's, too", "", small_beside_parts},
	{"what goes to SNAPSHOT by parts goes whole or not", "", let_go_amid_snapshot},
	{"a SNAPSHOT that fails leaves all as it was", "R85", failed_snapshot},
	{"it is paged out, and comes back", "R84 R85", paged_out},
	{"what is shared is paged out, and comes back", "R84 R85", shared_paged_out},
	{"RMAP and PAGEMAP tell of each page", "", told_of},
	{"COLLAPSE makes one page of 512, with the same bytes", "R86", collapsed},
	{"a read says nothing of stores", "R86", a_read_leaves_it_clean},
	{"a page that somebody has is not collapsed", "R86", pinned_is_not_collapsed},
	{"what is collapsed, and what is not", "R86", what_is_collapsed},
	{"a damaged page is not collapsed", "", poisoned_is_not_collapsed},
	{"COLLAPSE without memory leaves all as it was", "R85", collapse_without_memory},
	{"what cannot be read is not collapsed", "", unreadable_is_not_collapsed},
	{"what mlock() holds, and other objects, collapsed", "", collapsed_elsewhere},
	{"what is collapsed unasked, and what is left", "R86", collapsed_unasked},
	{"what is collapsed unasked stays charged", "", unasked_in_cgroup},
	{"threads that are the first at once take one for all", "", first_stores},
	{"no store is lost while it is collapsed unasked", "", stored_unasked},
	{"what SET_HUGE and madvise() say", "", modes},
	{"what a mount says, and its room", "", mounted},
	{"a poisoned page of it", "", poisoned},
	{"O_DIRECT, and other references of the kernel", "", direct_io},
	{"without memory for it, pages of 4 KiB", "R85", without_memory},
	{"memory pressure", "", reclaimed},
	{"what SNAPSHOT takes of large and small pages, told", "", costs},
	{"SNAPSHOT finds what is in the second of two page tables", "R84", of_two_tables},
	{"threads against all that breaks it", "R28 R84 R85", stormed},
};

int main(void)
{
	count_faults_exactly();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
