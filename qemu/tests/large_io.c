// SPDX-License-Identifier: GPL-2.0
/* Pages of 2 MiB that write() and fallocate() take, of objects that take these always: where, and what is left when these fail. */
#include "cgroup.h"
#include "counts.h"
#include "huge.h"
#include "parameters.h"
#include "relatives.h"
#include "store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#define SIZE (2 * BLOCK)
#define WHERE "/tmp/large_io"

static unsigned long large_of(int fd)
{
	return object_stat(fd).large_pages;
}

/* Anonymous memory of @bytes, with pages as fill_pages() has them. */
static char *bytes_of(unsigned long bytes)
{
	char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(map != MAP_FAILED);
	fill_pages(map, 0, bytes / PAGE, 1);
	return map;
}

static void whole_blocks(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(SIZE);
	char *from = bytes_of(SIZE), *map;

	CHECK_EQ(pwrite(fd, from, SIZE, 0), SIZE);
	CHECK_EQ(SINCE(before, large_allocated), 2);
	CHECK_EQ(SINCE(before, pages_allocated), 2 * BLOCK_PAGES);
	CHECK_EQ(large_of(fd), 2 * BLOCK_PAGES);
	CHECK(file_is(fd, 0, 2 * BLOCK_PAGES, 1));
	map = object_map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(pages_are(map, 0, 2 * BLOCK_PAGES, 1));
	CHECK_EQ(pmd_mapped(map), SIZE / 1024);

	/* What is there is written, and nothing is taken. */
	fill_pages(from, 0, BLOCK_PAGES, 2);
	CHECK_EQ(pwrite(fd, from, BLOCK, 0), BLOCK);
	CHECK_EQ(SINCE(before, pages_allocated), 2 * BLOCK_PAGES);
	CHECK(pages_are(map, 0, BLOCK_PAGES, 2) && pages_are(map, BLOCK_PAGES, BLOCK_PAGES, 1));
	munmap(from, SIZE);
	finish(fd, map, SIZE, before);
}

/* Writes @bytes of @from at @offset of a new object: how much of it is large then. Nothing is in it but these bytes. */
static unsigned long large_behind(const char *from, unsigned long bytes, unsigned long offset)
{
	struct counts before = counts_now();
	const int fd = huge_create(2 * SIZE);
	unsigned long large;

	CHECK_EQ(pwrite(fd, from, bytes, (off_t)offset), bytes);
	large = large_of(fd);
	CHECK_EQ(object_stat(fd).resident_pages,
	         (offset + bytes + PAGE - 1) / PAGE - offset / PAGE);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), offset / PAGE * PAGE);
	CHECK_EQ(lseek(fd, (off_t)offset, SEEK_HOLE), (offset + bytes + PAGE - 1) / PAGE * PAGE);
	finish(fd, NULL, 0, before);
	return large;
}

static void parts_of_blocks(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	char *from = bytes_of(SIZE);
	int fd;

	CHECK_EQ(large_behind(from, BLOCK - PAGE, 0), 0);
	CHECK_EQ(large_behind(from, BLOCK - 1, BLOCK), 0);
	CHECK_EQ(large_behind(from, BLOCK, PAGE), 0);
	CHECK_EQ(large_behind(from, BLOCK, 1), 0);
	CHECK_EQ(large_behind(from, SIZE, BLOCK / 2), BLOCK_PAGES);
	CHECK_EQ(large_behind(from, BLOCK + 1, BLOCK), BLOCK_PAGES);

	/* One page is there, or the object ends within the block. */
	fd = huge_create(SIZE);
	CHECK_EQ(pwrite(fd, "x", 1, (off_t)(BLOCK - 1)), 1);
	CHECK_EQ(pwrite(fd, from, BLOCK, 0), BLOCK);
	CHECK_EQ(large_of(fd), 0);
	CHECK(file_is(fd, 0, BLOCK_PAGES, 1));
	finish(fd, NULL, 0, before);
	fd = huge_create(0);
	MUST(!object_resize(fd, SIZE - 1));
	CHECK_EQ(pwrite(fd, from, SIZE, 0), SIZE - 1);
	CHECK_EQ(large_of(fd), BLOCK_PAGES);
	CHECK(file_is(fd, 0, 2 * BLOCK_PAGES - 1, 1));
	finish(fd, NULL, 0, before);

	/* An object that does not take these always, and a kernel that is told so. */
	fd = huge_create(SIZE);
	MUST(!object_set_huge(fd, COWMEM_HUGE_ADVISE));
	CHECK_EQ(pwrite(fd, from, BLOCK, 0), BLOCK);
	MUST(!object_set_huge(fd, COWMEM_HUGE_ALWAYS));
	parameter_set("huge_sizes", "65536");
	CHECK_EQ(pwrite(fd, from, BLOCK, (off_t)BLOCK), BLOCK);
	parameter_set("huge_sizes", "2162688");
	CHECK_EQ(large_of(fd), 0);
	munmap(from, SIZE);
	finish(fd, NULL, 0, before);
}

