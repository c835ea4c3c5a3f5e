// SPDX-License-Identifier: GPL-2.0
/*
 * Snapshots, clones and going back to a snapshot: what is seen where, through mappings,
 * descriptors and the store; what it costs in pages; and that nothing is left.
 */
#include "answers.h"
#include "counts.h"
#include "instant.h"
#include "parameters.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <stdatomic.h>

#define PAGES 64UL

static char *map_all(int fd, int prot)
{
	return object_map(fd, PAGES * PAGE, prot, MAP_SHARED);
}

/* Whether @fd has @generation of every page, as a descriptor says. */
static bool file_is(int fd, unsigned int generation)
{
	char page[PAGE];

	for (unsigned long i = 0; i < PAGES; i++)
		if (pread(fd, page, PAGE, (off_t)(i * PAGE)) != PAGE ||
		    !page_is(page, i, generation))
			return false;
	return true;
}

static bool map_is(const char *map, unsigned int generation)
{
	for (unsigned long i = 0; i < PAGES; i++)
		if (!page_is(map + i * PAGE, i, generation))
			return false;
	return true;
}

static void fill(char *map, unsigned int generation)
{
	for (unsigned long i = 0; i < PAGES; i++)
		fill_page(map + i * PAGE, i, generation);
}

static void snapshot_stays(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE), *seen;

	fill(map, 1);
	then = snapshot(fd);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(object_stat(then).resident_pages, PAGES);
	CHECK_EQ(object_stat(fd).layers, 1);
	seen = map_all(then, PROT_READ);
	CHECK(map_is(map, 1) && map_is(seen, 1) && file_is(then, 1));
	for (unsigned long i = 0; i < PAGES / 2; i++)
		fill_page(map + i * PAGE, i, 2);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES / 2);
	CHECK_EQ(SINCE(before, pages_copied_up), PAGES / 2);
	CHECK(map_is(seen, 1) && file_is(then, 1));
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK(page_is(map + i * PAGE, i, i < PAGES / 2 ? 2 : 1));
	/* By write(), too. */
	for (unsigned long i = PAGES / 2; i < PAGES; i++) {
		char page[PAGE];

		fill_page(page, i, 2);
		CHECK_EQ(pwrite(fd, page, PAGE, (off_t)(i * PAGE)), PAGE);
	}
	CHECK(map_is(map, 2) && file_is(fd, 2));
	CHECK(map_is(seen, 1) && file_is(then, 1));
	munmap(seen, PAGES * PAGE);
	close(then);
	CHECK(map_is(map, 2));
	munmap(map, PAGES * PAGE);
	close(fd);
	check_returned(before);
}

static void snapshot_is_sealed(void)
{
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE), *private;
	struct cowmem_snapshot arg = {.size = sizeof(arg), .__reserved = 1};

	fill(map, 1);
	then = snapshot(fd);
	CHECK_ERRNO(write(then, "x", 1), EBADF);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, then, 0), EACCES);
	CHECK_ERRNO(object_resize(then, 0), EBADF);
	CHECK_ERRNO(object_punch(then, 0, PAGE), EBADF);
	CHECK_ERRNO(restore(then, then), EBADF);
	CHECK_ERRNO(restore(fd, fd), EINVAL);
	CHECK_ERRNO(restore(fd, 0), EINVAL);
	CHECK_ERRNO(restore(fd, -1), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, &arg), EINVAL);
	arg = (struct cowmem_snapshot){.size = sizeof(arg), .flags = COWMEM_SNAPSHOT_LIMIT};
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CLONE, &arg), EINVAL);
	CHECK_EQ(fcntl(then, F_GETFD), FD_CLOEXEC);
	/* A private mapping of it has copies of its own. */
	private = object_map(then, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	fill(private, 5);
	CHECK(map_is(private, 5) && map_is(map, 1) && file_is(then, 1));
	munmap(private, PAGES * PAGE);
	munmap(map, PAGES * PAGE);
	close(fd);
	CHECK(file_is(then, 1));
	close(then);
}

/* Descriptors of the process. */
static int descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void bad_arguments(void)
{
	static const struct {
		unsigned int number;
		uint32_t size, first_size; /* of its struct */
	} commands[] = {
		{COWMEM_IOC_SNAPSHOT, sizeof(struct cowmem_snapshot), COWMEM_SNAPSHOT_SIZE_VER0},
		{COWMEM_IOC_CLONE, sizeof(struct cowmem_snapshot), COWMEM_SNAPSHOT_SIZE_VER0},
		{COWMEM_IOC_RESTORE, sizeof(struct cowmem_restore), COWMEM_RESTORE_SIZE_VER0},
		{COWMEM_IOC_SNAPSHOT_SET, sizeof(struct cowmem_snapshot_set),
	         sizeof(struct cowmem_snapshot_set)},
	};
	struct counts before = counts_now();
	int fd = object_open(), null = open("/dev/null", O_RDWR | O_CLOEXEC), open_before;
	struct cowmem_snapshot *read_only =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *map = map_all(fd, PROT_READ | PROT_WRITE);

	fill(map, 1);
	MUST(null >= 0 && read_only != MAP_FAILED);
	*read_only = (struct cowmem_snapshot){.size = sizeof(*read_only)};
	MUST(!mprotect(read_only, PAGE, PROT_READ));
	open_before = descriptors();
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		const unsigned int number = commands[i].number;
		union {
			struct cowmem_snapshot snapshot;
			struct cowmem_restore restore;
			struct cowmem_snapshot_set set;
			unsigned char bytes[128];
		} arg = {.snapshot.size = 0};

		CHECK_ERRNO(ioctl(null, commands[i].number, &arg), ENOTTY);
		CHECK_ERRNO(ioctl(fd, commands[i].number, NULL), EFAULT);
		for (; arg.snapshot.size < commands[i].first_size; arg.snapshot.size++)
			CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), EINVAL);
		arg.snapshot.size = PAGE + 1;
		CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), E2BIG);
		arg.snapshot.size = sizeof(arg);
		for (size_t at = commands[i].size; at < sizeof(arg); at++) {
			arg.bytes[at] = 1; /* of which the module does not know */
			CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), E2BIG);
			arg.bytes[at] = 0;
		}
		for (int bit = 0; bit < 32; bit++) {
			arg.snapshot.flags = 1U << bit;
			if (number != COWMEM_IOC_SNAPSHOT ||
			    arg.snapshot.flags != COWMEM_SNAPSHOT_LIMIT)
				CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), EINVAL);
		}
		arg.snapshot.flags = 0;
		if (number == COWMEM_IOC_RESTORE)
			arg.restore.__reserved = 1;
		else if (number == COWMEM_IOC_SNAPSHOT_SET)
			arg.set.__reserved = 1;
		else
			arg.snapshot.__reserved = 1;
		CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), EINVAL);
		if (number != COWMEM_IOC_SNAPSHOT && number != COWMEM_IOC_CLONE)
			continue;
		arg.snapshot.__reserved = 0;
		arg.snapshot.max_copies = 1; /* of which no flag says so */
		CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), EINVAL);
	}
	/* The answer cannot be told: there is no descriptor, and nothing is lost. */
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, read_only), EFAULT);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CLONE, read_only), EFAULT);
	CHECK_EQ(descriptors(), open_before);
	CHECK(map_is(map, 1));
	munmap(read_only, PAGE);
	munmap(map, PAGES * PAGE);
	close(null);
	close(fd);
	check_returned(before);
}

