// SPDX-License-Identifier: GPL-2.0
/* Pages that go out to the store, and how they come back. */
#include "counts.h"
#include "parameters.h"
#include "store.h"
#include "walks.h"

#define PAGES 512 /* 2 MiB, as in seed 003's measurement */

struct faults {
	long minor, major;
};

static struct faults faults_now(void)
{
	return (struct faults){minor_faults(), major_faults()};
}

static struct faults faults_since(struct faults before)
{
	return (struct faults){minor_faults() - before.minor, major_faults() - before.major};
}

/* Whether the hardware sets dirty bits. */
static bool has_dirty_bit(int fd)
{
	struct cowmem_info info = {.size = sizeof(info)};

	MUST(!ioctl(fd, COWMEM_IOC_GET_INFO, &info));
	return info.features & COWMEM_FEATURE_DIRTY_BIT;
}

/* An object of PAGES pages of 4 KiB, each with its own content, and all paged out. */
static char *paged_out_object(int *fd)
{
	char *p;

	*fd = object_open_small();
	p = object_map(*fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 1);
	MUST(page_out_all(*fd, PAGES) == PAGES);
	return p;
}

static void let_go(int fd, char *p)
{
	munmap(p, PAGES * PAGE);
	close(fd);
}

/* Reads, then writes each page, as seed 003's program does: the faults that took. */
static struct faults read_then_write(char *p)
{
	const struct faults before = faults_now();

	for (uint64_t i = 0; i < PAGES; i++) {
		volatile uint64_t *word = (uint64_t *)(p + i * PAGE);

		if (*word != (i << 32 | 1 << 16))
			test_failed = true;
		*word = ~i;
	}
	return faults_since(before);
}

static void no_minor_faults(void)
{
	struct counts before = counts_now();
	struct faults faults;
	int fd;
	char *p = paged_out_object(&fd);

	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(store_stat(fd).slots, PAGES);
	faults = read_then_write(p);
	CHECK_EQ(faults.major + SINCE(before, pages_brought_along), PAGES);
	CHECK_EQ(faults.minor, has_dirty_bit(fd) ? 0 : PAGES);
	CHECK_EQ(SINCE(before, reused), PAGES);
	CHECK_EQ(SINCE(before, pages_brought_in), PAGES);
	ksft_print_msg("read then write of %d pages: %ld minor + %ld major\n", PAGES, faults.minor,
	               faults.major);

	/* What was written so, without a fault, is not lost (R48). */
	CHECK_EQ(page_out_all(fd, PAGES), PAGES);
	CHECK_EQ(SINCE(before, pages_stored), 2 * PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(((volatile uint64_t *)(p + i * PAGE))[0] == ~i &&
		      ((volatile uint64_t *)(p + i * PAGE))[1] == (i << 32 | 1 << 16 | 1));
	let_go(fd, p);
	check_returned(before);
}

static void without_reuse_each_write_is_a_fault(void)
{
	struct counts before = counts_now();
	struct faults faults;
	int fd;
	char *p;

	set_reuse(false);
	p = paged_out_object(&fd);
	faults = read_then_write(p);
	set_reuse(true);
	CHECK_EQ(faults.major + SINCE(before, pages_brought_along), PAGES);
	/* Where the hardware sets no access bits either, one on other memory may be among them. */
	CHECK(faults.minor >= PAGES && faults.minor < PAGES + 8);
	CHECK_EQ(SINCE(before, reused), 0);
	let_go(fd, p);
	check_returned(before);
}

/* One fault for each page, as seed 003 counts them, if it maps no neighbours. */
static void no_minor_faults_for_pages_that_come_alone(void)
{
	struct counts before = counts_now();
	struct faults faults;
	int fd;
	char *p = paged_out_object(&fd);

	parameter_set("around_pages", "1");
	faults = read_then_write(p);
	parameter_set("around_pages", "16");
	CHECK_EQ(faults.major, PAGES);
	CHECK_EQ(faults.minor, has_dirty_bit(fd) ? 0 : PAGES);
	CHECK_EQ(SINCE(before, pages_brought_along), 0);
	let_go(fd, p);
	check_returned(before);
}

/* Who reads in order finds most pages there, and mapped. */
static void in_order_most_come_along(void)
{
	struct counts before = counts_now();
	const struct faults start = faults_now();
	struct faults faults;
	int fd;
	char *p = paged_out_object(&fd);

	faults = faults_now();
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, 1));
	faults = faults_since(faults);
	CHECK(faults.major < PAGES / 8);
	CHECK_EQ(faults.minor, 0);
	CHECK_EQ(faults.major + SINCE(before, pages_brought_along), PAGES);
	CHECK_EQ(SINCE(before, major_faults), faults_since(start).major);
	/* They keep their slots: to have brought in too many costs no store. */
	CHECK_EQ(page_out_all(fd, PAGES), PAGES);
	CHECK_EQ(SINCE(before, pages_stored), PAGES);
	let_go(fd, p);
	check_returned(before);
}