static void what_grows(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(0);
	char *from = bytes_of(SIZE + PAGE);

	CHECK_EQ(write(fd, from, SIZE + 5), SIZE + 5);
	CHECK_EQ(object_stat(fd).bytes, SIZE + 5);
	CHECK_EQ(large_of(fd), 2 * BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, 2 * BLOCK_PAGES + 1);
	CHECK(file_is(fd, 0, 2 * BLOCK_PAGES, 1));
	munmap(from, SIZE + PAGE);
	finish(fd, NULL, 0, before);
}

/* Bytes that cannot be read from the start have nothing taken for them. */
static void unreadable(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	char *from = bytes_of(BLOCK);

	MUST(!mprotect(from + BLOCK / 2, BLOCK / 2, PROT_NONE));
	for (int grows = 0; grows <= 1; grows++) {
		const int fd = huge_create(0);

		MUST(grows || !object_resize(fd, SIZE));
		CHECK_EQ(pwrite(fd, from, BLOCK, 0), BLOCK / 2);
		CHECK_EQ(object_stat(fd).resident_pages, BLOCK_PAGES / 2);
		CHECK_EQ(object_stat(fd).bytes, grows ? BLOCK / 2 : SIZE);
		CHECK_EQ(SINCE(before, large_allocated), 0);
		CHECK(file_is(fd, 0, BLOCK_PAGES / 2, 1));
		finish(fd, NULL, 0, before);
	}
	munmap(from, BLOCK);
}

static struct {
	char *from;
	pthread_barrier_t begin;
	unsigned int waits;
} gone;

/* Takes half of what is being written away. */
static void *takes_half_away(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&gone.begin);
	for (volatile unsigned int i = 0; i < gone.waits; i = i + 1)
		;
	MUST(!mprotect(gone.from + BLOCK / 2, BLOCK / 2, PROT_NONE));
	return NULL;
}

/* A write into an object of @bytes, which grows, or not. Whether it was cut short: then there is what was written, and nothing else. */
static bool write_is_cut_short(unsigned long bytes, bool grows)
{
	pthread_t thread;
	struct counts before = counts_now();
	unsigned long done, pages;
	const int fd = huge_create(bytes);
	int taken;

	MUST(grows || !object_resize(fd, bytes));
	MUST(!pthread_create(&thread, NULL, takes_half_away, NULL));
	pthread_barrier_wait(&gone.begin);
	done = (unsigned long)pwrite(fd, gone.from, BLOCK, 0);
	MUST(!pthread_join(thread, NULL));
	MUST(!mprotect(gone.from, BLOCK, PROT_READ | PROT_WRITE));
	pages = (done + PAGE - 1) / PAGE;
	CHECK(done >= BLOCK / 2 && done <= BLOCK);
	CHECK_EQ(object_stat(fd).bytes, done > bytes ? done : bytes);
	CHECK_EQ(object_stat(fd).resident_pages, pages);
	CHECK_EQ(large_of(fd), done < BLOCK ? 0 : BLOCK_PAGES);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), pages * PAGE > bytes ? done : pages * PAGE);
	CHECK(file_is(fd, 0, done / PAGE, 1));
	/* A snapshot does not grow: nothing may be behind its end. */
	taken = snapshot(fd);
	CHECK(layers_are_sound(taken));
	close(taken);
	finish(fd, NULL, 0, before);
	return done < BLOCK;
}

/* Bytes that could be read, and cannot any more: what was to be written with them stays a hole. */
static void gone_meanwhile(void)
{
	NEED_HUGE();

	static const struct {
		unsigned long bytes;
		bool grows;
	} of[] = {{0, true}, {BLOCK / 2 + BLOCK / 8, true}, {SIZE, true}, {SIZE, false}};

	gone.from = bytes_of(BLOCK);
	MUST(!pthread_barrier_init(&gone.begin, NULL, 2));
	for (unsigned int i = 0; i < ARRAY_LENGTH(of); i++) {
		unsigned int cut_short = 0;

		for (unsigned int round = 0; round < fewer_if_debug(40); round++) {
			gone.waits = round % 20 * 500;
			cut_short += write_is_cut_short(of[i].bytes, of[i].grows);
		}
		ksft_print_msg("%lu bytes: %u writes were cut short\n", of[i].bytes, cut_short);
		CHECK(cut_short > 0);
	}
	pthread_barrier_destroy(&gone.begin);
	munmap(gone.from, BLOCK);
}

