// SPDX-License-Identifier: GPL-2.0
/*
 * Who keeps track of writes is told of all of them, and of no other, while pages go out
 * to the store and come back: userfaultfd's asynchronous write protection with
 * PAGEMAP_SCAN, and soft-dirty. A thread pages out and prefetches all the time. (lazy.c has
 * userfaultfd's other modes.)
 */
#include "answers.h"
#include "counts.h"
#include "parameters.h"
#include "store.h"
#include "walks.h"
#include "written.h"

#include <pthread.h>
#include <stdatomic.h>

enum { PAGES = 80 };
#define ROUNDS fewer_if_debug(25)

/*
 * arm64's CONFIG_DEBUG_VM warns when the core takes userfaultfd's bit out of an entry that
 * is old. There, nothing makes entries old, and a page that is mapped is read before it
 * is written.
 */
#ifdef __aarch64__
enum { KEEP_YOUNG = true };
#else
enum { KEEP_YOUNG = false };
#endif

struct tracked {
	int fd;
	bool private;
	unsigned char *map;    /* the tracked mapping, with nothing beside it */
	unsigned char *beside; /* another, shared, or none: what is written there is not told of */
	bool written[PAGES];   /* through the map, since the last scan */
	/* The first byte of each page: the object's, and the map's. */
	unsigned char object[PAGES], seen[PAGES];
	bool copied[PAGES]; /* a private mapping's page is its own */
	_Atomic bool stop;
	pthread_t thread;
};

static void *page_out_and_in(void *argument)
{
	struct tracked *t = argument;
	unsigned int random = 5;

	while (!atomic_load(&t->stop)) {
		const unsigned int first = (unsigned int)rand_r(&random) % PAGES;
		const unsigned int count = 1 + (unsigned int)rand_r(&random) % (PAGES - first);
		struct cowmem_page_out out;

		if (rand_r(&random) % 3)
			MUST(!page_out_ask(
				t->fd, &out,
				KEEP_YOUNG || rand_r(&random) % 4 ? COWMEM_PAGE_OUT_ACCESSED : 0,
				first, count));
		else
			MUST(prefetch_ask(t->fd, first, count) >= 0);
		if (rand_r(&random) % 4 == 0)
			usleep((unsigned int)rand_r(&random) % 2000);
	}
	return NULL;
}

static void begin(struct tracked *t, bool private, uint32_t cow)
{
	unsigned char *room =
		mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*t = (struct tracked){.fd = object_open(), .private = private};
	MUST(room != MAP_FAILED);
	MUST(!object_set_cow(t->fd, cow));
	t->beside = object_map(t->fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	t->map = mmap(room + PAGE, PAGES * PAGE, PROT_READ | PROT_WRITE,
	              (private ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED, t->fd, 0);
	MUST(t->map == room + PAGE);
	/* A third of the pages are holes at first. */
	for (unsigned int i = 0; i < PAGES; i++)
		if (i % 3) {
			fill_page(t->beside + i * PAGE, i, 1);
			t->object[i] = t->seen[i] = t->beside[i * PAGE];
		}
}

static void end(struct tracked *t)
{
	munmap(t->map - PAGE, (PAGES + 2) * PAGE);
	if (t->beside)
		munmap(t->beside, PAGES * PAGE);
	close(t->fd);
}

static void start_paging(struct tracked *t)
{
	atomic_store(&t->stop, false);
	MUST(!pthread_create(&t->thread, NULL, page_out_and_in, t));
}

static void stop_paging(struct tracked *t)
{
	atomic_store(&t->stop, true);
	MUST(!pthread_join(t->thread, NULL));
}

/* Something of the object was written otherwise than through the tracked mapping. */
static void object_is(struct tracked *t, unsigned int page, unsigned char byte)
{
	t->object[page] = byte;
	if (!t->copied[page])
		t->seen[page] = byte;
}

static bool is_mapped(const void *at)
{
	uint64_t entry;

	proc_pagemap(getpid(), (uintptr_t)at, 1, &entry);
	return entry & PROC_PRESENT;
}

static void write_page(struct tracked *t, unsigned int page, unsigned char byte)
{
	volatile unsigned char *at = t->map + page * PAGE;

	if (KEEP_YOUNG && is_mapped((const void *)at))
		CHECK_EQ(*at, t->seen[page]);
	*at = byte;
	t->written[page] = true;
	t->copied[page] = t->private;
	t->seen[page] = byte;
	if (!t->private)
		t->object[page] = byte;
}

static void touch_some(struct tracked *t)
{
	for (unsigned int n = random_below(80); n; n--) {
		const unsigned int page = random_below(PAGES);
		const unsigned char byte = (unsigned char)n;
		volatile unsigned char *at = t->map + page * PAGE;
		struct cowmem_page_out out;

		switch (random_below(9)) {
		case 0:
		case 1:
			write_page(t, page, byte);
			break;
		case 2: /* read, and written at once: where a page can be reused */
			CHECK_EQ(*at, t->seen[page]);
			*at = t->seen[page];
			t->written[page] = true;
			t->copied[page] = t->private;
			break;
		case 3:
		case 4:
			CHECK_EQ(*at, t->seen[page]);
			break;
		case 5:
			if (!t->beside)
				break;
			t->beside[page * PAGE] = byte;
			object_is(t, page, byte);
			break;
		case 6:
			MUST(pwrite(t->fd, &byte, 1, (off_t)(page * PAGE)) == 1);
			object_is(t, page, byte);
			break;
		case 7:
			MUST(!page_out_ask(t->fd, &out, COWMEM_PAGE_OUT_ACCESSED, page, 1));
			break;
		case 8:
			MUST(prefetch_ask(t->fd, page, 1) >= 0);
			break;
		}
	}
}

static void check_content(const struct tracked *t)
{
	unsigned char byte;

	for (unsigned int i = 0; i < PAGES; i++) {
		MUST(pread(t->fd, &byte, 1, (off_t)(i * PAGE)) == 1);
		CHECK_EQ(byte, t->object[i]);
		CHECK_EQ(t->map[i * PAGE], t->seen[i]);
	}
}

/* One round's answer against what was done; then all is as if nothing was written. */
static void check_written(struct tracked *t, const bool *told, unsigned long *count)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		if (told[i] != t->written[i]) {
			test_failed = true;
			ksft_print_msg("page %u: %s\n", i,
			               told[i] ? "told of, and not written"
			                       : "written, and not told of");
		}
		*count += told[i];
		t->written[i] = false;
	}
}

