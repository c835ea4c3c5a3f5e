// SPDX-License-Identifier: GPL-2.0
/*
 * What secondary MMUs hear (mmu_notifier): of every page whose entry changes, and of hardly
 * another, however large the mapping is.
 */
#include <linux/mman.h>
#include <linux/mmu_notifier.h>

#include "mapping.h"
#include "relatives.h"

/* A mapping of 4 GiB, and the pages of it that are written. */
#define PAGES (1UL << (32 - PAGE_SHIFT))
#define WRITTEN 100U

/* What a listener is told about a mapping. */
struct listener {
	struct mmu_notifier notifier;
	unsigned long start, end;                     /* of the mapping */
	unsigned long pages;                          /* in all ranges together */
	unsigned int heard[MMU_NOTIFY_EXCLUSIVE + 1]; /* ranges, by their event */
	unsigned int open;                            /* begun, and not ended */
	/* The pages that matter, in order, and in how many ranges each was. */
	const unsigned long *places;
	unsigned int n, times[WRITTEN];
};

static bool concerns(const struct listener *l, const struct mmu_notifier_range *range)
{
	return range->start < l->end && range->end > l->start;
}

static int on_start(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct listener *l = container_of(notifier, struct listener, notifier);

	if (!concerns(l, range))
		return 0;
	l->open++;
	l->heard[range->event]++;
	l->pages += (range->end - range->start) >> PAGE_SHIFT;
	for (unsigned int i = 0; i < l->n; i++) {
		const unsigned long address = l->start + l->places[i] * PAGE_SIZE;

		l->times[i] += address >= range->start && address < range->end;
	}
	return 0;
}

static void on_end(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct listener *l = container_of(notifier, struct listener, notifier);

	l->open -= concerns(l, range);
}

static const struct mmu_notifier_ops listener_ops = {
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};

static void listen(struct kunit *test, struct listener *l, unsigned long start, unsigned long pages,
                   const unsigned long *places, unsigned int n)
{
	struct mapping *m = test->priv;

	*l = (struct listener){
		.notifier.ops = &listener_ops,
		.start = start,
		.end = start + pages * PAGE_SIZE,
		.places = places,
		.n = n,
	};
	KUNIT_ASSERT_EQ(test, 0, mmu_notifier_register(&l->notifier, m->mm));
}

static void listen_no_more(struct kunit *test, struct listener *l)
{
	struct mapping *m = test->priv;

	mmu_notifier_unregister(&l->notifier, m->mm);
	KUNIT_EXPECT_EQ(test, 0U, l->open);
}

/* --- of what was written --- */

/* The n-th page that is written. */
struct pattern {
	const char *name;
	unsigned long (*place)(unsigned int n);
};

static unsigned long alone(unsigned int n)
{
	return n * (PAGES / WRITTEN / PTRS_PER_PTE) * PTRS_PER_PTE + n;
}

static unsigned long in_a_run(unsigned int n)
{
	return PAGES / 2 - WRITTEN / 2 + n;
}

/* Some of a page table: a run of five, and five alone. */
static unsigned long both(unsigned int n)
{
	const unsigned long table = 7 * (n / 10) * PTRS_PER_PTE, nth = n % 10;

	return table + 100 + (nth < 5 ? nth : 20 * nth);
}

static const struct pattern patterns[] = {
	{"each in a page table of its own", alone},
	{"in a run, over two page tables", in_a_run},
	{"some in a run and some alone, ten of a page table", both},
};

KUNIT_ARRAY_PARAM_DESC(pattern, patterns, name);

/* What is to be heard: for each page table, from the first page written to the last. */
static unsigned long expected(const unsigned long *places)
{
	unsigned long pages = 0;

	for (unsigned int first = 0, i = 1; i <= WRITTEN; i++) {
		if (i < WRITTEN && places[i] / PTRS_PER_PTE == places[first] / PTRS_PER_PTE)
			continue;
		pages += places[i - 1] - places[first] + 1;
		first = i;
	}
	return pages;
}

static void write_all(struct kunit *test, unsigned long at, const unsigned long *places, u8 value)
{
	for (unsigned int i = 0; i < WRITTEN; i++)
		KUNIT_ASSERT_EQ(test, 0, poke(at + places[i] * PAGE_SIZE, value));
}

/* That it was told of each page once, by @event, and of @pages in all. */
static void expect_heard(struct kunit *test, struct listener *l, enum mmu_notifier_event event,
                         unsigned long pages)
{
	listen_no_more(test, l);
	KUNIT_EXPECT_EQ(test, pages, l->pages);
	for (unsigned int i = 0; i < l->n; i++)
		KUNIT_EXPECT_EQ_MSG(test, 1U, l->times[i], "page %lu", l->places[i]);
	for (unsigned int i = 0; i < ARRAY_SIZE(l->heard); i++)
		KUNIT_EXPECT_EQ(test, i == event, l->heard[i] != 0);
}