static void clones_go_their_own_way(void)
{
	struct counts before = counts_now();
	int fd = object_open(), of_live, of_snapshot, then, third;
	char *map = map_all(fd, PROT_READ | PROT_WRITE), *a, *b;

	fill(map, 1);
	of_live = clone_of(fd);
	then = snapshot(fd);
	of_snapshot = clone_of(then);
	a = map_all(of_live, PROT_READ | PROT_WRITE);
	b = map_all(of_snapshot, PROT_READ | PROT_WRITE);
	CHECK(map_is(a, 1) && map_is(b, 1));
	fill_page(a, 0, 2);
	fill_page(b, 0, 3);
	fill_page(map, 0, 4);
	CHECK(page_is(a, 0, 2) && page_is(b, 0, 3) && page_is(map, 0, 4));
	CHECK(file_is(then, 1));
	CHECK_EQ(SINCE(before, pages_allocated), PAGES + 3);
	/* A clone of a clone, after the first and its source are gone. */
	third = clone_of(of_live);
	munmap(a, PAGES * PAGE);
	close(of_live);
	munmap(map, PAGES * PAGE);
	close(fd);
	close(then);
	a = map_all(third, PROT_READ | PROT_WRITE);
	CHECK(page_is(a, 0, 2) && page_is(a + PAGE, 1, 1) && page_is(b, 0, 3));
	munmap(b, PAGES * PAGE);
	close(of_snapshot);
	CHECK(page_is(a, 0, 2) && page_is(a + 5 * PAGE, 5, 1));
	munmap(a, PAGES * PAGE);
	close(third);
	check_returned(before);
}

static void the_last_takes_over(void)
{
	struct counts before = counts_now(), faults;
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE);

	fill(map, 1);
	then = snapshot(fd);
	CHECK(map_is(map, 1));
	close(then);
	usleep(20000);
	faults = counts_now();
	fill(map, 2);
	/* Who writes one after the other gets the next along: 1, 1 + 2, 1 + 8, 1 + 16, 1 + 31, 2. */
	CHECK_EQ(SINCE(faults, mkwrite), 6);
	CHECK_EQ(SINCE(faults, pages_taken_along), PAGES - 6);
	CHECK_EQ(SINCE(before, pages_copied_up), 0);
	CHECK_EQ(SINCE(before, pages_taken_over), PAGES);
	CHECK_EQ(SINCE(before, pages_allocated), PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES);
	CHECK(map_is(map, 2) && file_is(fd, 2));
	munmap(map, PAGES * PAGE);
	close(fd);
	check_returned(before);
}

/* The same where nothing is mapped: the fault's own look at the page is no reference that keeps it from being taken over. */
static void the_last_takes_over_unmapped(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE);

	fill(map, 1);
	then = snapshot(fd);
	munmap(map, PAGES * PAGE);
	close(then);
	usleep(20000);
	map = map_all(fd, PROT_READ | PROT_WRITE);
	fill(map, 2);
	CHECK_EQ(SINCE(before, pages_copied_up), 0);
	CHECK_EQ(SINCE(before, pages_taken_over), PAGES);
	CHECK_EQ(SINCE(before, pages_allocated), PAGES);
	CHECK(map_is(map, 2) && file_is(fd, 2));
	/* And what is out: it comes back as the object's own. */
	then = snapshot(fd);
	munmap(map, PAGES * PAGE);
	CHECK_EQ(page_out_all(then, PAGES), PAGES);
	close(then);
	usleep(20000);
	map = map_all(fd, PROT_READ | PROT_WRITE);
	fill(map, 3);
	CHECK_EQ(SINCE(before, pages_copied_up), 0);
	CHECK(map_is(map, 3) && file_is(fd, 3));
	munmap(map, PAGES * PAGE);
	close(fd);
	check_returned(before);
}

/* Snapshots that come and go cost what was written between them, not what lies around that. */
static void takes_over_what_is_written(void)
{
	struct counts before = counts_now(), writes;
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE);

	fill(map, 1);
	for (unsigned int generation = 2; generation < 6; generation++) {
		then = snapshot(fd);
		CHECK_EQ(object_stat(fd).resident_pages, 0);
		close(then);
		usleep(20000);
		writes = counts_now();
		for (unsigned long i = 0; i < PAGES; i += 8)
			fill_page(map + i * PAGE, i, generation);
		CHECK_EQ(SINCE(writes, pages_taken_over) + SINCE(writes, pages_copied_up),
		         PAGES / 8);
		CHECK_EQ(SINCE(writes, pages_taken_along), 0);
		CHECK_EQ(object_stat(fd).resident_pages, PAGES / 8);
	}
	munmap(map, PAGES * PAGE);
	close(fd);
	check_returned(before);
}

/* Who has a reference to a snapshot's page goes on seeing what that was. */
static void a_pipe_keeps_what_was(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then, ends[2];
	char *map = map_all(fd, PROT_READ | PROT_WRITE), *seen, page[PAGE];
	struct iovec piece;

	fill(map, 1);
	then = snapshot(fd);
	seen = map_all(then, PROT_READ);
	MUST(!pipe(ends));
	piece = (struct iovec){seen + 3 * PAGE, PAGE};
	CHECK(page_is(seen + 3 * PAGE, 3, 1));
	MUST(vmsplice(ends[1], &piece, 1, 0) == (ssize_t)PAGE);
	munmap(seen, PAGES * PAGE);
	close(then);
	usleep(20000);
	fill(map, 2);
	CHECK_EQ(SINCE(before, pages_taken_over), PAGES - 1);
	CHECK_EQ(SINCE(before, pages_copied_up), 1);
	MUST(read(ends[0], page, PAGE) == (ssize_t)PAGE);
	CHECK(page_is(page, 3, 1) && map_is(map, 2));
	close(ends[0]);
	close(ends[1]);
	munmap(map, PAGES * PAGE);
	close(fd);
	check_returned(before);
}

