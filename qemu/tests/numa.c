// SPDX-License-Identifier: GPL-2.0
/* Pages that are made for the fault of a mapping are on the node that mbind() wants there. */
#include "counts.h"
#include "numa.h"
#include "relatives.h"
#include "store.h"

#include <sys/uio.h>

#define PAGES 64UL

/* Every page that is made for a fault of a mapping is where that mapping wants it. */
static void mbind_holds_for_what_comes(void)
{
	int fd = object_open(), then, clone;
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), *its;
	struct counts before = counts_now();

	bind_to_node_1(p, PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 1);
	CHECK_EQ(not_on_node_1(p, PAGES), 0);
	/* Copies of a snapshot's pages: of mapped ones, and of those that this mapping has not. */
	then = snapshot(fd);
	for (uint64_t i = 0; i < PAGES / 2; i++)
		fill_page(p + i * PAGE, i, 2);
	MUST(!madvise(p, PAGES * PAGE, MADV_DONTNEED));
	for (uint64_t i = PAGES / 2; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 2);
	CHECK_EQ(SINCE(before, pages_copied_up), PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, 2));
	CHECK_EQ(not_on_node_1(p, PAGES), 0);
	/* What comes back from the store: what is asked for, and what comes along. */
	MUST(page_out_all(fd, PAGES));
	before = counts_now();
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, 2));
	CHECK(SINCE(before, pages_brought_in) >= PAGES);
	CHECK(SINCE(before, pages_brought_along) > 0);
	CHECK_EQ(not_on_node_1(p, PAGES), 0);
	MUST(page_out_all(fd, PAGES));
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 3);
	CHECK_EQ(not_on_node_1(p, PAGES), 0);
	/* And after RESTORE, and of a clone that is mapped so. */
	CHECK_EQ(restore(fd, then), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 4);
	CHECK_EQ(not_on_node_1(p, PAGES), 0);
	clone = clone_of(then);
	its = object_map(clone, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	bind_to_node_1(its, PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(its + i * PAGE, i, 5);
	CHECK_EQ(not_on_node_1(its, PAGES), 0);
	munmap(its, PAGES * PAGE);
	munmap(p, PAGES * PAGE);
	close(clone);
	close(then);
	close(fd);
}

/* A snapshot's copy of a page that may be pinned is where that page is. */
static void a_pinned_page_is_copied_where_it_is(void)
{
	int fd = object_open(), then, ends[2];
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), *seen;
	struct iovec piece = {p, PAGE};
	struct counts before = counts_now();

	bind_to_node_1(p, PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 1);
	MUST(!pipe(ends) && vmsplice(ends[1], &piece, 1, 0) == (ssize_t)PAGE);
	then = snapshot(fd);
	CHECK_EQ(SINCE(before, pages_frozen_copied), 1);
	seen = object_map(then, PAGES * PAGE, PROT_READ, MAP_SHARED);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(page_is(seen + i * PAGE, i, 1));
	CHECK_EQ(not_on_node_1(seen, PAGES), 0);
	munmap(seen, PAGES * PAGE);
	munmap(p, PAGES * PAGE);
	close(ends[0]);
	close(ends[1]);
	close(then);
	close(fd);
}

static const struct test_case cases[] = {
	{"mbind holds for what comes after the first touch, too", "", mbind_holds_for_what_comes},
	{"a pinned page is copied where it is", "", a_pinned_page_is_copied_where_it_is},
};

int main(void)
{
	/* On node 0, where pages come from if nobody says otherwise. */
	count_faults_exactly();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