static pthread_barrier_t meet;

static void *cuts_off(void *fd)
{
	struct cowmem_resize resize = {
		.size = sizeof(resize), .bytes = 100 * PAGE, .flags = COWMEM_RESIZE_GROWS};

	pthread_barrier_wait(&meet);
	CHECK_EQ(ioctl((int)(uintptr_t)fd, COWMEM_IOC_RESIZE, &resize), 0);
	return NULL;
}

/* PREFETCH to write, and a RESIZE that cuts the block: nothing stays behind the end, also of what could grow. */
static void cut_off_meanwhile(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const int fd = huge_create(0);

	MUST(!pthread_barrier_init(&meet, NULL, 2));
	for (int round = 0; round < 300; round++) {
		pthread_t thread;

		MUST(!ftruncate(fd, (off_t)BLOCK));
		MUST(!pthread_create(&thread, NULL, cuts_off, (void *)(uintptr_t)fd));
		pthread_barrier_wait(&meet);
		if (round & 1)
			sched_yield();
		MUST(!object_set_huge(fd, round & 2 ? COWMEM_HUGE_NEVER : COWMEM_HUGE_ALWAYS));
		CHECK(prefetch_to_write_ask(fd, 0, BLOCK_PAGES) >= 0);
		MUST(!pthread_join(thread, NULL));
		CHECK(object_stat(fd).resident_pages <= 100);
		CHECK_EQ(object_stat(fd).bytes, 100 * PAGE);
		MUST(!ftruncate(fd, 0));
	}
	ksft_print_msg("of 150 blocks %lu were large\n", SINCE(before, large_allocated));
	pthread_barrier_destroy(&meet);
	finish(fd, NULL, 0, before);
}

static void allocated(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	int fd = huge_create(0);

	CHECK_EQ(fallocate(fd, 0, 0, (off_t)(SIZE + 3 * PAGE)), 0);
	CHECK_EQ(object_stat(fd).bytes, SIZE + 3 * PAGE);
	CHECK_EQ(large_of(fd), 2 * BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, 2 * BLOCK_PAGES + 3);
	finish(fd, NULL, 0, before);

	/* A part of the first block, and of the third what lies within the size. */
	fd = huge_create(SIZE + BLOCK / 2);
	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)PAGE, (off_t)(2 * SIZE)), 0);
	CHECK_EQ(large_of(fd), BLOCK_PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, 2 * BLOCK_PAGES + BLOCK_PAGES / 2 - 1);
	finish(fd, NULL, 0, before);
}