static void old_layers_go(void)
{
	struct counts before = counts_now();
	int fd = object_open();
	char *map = map_all(fd, PROT_READ | PROT_WRITE);

	fill(map, 1);
	for (unsigned long i = 0; i < 1000; i++) {
		fill_page(map + i % 7 * PAGE, i % 7, 2);
		close(snapshot(fd));
	}
	usleep(20000);
	CHECK_EQ(object_stat(fd).layers, 0);
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK(page_is(map + i * PAGE, i, i < 7 ? 2 : 1));
	munmap(map, PAGES * PAGE);
	close(fd);
	check_returned(before);
}

/* What a snapshot has nothing for is filled when it is read, and nobody's but its own. */
static void holes_of_a_snapshot(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then;
	char *map, *seen;

	MUST(!object_resize(fd, PAGES * PAGE));
	map = map_all(fd, PROT_READ | PROT_WRITE);
	fill_page(map, 0, 1);
	then = snapshot(fd);
	seen = map_all(then, PROT_READ);
	for (unsigned long i = 1; i < PAGES; i++) {
		if (i % 2)
			fill_page(map + i * PAGE, i, 2);
		CHECK_EQ(seen[i * PAGE], 0);
		fill_page(map + i * PAGE, i, 3);
		CHECK_EQ(seen[i * PAGE], 0);
		CHECK(page_is(map + i * PAGE, i, 3));
	}
	munmap(seen, PAGES * PAGE);
	munmap(map, PAGES * PAGE);
	close(then);
	close(fd);
	check_returned(before);
}

static void restored_in_place(void)
{
	struct counts before = counts_now();
	int fd = object_open(), first, second;
	char *map = map_all(fd, PROT_READ | PROT_WRITE);

	fill(map, 1);
	first = snapshot(fd);
	for (unsigned long i = 0; i < 8; i++)
		fill_page(map + i * PAGE, i, 2);
	CHECK_EQ(restore(fd, first), 0);
	CHECK(map_is(map, 1));
	fill_page(map + 3 * PAGE, 3, 2);
	second = snapshot(fd);
	fill_page(map + 4 * PAGE, 4, 3);
	CHECK_EQ(object_punch(fd, 5 * PAGE, PAGE), 0);
	CHECK_EQ(map[5 * PAGE], 0);
	CHECK(file_is(first, 1));
	CHECK_EQ(page_out_all(fd, PAGES) > 0, 1);
	/* Over the second to the first; the second stays what it was. */
	CHECK_EQ(restore(fd, first), 0);
	CHECK(map_is(map, 1) && file_is(fd, 1) && file_is(first, 1));
	/* And forward. */
	CHECK_EQ(restore(fd, second), 0);
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK(page_is(map + i * PAGE, i, i == 3 ? 2 : 1));
	for (unsigned long i = 0; i < PAGES; i++) {
		char page[PAGE];

		CHECK_EQ(pread(second, page, PAGE, (off_t)(i * PAGE)), PAGE);
		CHECK(page_is(page, i, i == 3 ? 2 : 1));
	}
	/* Sizes go back, too. */
	CHECK_EQ(object_resize(fd, 3 * PAGE), 0);
	CHECK_EQ(restore(fd, first), 0);
	CHECK_EQ(object_stat(fd).bytes, PAGES * PAGE);
	CHECK(map_is(map, 1));
	munmap(map, PAGES * PAGE);
	close(second);
	close(first);
	close(fd);
	check_returned(before);
}

static void holes_hide_what_was(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE), zero[PAGE] = {0};

	fill(map, 1);
	then = snapshot(fd);
	CHECK_EQ(object_punch(fd, PAGE, 4 * PAGE), 0);
	CHECK_EQ(lseek(fd, PAGE, SEEK_HOLE), PAGE);
	CHECK_EQ(lseek(fd, PAGE, SEEK_DATA), 5 * PAGE);
	CHECK(!memcmp(map + 2 * PAGE, zero, PAGE));
	CHECK(page_is(map, 0, 1) && page_is(map + 5 * PAGE, 5, 1));
	/* Cut off and grown again is zero, and not what the snapshot has. */
	CHECK_EQ(object_resize(fd, 10 * PAGE + 100), 0);
	CHECK_EQ(object_resize(fd, PAGES * PAGE), 0);
	CHECK(!memcmp(map + 20 * PAGE, zero, PAGE));
	CHECK(!memcmp(map + 10 * PAGE + 100, zero, PAGE - 100));
	CHECK(map[10 * PAGE + 99] != 0 || page_is(map + 9 * PAGE, 9, 1));
	CHECK(file_is(then, 1));
	munmap(map, PAGES * PAGE);
	close(then);
	close(fd);
	check_returned(before);
}

static void stored_once(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then, copy;
	char *map = map_all(fd, PROT_READ | PROT_WRITE), *seen, *other;

	fill(map, 1);
	then = snapshot(fd);
	copy = clone_of(then);
	seen = map_all(then, PROT_READ);
	other = map_all(copy, PROT_READ | PROT_WRITE);
	CHECK(map_is(map, 1) && map_is(seen, 1) && map_is(other, 1));
	/* What relatives see is left alone, but for who has the snapshot itself. */
	CHECK_EQ(page_out_all(fd, PAGES), 0);
	CHECK_EQ(page_out_all(copy, PAGES), 0);
	CHECK_EQ(page_out_all(then, PAGES), PAGES);
	CHECK_EQ(SINCE(before, pages_stored), PAGES);
	CHECK_EQ(object_stat(then).resident_pages, 0);
	/* Brought in once for all. */
	CHECK(map_is(other, 1));
	CHECK_EQ(SINCE(before, pages_brought_in), PAGES);
	CHECK(map_is(map, 1) && map_is(seen, 1));
	CHECK_EQ(SINCE(before, pages_brought_in), PAGES);
	/* Written while it is out: the snapshot's stays out. */
	CHECK_EQ(page_out_all(then, PAGES), PAGES);
	fill(map, 2);
	CHECK_EQ(object_stat(then).resident_pages, 0);
	CHECK(map_is(map, 2) && map_is(seen, 1) && map_is(other, 1));
	munmap(map, PAGES * PAGE);
	munmap(seen, PAGES * PAGE);
	munmap(other, PAGES * PAGE);
	close(fd);
	close(then);
	close(copy);
	check_returned(before);
}