/* Nobody gets more than as many as were read one behind the other before, and than there are. */
static void no_more_come_along_than_were_read(void)
{
	enum { READ = 9, HOLE = 300 };
	struct counts before = counts_now();
	int fd;
	char *p = paged_out_object(&fd);

	for (uint64_t i = 0; i < 200; i += 2)
		CHECK(page_is(p + i * PAGE, i, 1));
	CHECK_EQ(SINCE(before, pages_brought_along), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 100);
	/* Whatever comes along ends before a hole. */
	MUST(!object_punch(fd, HOLE * PAGE, PAGE));
	for (uint64_t i = HOLE - READ; i < HOLE; i++)
		CHECK(page_is(p + i * PAGE, i, 1));
	CHECK(SINCE(before, pages_brought_along) >= 3);
	CHECK_EQ(object_stat(fd).resident_pages, 100 + READ);
	CHECK(page_is(p + (HOLE + 1) * PAGE, HOLE + 1, 1));
	CHECK_EQ(object_stat(fd).resident_pages, 100 + READ + 1);
	let_go(fd, p);
	check_returned(before);
}

/* The only entry that maps page @index. */
static struct cowmem_mapping entry_of(int fd, uint64_t index)
{
	struct cowmem_mapping entry = {};
	struct cowmem_rmap rmap;

	CHECK_EQ(rmap_ask(fd, &rmap, 0, index * PAGE, 1, &entry, 1), 0);
	CHECK_EQ(rmap.count, 1);
	return entry;
}

static void entries_after_a_read_and_a_write(void)
{
	struct cowmem_page_out out;
	int fd;
	char *p = paged_out_object(&fd);

	MUST(*(volatile char *)p == 0);
	CHECK(entry_of(fd, 0).flags & COWMEM_MAPPING_WRITABLE);
	CHECK(!(entry_of(fd, 0).flags & COWMEM_MAPPING_DIRTY));
	*(volatile char *)(p + PAGE) = 9;
	CHECK(entry_of(fd, 1).flags & COWMEM_MAPPING_WRITABLE);
	CHECK(entry_of(fd, 1).flags & COWMEM_MAPPING_DIRTY);
	/* Its place in the store is of no use any more, and goes when a page-out comes by. */
	MUST(!page_out_ask(fd, &out, 0, 0, 2));
	CHECK_EQ(out.accessed, 2);
	CHECK_EQ(store_stat(fd).slots, PAGES - 1);
	let_go(fd, p);
}

static void no_write_without_permission(void)
{
	int fd;
	char *p = paged_out_object(&fd);
	struct faults before;

	MUST(!mprotect(p, PAGES * PAGE, PROT_READ));
	for (int i = 0; i < PAGES; i++)
		MUST(((volatile char *)p)[i * PAGE + 8] == 1);
	for (uint64_t i = 0; i < PAGES; i += 100)
		CHECK(!(entry_of(fd, i).flags & COWMEM_MAPPING_WRITABLE));
	MUST(!mprotect(p, PAGES * PAGE, PROT_READ | PROT_WRITE));
	before = faults_now();
	*(volatile char *)p = 3;
	CHECK_EQ(faults_since(before).minor, 1); /* by the ordinary path */
	let_go(fd, p);
}

static void clean_pages_are_not_stored_again(void)
{
	struct counts before = counts_now();
	struct cowmem_page_out out;
	int fd;
	char *p = paged_out_object(&fd);

	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, 1));
	CHECK_EQ(SINCE(before, pages_stored), PAGES);
	fill_page(p + 7 * PAGE, 7, 2);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(out.out, PAGES);
	CHECK_EQ(out.reused, PAGES - 1);
	CHECK_EQ(SINCE(before, pages_stored), PAGES + 1);
	CHECK_EQ(SINCE(before, pages_reused), PAGES - 1);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, i == 7 ? 2 : 1));
	let_go(fd, p);
	check_returned(before);
}

