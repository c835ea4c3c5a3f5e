// SPDX-License-Identifier: GPL-2.0
/*
 * Private copies that the kernel merges (KSM): who has such a page has it with others, and is
 * never taken for the one who has it alone. Each who writes then sees what he wrote, and nobody
 * else does: not the others who were merged, nor the child who came by fork, nor the object.
 */
#include "bus.h"
#include "counts.h"
#include "relatives.h"
#include "walks.h"

#define KSM "/sys/kernel/mm/ksm/"
enum { PAGES = 16, MAPPINGS = 3 };
enum { SHARED = 9 }; /* the generation of what all pages of all mappings have */

struct merged {
	int fd;
	char *copy[MAPPINGS]; /* private mappings of the same object, each page written */
	pid_t child;          /* who has all of them by fork; it writes when it is told to */
	int to_child, from_child;
};

/* Pages of this process that are merged, with whomever. */
static long merging(void)
{
	char text[32] = "";
	int fd = open("/proc/self/ksm_merging_pages", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	MUST(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtol(text, NULL, 10);
}

static unsigned int rmap_of(const struct merged *merged, uint32_t flags, uint64_t at,
                            uint64_t pages, struct cowmem_mapping *found, unsigned int room)
{
	struct cowmem_rmap rmap;

	CHECK_EQ(rmap_ask(merged->fd, &rmap, flags, at, pages, found, room), 0);
	CHECK_EQ(rmap.hidden, 0);
	return rmap.count;
}

/* For the caller's own copies: how many entries RMAP tells of. */
static unsigned int sharers(const struct merged *merged, int mapping)
{
	struct cowmem_mapping found[4 * PAGES];

	return rmap_of(merged, COWMEM_RMAP_OF_COPIES, (uintptr_t)merged->copy[mapping], PAGES,
	               found, ARRAY_LENGTH(found));
}

/* What is mapped over the object: copies all, and how many of them can be written without a fault. */
static void check_mapped(const struct merged *merged, unsigned int entries, unsigned int writable)
{
	struct cowmem_mapping found[4 * MAPPINGS * PAGES];
	unsigned int copies = 0, may = 0, count;

	count = rmap_of(merged, 0, 0, PAGES, found, ARRAY_LENGTH(found));
	for (unsigned int i = 0; i < count; i++) {
		copies += !!(found[i].flags & COWMEM_MAPPING_COPY);
		may += !!(found[i].flags & COWMEM_MAPPING_WRITABLE);
	}
	CHECK_EQ(count, entries);
	CHECK_EQ(copies, entries);
	CHECK_EQ(may, writable);
}

static char *page_of(const struct merged *merged, int mapping, unsigned int page)
{
	return merged->copy[mapping] + page * PAGE;
}

static bool has(const struct merged *merged, int mapping, unsigned int page, uint64_t generation)
{
	return page_is(page_of(merged, mapping, page), generation == SHARED ? 0 : page, generation);
}

/* All that this process has in the mappings is what it was, but for one page. */
static void check_all_but(const struct merged *merged, int mapping, unsigned int page)
{
	for (int m = 0; m < MAPPINGS; m++)
		for (unsigned int i = 0; i < PAGES; i++)
			CHECK((m == mapping && i == page) || has(merged, m, i, SHARED));
}

/* Sees all that it had when it came, writes page 3 of the first mapping, and sees that alone. */
static void be_the_child(const struct merged *merged, int in, int out)
{
	char c;

	if (read(in, &c, 1) == 1) {
		check_all_but(merged, -1, 0);
		fill_page(page_of(merged, 0, 3), 3, 5);
		check_all_but(merged, 0, 3);
		CHECK(has(merged, 0, 3, 5));
		c = test_failed ? 'n' : 'y';
		if (write(out, &c, 1) == 1)
			(void)!read(in, &c, 1);
	}
	_exit(0);
}

/* False: this kernel has no KSM. */
static bool merge(struct merged *merged, uint32_t cow)
{
	int down[2], up[2];
	char page[PAGE];

	if (access(KSM "run", W_OK))
		return false;
	*merged = (struct merged){.fd = object_open()};
	MUST(!object_set_cow(merged->fd, cow) && !object_resize(merged->fd, PAGES * PAGE));
	for (unsigned int i = 0; i < PAGES; i++) {
		fill_page(page, i, 1);
		MUST(pwrite(merged->fd, page, PAGE, i * PAGE) == PAGE);
	}
	for (int m = 0; m < MAPPINGS; m++) {
		merged->copy[m] =
			object_map(merged->fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		for (unsigned int i = 0; i < PAGES; i++)
			fill_page(page_of(merged, m, i), 0, SHARED);
	}
	check_mapped(merged, MAPPINGS * PAGES, MAPPINGS * PAGES);
	CHECK_EQ(sharers(merged, 0), PAGES);
	for (int m = 0; m < MAPPINGS; m++)
		MUST(!madvise(merged->copy[m], PAGES * PAGE, MADV_MERGEABLE));
	MUST(write_text(KSM "pages_to_scan", "1000") && write_text(KSM "sleep_millisecs", "1"));
	MUST(write_text(KSM "run", "1"));
	CHECK(COMES(merging() >= MAPPINGS * PAGES));
	MUST(write_text(KSM "run", "0"));
	MUST(!pipe2(down, O_CLOEXEC) && !pipe2(up, O_CLOEXEC));
	merged->child = fork();
	MUST(merged->child >= 0);
	if (!merged->child) {
		close(down[1]), close(up[0]);
		be_the_child(merged, down[0], up[1]);
	}
	merged->to_child = down[1], merged->from_child = up[0];
	close(down[0]), close(up[1]);
	return true;
}

static void end(struct merged *merged)
{
	close(merged->to_child), close(merged->from_child);
	MUST(waitpid(merged->child, NULL, 0) == merged->child);
	for (int m = 0; m < MAPPINGS; m++)
		munmap(merged->copy[m], PAGES * PAGE);
	close(merged->fd);
	/* What is merged by nobody any more goes when the kernel looks next. */
	MUST(write_text(KSM "run", "2"));
}

static void child_writes(const struct merged *merged)
{
	char c = 'w';

	CHECK(write(merged->to_child, &c, 1) == 1 && read(merged->from_child, &c, 1) == 1);
	CHECK_EQ(c, 'y');
}

/* What is told of what is merged, and that each who writes has what he wrote, alone. */
static void each_side_writes(uint32_t cow)
{
	struct counts before = counts_now();
	struct merged merged;
	char page[PAGE];

	if (!merge(&merged, cow))
		SKIP("this kernel has no KSM");
	/* By fork the child has them, too. All that is merged is read-only, and is no copy of one's own. */
	check_mapped(&merged, 2 * MAPPINGS * PAGES, 0);
	for (int m = 0; m < MAPPINGS; m++)
		CHECK_EQ(sharers(&merged, m), 0);
	check_all_but(&merged, -1, 0);

	fill_page(page_of(&merged, 1, 7), 7, 2);
	CHECK(has(&merged, 1, 7, 2));
	check_all_but(&merged, 1, 7);
	CHECK_EQ(sharers(&merged, 1), 1); /* that is its own again */
	check_mapped(&merged, 2 * MAPPINGS * PAGES, 1);
	child_writes(&merged);
	check_all_but(&merged, 1, 7);

	/* The object: by write(), and through a shared mapping. */
	fill_page(page, 4, 3);
	MUST(pwrite(merged.fd, page, PAGE, 4 * PAGE) == PAGE);
	{
		char *shared =
			object_map(merged.fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

		CHECK(page_is(shared + 7 * PAGE, 7, 1) && page_is(shared + 3 * PAGE, 3, 1));
		fill_page(shared + 5 * PAGE, 5, 3);
		munmap(shared, PAGES * PAGE);
	}
	check_all_but(&merged, 1, 7);
	CHECK(has(&merged, 1, 7, 2));
	MUST(pread(merged.fd, page, PAGE, 6 * PAGE) == PAGE);
	CHECK(page_is(page, 6, 1));
	end(&merged);
	check_returned(before);
}

static void by_handler(void)
{
	each_side_writes(COWMEM_COW_HANDLER);
}

static void by_core(void)
{
	each_side_writes(COWMEM_COW_CORE);
}

/* What is done to the object's pages meanwhile does nothing to them. */
static void object_changes(void)
{
	struct counts before = counts_now();
	struct merged merged;
	int then;

	if (!merge(&merged, COWMEM_COW_HANDLER))
		SKIP("this kernel has no KSM");
	then = snapshot(merged.fd);
	struct cowmem_page_out out = {
		.size = sizeof(out), .flags = COWMEM_PAGE_OUT_ACCESSED, .length = PAGES * PAGE};

	CHECK_EQ(ioctl(then, COWMEM_IOC_PAGE_OUT, &out), 0);
	check_all_but(&merged, -1, 0);
	CHECK_EQ(object_punch(merged.fd, 0, 8 * PAGE), 0);
	check_all_but(&merged, -1, 0);
	child_writes(&merged);
	check_all_but(&merged, -1, 0);
	check_mapped(&merged, 2 * MAPPINGS * PAGES, 1); /* the child's one */
	/* MADV_DONTNEED has the object's page there again: a hole by now. */
	MUST(!madvise(page_of(&merged, 2, 2), PAGE, MADV_DONTNEED));
	CHECK_EQ(*page_of(&merged, 2, 2), 0);
	fill_page(page_of(&merged, 2, 2), 2, 6);
	check_all_but(&merged, 2, 2);
	/* Merged copies go, as others do, with what they were copies of. */
	CHECK_EQ(object_resize(merged.fd, 8 * PAGE), 0);
	CHECK_EQ(touch(page_of(&merged, 0, 8), false), BUS_ADRERR);
	CHECK(has(&merged, 0, 7, SHARED) && has(&merged, 2, 7, SHARED));
	check_mapped(&merged, 2 * MAPPINGS * 8, 2);
	close(then);
	end(&merged);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"merged copies, by the handler: each side writes", "R93", by_handler},
	{"merged copies, by the core: each side writes", "R93", by_core},
	{"merged copies, and the object changes", "R93", object_changes},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