/* Who has a clone is told nothing of what is done to what he shares, and cannot evict it. */
static void relatives_learn_nothing(void)
{
	struct counts before = counts_now();
	struct cowmem_page is[PAGES], was[PAGES];
	int fd = object_open(), then, one, other, of_clone;
	char *map = map_all(fd, PROT_READ | PROT_WRITE), *seen;

	fill(map, 1);
	then = snapshot(fd);
	one = clone_of(then);
	other = clone_of(then);
	MUST(!pagemap_ask(one, 0, 0, PAGES, was));
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK_EQ(was[i].flags, COWMEM_PAGE_SHARED | COWMEM_PAGE_DIRTY);
	/* It is mapped by others, goes out, comes in, and is copied away. */
	seen = map_all(other, PROT_READ | PROT_WRITE);
	CHECK(map_is(seen, 1));
	MUST(!pagemap_ask(one, 0, 0, PAGES, is));
	CHECK(!memcmp(is, was, sizeof(is)));
	CHECK_EQ(page_out_all(one, PAGES), 0);
	CHECK_EQ(page_out_all(then, PAGES), PAGES);
	MUST(!pagemap_ask(one, 0, 0, PAGES, is));
	CHECK(!memcmp(is, was, sizeof(is)));
	CHECK(map_is(seen, 1));
	fill(seen, 2);
	MUST(!pagemap_ask(one, 0, 0, PAGES, is));
	CHECK(!memcmp(is, was, sizeof(is)));
	/* Nor does a snapshot of the clone tell, nor what has to be brought in. */
	of_clone = snapshot(one);
	CHECK_EQ(page_out_all(of_clone, PAGES), 0);
	CHECK_EQ(page_out_all(then, PAGES), PAGES);
	CHECK_EQ(prefetch_ask(one, 0, PAGES), 0);
	CHECK_EQ(page_out_all(then, PAGES), PAGES);
	CHECK_EQ(prefetch_ask(of_clone, 0, PAGES), 0);
	CHECK_EQ(object_stat(then).resident_pages, PAGES);
	MUST(!pagemap_ask(of_clone, 0, 0, PAGES, is));
	CHECK(!memcmp(is, was, sizeof(is)));
	CHECK_EQ(object_stat(of_clone).resident_pages, 0);
	CHECK_EQ(object_stat(of_clone).shared_pages, 0);
	CHECK_EQ(store_stat(of_clone).slots, 0);
	close(of_clone);
	/* What his own mappings say he may know. */
	munmap(seen, PAGES * PAGE);
	seen = map_all(one, PROT_READ);
	CHECK(map_is(seen, 1));
	MUST(!pagemap_ask(one, 0, 0, PAGES, is));
	CHECK(is[0].flags & COWMEM_PAGE_RESIDENT && is[0].mapcount == 1);
	munmap(seen, PAGES * PAGE);
	munmap(map, PAGES * PAGE);
	close(other);
	close(one);
	close(then);
	close(fd);
	check_returned(before);
}

/* --- one instant --- */
static void one_instant(void)
{
	struct counts before = counts_now();
	int fd = object_open();
	char *map = map_all(fd, PROT_READ | PROT_WRITE);
	struct pair pairs[2] = {
		{(void *)map, (void *)(map + (PAGES - 1) * PAGE)},
		{(void *)(map + (PAGES - 2) * PAGE), (void *)(map + PAGE)},
	};
	pthread_t threads[2];
	uint64_t moved = 0, last = 0;

	fill(map, 1);
	for (int i = 0; i < 2; i++) {
		*pairs[i].first = *pairs[i].second = 0;
		MUST(!pthread_create(&threads[i], NULL, keep_in_step, &pairs[i]));
	}
	for (int round = 0; round < 200; round++) {
		int then = snapshot(fd);

		for (int i = 0; i < 2; i++) {
			uint64_t first, second;

			MUST(pread(then, &first, 8, (char *)pairs[i].first - map) == 8);
			MUST(pread(then, &second, 8, (char *)pairs[i].second - map) == 8);
			if (first - second > 1)
				ksft_print_msg("pair %d: %lu, %lu\n", i, (long)first, (long)second);
			CHECK(first - second <= 1);
			moved += i == 0 && first != last;
			if (i == 0)
				last = first;
		}
		close(then);
		usleep(500);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		MUST(!pthread_join(threads[i], NULL));
	CHECK(moved > 20);
	CHECK(object_stat(fd).layers <= 4);
	munmap(map, PAGES * PAGE);
	close(fd);
	check_returned(before);
}

/* --- a model --- */
enum { OBJECTS = 6, MODEL_PAGES = 24, DEEDS = 6000 };
enum { EACH_CHECKED = 200 }; /* a debug kernel takes a while to look at all layers */

static struct model {
	int fd;
	unsigned char *map;
	bool sealed, of_clone;
	uint16_t value[MODEL_PAGES];
	/* Which page of memory, or of the store, is seen there; 0: a hole. */
	unsigned int page[MODEL_PAGES];
} model[OBJECTS];

static unsigned int model_random = 11, model_pages;

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand_r(&model_random) % n;
}

static void model_drop(int i)
{
	munmap(model[i].map, MODEL_PAGES * PAGE);
	close(model[i].fd);
	model[i].fd = -1;
}

static void model_map(int i)
{
	model[i].map = (unsigned char *)object_map(model[i].fd, MODEL_PAGES * PAGE,
	                                           PROT_READ | (model[i].sealed ? 0 : PROT_WRITE),
	                                           MAP_SHARED);
}

/* Both ends of a page, so that a torn one is seen. */
static bool model_page_is(int i, unsigned int page)
{
	uint16_t ends[2];

	if (below(2)) {
		if (!model[i].page[page]) /* a hole that is read through a mapping is filled */
			model[i].page[page] = ++model_pages;
		memcpy(&ends[0], model[i].map + page * PAGE, 2);
		memcpy(&ends[1], model[i].map + page * PAGE + PAGE - 2, 2);
	} else {
		MUST(pread(model[i].fd, &ends[0], 2, (off_t)(page * PAGE)) == 2);
		MUST(pread(model[i].fd, &ends[1], 2, (off_t)(page * PAGE + PAGE - 2)) == 2);
	}
	return ends[0] == model[i].value[page] && ends[1] == model[i].value[page];
}