static void private_writes_leave_the_page_out(void)
{
	struct counts before = counts_now();
	int fd;
	char *p = paged_out_object(&fd);
	char *private = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	const struct faults faults = faults_now();

	for (uint64_t i = 0; i < PAGES; i++)
	private[i * PAGE] = 5;
	CHECK_EQ(faults_since(faults).major, PAGES);
	CHECK_EQ(faults_since(faults).minor, 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(SINCE(before, copies_from_store), PAGES);
	CHECK_EQ(SINCE(before, pages_brought_in), 0);
	for (uint64_t i = 0; i < PAGES; i++) {
		private[i * PAGE] = 0;
		CHECK(page_is(private + i * PAGE, i, 1));
	}
	CHECK(page_is(p + 3 * PAGE, 3, 1));
	munmap(private, PAGES * PAGE);
	let_go(fd, p);
	check_returned(before);
}

static void files_calls_see_what_is_out(void)
{
	uint64_t page[PAGE / 8];
	int fd;
	char *p = paged_out_object(&fd);
	struct cowmem_page state;

	MUST(!object_punch(fd, 10 * PAGE, 2 * PAGE));
	CHECK_EQ(store_stat(fd).slots, PAGES - 2);
	state = page_state(fd, 0, 10);
	CHECK_EQ(state.flags, 0);
	state = page_state(fd, 0, 12);
	CHECK_EQ(state.flags, COWMEM_PAGE_PAGED_OUT | COWMEM_PAGE_DIRTY);
	CHECK_EQ(lseek(fd, 10 * PAGE, SEEK_DATA), 12 * PAGE);
	CHECK_EQ(lseek(fd, 3 * PAGE, SEEK_HOLE), 10 * PAGE);
	CHECK_EQ(pread(fd, page, PAGE, 12 * PAGE), PAGE);
	CHECK(page_is(page, 12, 1));
	CHECK_EQ(pread(fd, page, PAGE, 10 * PAGE), PAGE);
	CHECK_EQ(page[5], 0);

	/* A write() to a part of a page keeps the rest. */
	CHECK_EQ(pwrite(fd, "xyz", 3, 20 * PAGE + 100), 3);
	CHECK(!memcmp(p + 20 * PAGE + 100, "xyz", 3));
	CHECK_EQ(((uint64_t *)(p + 20 * PAGE))[500], 20ULL << 32 | 1 << 16 | 500);
	CHECK_EQ(page_out_all(fd, PAGES), 2);
	CHECK(!memcmp(p + 20 * PAGE + 100, "xyz", 3));

	/* A page that the new end cuts is brought in, and cut. */
	MUST(!object_resize(fd, 30 * PAGE + 16));
	CHECK_EQ(store_stat(fd).slots, 31 - 2);
	MUST(!object_resize(fd, 40 * PAGE));
	CHECK_EQ(((uint64_t *)(p + 30 * PAGE))[1], 30ULL << 32 | 1 << 16 | 1);
	CHECK_EQ(((uint64_t *)(p + 30 * PAGE))[2], 0);
	CHECK_EQ(page_state(fd, 0, 35).flags, 0);
	let_go(fd, p);
}

static void marks_of_pagemap_survive(void)
{
	int fd;
	char *p = paged_out_object(&fd);

	/* Cleared while out, before, and written since. */
	CHECK(page_state(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0).flags & COWMEM_PAGE_DIRTY);
	CHECK(!(page_state(fd, 0, 0).flags & COWMEM_PAGE_DIRTY));
	MUST(*(volatile char *)(p + 8) == 1);
	CHECK_EQ(page_state(fd, 0, 0).flags & (COWMEM_PAGE_DIRTY | COWMEM_PAGE_RESIDENT),
	         COWMEM_PAGE_RESIDENT);
	MUST(page_out_all(fd, PAGES) == 1);
	CHECK_EQ(page_state(fd, 0, 0).flags, COWMEM_PAGE_PAGED_OUT);
	p[8] = 2;
	MUST(page_out_all(fd, PAGES) == 1);
	CHECK_EQ(page_state(fd, 0, 0).flags, COWMEM_PAGE_PAGED_OUT | COWMEM_PAGE_DIRTY);
	let_go(fd, p);
}

static void young_pages_get_a_second_chance(void)
{
	struct cowmem_page_out out;
	int fd = object_open_small();
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 1);
	MUST(!page_out_ask(fd, &out, 0, 0, PAGES));
	CHECK_EQ(out.accessed, PAGES);
	CHECK_EQ(out.out, 0);
	for (int i = 0; i < PAGES; i += 2)
		MUST(((volatile char *)p)[i * PAGE + 8] == 1);
	MUST(!page_out_ask(fd, &out, 0, 0, PAGES));
	CHECK_EQ(out.accessed + out.out, PAGES);
	/* TLBs may keep an access from being seen; not the other way round. */
	CHECK(out.out >= PAGES / 2);
	let_go(fd, p);
}