static void secondary_mmus_lose_what_changes(struct kunit *test)
{
	const struct pattern *pattern = test->param_value;
	struct mapping *m = test->priv;
	const unsigned long at = mapping_map(m, PAGES, MAP_SHARED);
	struct listener *l = kunit_kzalloc(test, sizeof(*l), GFP_KERNEL);
	unsigned long places[WRITTEN], pages;

	SHOWS(test, "R68 R96");
	KUNIT_ASSERT_NOT_NULL(test, l);
	for (unsigned int i = 0; i < WRITTEN; i++)
		places[i] = pattern->place(i);
	KUNIT_ASSERT_LT(test, places[WRITTEN - 1], PAGES);
	pages = expected(places);
	KUNIT_ASSERT_EQ(test, pattern->place == both, pages != WRITTEN);
	write_all(test, at, places, 0x11);

	listen(test, l, at, PAGES, places, WRITTEN);
	snapshot = snapshot_of(m, ANY);
	expect_heard(test, l, MMU_NOTIFY_PROTECTION_PAGE, pages);

	/* A write is told by itself. */
	listen(test, l, at, PAGES, places, WRITTEN);
	write_all(test, at, places, 0x22);
	expect_heard(test, l, MMU_NOTIFY_CLEAR, WRITTEN);

	listen(test, l, at, PAGES, places, WRITTEN);
	KUNIT_ASSERT_EQ(test, 0, cowmem_test_restore(m->file, snapshot));
	expect_heard(test, l, MMU_NOTIFY_CLEAR, pages);

	for (unsigned int i = 0; i < WRITTEN; i++)
		KUNIT_EXPECT_EQ(test, 0x11, peek(at + places[i] * PAGE_SIZE));
}

/* --- of what goes out --- */

/* Where the page is mapped that goes out, and each listener is told of one. */
static void page_goes_out(struct kunit *test, const unsigned long *at, unsigned int n)
{
	static const unsigned long first;
	struct mapping *m = test->priv;
	struct listener *l = kunit_kcalloc(test, n, sizeof(*l), GFP_KERNEL);
	struct cowmem_page_out out;

	KUNIT_ASSERT_NOT_NULL(test, l);
	for (unsigned int i = 0; i < n; i++) {
		KUNIT_ASSERT_TRUE(test, pte_present(mapping_pte(m, at[i])));
		listen(test, &l[i], at[i], 1, &first, 1);
	}
	cowmem_test_page_out(m->file, 0, 0, true, &out);
	KUNIT_EXPECT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_NULL(test, mapping_folio(m, 0));
	for (unsigned int i = 0; i < n; i++) {
		listen_no_more(test, &l[i]);
		KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, at[i])));
		/* Before its bytes were read, and when its entry went. */
		KUNIT_EXPECT_EQ(test, 1U, l[i].heard[MMU_NOTIFY_PROTECTION_PAGE]);
		KUNIT_EXPECT_EQ(test, 1U, l[i].heard[MMU_NOTIFY_CLEAR]);
		KUNIT_EXPECT_EQ(test, 2UL, l[i].pages);
	}
	for (unsigned int i = 0; i < n; i++)
		KUNIT_EXPECT_EQ(test, 0x11, peek(at[i]));
}

static void a_page_goes_out_while_they_listen(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at[2] = {mapping_source(m, 1, 0x11), mapping_map(m, 1, MAP_SHARED)};

	SHOWS(test, "R68 R96");
	KUNIT_ASSERT_EQ(test, 0x11, peek(at[1]));
	page_goes_out(test, at, ARRAY_SIZE(at));
}

static void a_page_of_relatives_goes_out_while_they_listen(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at[2] = {mapping_source(m, 1, 0x11)};

	SHOWS(test, "R68 R96");
	made = clone_of(m);
	at[1] = mapping_map_of(m, made, 1, MAP_SHARED);
	KUNIT_ASSERT_EQ(test, 0x11, peek(at[1]));
	KUNIT_ASSERT_NOT_NULL(test, shared_of(m, made, 0));
	page_goes_out(test, at, ARRAY_SIZE(at));
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(secondary_mmus_lose_what_changes, pattern_gen_params),
	KUNIT_CASE(a_page_goes_out_while_they_listen),
	KUNIT_CASE(a_page_of_relatives_goes_out_while_they_listen),
	{},
};

static struct kunit_suite suite = {
	.name = "cowmem_notifier",
	.init = relatives_init,
	.exit = relatives_exit,
	.test_cases = cases,
};
kunit_test_suite(suite);