static void model_write(int i, unsigned int page, uint16_t value)
{
	if (below(2)) {
		memcpy(model[i].map + page * PAGE, &value, 2);
		memcpy(model[i].map + page * PAGE + PAGE - 2, &value, 2);
	} else {
		MUST(pwrite(model[i].fd, &value, 2, (off_t)(page * PAGE)) == 2);
		MUST(pwrite(model[i].fd, &value, 2, (off_t)(page * PAGE + PAGE - 2)) == 2);
	}
	model[i].value[page] = value;
	model[i].page[page] = ++model_pages;
}

static void model_relative(int i, bool seal)
{
	int to = 0;

	while (to < OBJECTS && model[to].fd >= 0)
		to++;
	if (to == OBJECTS)
		return;
	model[to] = model[i];
	model[to].fd = seal ? snapshot(model[i].fd) : clone_of(model[i].fd);
	model[to].sealed = seal;
	model[to].of_clone = !seal || model[i].of_clone;
	model_map(to);
}

/* Which object it was that something was done to, or had been. */
static int model_step(unsigned int deed)
{
	int i = (int)below(OBJECTS);
	unsigned int page = below(MODEL_PAGES), count = 1 + below(MODEL_PAGES - page);
	struct cowmem_page_out out;

	if (model[i].fd < 0)
		return i;
	switch (below(16)) {
	case 0:
		model_relative(i, true);
		break;
	case 1:
		model_relative(i, false);
		break;
	case 2: {
		int alive = 0;

		for (int j = 0; j < OBJECTS; j++)
			alive += model[j].fd >= 0;
		/* The first one stays, so that there are snapshots that oversee. */
		if (alive > 2 && i)
			model_drop(i);
		break;
	}
	case 3:
		for (int j = 0; j < OBJECTS && !model[i].sealed; j++)
			if (model[j].fd >= 0 && model[j].sealed && below(2)) {
				int error = restore(model[i].fd, model[j].fd) ? errno : 0;

				CHECK(!error);
				memcpy(model[i].value, model[j].value, sizeof(model[i].value));
				memcpy(model[i].page, model[j].page, sizeof(model[i].page));
				break;
			}
		break;
	case 4:
	case 5:
		if (!model[i].sealed || below(2))
			MUST(!page_out_ask(model[i].fd, &out, COWMEM_PAGE_OUT_ACCESSED, page,
			                   count));
		break;
	case 6:
		if (model[i].sealed || below(2)) {
			MUST(prefetch_ask(model[i].fd, page, count) >= 0);
			break;
		}
		MUST(prefetch_to_write_ask(model[i].fd, page, count) >= 0);
		for (unsigned int p = page; p < page + count; p++)
			model[i].page[p] = ++model_pages; /* which nobody else has */
		break;
	case 7:
		if (model[i].sealed)
			break;
		MUST(!object_punch(model[i].fd, page * PAGE, count * PAGE));
		memset(&model[i].value[page], 0, count * sizeof(model[i].value[0]));
		memset(&model[i].page[page], 0, count * sizeof(model[i].page[0]));
		break;
	case 8:
	case 9:
		for (unsigned int p = page; p < page + count; p++)
			CHECK(model_page_is(i, p));
		break;
	default:
		if (!model[i].sealed)
			model_write(i, page, (uint16_t)(deed + 1));
		break;
	}
	return i;
}

/* The pages that somebody sees, each once. */
static unsigned long model_seen(void)
{
	unsigned int pages[OBJECTS * MODEL_PAGES];
	unsigned long seen = 0;

	for (int i = 0; i < OBJECTS; i++)
		for (unsigned int p = 0; p < MODEL_PAGES && model[i].fd >= 0; p++) {
			const unsigned int page = model[i].page[p];
			unsigned long n = 0;

			while (n < seen && pages[n] != page)
				n++;
			if (page && n == seen)
				pages[seen++] = page;
		}
	return seen;
}

/* What STAT tells of the memory of all of them; false: there is no snapshot to ask that oversees. */
static bool model_told(unsigned long *pages)
{
	bool shared = false;

	*pages = 0;
	for (int i = 0; i < OBJECTS; i++) {
		if (model[i].fd < 0)
			continue;

		const struct cowmem_stat stat = object_stat(model[i].fd);

		if (!model[i].sealed)
			*pages += stat.resident_pages;
		else if (!shared && !model[i].of_clone)
			*pages += stat.shared_pages;
		if (model[i].sealed && !model[i].of_clone) {
			shared = true;
			CHECK(stat.resident_pages <= stat.shared_pages);
		} else {
			CHECK_EQ(stat.shared_pages, 0);
		}
	}
	return shared;
}

/* Memory is what somebody sees, also while some of it is out, and STAT tells how much. */
static void model_memory(struct counts before)
{
	unsigned long told;

#define TAKEN (SINCE(before, pages_allocated) - SINCE(before, pages_freed))
	if (model_told(&told))
		CHECK_EQ(told, TAKEN);
	CHECK(TAKEN <= model_seen());
	for (int i = 0; i < OBJECTS; i++)
		if (model[i].fd >= 0)
			MUST(prefetch_ask(model[i].fd, 0, MODEL_PAGES) >= 0);
	CHECK_EQ(TAKEN, model_seen());
	if (model_told(&told))
		CHECK_EQ(told, TAKEN);
#undef TAKEN
}