/* What is used behind the first call, by whatever way, stays at the second, and all else goes. */
static void what_nobody_used_in_between_goes(void)
{
	struct cowmem_page_out out;
	int fd = object_open_small();
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), byte;

	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 1);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_AGE, 0, PAGES));
	CHECK_EQ(out.accessed, PAGES);
	CHECK_EQ(out.out, 0);
	CHECK_EQ(out.next, PAGES * PAGE);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES);
	CHECK_EQ(store_stat(fd).slots, 0);
	/* Nobody used any: the same says so. */
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_AGE, 0, PAGES));
	CHECK_EQ(out.accessed + out.out, 0);
	CHECK_EQ(page_out_ask(fd, &out, COWMEM_PAGE_OUT_AGE | COWMEM_PAGE_OUT_ACCESSED, 0, PAGES),
	         -EINVAL);
	/* By entries that no TLB knows, each for itself, and by read(). */
	munmap(p, PAGES * PAGE);
	parameter_set("around_pages", "1");
	p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (uint64_t i = 0; i < PAGES; i += 4) {
		MUST(*(volatile uint64_t *)(p + i * PAGE) == (i << 32 | 1 << 16));
		MUST(pread(fd, &byte, 1, (i + 1) * PAGE) == 1);
	}
	parameter_set("around_pages", "16");
	MUST(!page_out_ask(fd, &out, 0, 0, PAGES));
	CHECK_EQ(out.accessed, PAGES / 2);
	CHECK_EQ(out.out, PAGES / 2);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK_EQ(page_state(fd, 0, i).flags & COWMEM_PAGE_PAGED_OUT,
		         i % 4 < 2 ? 0 : COWMEM_PAGE_PAGED_OUT);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, 1));
	let_go(fd, p);
}

static void locked_pages_stay(void)
{
	struct cowmem_page_out out;
	int fd = object_open_small();
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 1);
	MUST(!mlock(p + 5 * PAGE, 3 * PAGE));
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(out.locked, 3);
	CHECK_EQ(out.out, PAGES - 3);
	CHECK_EQ(object_stat(fd).resident_pages, 3);
	MUST(!munlock(p + 5 * PAGE, 3 * PAGE));
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(out.locked, 0);
	CHECK_EQ(out.out, 3);
	let_go(fd, p);
}

static void what_the_store_makes_of_pages(void)
{
	struct counts before = counts_now();
	struct cowmem_page_out out;
	struct cowmem_store_stat stat;
	struct cowmem_store_limit limit = {.size = sizeof(limit), .max_slots = 3};
	uint64_t seed = 88172645463325252ULL;
	int fd = object_open_small();
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	/* 0: a repeated word; 1: nothing repeats; 2…: compressible. */
	for (size_t i = 0; i < PAGE / 8; i++) {
		((uint64_t *)p)[i] = 0x0123456789abcdef;
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		((uint64_t *)(p + PAGE))[i] = seed;
	}
	for (uint64_t i = 2; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 1);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 2));
	CHECK_EQ(out.out, 1);
	CHECK_EQ(out.incompressible, 1);
	CHECK_EQ(SINCE(before, pages_incompressible), 1);
	stat = store_stat(fd);
	CHECK_EQ(stat.same_filled, 1);
	CHECK_EQ(stat.bytes, 0);
	CHECK_EQ(((volatile uint64_t *)p)[511], 0x0123456789abcdef);
	CHECK_EQ(((volatile uint64_t *)(p + PAGE))[511], seed);

	/* The limit of the object, and none. */
	MUST(!ioctl(fd, COWMEM_IOC_STORE_LIMIT, &limit));
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 1, 16));
	CHECK_EQ(out.out, 2);
	CHECK_EQ(out.incompressible, 1); /* which takes none of it */
	CHECK_EQ(out.full, 13);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 17, PAGES - 17));
	CHECK_EQ(out.out, 0);
	CHECK_EQ(out.full, PAGES - 17);
	CHECK_EQ(store_stat(fd).max_slots, 3);
	limit.max_slots = ~0ULL;
	MUST(!ioctl(fd, COWMEM_IOC_STORE_LIMIT, &limit));
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 2, PAGES - 2));
	CHECK_EQ(out.out, PAGES - 4);
	stat = store_stat(fd);
	CHECK_EQ(stat.slots, PAGES - 1);
	CHECK(stat.bytes > 0 && stat.bytes < (PAGES - 2) * PAGE * 3 / 4);
	CHECK(stat.pool_bytes >= stat.bytes);
	let_go(fd, p);
	check_returned(before);
}