/* --- userfaultfd --- */
static void track_with_userfaultfd(bool private, uint32_t cow)
{
	const struct counts before = counts_now();
	unsigned long seen = 0;
	bool told[PAGES];
	struct tracked t;
	int uffd, pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	begin(&t, private, cow);
	uffd = wp_register(t.map, PAGES);
	MUST(uffd >= 0 && pagemap_fd >= 0);
	scan_written(pagemap_fd, t.map, PAGES, told); /* arms all of it, mapped or not */
	/* The first write is to a page that is out: a private mapping soon has all pages for itself, and meets none any more. */
	MUST(page_out_all(t.fd, PAGES) > 0);
	write_page(&t, 1, 'w');
	CHECK_EQ(SINCE(before, copies_from_store), private && cow == COWMEM_COW_HANDLER);
	for (unsigned int round = 0; round < ROUNDS && !test_failed; round++) {
		/* Half of them with nobody else at work, where the order is the same each time. */
		if (round % 2)
			start_paging(&t);
		touch_some(&t);
		scan_written(pagemap_fd, t.map, PAGES, told);
		if (round % 2)
			stop_paging(&t);
		check_written(&t, told, &seen);
		check_content(&t);
		scan_written(pagemap_fd, t.map, PAGES, told);
		check_written(&t, told, &seen); /* that was no write */
	}
	CHECK(seen > ROUNDS);
	CHECK(SINCE(before, pages_paged_out) > ROUNDS);
	CHECK(SINCE(before, pages_brought_in) > ROUNDS);
	close(uffd);
	close(pagemap_fd);
	end(&t);
	check_returned(before);
}

static void userfaultfd_of_shared(void)
{
	if (!have_async_wp())
		SKIP(NO_ASYNC_WP);
	track_with_userfaultfd(false, COWMEM_COW_HANDLER);
	set_reuse(false);
	track_with_userfaultfd(false, COWMEM_COW_HANDLER);
	set_reuse(true);
	set_speculation(false);
	track_with_userfaultfd(false, COWMEM_COW_HANDLER);
	set_speculation(true);
}

static void userfaultfd_of_private(void)
{
	if (!have_async_wp())
		SKIP(NO_ASYNC_WP);
	track_with_userfaultfd(true, COWMEM_COW_HANDLER);
	track_with_userfaultfd(true, COWMEM_COW_CORE);
}

/*
 * The mark is in the page table as it was, wherever the page is; and a page that comes
 * back to be read is not made writable.
 */