static void as_the_model_says(void)
{
	struct counts before = counts_now();
	const unsigned int deeds = debug_kernel() ? DEEDS / 2 : DEEDS;
	unsigned long layers = 0;
	int changed;

	for (int i = 0; i < OBJECTS; i++)
		model[i].fd = -1;
	model[0] = (struct model){.fd = object_open_small()}; /* as its clones then */
	MUST(!object_resize(model[0].fd, MODEL_PAGES * PAGE));
	model_map(0);
	for (unsigned int deed = 0; deed < deeds && !test_failed; deed++) {
		changed = model_step(deed);
		if (model[changed].fd >= 0 && (deed < EACH_CHECKED || deed % 20 == 0))
			CHECK(layers_are_sound(model[changed].fd));
		if (deed % 20 == 0)
			model_memory(before);
		for (int i = 0; i < OBJECTS && deed % 20 == 0; i++)
			for (unsigned int p = 0; p < MODEL_PAGES && model[i].fd >= 0; p++)
				CHECK(model_page_is(i, p));
		for (int i = 0; i < OBJECTS; i++)
			if (model[i].fd >= 0 && object_stat(model[i].fd).layers > layers)
				layers = object_stat(model[i].fd).layers;
	}
	ksft_print_msg("%lu layers at most, %lu snapshots, %lu clones, %lu restored, "
	               "%lu copied, %lu taken over\n",
	               layers, SINCE(before, snapshots), SINCE(before, clones),
	               SINCE(before, restores), SINCE(before, pages_copied_up),
	               SINCE(before, pages_taken_over));
	CHECK(SINCE(before, restores) > 20);
	CHECK(SINCE(before, pages_copied_up) > 100 && SINCE(before, pages_taken_over) > 20);
	for (int i = 0; i < OBJECTS; i++)
		if (model[i].fd >= 0)
			model_drop(i);
	check_returned(before);
}

/* --- two sides that are rewritten --- */