static void prefetch_brings_in(void)
{
	struct counts before = counts_now();
	struct cowmem_range ranges[] = {
		{0, 4 * PAGE}, {100 * PAGE, 10 * PAGE}, {9999 * PAGE, PAGE}};
	struct cowmem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = (uintptr_t)ranges, .count = 3};
	struct faults faults;
	int fd;
	char *p = paged_out_object(&fd);

	MUST(!ioctl(fd, COWMEM_IOC_PREFETCH, &prefetch));
	CHECK_EQ(prefetch.brought_in, 14);
	CHECK_EQ(object_stat(fd).resident_pages, 14);
	CHECK_EQ(store_stat(fd).slots, PAGES);
	CHECK_EQ(prefetch_ask(fd, 0, PAGES), PAGES - 14);
	CHECK_EQ(prefetch_ask(fd, 0, PAGES), 0);
	/* No I/O any more; and what fault-around maps can be written at once. */
	faults = read_then_write(p);
	CHECK_EQ(faults.major, 0);
	CHECK(faults.minor <= PAGES / 8 || !has_dirty_bit(fd));
	let_go(fd, p);
	check_returned(before);
}

static void slots_of_many_sharers_are_freed_once(void)
{
	struct counts before = counts_now();
	const int children = (int)fewer_if_debug(300);
	int fd, ready[2], go[2];
	char *p = paged_out_object(&fd), byte;

	MUST(!pipe(ready) && !pipe(go));
	for (int i = 0; i < children; i++) {
		pid_t child = fork();

		MUST(child >= 0);
		if (child)
			continue;
		/* Everybody reads the same page, and copies another privately out of the store. */
		char *private =
			mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

		close(go[1]);
		private[PAGE] = 1;
		if (!page_is(p, 0, 1) ||
		    ((uint64_t *)(private + PAGE))[1] != (1ULL << 32 | 1 << 16 | 1))
			_exit(1);
		if (write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	for (int i = 0; i < children; i++)
		MUST(read(ready[0], &byte, 1) == 1);
	CHECK_EQ(SINCE(before, copies_from_store), children);
	CHECK_EQ(SINCE(before, pages_brought_in), 1);
	CHECK_EQ(page_state(fd, 0, 0).mapcount, children);
	CHECK_EQ(page_out_all(fd, PAGES), 1);
	close(go[1]);
	for (int i = 0; i < children; i++) {
		int status;

		MUST(wait(&status) > 0);
		CHECK_EQ(status, 0);
	}
	close(go[0]), close(ready[0]), close(ready[1]);
	CHECK_EQ(store_stat(fd).slots, PAGES);
	let_go(fd, p);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"what is read after it came back is written without a fault", "R45 R46 R48",
         no_minor_faults},
	{"so it is where each page comes alone", "R45", no_minor_faults_for_pages_that_come_alone},
	{"who reads in order has most brought along, and mapped", "R49", in_order_most_come_along},
	{"no more comes along than was read before, or is there", "",
         no_more_come_along_than_were_read},
	{"without reuse each write is a fault", "R45 R56", without_reuse_each_write_is_a_fault},
	{"a read leaves a writable and clean entry, a write a dirty one", "R46 R57",
         entries_after_a_read_and_a_write},
	{"nothing is made writable without permission", "R52", no_write_without_permission},
	{"clean pages go out without being stored again", "R47", clean_pages_are_not_stored_again},
	{"a private write copies out of the store, and leaves the page there", "R5",
         private_writes_leave_the_page_out},
	{"read, write, seek, punch and resize see what is paged out", "",
         files_calls_see_what_is_out},
	{"PAGEMAP's dirty marks survive", "R67", marks_of_pagemap_survive},
	{"pages that were used get a second chance", "R71", young_pages_get_a_second_chance},
	{"what nobody used between two calls goes", "R71", what_nobody_used_in_between_goes},
	{"mlocked pages stay, until the last munlock", "R72 R73", locked_pages_stay},
	{"same-filled, incompressible and too many pages", "", what_the_store_makes_of_pages},
	{"prefetch brings ranges in", "", prefetch_brings_in},
	{"slots that many read are freed once", "R87", slots_of_many_sharers_are_freed_once},
};

int main(void)
{
	count_faults_exactly();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