static void marks_outlive_the_page(void)
{
	const struct counts before = counts_now();
	struct counts out;
	const uint64_t marked = 1ULL << 57;
	bool told[PAGES];
	uint64_t entry;
	struct tracked t;
	int uffd, pagemap_fd;

	if (!have_async_wp())
		SKIP(NO_ASYNC_WP);
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	begin(&t, false, COWMEM_COW_HANDLER);
	uffd = wp_register(t.map, PAGES);
	MUST(uffd >= 0 && pagemap_fd >= 0);
	for (unsigned int i = 0; i < PAGES; i++)
		MUST(t.map[i * PAGE] == t.seen[i]);
	scan_written(pagemap_fd, t.map, PAGES, told);
	MUST(page_out_all(t.fd, PAGES) > PAGES / 2);
	out = counts_now();
	for (unsigned int i = 1; i < PAGES; i += 3) {
		proc_pagemap(getpid(), (uintptr_t)t.map + i * PAGE, 1, &entry);
		CHECK_EQ(entry & (marked | PROC_PRESENT), marked);
		CHECK_EQ(t.map[i * PAGE], t.seen[i]);
		proc_pagemap(getpid(), (uintptr_t)t.map + i * PAGE, 1, &entry);
		CHECK_EQ(entry & (marked | PROC_PRESENT), marked | PROC_PRESENT);
	}
	CHECK_EQ(SINCE(out, reused), 0);
	/* A write to a page that is out takes its mark away, and that of no other. */
	MUST(page_out_all(t.fd, PAGES) > 0);
	t.map[5 * PAGE] = 7;
	proc_pagemap(getpid(), (uintptr_t)t.map + 5 * PAGE, 1, &entry);
	CHECK_EQ(entry & (marked | PROC_PRESENT), PROC_PRESENT);
	scan_written(pagemap_fd, t.map, PAGES, told);
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK_EQ(told[i], i == 5);
	close(uffd);
	close(pagemap_fd);
	end(&t);
	check_returned(before);
}

/* --- soft-dirty --- */
static void soft_dirty_now(const unsigned char *map, bool *written)
{
	uint64_t entries[PAGES];

	proc_pagemap(getpid(), (uintptr_t)map, PAGES, entries);
	for (unsigned int i = 0; i < PAGES; i++)
		written[i] = entries[i] & SOFT_DIRTY;
}

/* What PAGE_OUT leaves alone: exactly the pages with the bit. */
static void check_left_alone(struct tracked *t, const bool *told, unsigned long *tracked)
{
	struct cowmem_page_out out;
	unsigned int expected = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		expected += told[i] && !t->copied[i];
	MUST(!page_out_ask(t->fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(out.tracked, expected);
	CHECK_EQ(out.busy, 0);
	CHECK_EQ(object_stat(t->fd).resident_pages, expected);
	*tracked += out.tracked;
}

static void track_with_soft_dirty(bool private)
{
	const struct counts before = counts_now();
	unsigned long seen = 0, tracked = 0;
	bool told[PAGES];
	struct tracked t;

	begin(&t, private, COWMEM_COW_HANDLER);
	/* Written there, too, the other mapping would keep its pages in memory. */
	munmap(t.beside, PAGES * PAGE);
	t.beside = NULL;
	forget_soft_dirty();
	for (unsigned int round = 0; round < ROUNDS && !test_failed; round++) {
		if (round % 2)
			start_paging(&t);
		touch_some(&t);
		soft_dirty_now(t.map, told);
		if (round % 2)
			stop_paging(&t);
		soft_dirty_now(t.map, told);
		if (!private)
			check_left_alone(&t, told, &tracked);
		soft_dirty_now(t.map, told);
		if (round % 2)
			start_paging(&t);
		forget_soft_dirty();
		check_written(&t, told, &seen);
		if (round % 2)
			stop_paging(&t);
		soft_dirty_now(t.map, told);
		check_written(&t, told, &seen);
		check_content(&t);
		soft_dirty_now(t.map, told);
		check_written(&t, told, &seen); /* that was no write */
	}
	CHECK(seen > ROUNDS);
	CHECK(private || tracked > ROUNDS);
	CHECK(SINCE(before, pages_paged_out) > ROUNDS);
	end(&t);
	check_returned(before);
}

static void soft_dirty_of_shared(void)
{
	if (!have_soft_dirty())
		SKIP("this kernel has no soft-dirty bits");
	track_with_soft_dirty(false);
	set_speculation(false);
	track_with_soft_dirty(false);
	set_speculation(true);
}

static void soft_dirty_of_private(void)
{
	if (!have_soft_dirty())
		SKIP("this kernel has no soft-dirty bits");
	track_with_soft_dirty(true);
}

static const struct test_case cases[] = {
	{"userfaultfd tells of exactly the shared pages written", "R53", userfaultfd_of_shared},
	{"userfaultfd tells of exactly the private pages written", "R53", userfaultfd_of_private},
	{"userfaultfd's marks outlive the page", "R52 R53", marks_outlive_the_page},
	{"soft-dirty tells of exactly the shared pages written", "R54", soft_dirty_of_shared},
	{"soft-dirty tells of exactly the private pages written", "R54", soft_dirty_of_private},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