/* One word of each page: what is taken is looked at, not what is written. */
static void rewrite(int fd, unsigned long pages, uint64_t word)
{
	char *map = object_map(fd, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (unsigned long i = 0; i < pages; i++)
		*(volatile uint64_t *)(map + i * PAGE) = word;
	munmap(map, pages * PAGE);
}

/* 32 MiB, and as much again for a clone: what neither sees any more is not kept. */
static void two_sides_are_rewritten(void)
{
	const unsigned long pages = fewer_if_debug(8192);
	struct counts before = counts_now();
	const int fd = object_open();
	int clone;

	rewrite(fd, pages, 1);
	clone = clone_of(fd);
	CHECK_EQ(SINCE(before, pages_allocated) - SINCE(before, pages_freed), pages);
	rewrite(fd, pages, 2);
	rewrite(clone, pages, 3);
	CHECK_EQ(SINCE(before, pages_allocated) - SINCE(before, pages_freed), 2 * pages);
	CHECK_EQ(object_stat(fd).resident_pages, pages);
	CHECK_EQ(object_stat(clone).resident_pages, pages);
	close(fd);
	close(clone);
	check_returned(before);
}

/* Each the clone of the one before, which is closed then. */
static void generations_come_and_go(void)
{
	const unsigned long pages = fewer_if_debug(4096);
	struct counts before = counts_now();
	int fd = object_open();

	rewrite(fd, pages, 1);
	for (uint64_t generation = 0; generation < 5; generation++) {
		const int clone = clone_of(fd);

		/* A half of the older one's is seen by both. */
		rewrite(fd, pages / 2, 2 * generation + 2);
		rewrite(clone, pages / 2, 2 * generation + 3);
		CHECK_EQ(SINCE(before, pages_allocated) - SINCE(before, pages_freed),
		         pages + pages / 2);
		rewrite(clone, pages, 2 * generation + 3);
		CHECK_EQ(SINCE(before, pages_allocated) - SINCE(before, pages_freed), 2 * pages);
		close(fd);
		CHECK_EQ(SINCE(before, pages_allocated) - SINCE(before, pages_freed), pages);
		fd = clone;
	}
	CHECK_EQ(object_stat(fd).resident_pages, pages);
	close(fd);
	check_returned(before);
}

static void the_same_by_the_locked_path(void)
{
	set_speculation(false);
	as_the_model_says();
	set_speculation(true);
}

/* A large file is one also where the kernel makes it: at 2 GiB, across that, and beyond. */
static void clones_are_large_files(void)
{
	const off_t limit = 1LL << 31;
	int fd = object_open(), clone, memory = memfd_create("source", MFD_CLOEXEC);
	char page[PAGE] = {1};

	MUST(memory >= 0 && write(memory, page, PAGE) == (ssize_t)PAGE);
	CHECK_EQ(pwrite(fd, "x", 1, limit), 1);
	clone = clone_of(fd);
	CHECK_EQ(pwrite(clone, "a", 1, limit), 1);
	CHECK_EQ(pwrite(clone, "abcd", 4, limit - 2), 4);
	CHECK_EQ(pwrite(clone, "y", 1, limit + (off_t)PAGE), 1);
	CHECK_EQ(lseek(clone, limit, SEEK_SET), limit);
	CHECK_EQ(lseek(memory, 0, SEEK_SET), 0);
	CHECK_EQ(sendfile(clone, memory, NULL, PAGE), PAGE);
	CHECK_EQ(pread(clone, page, 1, limit), 1);
	CHECK_EQ(page[0], 1);
	CHECK_EQ(pread(fd, page, 1, limit), 1);
	CHECK_EQ(page[0], 'x');
	close(memory);
	close(clone);
	close(fd);
}

static int resize_and_grow(int fd, uint64_t bytes)
{
	struct cowmem_resize arg = {
		.size = sizeof(arg), .flags = COWMEM_RESIZE_GROWS, .bytes = bytes};

	return ioctl(fd, COWMEM_IOC_RESIZE, &arg);
}

static uint64_t store_limit_of(int fd)
{
	struct cowmem_store_stat stat = {.size = sizeof(stat)};

	MUST(!ioctl(fd, COWMEM_IOC_STORE_STAT, &stat));
	return stat.max_slots;
}

/* All that an object is besides its pages goes along. */
static void settings_go_along(void)
{
	struct cowmem_store_limit limit = {.size = sizeof(limit), .max_slots = 7};
	int fd = object_open(), then, clone;
	char *private;

	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	MUST(!ioctl(fd, COWMEM_IOC_STORE_LIMIT, &limit));
	then = snapshot(fd);
	CHECK_EQ(object_stat(then).state, COWMEM_STATE_FIXED_SIZE | COWMEM_STATE_FROZEN);
	CHECK_EQ(object_stat(then).max_copies, ~0ULL);
	CHECK_EQ(store_limit_of(then), 7);
	/* A clone grows, as what it came from does, and is limited as that is. */
	clone = clone_of(then);
	CHECK_EQ(store_limit_of(clone), 7);
	CHECK_EQ(object_stat(clone).state, 0);
	CHECK_EQ(pwrite(clone, "y", 1, (off_t)PAGE), 1);
	CHECK_EQ(object_stat(clone).bytes, PAGE + 1);
	close(clone);
	/* Fixed and limited otherwise, it is as it was after RESTORE. Private copies stay. */
	private = object_map(fd, 10 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	private[5 * PAGE] = 7;
	limit.max_slots = 9;
	MUST(!object_resize(fd, 20 * PAGE) && !ioctl(fd, COWMEM_IOC_STORE_LIMIT, &limit));
	CHECK_EQ(object_stat(fd).state, COWMEM_STATE_FIXED_SIZE);
	CHECK_ERRNO(pwrite(fd, "x", 1, (off_t)(20 * PAGE)), ENOSPC);
	CHECK_EQ(restore(fd, then), 0);
	CHECK_EQ(object_stat(fd).bytes, 1);
	CHECK_EQ(object_stat(fd).state, 0);
	CHECK_EQ(store_limit_of(fd), 7);
	CHECK_EQ(private[5 * PAGE], 7);
	CHECK_EQ(pwrite(fd, "x", 1, (off_t)(20 * PAGE)), 1);
	CHECK_EQ(object_stat(fd).bytes, 20 * PAGE + 1);
	close(then);
	/* The other way round: a snapshot of a fixed one fixes it again, and so are its clones. */
	MUST(!object_resize(fd, 3 * PAGE));
	then = snapshot(fd);
	CHECK_EQ(resize_and_grow(fd, 2 * PAGE), 0);
	CHECK_EQ(object_stat(fd).bytes, 2 * PAGE);
	CHECK_EQ(object_stat(fd).state, 0);
	CHECK_EQ(pwrite(fd, "x", 1, (off_t)(4 * PAGE)), 1);
	CHECK_EQ(restore(fd, then), 0);
	CHECK_EQ(object_stat(fd).bytes, 3 * PAGE);
	CHECK_EQ(object_stat(fd).state, COWMEM_STATE_FIXED_SIZE);
	clone = clone_of(then);
	CHECK_ERRNO(pwrite(clone, "x", 1, (off_t)(3 * PAGE)), ENOSPC);
	munmap(private, 10 * PAGE);
	close(clone);
	close(then);
	close(fd);
}

/* What is frozen is paged out within the limit that it was frozen with, whatever the object's is by now. */
static void the_store_limit_holds_for_what_is_frozen(void)
{
	struct counts before = counts_now();
	struct cowmem_store_limit limit = {.size = sizeof(limit), .max_slots = 3};
	struct cowmem_page_out out;
	int fd = object_open(), then, clone;
	char *map = map_all(fd, PROT_READ | PROT_WRITE);

	fill(map, 1);
	MUST(!ioctl(fd, COWMEM_IOC_STORE_LIMIT, &limit));
	then = snapshot(fd);
	clone = clone_of(then);
	limit.max_slots = ~0ULL;
	MUST(!ioctl(fd, COWMEM_IOC_STORE_LIMIT, &limit));
	MUST(!page_out_ask(then, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(out.out, 3);
	CHECK_EQ(out.full, PAGES - 3);
	CHECK_EQ(store_stat(then).slots, 3);
	/* The object's own pages follow its own. */
	fill(map, 2);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(store_stat(fd).slots, PAGES);
	CHECK_EQ(store_stat(then).slots, 3);
	munmap(map, PAGES * PAGE);
	/* Those of a clone follow the snapshot's. */
	map = map_all(clone, PROT_READ | PROT_WRITE);
	fill(map, 3);
	MUST(!page_out_ask(clone, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(store_stat(clone).slots, 3);
	CHECK(map_is(map, 3) && file_is(then, 1) && file_is(fd, 2));
	munmap(map, PAGES * PAGE);
	close(clone);
	close(then);
	close(fd);
	check_returned(before);
}

/* More than is hidden with the lock held once, by an object that has some pages for itself. */
static void much_is_punched(void)
{
	enum { MANY = 1500 };
	struct counts before = counts_now();
	int fd = object_open(), then;
	char *map = object_map(fd, MANY * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), page[PAGE];
	struct cowmem_punch punch = {
		.size = sizeof(punch), .offset = PAGE, .length = (MANY - 2) * PAGE};

	for (unsigned long i = 0; i < MANY; i++)
		fill_page(map + i * PAGE, i, 1);
	then = snapshot(fd);
	for (unsigned long i = 0; i < MANY; i += 7)
		fill_page(map + i * PAGE, i, 2);
	MUST(!ioctl(fd, COWMEM_IOC_PUNCH, &punch));
	CHECK_EQ(punch.next, (MANY - 1) * PAGE);
	CHECK_EQ(object_stat(fd).resident_pages, 1);
	CHECK_EQ(object_stat(then).copies, MANY - 1);
	CHECK(page_is(map, 0, 2) && page_is(map + (MANY - 1) * PAGE, MANY - 1, 1));
	for (unsigned long i = 1; i < MANY - 1; i++)
		CHECK(!map[i * PAGE] && !memcmp(map + i * PAGE, map + i * PAGE + 1, PAGE - 1));
	for (unsigned long i = 0; i < MANY; i++)
		CHECK(pread(then, page, PAGE, (off_t)(i * PAGE)) == PAGE && page_is(page, i, 1));
	CHECK(layers_are_sound(fd));
	munmap(map, MANY * PAGE);
	close(then);
	close(fd);
	check_returned(before);
}

/* Who is killed in a PUNCH leaves it where it is: what lies before that is punched, and the rest is not. */
static void a_long_punch_can_be_killed(void)
{
	enum { MANY = 8192, ROUNDS = 50 };
	struct counts before = counts_now();
	uint64_t punched = MANY;

	/* It may be done before the signal comes. */
	for (int round = 0; round < ROUNDS && punched == MANY; round++) {
		int fd = object_open_small(), then; /* which takes longer */
		char *map = object_map(fd, MANY * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		pid_t child;

		for (uint64_t i = 0; i < MANY; i++)
			map[i * PAGE] = 1;
		then = snapshot(fd);
		child = fork();
		MUST(child >= 0);
		if (!child)
			_exit(object_punch(fd, 0, MANY * PAGE) ? 1 : 0);
		while (!object_stat(then).copies)
			;
		MUST(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
		punched = object_stat(then).copies;
		for (uint64_t i = 0; i < MANY; i++)
			CHECK_EQ(map[i * PAGE], i >= punched);
		CHECK(layers_are_sound(fd));
		munmap(map, MANY * PAGE);
		close(then);
		close(fd);
	}
	CHECK(punched < MANY);
	check_returned(before);
}

/* The same for RESIZE, which goes from the old end to the new one: the size says how far it came. */
static void a_long_resize_can_be_killed(void)
{
	enum { MANY = 16384, ROUNDS = 50 };
	struct counts before = counts_now();
	uint64_t left = 0;

	/* It may be done before the signal comes. */
	for (int round = 0; round < ROUNDS && !left; round++) {
		int fd = object_open(), then;
		char *map = object_map(fd, MANY * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		pid_t child;

		for (uint64_t i = 0; i < MANY; i++)
			map[i * PAGE] = 1;
		then = snapshot(fd);
		for (uint64_t i = 0; i < MANY; i += 2)
			map[i * PAGE] = 2;
		child = fork();
		MUST(child >= 0);
		if (!child)
			_exit(object_resize(fd, PAGE) ? 1 : 0);
		while (object_stat(fd).bytes == MANY * PAGE)
			;
		MUST(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
		left = object_stat(fd).bytes / PAGE - 1;
		CHECK_EQ(object_stat(fd).bytes % PAGE, 0);
		for (uint64_t i = 0; i <= left; i++)
			CHECK_EQ(map[i * PAGE], 2 - i % 2);
		CHECK_EQ(object_stat(fd).resident_pages, left / 2 + 1);
		CHECK(layers_are_sound(fd));
		/* What was cut off does not come back. */
		MUST(!object_resize(fd, MANY * PAGE));
		for (uint64_t i = left + 1; i < MANY; i++)
			CHECK_EQ(map[i * PAGE], 0);
		munmap(map, MANY * PAGE);
		close(then);
		close(fd);
	}
	CHECK(left > 0);
	check_returned(before);
}

/* What a process writes, once all of them are there. */
struct writer {
	atomic_int *ready;
	int of;
	char *map;
	uint64_t pages;
};

static void write_with_the_others(const struct writer *w)
{
	atomic_fetch_add(w->ready, 1);
	while (atomic_load(w->ready) < w->of)
		;
	for (uint64_t i = 0; i < w->pages; i += 4)
		w->map[i * PAGE] = 2;
}

/* Nobody had to wait for a lock since, nor was an object's lock held alone. */
static void check_nobody_waited(struct counts before)
{
	CHECK_EQ(SINCE(before, object_locked_alone), 0);
	CHECK_EQ(SINCE(before, object_lock_waits), 0);
	CHECK_EQ(SINCE(before, spinlock_waits), 0);
	CHECK_EQ(SINCE(before, page_lock_waits), 0);
}

/* Processes write, all at once, each its clone of one snapshot. */
static void relatives_wait_for_no_relative(void)
{
	enum { WRITERS = 4, MIBS = 4 };
	const uint64_t pages = MIBS * (1 << 20) / PAGE;
	struct counts before = counts_now(), running;
	int fd = object_open(), clones[WRITERS], then;
	char *map = object_map(fd, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct writer w[WRITERS];
	pid_t child[WRITERS];
	atomic_int *ready =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(ready != MAP_FAILED);
	for (uint64_t i = 0; i < pages; i++)
		map[i * PAGE] = 1;
	then = snapshot(fd);
	for (int i = 0; i < WRITERS; i++) {
		clones[i] = clone_of(then);
		w[i] = (struct writer){.ready = ready,
		                       .of = WRITERS,
		                       .pages = pages,
		                       .map = object_map(clones[i], pages * PAGE,
		                                         PROT_READ | PROT_WRITE, MAP_SHARED)};
	}
	running = counts_now();
	for (int i = 0; i < WRITERS; i++) {
		child[i] = fork();
		MUST(child[i] >= 0);
		if (!child[i]) {
			write_with_the_others(&w[i]);
			_exit(0);
		}
	}
	for (int i = 0; i < WRITERS; i++) {
		int status;

		MUST(waitpid(child[i], &status, 0) == child[i]);
		CHECK_EQ(status, 0);
	}
	CHECK_EQ(SINCE(running, pages_copied_up), WRITERS * pages / 4);
	check_nobody_waited(running);
	for (int i = 0; i < WRITERS; i++) {
		for (uint64_t p = 0; p < pages; p++)
			CHECK_EQ(w[i].map[p * PAGE], p % 4 ? 1 : 2);
		munmap(w[i].map, pages * PAGE);
		close(clones[i]);
	}
	munmap(ready, PAGE);
	munmap(map, pages * PAGE);
	close(then);
	close(fd);
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"a snapshot stays as it was", "", snapshot_stays},
		{"a snapshot cannot be written", "", snapshot_is_sealed},
		{"bad arguments are refused", "", bad_arguments},
		{"relatives learn nothing of each other", "", relatives_learn_nothing},
		{"clones go their own way", "", clones_go_their_own_way},
		{"who writes waits for no relative", "", relatives_wait_for_no_relative},
		{"the last to see a page gets it without a copy", "", the_last_takes_over},
		{"also where nothing is mapped", "", the_last_takes_over_unmapped},
		{"who writes here and there takes over no more than that", "",
	         takes_over_what_is_written},
		{"who has a reference goes on seeing what was", "", a_pipe_keeps_what_was},
		{"layers that nobody needs go", "", old_layers_go},
		{"a snapshot's holes are its own", "", holes_of_a_snapshot},
		{"restored in place", "", restored_in_place},
		{"holes and cuts hide what the snapshot has", "", holes_hide_what_was},
		{"what is shared is stored once, and brought in once", "", stored_once},
		{"a snapshot is of one instant", "", one_instant},
		{"two sides are rewritten, and keep nothing else", "", two_sides_are_rewritten},
		{"generations of clones keep what the last one sees", "", generations_come_and_go},
		{"everything as a model says", "", as_the_model_says},
		{"the same by the locked path", "", the_same_by_the_locked_path},
		{"clones can be written beyond 2 GiB", "", clones_are_large_files},
		{"size, growth and store limit go along, and come back", "", settings_go_along},
		{"the store limit holds for what is frozen", "",
	         the_store_limit_holds_for_what_is_frozen},
		{"a large range of what a snapshot has is punched", "", much_is_punched},
		{"a long PUNCH can be killed", "", a_long_punch_can_be_killed},
		{"a long RESIZE can be killed", "", a_long_resize_can_be_killed},
	};

	return run_tests(cases, ARRAY_LENGTH(cases));
}