/* A mount has room for four and a half: none is taken in the end. */
static void allocated_in_vain(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	struct statfs room;
	uint64_t free_before;
	int fd;

	mkdir(WHERE, 0755);
	MUST(!mount("none", WHERE, "cowmem", 0, "huge=always,size=9m"));
	MUST(!statfs(WHERE, &room));
	free_before = room.f_bfree;
	fd = open(WHERE "/a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	CHECK_ERRNO(fallocate(fd, 0, 0, (off_t)(5 * BLOCK)), ENOSPC);
	CHECK_EQ(SINCE(before, large_allocated), 4);
	CHECK_EQ(object_stat(fd).bytes, 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	MUST(!statfs(WHERE, &room));
	CHECK_EQ(room.f_bfree, free_before);
	CHECK_EQ(fallocate(fd, 0, 0, (off_t)BLOCK), 0);
	CHECK_EQ(large_of(fd), BLOCK_PAGES);
	CHECK(layers_are_sound(fd));
	close(fd);
	MUST(!unlink(WHERE "/a") && !umount(WHERE) && !rmdir(WHERE));
	check_returned(before);
}

enum { MANY = 16 };

static char *much;

static void write_much(void)
{
	const int fd = huge_create(MANY * BLOCK);
	char page[PAGE];

	MUST(write_text(CGROUP "/memory.high", "8M"));
	MUST(pwrite(fd, much, MANY * BLOCK, 0) == MANY * BLOCK);
	for (unsigned long at = 0; at < MANY * BLOCK; at += PAGE)
		MUST(pread(fd, page, PAGE, (off_t)at) == PAGE && !memcmp(page, much + at, PAGE));
	close(fd);
}

/* A write is beyond memory.high for no longer than a write of pages is. */
static void over_memory_high(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	const long dying = dying_cgroups();

	much = mmap(NULL, MANY * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(much != MAP_FAILED);
	/* Hardly takes memory where it is paged out. */
	for (unsigned long at = 0; at < MANY * BLOCK; at += PAGE)
		much[at] = (char)(at / PAGE % 127 + 1);
	CHECK_EQ(run_in_cgroup("max", write_much), 0);
	ksft_print_msg("%lu of %d were large, and %ld KiB were charged at most\n",
	               SINCE(before, large_allocated), MANY,
	               read_number(CGROUP "/memory.peak", "") / 1024);
	CHECK(SINCE(before, large_allocated) >= 1 && SINCE(before, large_allocated) < MANY);
	CHECK(SINCE(before, large_fallbacks) >= 1);
	CHECK(read_number(CGROUP "/memory.peak", "") <= 12L << 20);
	munmap(much, MANY * BLOCK);
	check_cgroup_goes(dying);
	check_returned(before);
}

static struct {
	int fd;
	char *map;
	pthread_barrier_t begin, end;
	_Atomic bool over;
} race;

static void *touches(void *which)
{
	const unsigned long first = (uintptr_t)which;

	for (;;) {
		pthread_barrier_wait(&race.begin);
		if (race.over)
			return NULL;
		for (unsigned long i = first; i < BLOCK_PAGES; i += 97)
			(void)*(volatile char *)(race.map + i * PAGE);
		pthread_barrier_wait(&race.end);
	}
}

/* A write of a block, and faults on it: one page of 2 MiB, or as many of 4 KiB; nothing is there twice, and nothing is lost. */
static void against_faults(void)
{
	NEED_HUGE();

	struct counts before = counts_now();
	char *from = bytes_of(BLOCK);
	unsigned int large[2] = {};
	pthread_t thread[2];
	char *around;

	race.fd = huge_create(BLOCK);
	around = mmap(NULL, 2 * BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(around != MAP_FAILED);
	around += BLOCK - (uintptr_t)around % BLOCK;
	MUST(!pthread_barrier_init(&race.begin, NULL, 3) &&
	     !pthread_barrier_init(&race.end, NULL, 3));
	for (uintptr_t i = 0; i < 2; i++)
		MUST(!pthread_create(&thread[i], NULL, touches, (void *)(i * 13)));
	for (int round = 0; round < 200; round++) {
		/* Faults of 2 MiB, and of 4 KiB. */
		race.map = mmap(around - (round % 2 ? PAGE : 0), BLOCK, PROT_READ | PROT_WRITE,
		                MAP_SHARED | MAP_FIXED, race.fd, 0);
		MUST(race.map != MAP_FAILED);
		pthread_barrier_wait(&race.begin);
		CHECK_EQ(pwrite(race.fd, from, BLOCK, 0), BLOCK);
		pthread_barrier_wait(&race.end);
		large[round % 2] += large_of(race.fd) == BLOCK_PAGES;
		CHECK_EQ(object_stat(race.fd).resident_pages, BLOCK_PAGES);
		CHECK(pages_are(race.map, 0, BLOCK_PAGES, 1));
		CHECK_EQ(object_punch(race.fd, 0, BLOCK), 0);
	}
	race.over = true;
	pthread_barrier_wait(&race.begin);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	ksft_print_msg("of 100 blocks each %u and %u were large, of %lu that were made\n", large[0],
	               large[1], SINCE(before, large_allocated));
	CHECK_EQ(large[0], 100);
	CHECK_EQ(large[0] + large[1], SINCE(before, large_allocated));
	munmap(from, BLOCK);
	munmap(around - PAGE, BLOCK + PAGE);
	finish(race.fd, NULL, 0, before);
}

static const struct test_case cases[] = {
	{"a write of whole blocks takes one for each", "", whole_blocks},
	{"a write of parts takes pages of 4 KiB", "", parts_of_blocks},
	{"a write that makes an object grow", "", what_grows},
	{"bytes that cannot be read take none", "R85", unreadable},
	{"bytes that go away while they are written", "R85", gone_meanwhile},
	{"PREFETCH while the end moves", "R85", cut_off_meanwhile},
	{"fallocate takes one for each whole block", "", allocated},
	{"fallocate that fails leaves none", "R85", allocated_in_vain},
	{"a write beyond memory.high", "R85", over_memory_high},
	{"a write and faults on the same block", "", against_faults},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
